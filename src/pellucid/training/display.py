"""What a person sees of a training: a live table on a terminal, now and then a plain line anywhere else."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TextIO

from ..errors import PellucidError
from .callbacks import Callback
from .progress import Row
from .signals import SIGNALS

if TYPE_CHECKING:
    from .loop import Training


class Display(Callback):
    """Show how a training goes.

    ``verbose=0`` shows nothing, 1 a live table on a terminal and a plain line every ``interval`` seconds on anything else, 2 one
    plain line per epoch. ``stream`` is the standard output by default; one that breaks away (a closed pipe or terminal) ends
    the display, not the training.
    """

    order: ClassVar[int] = -1  # begins before, and ends after, all that may have something to say

    def __init__(self, verbose: int = 1, stream: TextIO | None = None, interval: float = 5.0) -> None:
        if verbose not in (0, 1, 2):
            raise PellucidError(
                f"verbose was {verbose!r}; wanted 0 (silent), 1 (a table or lines) or 2 (a line per epoch)."
            )
        self.verbose, self.stream, self.interval = verbose, stream, interval
        self._screen: Screen | None = None
        self._out = SafeStream(None)

    def on_train_begin(self, training: Training) -> None:
        self._out = SafeStream(sys.stdout if self.stream is None else self.stream)
        if self.verbose == 1 and self._out.isatty():
            from .livetable import LiveTable  # Rich is loaded only where it shows

            self._screen = LiveTable(self._out)
        elif self.verbose:
            self._screen = Lines(self._out, self.interval if self.verbose == 1 else None)
        if self._screen:
            self._screen.begin(training)

    def on_batch_end(self, training: Training, scores: dict[str, float]) -> None:
        if self._screen:
            self._screen.batch(training)
            if self._out.gone:  # also gives back the streams that Rich has taken over
                self._screen.end(training)
                self._screen = None

    def on_epoch_end(self, training: Training, row: Row) -> None:
        if self._screen:
            self._screen.epoch(training, row)

    def on_train_end(self, training: Training) -> None:
        if self._screen:
            self._screen.end(training)
            reason = training.progress.stop_reason
            if reason and reason not in SIGNALS and training.error is None:
                self._screen.message(f"Stopped early: {reason}.")

    def on_message(self, text: str) -> bool:
        if self._screen is None:
            return False
        self._screen.message(text)
        return not self._out.gone


class Screen(Protocol):
    """A way to show a training."""

    def begin(self, training: Training) -> None: ...
    def batch(self, training: Training) -> None: ...
    def epoch(self, training: Training, row: Row) -> None: ...
    def end(self, training: Training) -> None: ...
    def message(self, text: str) -> None: ...


class Lines:
    """Plain lines: one per epoch, and one every ``interval`` seconds in between (None for never)."""

    def __init__(self, out: SafeStream, interval: float | None) -> None:
        self.out, self.interval = out, interval

    def begin(self, training: Training) -> None:
        self.pace = Pace(training)
        self.last = time.monotonic()

    def batch(self, training: Training) -> None:
        if self.interval is None or time.monotonic() - self.last < self.interval:
            return
        progress = training.progress
        self._line(
            f"epoch {progress.epoch + 1}/{training.epochs}",
            f"batch {progress.batch}/{training.batches}",
            *(f"{label(name)} {mean:.4f}" for name, mean in progress.means().items()),
            f"{progress.images_per_second():,.0f} images/s",
            f"{duration(self.pace.seconds_left(training))} left",
        )

    def epoch(self, training: Training, row: Row) -> None:
        self._line(
            f"epoch {row['epoch']}/{training.epochs}",
            *(f"{label(name)} {value:.4f}" for name, value in row.items() if name.startswith(("train_", "val_"))),
            f"{row['images_per_second']:,.0f} images/s",
            f"{duration(self.pace.seconds_left(training))} left",
        )

    def end(self, training: Training) -> None:
        pass

    def message(self, text: str) -> None:
        self._line(text)

    def _line(self, *parts: str) -> None:
        self.last = time.monotonic()
        self.out.write("  ".join(parts) + "\n")
        self.out.flush()


class SafeStream:
    """A text stream that falls silent when the pipe or terminal behind it is gone, instead of raising."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.gone = stream is None

    def write(self, text: str) -> int:
        """Write if there is somebody to read it. What the encoding cannot say becomes question marks."""
        if not self.gone and self._stream is not None:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding or "ascii"
                self._stream.write(text.encode(encoding, "replace").decode(encoding))
            except (OSError, ValueError):
                self._lost()
        return len(text)

    def flush(self) -> None:
        """Flush if there is somebody to read it."""
        if not self.gone and self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._lost()

    def isatty(self) -> bool:
        """Whether a terminal is behind it."""
        try:
            return not self.gone and self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lost(self) -> None:
        self.gone = True
        if self._stream is sys.__stdout__ and self._stream is not None:
            # What is still in its buffer would fail once more when Python exits (see "SIGPIPE" in the docs of `signal`).
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)


class Pace:
    """How long the rest will take, from how long the steps since the start of this process took."""

    def __init__(self, training: Training) -> None:
        self.start, self.first = time.monotonic(), training.progress.step

    def seconds_left(self, training: Training) -> float | None:
        """Seconds until the last epoch ends; None before the first step."""
        progress = training.progress
        done = progress.step - self.first
        left = (training.epochs - progress.epoch) * training.batches - progress.batch
        return (time.monotonic() - self.start) / done * left if done > 0 else None  # a rollback may undo them all


def duration(seconds: float | None) -> str:
    """Seconds as a clock shows them.

    >>> duration(5.2), duration(3723), duration(None)
    ('0:05', '1:02:03', '?')
    """
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def label(name: str) -> str:
    """The name of a score for people.

    >>> label("train_loss"), label("val_accuracy")
    ('loss', 'validation accuracy')
    """
    return name.removeprefix("train_").replace("val_", "validation ").replace("_", " ")
