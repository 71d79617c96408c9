"""What a run folder says about its training, without loading its model or data."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import RunConfig, read
from ..training import RunFolder, read_written

Row = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """The files of a run: ``rows`` are the epochs, ``test`` the closing line of ``metrics.jsonl``, ``data`` is ``data.json``.

    ``missing`` says in whole sentences what could not be read, and whether the training has come to its end.
    """

    folder: RunFolder
    config: RunConfig
    toml: str
    rows: list[Row]
    test: Row
    data: dict[str, Any]
    failures: list[dict[str, Any]]
    concluded: bool
    missing: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.path.resolve().name

    @property
    def source(self) -> str:
        """What the data are called: their name, or that of their file or folder."""
        source = str(self.config.data.source)
        return Path(source).name or source

    @property
    def settings(self) -> list[tuple[str, str]]:
        """The settings a reader asks for first, those of ``config.toml`` that are set."""
        training, optimizer = self.config.training, self.config.optimizer
        schedule = str((optimizer.schedule or {}).get("name", "constant")).replace("_", " ")
        shown = {
            "network": self.config.model.name,
            "optimizer": optimizer.name,
            "learning rate": None if optimizer.learning_rate is None else f"{optimizer.learning_rate:g}, {schedule}",
            "weight decay": optimizer.weight_decay,
            "epochs": training.epochs,
            "images a step": training.batch_size,
            "loss": (training.loss or "").replace("_", " "),
            "label smoothing": training.label_smoothing,
            "augmentation": (training.augment or "none").replace(",", ", "),
            "views": training.views,
            "backend": self.config.backend,
            "seed": str(self.config.seed),
        }
        return [(name, str(value)) for name, value in shown.items() if value]

    @property
    def command(self) -> str:
        """What repeats the run."""
        return f"pellucid train {shlex.quote(str(self.folder.config))}"

    @property
    def resume(self) -> str:
        """What goes on with it."""
        return f"pellucid resume {shlex.quote(str(self.folder.path))}"

    @property
    def ask(self) -> str:
        """How to use its model."""
        run = shlex.quote(str(self.folder.path))
        return f"pellucid predict {run} picture.png\npellucid evaluate {run}\npellucid explain {run} picture.png"

    @property
    def best(self) -> Row:
        """The epoch whose model was kept, as far as anybody knows; empty without one."""
        epochs = {row.get("epoch"): row for row in self.rows}
        return epochs.get(self.test.get("best_epoch"), {})


def read_record(path: str | os.PathLike[str]) -> Record:
    """Read the folder of a run, finished or not.

    Raises ``PellucidError`` if it is none or its ``config.toml`` cannot be read; everything else may be missing.
    """
    folder = RunFolder.open(path)
    config, toml = read(folder.config), folder.read_config()
    written = read_written(folder)
    rows, missing = written.rows, list(written.damaged)
    record = Record(
        folder, config, toml, rows, written.test, written.data, written.failures, written.concluded, missing
    )
    planned = config.training.epochs or len(rows)
    if not rows:
        missing.append(f"No epoch is finished yet, so there are no curves. Go on with: {record.resume}")
    elif not record.concluded:
        missing.append(
            f"The training was interrupted: {len(rows)} of {planned} epochs are finished. Go on with: {record.resume}"
        )
    elif len(rows) < planned:
        missing.append(
            f"The training ended after {len(rows)} of {planned} epochs, as a limit or early stopping has it."
        )
    return record


def numbers(rows: list[Row], name: str) -> list[tuple[float, float]]:
    """The points (epoch, value) of a score, where it was recorded as a number.

    >>> numbers([{"epoch": 1, "loss": 2.0}, {"epoch": 2}, {"epoch": 3, "loss": "?"}], "loss")
    [(1.0, 2.0)]
    """
    points = [(row.get("epoch"), row.get(name)) for row in rows]
    return [(float(x), float(y)) for x, y in points if isinstance(x, int | float) and isinstance(y, int | float)]
