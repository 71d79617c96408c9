"""The live table: a row per epoch, and a bar for the current one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .display import Pace, SafeStream, duration, label
from .progress import Row

if TYPE_CHECKING:
    from .loop import Training

REFRESH = 0.4  # seconds; a refresh takes some 3 ms, so this costs less than 1 % of the time


class LiveTable:
    """A table that grows by a row per epoch. While it is live it shows as many of the last rows as the terminal has room for."""

    def __init__(self, out: SafeStream, console: Console | None = None) -> None:
        self.console = Console(file=out) if console is None else console  # type: ignore[arg-type]
        # No thread of its own: it is refreshed between two batches, when nothing else is being changed.
        self.live = Live(console=self.console, auto_refresh=False, vertical_overflow="visible")

    def begin(self, training: Training) -> None:
        self.pace, self.last = Pace(training), time.monotonic()
        self.live.start()

    def batch(self, training: Training) -> None:
        if time.monotonic() - self.last >= REFRESH:
            self._refresh(training)

    def epoch(self, training: Training, row: Row) -> None:
        self._refresh(training)

    def end(self, training: Training) -> None:
        progress = training.progress
        if progress.history or progress.batch:
            self.live.update(self._table(training, progress.history), refresh=True)
        self.live.stop()

    def message(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _refresh(self, training: Training) -> None:
        self.last = time.monotonic()
        room = max(3, self.console.height - 8)
        parts: list[Any] = [self._table(training, training.progress.history[-room:])]
        if training.progress.epoch < training.epochs:
            parts.append(self._bar(training))
        self.live.update(Group(*parts), refresh=True)

    def _table(self, training: Training, rows: list[Row]) -> Table:
        progress = training.progress
        current: Row = {"epoch": progress.epoch + 1, "images_per_second": progress.images_per_second()}
        current |= {f"train_{name}": mean for name, mean in progress.means().items()} | {"seconds": progress.seconds}
        shown = [*rows, current] if progress.batch else rows
        scores = dict.fromkeys(
            name for row in [current, *rows[-1:]] for name in row if name.startswith(("train_", "val_"))
        )
        table = Table()
        for title in ("epoch", *map(label, scores), "images/s", "time"):
            table.add_column(title, justify="right")
        for row in shown:
            numbers = [f"{row[name]:.4f}" if name in row else "" for name in scores]
            table.add_row(
                f"{row['epoch']}/{training.epochs}",
                *numbers,
                f"{row['images_per_second']:,.0f}",
                duration(row["seconds"]),
                style="dim" if row is current else None,
            )
        return table

    def _bar(self, training: Training) -> Table:
        progress = training.progress
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            Text(f"epoch {progress.epoch + 1}/{training.epochs}"),
            ProgressBar(total=training.batches, completed=progress.batch, width=30),
            Text(f"{progress.batch}/{training.batches}"),
            Text(f"{duration(self.pace.seconds_left(training))} left"),
        )
        return grid
