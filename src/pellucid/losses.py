"""Losses as objects: which op computes them, and whether they take in the model's last activation.

Softmax followed by cross-entropy, and sigmoid followed by binary cross-entropy, are computed together from the logits: no
probability is rounded to 0 before its logarithm is taken. A model finds out by itself, see ``Loss.takes``.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from . import backend
from .errors import PellucidError, nearest

REDUCTIONS = ("mean", "weighted_mean", "sum")


@dataclass(frozen=True)
class Loss:
    """The base of all losses.

    ``from_logits``: None (the default) decides by the model's last layer: logits where it is linear or ends in the activation
    the loss can take in, else probabilities. True insists on a linear last layer, False on probabilities.

    ``label_smoothing`` and ``reduction`` are explained in ``pellucid.ops.loss``.
    """

    from_logits: bool | None = None
    label_smoothing: float = 0.0
    reduction: str = "mean"

    name: ClassVar[str]
    op: ClassVar[str]
    logits_op: ClassVar[str | None] = None
    activation: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        if self.reduction not in REDUCTIONS:
            raise PellucidError(f"reduction was {self.reduction!r}; wanted one of {', '.join(REDUCTIONS)}.")
        if not 0 <= self.label_smoothing < 1:
            raise PellucidError(
                f"label_smoothing was {self.label_smoothing!r}; wanted a number from 0 up to, but not, 1."
            )

    def takes(self, final_activation: str | None) -> tuple[str, bool]:
        """For a model ending in this activation: the op that computes the loss, and whether the activation is left to it."""
        if self.logits_op is None:
            return self.op, False
        if final_activation == self.activation:
            if self.from_logits:
                raise PellucidError(
                    f"{type(self).__name__}(from_logits=True) on a model that ends in {self.activation}: {self.activation} would "
                    f"be applied twice. Leave from_logits out, or make the last layer linear."
                )
            return self.logits_op, True
        # The logarithms of probabilities are logits too: softmax of them gives the probabilities back.
        logits = final_activation is None or (final_activation == "log_softmax" and self.activation == "softmax")
        return self.logits_op if self.from_logits or (logits and self.from_logits is None) else self.op, False

    def forward(
        self, op: str, outputs: NDArray, targets: NDArray, weights: NDArray | None = None
    ) -> tuple[NDArray, backend.Saved]:
        """The loss of a batch, computed by the op that ``takes`` named."""
        settings = {"label_smoothing": self.label_smoothing, "reduction": self.reduction}
        return backend.forward(op, outputs, targets, weights, **settings)

    def divisor(self, n: int, weights: NDArray | None = None) -> float:
        """What the sum of the losses of ``n`` samples is divided by."""
        total = n if weights is None else float(weights.sum()) or 1  # if nobody counts, the loss is 0
        return {"mean": n, "weighted_mean": total, "sum": 1}[self.reduction]

    def config(self) -> dict[str, Any]:
        """Name and settings as plain Python types; ``get`` makes the same loss of them."""
        return {"name": self.name, **asdict(self)}


class CategoricalCrossentropy(Loss):
    """-log of the probability of the right class. Labels may be one-hot rows (N, K) or integers (N,)."""

    name = "categorical_crossentropy"
    op, logits_op, activation = "categorical_cross_entropy", "softmax_cross_entropy", "softmax"


class SparseCategoricalCrossentropy(CategoricalCrossentropy):
    """The same under Keras's name for integer labels."""

    name = "sparse_categorical_crossentropy"


class BinaryCrossentropy(Loss):
    """Every output is a yes-or-no question of its own; integer labels (N,) for several outputs count as one-hot."""

    name = "binary_crossentropy"
    op, logits_op, activation = "binary_cross_entropy", "sigmoid_cross_entropy", "sigmoid"


class MeanSquaredError(Loss):
    """The mean squared difference; integer labels (N,) for several outputs count as one-hot."""

    name = "mean_squared_error"
    op = "mean_squared_error"


_CLASSES: dict[str, type[Loss]] = {
    cls.name: cls
    for cls in (CategoricalCrossentropy, SparseCategoricalCrossentropy, BinaryCrossentropy, MeanSquaredError)
}
_SHORT = {
    "cce": "categorical_crossentropy",
    "scce": "sparse_categorical_crossentropy",
    "bce": "binary_crossentropy",
    "mse": "mean_squared_error",
}


def names() -> list[str]:
    """All names ``get`` knows."""
    return [*_CLASSES, *_SHORT]


def get(loss: str | Loss | dict[str, Any], **settings: Any) -> Loss:
    """A loss by name, by config, or itself.

    >>> get("cce", label_smoothing=0.1)
    CategoricalCrossentropy(from_logits=None, label_smoothing=0.1, reduction='mean')
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, dict):
        return get(loss.get("name", ""), **{key: value for key, value in loss.items() if key != "name"})
    if not isinstance(loss, str) or loss not in names():
        raise PellucidError(f"There is no loss {loss!r}. {nearest(str(loss), names())}")
    try:
        return _CLASSES[_SHORT.get(loss, loss)](**settings)
    except TypeError as error:
        raise PellucidError(f"The settings of loss {loss!r} do not fit: {error}.") from error


def class_weights(labels: NDArray, weight_of: dict[int, float]) -> NDArray[np.float32]:
    """Per sample the weight of its class, 1 for classes that are not named.

    >>> class_weights(np.array([0, 1, 1]), {1: 0.5})
    array([1. , 0.5, 0.5], dtype=float32)
    """
    if any(not isinstance(k, Integral) or k < 0 or not 0 <= weight < math.inf for k, weight in weight_of.items()):
        raise PellucidError(
            f"class_weight was {weight_of!r}; wanted a table of classes 0, 1, … and their weights, each at least 0."
        )
    labels = labels.argmax(axis=1) if labels.ndim == 2 and labels.shape[1] > 1 else labels.reshape(-1)
    weights = np.ones(len(labels), np.float32)
    for k, weight in weight_of.items():
        weights[labels == k] = weight
    return weights
