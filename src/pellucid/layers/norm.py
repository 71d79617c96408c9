"""Normalisation layers."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError
from ..randomness import Randomness
from .base import Gradients, Layer, Shape, Weight


class BatchNormalization(Layer):
    """Batch normalisation over all axes but the last, with Keras's defaults. See ``pellucid.ops.batch_norm``.

    Parameters ``gamma`` (unless ``scale=False``) and ``beta`` (unless ``center=False``), state ``moving_mean`` and
    ``moving_variance``, all (C,). For PyTorch's behaviour: ``momentum=0.9, epsilon=1e-5, unbiased=True``. Frozen
    (``trainable = False``) it keeps its moving statistics and uses them in training too, as in Keras.

    >>> sorted(BatchNormalization().weights((8, 8, 4)))
    ['beta', 'gamma', 'moving_mean', 'moving_variance']
    """

    prefix = "batch_norm"

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        unbiased: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if axis not in (-1, 3):
            raise PellucidError(f"BatchNormalization got axis={axis}; channels are the last axis here: axis=-1.")
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale, self.unbiased = center, scale, unbiased

    def weights(self, input_shape: Shape) -> dict[str, Weight]:
        c = (input_shape[-1],)
        weights = {"gamma": Weight(c, "ones")} if self.scale else {}
        weights |= {"beta": Weight(c, "zeros")} if self.center else {}
        moving = {"moving_mean": Weight(c, "zeros", trained=False), "moving_variance": Weight(c, "ones", trained=False)}
        return weights | moving

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        params, state = self.params, self.state
        return backend.forward(
            "batch_norm",
            x,
            params.get("gamma"),
            params.get("beta"),
            state["moving_mean"],
            state["moving_variance"],
            training=training and self.trainable,
            momentum=self.momentum,
            epsilon=self.epsilon,
            unbiased=self.unbiased,
        )

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray, Gradients]:
        dx, dgamma, dbeta = backend.backward(dy, cache)
        return dx, ({"gamma": dgamma} if self.scale else {}) | ({"beta": dbeta} if self.center else {})
