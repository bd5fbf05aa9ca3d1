"""Pages that take seconds and large libraries: made in a process of their own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mnist_exp.errors import UserError
from mnist_exp.runs import redact

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

Wanted = tuple[str | None, str]  # a study's name, if it was given, and the end of its folder's

MOST_JOURNAL = 64 * 2**20  # bytes


def comparison_page(paths: Sequence[str], split: str) -> str:
    """The page of `compare --html`; the first run is the baseline."""
    from mnist_exp.comparison import compare_runs
    from mnist_exp.report.comparison_page import comparison_html

    return comparison_html(compare_runs(list(paths), split="val" if split == "val" else "test"))


def search_page(journal: str) -> str:
    """The page of a search whose study lies in its folder, as far as it has come."""
    return _page(_read_journal(Path(journal), None))


def stored_search_page(storage: str, name: str | None, folder: str) -> str:
    """The page of a search whose study lies elsewhere, by its name or by that of its folder."""
    if "://" not in storage:
        return _page(_read_journal(Path(storage), (name, folder)))
    # SQLite would make a file that is not there; nothing is written otherwise either.
    kind, _, path = storage.partition(":///")
    address = f"sqlite:///file:{quote(path)}?mode=ro&uri=true" if kind == "sqlite" else storage
    try:
        from optuna.storages import RDBStorage

        return _page(_choose(RDBStorage(address, skip_table_creation=True), (name, folder)))
    except UserError:
        raise
    except Exception as error:  # each database has its own
        cause = error.__cause__ or error  # Optuna has a guess of its own
        reason = redact(str(cause).partition("\n")[0])
        raise UserError(f"--storage {redact(storage)} cannot be read: {reason}") from error


def _page(study: "Study") -> str:
    from mnist_exp.report.figures import png
    from mnist_exp.report.search_page import figures, search_html

    count = len(study.directions)
    metrics = study.metric_names or [f"value {number}" for number in range(count)]
    pictures = [(name, title, png(figure)) for name, title, figure in figures(study, metrics)]
    return search_html(study, metrics, pictures)


def _read_journal(journal: Path, wanted: Wanted | None) -> "Study":
    """The study in a journal file, as far as whole lines go; nothing is written or locked."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend

    try:
        if journal.stat().st_size > MOST_JOURNAL:
            raise UserError(f"{journal} has more than {MOST_JOURNAL / 1e6:.0f} MB")
        lines = journal.read_bytes().rpartition(b"\n")[0].splitlines()
    except OSError as error:
        raise UserError(f"{journal} cannot be read: {error.strerror}") from error

    class Lines(BaseJournalBackend):
        def read_logs(self, log_number_from: int) -> Any:
            return iter([json.loads(line) for line in lines[log_number_from:]])

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            raise PermissionError("the board only reads")

    try:
        return _choose(JournalStorage(Lines()), wanted)
    except UserError:
        raise
    except Exception as error:  # a file from elsewhere can be broken in any way
        raise UserError(f"{journal} holds no study that can be read: {error}") from error


def _choose(storage: "BaseStorage", wanted: Wanted | None) -> "Study":
    """The study of that name, or that the sweeper named after the folder; the only one if None."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = optuna.get_all_study_names(storage)
    if wanted:
        name, folder = wanted
        names = [n for n in names if (n == name if name else f"/{n}".endswith(f"/{folder}"))]
    if len(names) != 1:
        what = f"{len(names)} studies" if names else "no study"
        raise UserError(f"the storage holds {what} of this search")
    return optuna.load_study(study_name=names[0], storage=storage)
