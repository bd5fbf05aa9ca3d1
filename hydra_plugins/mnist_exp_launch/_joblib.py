"""hydra-joblib-launcher with as many processes as there are jobs, and the cpus divided among them."""

from collections.abc import Sequence
from concurrent.futures import BrokenExecutor

from hydra.core.utils import JobReturn
from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher

from mnist_exp.cpus import cpus, divided
from mnist_exp.errors import UserError


class Processes(JoblibLauncher):
    """Runs jobs on joblib's processes."""

    def __init__(self, n_jobs: int | None) -> None:
        super().__init__(n_jobs=n_jobs)
        self._wanted = n_jobs

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; joblib gives up all of them if one of its processes is killed."""
        n_processes = min(len(job_overrides), self._wanted or cpus())
        self.joblib["n_jobs"] = n_processes
        try:
            with divided(n_processes):
                results: Sequence[JobReturn] = super().launch(job_overrides, initial_job_idx)
        except BrokenExecutor as error:
            raise UserError(
                "a process of the grid was killed (too little memory?), and joblib gave up the jobs that were not yet "
                "done; they are stale above"
            ) from error
        return results
