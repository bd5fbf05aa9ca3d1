"""Pages that take seconds and large libraries: made in a process of their own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_exp.errors import UserError

if TYPE_CHECKING:
    from optuna.study import Study

MOST_JOURNAL = 64 * 2**20  # bytes


def comparison_page(paths: Sequence[str], split: str) -> str:
    """The page of `compare --html`; the first run is the baseline."""
    from mnist_exp.comparison import compare_runs
    from mnist_exp.report.comparison_page import comparison_html

    return comparison_html(compare_runs(list(paths), split="val" if split == "val" else "test"))


def search_page(journal: str) -> str:
    """The page of a search as far as it has come."""
    from mnist_exp.report.figures import png
    from mnist_exp.report.search_page import figures, search_html

    study = _read_study(Path(journal))
    count = len(study.directions)
    metrics = study.metric_names or [f"value {number}" for number in range(count)]
    pictures = [(name, title, png(figure)) for name, title, figure in figures(study, metrics)]
    return search_html(study, metrics, pictures)


def _read_study(journal: Path) -> "Study":
    """The study in a journal file, as far as whole lines go; nothing is written or locked."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend

    if journal.stat().st_size > MOST_JOURNAL:
        raise UserError(f"{journal} has more than {MOST_JOURNAL / 1e6:.0f} MB")
    lines = journal.read_bytes().rpartition(b"\n")[0].splitlines()

    class Lines(BaseJournalBackend):
        def read_logs(self, log_number_from: int) -> Any:
            return iter([json.loads(line) for line in lines[log_number_from:]])

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            raise PermissionError("the board only reads")

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = JournalStorage(Lines())
        summaries = optuna.get_all_study_summaries(storage)
        return optuna.load_study(study_name=summaries[0].study_name, storage=storage)
    except Exception as error:  # a file from elsewhere can be broken in any way
        raise UserError(f"{journal} holds no study that can be read: {error}") from error
