"""Where a training stands, and what it has reported so far."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..errors import FileFormatError, PellucidError

Row = dict[str, Any]


@dataclass
class Progress:
    """Where a training stands: together with the weights and the optimizer's slots, all that is needed to go on.

    The order of the images and all randomness are functions of (seed, epoch, image), so a position is enough.
    """

    epoch: int = 0
    """Finished epochs, which is also the number of the current one, counted from 0."""
    batch: int = 0
    """Finished batches of the current epoch."""
    step: int = 0
    """Finished batches of the whole training."""
    images: int = 0
    """Images seen in the current epoch."""
    sums: dict[str, float] = field(default_factory=dict)
    """Per score its sum over the images of the current epoch."""
    epoch_seconds: float = 0.0
    """Seconds spent on the batches of the current epoch."""
    seconds: float = 0.0
    """Seconds of training since the very beginning, over all interruptions, without the pauses between them."""
    history: list[Row] = field(default_factory=list)
    """One row per finished epoch."""
    plan: dict[str, Any] = field(default_factory=dict)
    """What decides which image is in which batch. A training that goes on must have the same."""
    stop_reason: str | None = None
    """Why the training ended before its last epoch, None if it did not."""
    finished: bool = False
    """Whether that reason also holds for a resumed run (early stopping does, Ctrl-C does not)."""

    rollbacks: list[dict[str, float]] = field(default_factory=list)
    """The times a step was not finite and the training went back: from which ``step``, ``to`` which, with which
    ``learning_rate``."""

    def begin(self, plan: dict[str, Any]) -> None:
        """Start or go on with a training. Raises ``PellucidError`` if ``plan`` is not the one it was begun with."""
        changed = [
            f"{name} was {self.plan[name]} and is {plan.get(name)}"
            for name in self.plan
            if self.plan[name] != plan.get(name)
        ]
        if changed:
            raise PellucidError(
                f"This is not the training that was interrupted: {'; '.join(changed)}. "
                "Resume it with the settings and data it was begun with, or begin a new one."
            )
        self.plan = plan
        if not self.finished:
            self.stop_reason = None

    def accept(self, images: int) -> None:
        """Go on with data of so many images. If that is another number, an epoch that is under way begins anew."""
        if self.plan.get("images", images) != images:
            self.plan = self.plan | {"images": images}
            self.batch, self.images, self.epoch_seconds, self.sums = 0, 0, 0.0, {}

    def add(self, scores: dict[str, float], images: int, seconds: float) -> None:
        """Count one finished batch: its mean ``scores``, its number of ``images`` and the ``seconds`` it took."""
        self.batch += 1
        self.step += 1
        self.images += images
        self.epoch_seconds += seconds
        self.seconds += seconds
        for name, score in scores.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(score) * images

    def means(self) -> dict[str, float]:
        """The scores so far in this epoch, averaged over its images.

        >>> progress = Progress()
        >>> progress.add({"loss": 1.0}, images=3, seconds=0.1)
        >>> progress.add({"loss": 2.0}, images=1, seconds=0.1)
        >>> progress.means()
        {'loss': 1.25}
        """
        return {name: total / self.images for name, total in self.sums.items()}

    def images_per_second(self) -> float:
        """The speed of the current epoch, validation not counted."""
        return self.images / self.epoch_seconds if self.epoch_seconds > 0 else 0.0

    def finish_epoch(self, validation: dict[str, float], learning_rate: float) -> Row:
        """Add the row of the epoch to the history, move on to the next epoch and return the row.

        ``learning_rate`` is that of its last step.
        """
        row: Row = {"epoch": self.epoch + 1, "step": self.step}
        row |= {f"train_{name}": mean for name, mean in self.means().items()}
        row |= {f"val_{name}": float(score) for name, score in validation.items()}
        row |= {"learning_rate": float(learning_rate)}
        row |= {"images_per_second": round(self.images_per_second(), 1), "seconds": round(self.seconds, 3)}
        self.history.append(row)
        self.epoch, self.batch, self.images, self.epoch_seconds, self.sums = self.epoch + 1, 0, 0, 0.0, {}
        return row

    def become(self, other: Progress) -> None:
        """Take over everything from another."""
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain Python types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Progress:
        """The inverse of ``to_dict``. Raises ``FileFormatError`` for anything else.

        >>> Progress.from_dict({"epoch": -1})
        Traceback (most recent call last):
        pellucid.errors.FileFormatError: The position in the training is damaged: epoch is -1.
        """
        types = {f.name: type(getattr(cls(), f.name)) for f in fields(cls)}
        if not isinstance(values, dict) or not values.keys() <= types.keys():
            raise FileFormatError("The position in the training is damaged.")
        for name, value in values.items():
            right = isinstance(value, types[name]) or (name == "stop_reason" and isinstance(value, str))
            if types[name] in (int, float):
                right = isinstance(value, types[name] | int) and not isinstance(value, bool) and 0 <= value < math.inf
            if not right:
                raise FileFormatError(f"The position in the training is damaged: {name} is {value!r:.100}.")
        progress = cls(**values)
        rows = all(is_row(row) for row in progress.history)
        sums = all(isinstance(total, int | float) for total in progress.sums.values())
        back = all(
            isinstance(each, dict) and each.keys() == {"step", "to", "learning_rate"} for each in progress.rollbacks
        )
        if not rows or not sums or not back or len(progress.history) > progress.epoch:
            raise FileFormatError("The position in the training is damaged: its history does not fit.")
        return progress


def is_row(row: Any) -> bool:
    """Whether something that was read can be the row of an epoch: numbers under names, those of time and place finite."""
    required = {"epoch", "step", "images_per_second", "seconds"}
    if not isinstance(row, dict) or not row.keys() >= required or not all(map(is_number, row.values())):
        return False
    return all(0 <= row[name] < math.inf for name in required)


def is_number(value: Any) -> bool:
    """Whether a value is a number that arithmetic can be done with: an integer of JSON may have any number of digits."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


class History:
    """What a training reported: ``rows``, one per epoch, and ``stop_reason``.

    A row has the keys ``epoch`` (counted from 1), ``step`` (batches so far), ``train_loss``, ``train_accuracy``, ``val_loss``,
    ``val_accuracy`` (where there is a validation part; other metrics likewise), ``learning_rate`` (of the last step),
    ``images_per_second`` and ``seconds`` (of training so far).
    """

    def __init__(self, rows: list[Row], stop_reason: str | None = None) -> None:
        self.rows = rows
        self.stop_reason = stop_reason

    @property
    def epoch(self) -> list[int]:
        """The numbers of the epochs, from 0 as in Keras."""
        return [row["epoch"] - 1 for row in self.rows]

    @property
    def history(self) -> dict[str, list[float]]:
        """The scores as Keras has them: a list per name, without the prefix ``train_``.

        >>> History([{"epoch": 1, "step": 8, "train_loss": 2.0, "val_loss": 2.5, "seconds": 1.0}]).history
        {'loss': [2.0], 'val_loss': [2.5]}
        """
        names = dict.fromkeys(name for row in self.rows for name in row if name.startswith(("train_", "val_")))
        return {name.removeprefix("train_"): [row.get(name, math.nan) for row in self.rows] for name in names}

    def __repr__(self) -> str:
        last = self.rows[-1] if self.rows else {}
        scores = ", ".join(f"{name}={value:.4g}" for name, value in last.items() if name.startswith(("train_", "val_")))
        return f"History(epochs={len(self.rows)}{', ' if scores else ''}{scores})"
