"""How the gradient of the loss fares on its way back through the layers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import backend
from ..layers import Chain
from ..model import Sequential
from ..randomness import Randomness
from .network import layers_of


class Flow(NamedTuple):
    """One layer with weights, for one batch in training mode.

    ``output_gradient`` and ``output`` are root mean squares over the layer's outputs; ``gradient`` and ``weight`` are Euclidean
    norms over its kernel (of normalisation layers, gamma). A healthy step of plain gradient descent, the learning rate times
    ``ratio``, changes weights by about a thousandth.
    """

    path: str
    output: float
    output_gradient: float
    weight: float
    gradient: float

    @property
    def ratio(self) -> float:
        """Gradient over weight; infinity for weights of zero."""
        return self.gradient / self.weight if self.weight else float("inf")


def gradient_flow(model: Sequential, x: NDArray, y: NDArray) -> list[Flow]:
    """The sizes of activations, gradients and weights, layer by layer from the input on, for the loss of the batch (x, y).

    It is computed as in training (batch statistics, dropout) on a copy of the layers, so that no moving statistics change. The
    model must know its loss.

    >>> from pellucid import zoo
    >>> model = zoo.build("cnn2")
    >>> model.compile(loss="sparse_categorical_crossentropy")
    >>> [row.path for row in gradient_flow(model, np.zeros((2, 32, 32, 3), np.float32), np.array([0, 1]))]
    ['conv1', 'conv2', 'dense1', 'dense2']
    """
    x = model.check_input(x)
    y, _ = model.check_targets(x, y)
    batch = model.to_input(x)
    loss, op, network = model.twin(batch.dtype)._learner()
    outputs, tape = Chain.forward(
        network, batch, training=True, rng=Randomness.for_batch(model.seed, 0, np.arange(len(x)))
    )
    _, saved = loss.forward(op, outputs, y)
    dy = backend.backward(1.0, saved)
    _, gradients = Chain.backward(network, dy, tape)
    rows = []
    for place in layers_of(model).values():
        weights = {} if place.layer.children() else place.layer.params
        name = next((name for name in ("kernel", "gamma", "beta", "bias") if name in weights), None)
        if name is None:
            continue
        by_output, _ = Chain.backward(network, dy, tape, until=place.path)
        rows.append(
            Flow(
                place.path,
                _rms(tape[place.path].output),
                _rms(by_output),  # type: ignore[arg-type]
                float(np.linalg.norm(weights[name])),
                float(np.linalg.norm(gradients[f"{place.path}/{name}"])),
            )
        )
    return rows


def _rms(array: NDArray) -> float:
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))
