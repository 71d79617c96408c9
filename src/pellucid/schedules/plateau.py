"""The schedule that watches how the training goes."""

from __future__ import annotations

import math
from typing import Any

from ..errors import PellucidError
from .base import Horizon, Schedule, in_range

_BEGIN: dict[str, Any] = {"best": None, "waited": 0, "cooling": 0, "drops": 0}


class Plateau(Schedule):
    """The rate is multiplied by ``drop`` when a score has not improved for ``patience`` epochs. Keras's ReduceLROnPlateau.

    ``monitor`` is a column of the history, such as "val_accuracy"; None is "val_loss", or "train_loss" without a validation
    part. An improvement is larger than ``min_delta``; in PyTorch's dialect than that part of the best score, and there
    ``patience`` epochs without one are still borne. After a drop nothing is counted for ``cooldown`` epochs. The rate does
    not fall below ``final`` of what it was. ``memory`` is where it stands; checkpoints keep it.

    >>> schedule = Plateau(0.1, drop=0.5, patience=2)
    >>> for loss in (1.0, 0.5, 0.6, 0.5):
    ...     schedule.observe({"train_loss": loss})
    >>> schedule(0)
    0.05
    """

    def __init__(
        self,
        learning_rate: float,
        drop: float = 0.1,
        patience: int = 10,
        monitor: str | None = None,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        final: float = 0.0,
        dialect: str = "keras",
        memory: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(learning_rate)
        self.drop, self.final = in_range(drop, "drop", 0, 1), in_range(final, "final", 0, 1)
        if patience < 0 or cooldown < 0 or min_delta < 0:
            raise PellucidError(
                f"Plateau got patience={patience}, cooldown={cooldown}, min_delta={min_delta}; wanted none below 0."
            )
        self.patience, self.cooldown, self.monitor, self.min_delta = patience, cooldown, monitor, min_delta
        if dialect not in ("keras", "torch"):
            raise PellucidError(f"dialect was {dialect!r}; wanted 'keras' or 'torch'.")
        self.dialect = dialect
        if memory is not None and memory.keys() != _BEGIN.keys():
            raise PellucidError(f"The memory of Plateau was {memory!r}; wanted None, or what a checkpoint kept.")
        self._memory = _BEGIN | (memory or {})

    @property
    def memory(self) -> dict[str, Any] | None:
        """Best score, epochs waited since, epochs still to cool down, drops so far; None before the first epoch."""
        return None if self._memory == _BEGIN else dict(self._memory)

    def factor(self, step: int, horizon: Horizon | None) -> float:
        return max(self.drop ** self._memory["drops"], self.final)

    def observe(self, row: dict[str, Any]) -> None:
        monitor = self.monitor or ("val_loss" if "val_loss" in row else "train_loss")
        if monitor not in row:
            raise PellucidError(f"Plateau watches {monitor!r}, which is not among the scores: {', '.join(row)}.")
        memory, score = self._memory, float(row[monitor])
        better = self._improves(score, memory["best"], -1 if "accuracy" in monitor else 1)
        cooling = memory["cooling"] > 0
        if cooling:
            memory["cooling"] -= 1
        if better:
            memory["best"] = score
        # Keras counts the epoch in which the cooling ends, PyTorch does not.
        counted = not (better or (cooling and (self.dialect == "torch" or memory["cooling"] > 0)))
        memory["waited"] = (0 if cooling else memory["waited"]) + 1 if counted else 0
        if memory["waited"] >= self.patience + (self.dialect == "torch") and counted:
            memory["drops"] += 1
            memory["waited"], memory["cooling"] = 0, self.cooldown

    def _improves(self, score: float, best: float | None, sign: int) -> bool:
        if math.isnan(score):
            return False
        if best is None:
            return True
        margin = self.min_delta * abs(best) if self.dialect == "torch" else self.min_delta
        return sign * (best - score) > margin
