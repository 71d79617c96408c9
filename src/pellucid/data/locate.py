"""Where the files of an official data set lie on this machine, and whether they are the published ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from .catalogue import SOURCES, Source, SourceFile

Layout = Sequence[tuple[SourceFile, ...]]
MOST_DEFLATE_CAN_DO = 1032  # bytes out of one packed byte, at most (zlib technical details)


@dataclass(frozen=True)
class Found:
    """The files of one layout, as (what the catalogue says, where it lies), in the order of the layout's pieces."""

    files: tuple[tuple[SourceFile, Path], ...]

    @property
    def folder(self) -> Path:
        return self.files[0][1].parent


def cache_folder() -> Path:
    """The folder that downloads go to when no other is named: the user's cache folder."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("pellucid", appauthor=False)) / "data"


def search_folders(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """The data folders, in the order they are looked through: the argument, ``PELLUCID_DATA``, the user's cache."""
    folders = [Path(data_dir).expanduser()] if data_dir is not None else []
    if os.environ.get("PELLUCID_DATA"):
        folders.append(Path(os.environ["PELLUCID_DATA"]).expanduser())
    return [*folders, cache_folder()]


def find(source: Source, layouts: Sequence[Layout], folders: Sequence[Path]) -> Found | None:
    """The first folder that holds every piece of a layout, looking into its usual sub-folders too."""
    for folder in folders:
        for name in source.folders:
            for layout in layouts:
                files = [_first_present(folder / name, piece) for piece in layout]
                present = [file for file in files if file is not None]
                if len(present) == len(files):
                    return Found(tuple(present))
    return None


def missing_pieces(source: Source, layouts: Sequence[Layout], folders: Sequence[Path]) -> list[str]:
    """A sentence for every folder that holds some pieces of a data set but not all."""
    sentences = []
    for folder in folders:
        for name in source.folders:
            for layout in layouts:
                files = [_first_present(folder / name, piece) for piece in layout]
                if any(files) and not all(files):
                    missing = [piece[0].name for piece, file in zip(layout, files, strict=True) if file is None]
                    sentences.append(f"{folder / name} lacks {', '.join(missing)}.")
    return list(dict.fromkeys(sentences))


def verify(
    source: Source, found: Found, *, required: bool, look_inside: Callable[[Path], str] | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Compare the checksums of the files with the published ones.

    Returns (records of the files for the provenance, names of the files that are not the published ones).
    ``look_inside(path)`` may add a remark on a file that differs, such as the number of its images.

    Raises
    ------
    DataError
        with ``required``, when a file differs or has no published checksum; always, when a file is one of another
        data set (the files of MNIST and Fashion-MNIST have the same names).
    """
    records, strange, complaints = [], [], []
    for file, path in found.files:
        expected = file.checksum
        algorithm = expected[0] if expected else "sha256"
        digest = checksum(path, algorithm)
        matches = expected is not None and digest == expected[1]
        record = {"path": str(path), "size": path.stat().st_size, algorithm: digest, "official": matches}
        records.append(record)
        if matches:
            continue
        other = _owner_of(algorithm, digest, source)
        if other is not None:
            raise DataError(
                f"{path} is a file of {other.name}, not of {source.name}. Load {other.name!r} instead, or move it."
            )
        strange.append(path.name)
        wanted = (
            f"{algorithm} {expected[1]}" if expected else "a file with a published checksum (the packed .gz has one)"
        )
        remark = _remark(look_inside, path, file)
        complaints.append(f"  {path}\n    has {algorithm} {digest}{remark}\n    wanted {wanted}")
    if required and complaints:
        raise DataError(
            f"These files are not the official {source.name} files:\n"
            + "\n".join(complaints)
            + f"\nIf you trust them, accept them as they are with --no-verify (verify=False); "
            f"otherwise remove them and run 'pellucid data get {source.name}', or get them from {source.homepage}."
        )
    return records, strange


def checksum(path: Path, algorithm: str) -> str:
    """The hexadecimal digest of a file.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "empty"; path.touch()
    >>> checksum(path, "md5")
    'd41d8cd98f00b204e9800998ecf8427e'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _first_present(folder: Path, piece: tuple[SourceFile, ...]) -> tuple[SourceFile, Path] | None:
    for file in piece:
        path = folder / file.name
        if path.is_file() and not _is_anothers(file, path.stat().st_size):
            return file, path
    return None


def _is_anothers(file: SourceFile, size: int) -> bool:
    # The files of MNIST and Fashion-MNIST have the same names, but not the same sizes.
    if file.size is None or size == file.size:
        return False
    return any(
        other.name == file.name and other.size == size for source in SOURCES.values() for other in source.downloads
    )


def _owner_of(algorithm: str, digest: str, source: Source) -> Source | None:
    for other in SOURCES.values():
        files = [file for layout in other.layouts for piece in layout for file in piece]
        if other.name != source.name and any(getattr(file, algorithm) == digest for file in files):
            return other
    return None


def looks_like_html(path: Path) -> bool:
    """Whether a file begins like a web page: the usual result of a download that went wrong."""
    with open(path, "rb") as file:
        return file.read(64).lstrip()[:1] == b"<"


def _remark(look_inside: Callable[[Path], str] | None, path: Path, file: SourceFile) -> str:
    """What can be said about a file that is not the official one."""
    if looks_like_html(path):
        return " (it is a web page)"
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f" ({size:,} of {file.size:,} bytes)"
    try:
        return f" ({look_inside(path)})" if look_inside else ""
    except DataError:
        return " (it cannot be read)"
