"""How much each filter has to say, over many images; and which have nothing to say at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..layers import Chain, Flatten
from ..model import Sequential
from .dead import never_changes, rectified
from .network import Place, batches, layers_of


@dataclass(frozen=True, eq=False)
class FilterStatistics:
    """One layer's outputs over all places of many images; every array has one number for each filter (or unit).

    ``active`` is the share of outputs above zero. A ``dead`` filter puts out the same number everywhere: it says nothing. Behind
    ReLU (``rectified``) that is zero, and no gradient comes through; pooling and dropout pass on what died before them.
    """

    layer: str
    kind: str  # the class of the layer
    mean: NDArray
    std: NDArray
    smallest: NDArray
    largest: NDArray
    active: NDArray
    rectified: bool

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Which filters never change; see ``dead_units``."""
        return never_changes(self.smallest, self.largest)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        names = ("mean", "std", "smallest", "largest", "active", "dead")
        about = {"layer": self.layer, "kind": self.kind, "rectified": self.rectified}
        return about | {name: getattr(self, name).tolist() for name in names}


def filter_statistics(model: Sequential, x: NDArray, *, batch_size: int = 64) -> dict[str, FilterStatistics]:
    """The statistics of all layers but containers and Flatten, by path, in one pass over ``x``.

    >>> from pellucid import zoo
    >>> found = filter_statistics(zoo.build("cnn2"), np.zeros((4, 32, 32, 3), np.float32))
    >>> int(found["conv1"].dead.sum())                       # of 32: an image of zeros excites nobody
    32
    """
    known = {
        p.path: p for p in layers_of(model).values() if not p.layer.children() and not isinstance(p.layer, Flatten)
    }
    sums: dict[str, _Sums] = {}
    for _, batch in batches(model, x, batch_size):
        _, tape = Chain.forward(model, batch)
        for path, place in known.items():
            sums.setdefault(path, _Sums(place.output_shape[-1])).add(tape[path].output)
    return {path: total.statistics(known[path]) for path, total in sums.items()}


class _Sums:
    """Sums over images and places, so that no more than a batch is in memory."""

    def __init__(self, filters: int) -> None:
        self.count = 0
        self.total, self.squares, self.active = (np.zeros(filters) for _ in range(3))
        self.smallest, self.largest = np.full(filters, np.inf), np.full(filters, -np.inf)

    def add(self, output: NDArray) -> None:
        rows = output.reshape(-1, output.shape[-1]).astype(np.float64)
        self.count += len(rows)
        self.total += rows.sum(axis=0)
        self.squares += (rows**2).sum(axis=0)
        self.active += (rows > 0).sum(axis=0)
        self.smallest = np.minimum(self.smallest, rows.min(axis=0))
        self.largest = np.maximum(self.largest, rows.max(axis=0))

    def statistics(self, place: Place) -> FilterStatistics:
        mean = self.total / self.count
        std = np.sqrt(np.maximum(self.squares / self.count - mean**2, 0))
        kind, active = type(place.layer).__name__, self.active / self.count
        return FilterStatistics(
            place.path, kind, mean, std, self.smallest, self.largest, active, rectified(place.layer)
        )
