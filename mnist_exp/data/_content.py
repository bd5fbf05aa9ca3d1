"""What a file is, told by its first bytes and not by its name."""

import zlib
from pathlib import Path

GZIP = b"\x1f\x8b"
_KINDS = (
    (b"\x93NUMPY", "npy", "a NumPy array (.npy)"),
    (b"PK\x03\x04", "zip", "a zip archive: unpack it first"),
    (b"PK\x05\x06", "empty", "an empty zip archive"),
    (b"PAR1", "parquet", "a Parquet file"),
    (b"MATLAB 5.0 MAT-file", "mat", "a MAT file"),
    (b"MATLAB 7.3 MAT-file", "hdf5", "a MAT file of version 7.3"),
    (b"\x89HDF", "hdf5", "an HDF5 file"),
    (b"\x89PNG", "picture", "a PNG picture"),
    (b"\xff\xd8\xff", "picture", "a JPEG picture"),
    (b"%PDF", "pdf", "a PDF document"),
    (b"SQLite format 3", "sqlite", "an SQLite database"),
    (b"7z\xbc\xaf", "7z", "a 7z archive"),
    (b"\xfd7zXZ", "xz", "xz-packed data"),
    (b"BZh", "bz2", "bzip2-packed data"),
    (b"\x80\x02", "pickle", "a Python pickle"),
    (b"\x80\x04", "pickle", "a Python pickle"),
    (b"version https://git-lfs", "lfs", "a Git LFS pointer, not the file itself: run git lfs pull"),
    (b"<!doctype html", "html", "an HTML page that came instead of the file: download it again"),
    (b"\xff\xfe", "utf16", "text in UTF-16: save it as UTF-8"),
    (b"{", "json", "JSON"),
    (b"[", "json", "JSON"),
    (b"<html", "html", "an HTML page that came instead of the file: download it again"),
)
_IDX_TYPES = {8: "uint8", 9: "int8", 11: "int16", 12: "int32", 13: "float32", 14: "float64"}


def start_of(path: Path, size: int = 4096) -> bytes:
    """Return the first bytes of a file's content, unpacked where it is gzip."""
    with path.open("rb") as file:
        raw = file.read(size)
    if raw[:2] != GZIP:
        return raw
    try:
        return zlib.decompressobj(wbits=31).decompress(raw, size)  # as far as these bytes go
    except zlib.error:
        return raw


def kind_of(start: bytes) -> tuple[str, str]:
    """Return a short name of what a file is by its first bytes, and the words that say it."""
    head = start.lstrip()[:32].lower()
    for magic, kind, words in _KINDS:
        if start.startswith(magic) or (magic.isascii() and head.startswith(magic.lower())):
            return kind, words
    if len(start) >= 4 and start[:2] == b"\0\0" and start[2] in _IDX_TYPES and start[3] < 8:
        return "idx", f"an IDX file of {_IDX_TYPES[start[2]]} with {start[3]} dimensions"
    if start[4:8] == b"ftyp":
        return "heif", "a HEIC, AVIF or video file: save it as JPEG or PNG"
    if not start.strip():
        return "empty", "empty"
    unknown = "unknown", "binary data of no known kind, or text that is not UTF-8"
    try:
        text = start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.end < len(start) - 4:  # else only a character that was cut in half
            return unknown
        text = start[: error.start].decode("utf-8-sig")
    line = text.strip().splitlines()[0][:40]
    is_text = line.replace("\t", " ").isprintable()
    return ("text", f"text that begins with {line!r}") if is_text else unknown
