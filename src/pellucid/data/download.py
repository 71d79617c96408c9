"""Fetching official files: mirrors in turn, continued where they broke off, never used before their checksum is right."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import DataError
from .catalogue import Source, SourceFile

_TRIES = 4  # per mirror, as long as each of them brings something
_CHUNK = 1 << 18
_TIMEOUT = (10, 60)  # seconds to connect, seconds of silence
_LARGEST = 4 << 30

Progress = Callable[[int], None]  # told how many bytes have come


def fetch(source: Source, data_dir: Path) -> list[Path]:
    """Fetch the files of an official data set into its usual sub-folder of ``data_dir``; files already there are kept.

    Raises
    ------
    DataError
        no mirror gave the file (says what was tried and how to place it by hand), or the folder cannot be written.
    """
    folder = data_dir / source.folders[0] if source.folders else data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            return [fetch_file(file, folder) for file in source.downloads]
    except OSError as error:
        raise DataError(
            f"{source.name} cannot be downloaded into {folder}: {error}. Name a folder that can be written, and has room, "
            "with data_dir (--data-dir) or PELLUCID_DATA."
        ) from error


def fetch_file(file: SourceFile, folder: Path) -> Path:
    """Fetch one file from the first mirror that has it; what has come of it waits in ``<name>.part``."""
    import pooch
    import requests

    path = folder / file.name
    if path.is_file():
        return path
    algorithm, digest = file.checksum or (None, None)
    if digest is None:
        raise DataError(
            f"{file.name} has no published checksum, so it is not downloaded. Place it in {folder} by hand."
        )
    problems = []
    with _quiet(pooch.get_logger()):
        for url in file.urls:
            download = _Download(file, folder / f"{file.name}.part")
            try:
                try:
                    pooch.retrieve(url, f"{algorithm}:{digest}", fname=file.name, path=folder, downloader=download)
                except ValueError:  # the checksum: perhaps only of the old beginning, which is gone now
                    if not download.continued:
                        raise
                    pooch.retrieve(url, f"{algorithm}:{digest}", fname=file.name, path=folder, downloader=download)
                return path
            except requests.RequestException as error:
                problems.append(f"{url}: {_reason(error)}")
            except ValueError:
                problems.append(f"{url}: the file that came has another {algorithm} than {digest}; it was thrown away")
    tried = "".join(f"\n  {problem}" for problem in problems)
    raise DataError(
        f"{file.name} could not be downloaded. Tried:{tried}\n"
        f"Try again later (a partial download is continued), or get the file by hand from {file.urls[0] if file.urls else '?'} "
        f"and place it in {folder}."
    )


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return f"no answer within {_TIMEOUT[0]} to {_TIMEOUT[1]} seconds"
    cause = error.args[0] if error.args else error
    if isinstance(error, requests.ConnectionError) and not isinstance(cause, str):  # the library's own: long and nested
        return f"cannot be reached ({type(getattr(cause, 'reason', cause)).__name__})"
    return " ".join(str(error).split())[:200]


class _Download:
    """A downloader for pooch that appends to a ``.part`` file and hands it over when it is complete."""

    def __init__(self, file: SourceFile, part: Path) -> None:
        self.file, self.part, self.continued = file, part, False

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        import requests

        self.continued = self._have() > 0
        with _progress(self.file, url) as progress:
            for left in reversed(range(_TRIES)):
                before = self._have()
                try:
                    self._get(url, progress)
                    break
                except (requests.ConnectionError, requests.Timeout):
                    if left == 0 or self._have() <= before:
                        raise
        os.replace(self.part, output_file)

    def _get(self, url: str, progress: Progress) -> None:
        """Fetch what is still missing. Raises ConnectionError or Timeout where trying again may help."""
        import requests
        import urllib3

        have = self._have()
        if have == self.file.size:
            return
        # "identity": a server must not pack or unpack a .gz on the way.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if answer.status_code == 416:  # nothing after `have`: what we have is not the beginning of this file
                self.part.unlink()
                return self._get(url, progress)
            answer.raise_for_status()
            if answer.headers.get("Content-Type", "").startswith("text/html"):
                raise requests.RequestException("answers with a web page instead of the file")
            if answer.status_code != 206:
                have = 0
            length = answer.headers.get("Content-Length", "")
            if self.file.size and length.isdigit() and have + int(length) != self.file.size:
                raise requests.RequestException(f"offers {have + int(length):,} bytes, wanted {self.file.size:,}")
            progress(have)
            try:
                with open(self.part, "ab" if have else "wb") as out:
                    for chunk in answer.raw.stream(_CHUNK, decode_content=False):
                        have += len(chunk)
                        if have > (self.file.size or _LARGEST):
                            raise requests.RequestException("sends more than the file has")
                        out.write(chunk)
                        progress(have)
            except urllib3.exceptions.HTTPError as error:
                raise requests.ConnectionError(f"broke off after {have:,} bytes ({error})") from error
        if self.file.size and have < self.file.size:
            raise requests.ConnectionError(f"broke off after {have:,} of {self.file.size:,} bytes")

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0


@contextlib.contextmanager
def _progress(file: SourceFile, url: str) -> Iterator[Progress]:
    """A bar on a terminal, one line elsewhere; on standard error, so that output stays clean."""
    host = urlsplit(url).netloc
    if not sys.stderr.isatty():
        size = f" ({file.size / 1e6:,.1f} MB)" if file.size else ""
        print(f"downloading {file.name}{size} from {host}", file=sys.stderr, flush=True)
        yield lambda have: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{file.name} from {host}", total=file.size)
        yield lambda have: bar.update(task, completed=have)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process downloads into the folder (where the system has locks)."""
    try:
        import fcntl
    except ImportError:  # Windows: a clash is caught by the checksum
        yield
        return
    with open(folder / ".download.lock", "w") as lock:
        with contextlib.suppress(OSError):  # some network file systems have none
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
