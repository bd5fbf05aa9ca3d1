"""What a process does besides its work: cpus, signals, progress, files, caches, threads."""

from mnist_exp.process._blocks import Float32, Scratch, bilinear, blend, block_size, run_blocks
from mnist_exp.process._files import (
    cache_errors_named,
    computed_once,
    link_atomic,
    write_atomic,
    write_bytes,
    write_json,
    write_new,
    write_text,
)
from mnist_exp.process._progress import LogFile, Stages, progress_bar, stderr_console
from mnist_exp.process._system import (
    Terminated,
    cpus,
    divided,
    forget_share,
    marked_when_stuck,
    raise_on_sigterm,
)

__all__ = [
    "Float32",
    "LogFile",
    "Scratch",
    "Stages",
    "Terminated",
    "bilinear",
    "blend",
    "block_size",
    "cache_errors_named",
    "computed_once",
    "cpus",
    "divided",
    "forget_share",
    "link_atomic",
    "marked_when_stuck",
    "progress_bar",
    "raise_on_sigterm",
    "run_blocks",
    "stderr_console",
    "write_atomic",
    "write_bytes",
    "write_json",
    "write_new",
    "write_text",
]
