"""`python -m mnist_exp.train`: the only Hydra main; configuration in, run folder out."""

import logging
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from hydra_optuna_search import Pruned
from mnist_exp.config import CONF, MISTAKES, as_typed, build, explain
from mnist_exp.errors import UserError
from mnist_exp.launch import launched

if TYPE_CHECKING:
    from mnist_exp.runs import Progress, Run

log = logging.getLogger(__name__)

FELL_BACK = (
    "WARNING: MNIST could not be downloaded; these figures are of the small digits bundled with "
    "scikit-learn, not of MNIST."
)


@hydra.main(config_path=str(CONF), config_name="train", version_base="1.3")
def job(cfg: DictConfig) -> float | list[float]:
    """Run one job and leave its folder; returns the score that a search maximises."""
    from mnist_exp.process import marked_when_stuck
    from mnist_exp.runs import Progress, Run, claim_job, point_latest

    started = time.perf_counter()
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    single = hydra_config.mode == RunMode.RUN
    run = Run(folder) if single else claim_job(folder)
    searching = not single and cfg.get("search") is not None
    try:
        with (
            run.recording(Pruned),
            marked_when_stuck(partial(run.finish, "interrupted")),
            Progress(folder) as progress,
        ):
            if searching:
                from mnist_exp.trial import run_trial

                return run_trial(cfg, run, started, progress)
            score = _train(cfg, run, started, single, progress)
    except MISTAKES as error:
        if single:  # its message is the last thing that the command prints
            raise
        message = explain(error)
        log.error("failed: %s", message)  # noqa: TRY400  (a mistake, not a defect)
        raise CompactHydraException(message) from error  # a sweeper tells it without its type
    point_latest(Path(cfg.outputs), run)
    return score


def _train(
    cfg: DictConfig, run: "Run", started: float, single: bool, progress: "Progress"
) -> float:
    from mnist_exp.process import Stages
    from mnist_exp.report.record import record, show_summary

    experiment = build(cfg)
    bars = single or HydraConfig.get().runtime.choices["hydra/launcher"] == "basic"
    stages = Stages(bars, progress.show)
    with stages("load", cfg.dataset.name):
        dataset = experiment.load()
    outcome = experiment.run(dataset, stages, None if single else experiment.memory())
    seeds = {"seed": experiment.seed, "split_seed": experiment.sizes["split_seed"]}
    with stages("write"):
        metrics = record(run, dataset, outcome, stages.seconds, seeds, started, Path(cfg.outputs))
    show_summary(run, dataset, outcome, metrics)
    return float(metrics["val" if dataset.val else "test"]["accuracy"])


def main() -> None:
    """Run the command line; a mistake is one short message, and stdout carries the folder alone."""
    sys.argv[1:] = as_typed(sys.argv[1:])
    tracebacks = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands its exceptions on, and prints none
    launched.set(None)
    try:
        job()
        failed = None
    except MISTAKES as error:
        if tracebacks:
            raise
        failed = f"error: {explain(error)}"
    except KeyboardInterrupt as error:
        from mnist_exp.process import Terminated

        sys.exit(143 if isinstance(error, Terminated) else 130)
    finally:
        _end()
    if failed:
        sys.exit(failed)


def _end() -> None:
    """Show the table of a grid, and the folder of what left something that can be used."""
    launch = launched.get()
    if launch is None:  # --help, --cfg, or a mistake before anything was launched
        return
    from mnist_exp.runs import Run

    folder = launch.folder
    if launch.searching:
        if not (folder / "summary.csv").exists():
            return
    elif (folder / "multirun.yaml").exists():
        from mnist_exp.report.record import show_sweep

        show_sweep(folder)
    elif Run(folder).state != "completed":
        return
    if launch.fell_back:
        print(FELL_BACK, file=sys.stderr)
    print(os.path.relpath(folder) if folder.absolute().is_relative_to(Path.cwd()) else folder)


def run(*overrides: str) -> "Run":
    """Train one model in this process, as `python -m mnist_exp.train` does.

    Hydra, logging and signals are afterwards as they were. It belongs in the main thread. A grid
    is a loop over `run`; a search needs the command line.

    Parameters
    ----------
    *overrides : str
        The words of the command line: `"model=rf"`, `"augment=shift"`, `"seed=1"` ...

    Returns
    -------
    Run
        The completed run, in a new folder, which `outputs/latest` names.

    Raises
    ------
    UserError
        For a mistake: an unknown option, a bad value, data that cannot be read.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     small = "dataset=digits", "dataset.train_size=200", "dataset.test_size=100"
    ...     finished = run("model=sgd", *small, f"outputs='{folder}'", f"cache_dir='{folder}'")
    ...     print(finished.state, finished.metrics["data"]["n_test"])
    completed 100
    """
    import signal

    from hydra import compose, initialize_config_dir
    from hydra._internal.callbacks import Callbacks
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.singleton import Singleton
    from hydra.core.utils import run_job
    from hydra.types import HydraContext

    from mnist_exp.process import LogFile
    from mnist_exp.runs import Run

    logger, state = logging.getLogger("mnist_exp"), Singleton.get_state()
    level, on_sigterm = logger.level, signal.getsignal(signal.SIGTERM)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), job_name="train", version_base="1.3"):
            grid = any(word.startswith("-") for word in overrides)
            words = [] if grid else [*as_typed(overrides), "hydra.mode=RUN"]
            cfg = compose("train", words, return_hydra_config=True)
            if grid or "search" in cfg:
                raise UserError(
                    "run() trains one model, without -m and search=...: call it in a loop, "
                    "or start `python -m mnist_exp.train`"
                )
            auto = cfg.dataset.name == "auto"
            context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks(cfg))
            context.callbacks.on_run_start(config=cfg, config_name="train")
            if auto and cfg.dataset.name == "digits":
                print(FELL_BACK, file=sys.stderr)
            logfile = LogFile(Path(cfg.hydra.run.dir, "train.log"))
            logfile.setFormatter(
                logging.Formatter(*cfg.hydra.job_logging.formatters.simple.values())
            )
            logger.setLevel(logging.INFO)
            logger.addHandler(logfile)
            try:
                done = run_job(job, cfg, "hydra.run.dir", None, context, configure_logging=False)
            finally:
                logger.removeHandler(logfile)
                logfile.close()
            context.callbacks.on_run_end(config=cfg, config_name="train", job_return=done)
            _ = done.return_value  # raises what the job raised
            return Run(cfg.hydra.run.dir)
    except (SystemExit, *MISTAKES) as error:  # a hook of Hydra's can only leave by SystemExit
        cause = error.__cause__ if isinstance(error, SystemExit) else error
        raise UserError(explain(cause) if isinstance(cause, Exception) else str(error)) from error
    finally:
        logger.setLevel(level)
        signal.signal(signal.SIGTERM, on_sigterm)
        Singleton.set_state(state)


if __name__ == "__main__":
    main()
