"""Normalisation layers."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError, ShapeError
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


class _ScaleAndShift(Layer):
    """What the normalisations of single images share: gamma (unless ``scale=False``) and beta (unless ``center=False``)."""

    op: str
    epsilon: float
    center: bool
    scale: bool

    def _settings(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon}

    def weights(self, input_shape: Shape) -> dict[str, Weight]:
        c = (input_shape[-1],)
        weights = {"gamma": Weight(c, "ones")} if self.scale else {}
        return weights | ({"beta": Weight(c, "zeros")} if self.center else {})

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        return backend.forward(self.op, x, self.params.get("gamma"), self.params.get("beta"), **self._settings())

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray, Gradients]:
        dx, dgamma, dbeta = backend.backward(dy, cache)
        return dx, ({"gamma": dgamma} if self.scale else {}) | ({"beta": dbeta} if self.center else {})


class LayerNormalization(_ScaleAndShift):
    """Normalisation over the last axis, pixel by pixel, with Keras's defaults. See ``pellucid.ops.layer_norm``.

    For PyTorch's: ``epsilon=1e-5``. To normalise an image as a whole use ``GroupNormalization(groups=1)``.

    >>> import numpy as np
    >>> layer = LayerNormalization(epsilon=0.0)
    >>> layer.build((2,))
    >>> layer(np.array([[1.0, 3.0], [10.0, 30.0]], np.float32))
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    prefix = "layer_norm"
    op = "layer_norm"

    def __init__(
        self, axis: int = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True, *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        if axis != -1:
            raise PellucidError(
                f"LayerNormalization got axis={axis}; channels are the last axis here: axis=-1. "
                "To normalise an image as a whole use GroupNormalization(groups=1)."
            )
        self.axis, self.epsilon, self.center, self.scale = axis, epsilon, center, scale


class GroupNormalization(_ScaleAndShift):
    """Normalisation of groups of channels, image by image, with Keras's defaults. See ``pellucid.ops.group_norm``.

    ``groups=1`` normalises every image as a whole, ``groups=-1`` every channel of it by itself. For PyTorch's: ``epsilon=1e-5``.

    >>> GroupNormalization(4).weights((8, 8, 32))["gamma"].shape
    (32,)
    """

    prefix = "group_norm"
    op = "group_norm"

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if axis not in (-1, 3):
            raise PellucidError(f"GroupNormalization got axis={axis}; channels are the last axis here: axis=-1.")
        if groups < 1 and groups != -1:
            raise PellucidError(f"GroupNormalization got groups={groups}; wanted at least 1, or -1 for one a channel.")
        self.groups, self.axis, self.epsilon, self.center, self.scale = groups, axis, epsilon, center, scale

    def output_shape(self, input_shape: Shape) -> Shape:
        if self.groups > 0 and input_shape[-1] % self.groups:
            raise ShapeError(
                f"GroupNormalization got {input_shape[-1]} channels and groups={self.groups}; groups must divide them."
            )
        return input_shape

    def _settings(self) -> dict[str, Any]:
        groups = (self.input_shape or (1,))[-1] if self.groups == -1 else self.groups
        return {"epsilon": self.epsilon, "groups": groups}
