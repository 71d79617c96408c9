"""Stopping a training from outside: Ctrl-C, ``kill``, a terminal that is closed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar

from .callbacks import Callback

if TYPE_CHECKING:
    from .loop import Training

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class StopOnSignal(Callback):
    """On SIGINT (Ctrl-C), SIGTERM or SIGHUP finish the step and stop; the second time leave at once.

    Either way the files are consistent: each is written as a whole or not at all. ``resume_command`` is printed at the end.
    The earlier handlers come back afterwards. Outside the main thread, where Python allows no handlers, it does nothing.
    """

    order: ClassVar[
        int
    ] = -1  # the first to begin and the last to end: the checkpoint of the stop is written under its guard

    def __init__(self, resume_command: str | None = None) -> None:
        self.resume_command = resume_command
        self.received: str | None = None
        self._before: dict[int, Any] = {}

    def on_train_begin(self, training: Training) -> None:
        self.received = None
        if threading.current_thread() is not threading.main_thread():
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self.received is not None:
                raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
            self.received = signal.Signals(number).name
            training.stop(self.received)
            # Not print: the signal may have come in the middle of one, and buffered files do not allow two at a time.
            with contextlib.suppress(OSError):
                os.write(2, b"\nFinishing this step and saving. Once more to leave at once.\n")

        for name in SIGNALS:
            number = getattr(signal, name, None)
            # A signal that is ignored, as SIGHUP is under nohup, stays ignored; None is a handler that is not Python's.
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, handle)

    def on_train_end(self, training: Training) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
        if self.received is None or training.error is not None:
            return
        progress = training.progress
        where = f"Stopped by {self.received} in epoch {progress.epoch + 1}, after step {progress.step}"
        if training.saved_step == progress.step:
            where += "; everything is saved"
        elif training.saved_step is not None:
            where += f"; the last checkpoint is of step {training.saved_step}"
        training.say(f"{where}." + (f" Continue with: {self.resume_command}" if self.resume_command else ""))
