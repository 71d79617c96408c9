"""Trying a reader on damaged files: what counts as a bug, and the walls around it."""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pellucid.errors import PellucidError

from .readers import Reader

MEMORY = 1 << 30  # bytes that a process may take beyond what it has
GROWTH = 400 << 20  # bytes that may really be filled
SECONDS = 10  # of work for one file; a busy machine may take longer over it, but not
PATIENCE = 300  # seconds on the clock
LONGEST = 10_000  # letters a person may be told

# What no reader of a small file has any business with. Opening for writing is looked at below.
_FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen", "pty.spawn", "socket.connect",
    "socket.getaddrinfo", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.truncate",
    "shutil.rmtree", "shutil.move", "shutil.unpack_archive", "pickle.find_class", "ftplib.connect", "urllib.Request",
)  # fmt: skip
_WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND
_watching = False


class BugError(AssertionError):
    """A reader did what it must not."""


class TooSlow(BaseException):
    """A reader did not come to an end. No reader can take it for an error of the file."""


@dataclass
class Report:
    """``refused`` counts errors by their first words, ``accepted`` the files that were read all the same."""

    tried: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    bugs: list[str] = field(default_factory=list)
    seconds: float = 0.0


def fuzz(reader: Reader, count: int, seed: int, folder: Path, *, first: int = 0, most_bugs: int = 1) -> Report:
    """Try ``count`` damaged files in ``folder``. Each is a function of ``seed`` and its number alone, so a bug comes back.

    Files that show a bug are kept in ``folder`` as ``bug-<number>-<name>``.
    """
    report, seeds = Report(), reader.seeds()
    for name, content in reader.beside.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    for name, content in seeds:  # what is loaded lazily is loaded before anybody looks; and a sound file is read
        (folder / name).write_bytes(content)
        with contextlib.suppress(PellucidError):
            reader.read(folder / name)
    start = time.monotonic()
    with walls():
        for number in range(first, first + count):
            chance = random.Random(f"{seed}/{number}")
            name, content = reader.damage(chance, chance.choice(seeds), seeds)
            path = folder / name
            path.write_bytes(content)
            report.tried += 1
            try:
                with watched(), warnings.catch_warnings(action="ignore"):
                    reader.read(path)
                report.accepted += 1
            except PellucidError as error:
                report.refused[type(error).__name__] += 1
                if not 10 < len(str(error)) < LONGEST:
                    report.bugs.append(f"number {number}: an error of {len(str(error)):,} letters: {error!s:.300}")
            except (Exception, TooSlow) as error:
                kept = folder / f"bug-{number}-{path.name}"
                kept.write_bytes(content)
                frames = [line[:300] for line in traceback.format_exception(error)[-5:]]
                report.bugs.append(f"number {number}, kept in {kept}:\n{''.join(frames)}")
                if len(report.bugs) >= most_bugs:
                    break
            finally:
                path.unlink()
                if name in reader.beside:
                    path.write_bytes(reader.beside[name])
    report.seconds = time.monotonic() - start
    return report


@contextlib.contextmanager
def walls() -> Iterator[None]:
    """A limit for the memory of this process; what is really filled is compared at the end."""
    try:
        import resource
    except ImportError:  # not POSIX
        yield
        return
    before = _peak()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    grown = _peak() - before
    if grown > GROWTH:
        raise BugError(f"the memory grew by {grown >> 20} MB over small files")


def _peak() -> int:
    """The most bytes this process had in use; ``getrusage`` would count those of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) << 10


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """A block that writes nothing, runs nothing and ends in time."""
    global _watching
    _install()
    timers = {signal.ITIMER_PROF: (signal.SIGPROF, SECONDS), signal.ITIMER_REAL: (signal.SIGALRM, PATIENCE)}
    previous = {number: signal.signal(number, _out_of_time) for number, _ in timers.values()}
    for timer, (_, seconds) in timers.items():
        signal.setitimer(timer, seconds)
    _watching = True
    try:
        yield
    finally:
        _watching = False
        for timer, (number, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, previous[number])


def _out_of_time(number: int, frame: object) -> None:
    took = f"{SECONDS} seconds of work" if number == signal.SIGPROF else f"{PATIENCE} seconds"
    raise TooSlow(f"not ready after {took}")


_installed = False


def _install() -> None:
    global _installed
    if not _installed:
        sys.addaudithook(_audit)
        _installed = True


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if not _watching:
        return
    if event in _FORBIDDEN:
        raise BugError(f"{event}{arguments!r:.200}")
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
        raise BugError(f"{arguments[0]!r:.200} opened for writing")
