"""The plan of a network: neighbouring layers grouped into fused ops where compiled ones take them.

A planned network is the same network: it shares the layers' weights, names its gradients alike and gives the same numbers.
Only what lies between the members of a group, such as an activation before pooling, is never written to memory, so its
tape has no entry for it. Training and prediction run planned; explanations, which look between layers, do not.

Prediction goes further: with its moving statistics, batch normalisation is one more multiplication and addition per channel,
which the kernel and bias of the convolution before it take in.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import backend
from .layers.activation import Activation, ReLU
from .layers.base import Gradients, Layer, Shape
from .layers.conv import Conv2D
from .layers.merge import Chain, Concatenate, Residual
from .layers.norm import BatchNormalization
from .layers.pool import AveragePooling2D, MaxPooling2D
from .randomness import Randomness

Accepts = Callable[..., bool]
MANY = 256  # images


class _Block(Layer):
    """A layer with weights and what follows it, run as one fused op under the layer's name."""

    op: str

    def __init__(self, first: Layer, tail: dict[str, Any]) -> None:
        super().__init__(name=first.name)
        self.first, self.tail = first, tail
        self.input_shape = first.input_shape

    def _collect(self, kind: str) -> Gradients:
        return self.first._collect(kind)

    def __repr__(self) -> str:
        return f"{self.first!r} + {' + '.join(str(self.tail[part]) for part in ('activation', 'pool') if part in self.tail)}"

    def arguments(self, x: NDArray, training: bool) -> tuple[list[Any], dict[str, Any]]:
        """The arrays and settings of the fused op."""
        raise NotImplementedError

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        arrays, settings = self.arguments(x, training)
        return backend.forward(self.op, *arrays, **settings)


class _ConvBlock(_Block):
    op = "conv2d_block"
    first: Conv2D

    def arguments(self, x: NDArray, training: bool) -> tuple[list[Any], dict[str, Any]]:
        params = self.first.params
        return [x, params["kernel"], params.get("bias")], self.first._settings() | self.tail

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray | None, Gradients]:
        dx, dkernel, dbias = backend.backward(dy, cache, input_gradient=input_gradient)
        return dx, {"kernel": dkernel} | ({"bias": dbias} if self.first.use_bias else {})


class _NormBlock(_Block):
    op = "batch_norm_block"
    first: BatchNormalization

    def arguments(self, x: NDArray, training: bool) -> tuple[list[Any], dict[str, Any]]:
        first, params, state = self.first, self.first.params, self.first.state
        arrays = [x, params.get("gamma"), params.get("beta"), state["moving_mean"], state["moving_variance"]]
        settings = {"momentum": first.momentum, "epsilon": first.epsilon, "unbiased": first.unbiased}
        return arrays, settings | self.tail | {"training": training and first.trainable}

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray | None, Gradients]:
        dx, dgamma, dbeta = backend.backward(dy, cache)
        return dx, ({"gamma": dgamma} if self.first.scale else {}) | ({"beta": dbeta} if self.first.center else {})


class _FoldedConv(Conv2D):
    """A convolution and the batch normalisation behind it, at inference: one convolution with other weights.

        (x * kernel + bias - mean) · s + beta  =  x * (kernel · s) + (bias - mean) · s + beta,   s = gamma / √(variance + epsilon)

    The weights are computed each time, from what the two layers hold then.
    """

    def __init__(self, convolution: Conv2D, norm: BatchNormalization) -> None:
        self.__dict__ |= convolution.__dict__  # its settings
        self.convolution, self.norm, self.use_bias = convolution, norm, True

    @property
    def params(self) -> Gradients:
        params, norm, state = self.convolution.params, self.norm.params, self.norm.state
        s = np.asarray(
            norm.get("gamma", 1.0) / np.sqrt(state["moving_variance"].astype(np.float64) + self.norm.epsilon)
        )
        shift = (params.get("bias", 0.0) - state["moving_mean"]) * s + norm.get("beta", 0.0)
        kernel = params["kernel"]
        return {"kernel": kernel * s.astype(kernel.dtype), "bias": shift.astype(kernel.dtype)}


def planned(
    network: Layer, accepts: Accepts = backend.is_native, *, training: bool = True, images: int = MANY
) -> Layer:
    """The network with neighbouring layers grouped, sharing all weights; ``network`` itself where nothing can be grouped.

    ``accepts(op, *arrays, **settings)`` says whether a fused op is worth having; it is asked with arrays of the right shapes.
    Without ``training`` the plan is for prediction only, of about so many ``images`` at once.

    >>> from pellucid.layers import Chain, Conv2D, MaxPooling2D
    >>> chain = Chain([Conv2D(8, 3, activation="relu"), MaxPooling2D(2)])
    >>> chain.build((8, 8, 1))
    >>> [type(layer).__name__ for layer in planned(chain, accepts=lambda *arrays, **settings: True).layers]
    ['_ConvBlock']
    """
    twin = copy.copy(network)
    if isinstance(network, Chain):
        layers = [planned(layer, accepts, training=training, images=images) for layer in network.layers]
        twin.layers = _grouped(layers if training else _folded(layers, accepts, images), accepts)  # type: ignore[attr-defined]
    elif isinstance(network, Residual):
        plan = functools.partial(planned, accepts=accepts, training=training, images=images)
        twin.body = plan(network.body)  # type: ignore[attr-defined]
        twin.shortcut = network.shortcut and plan(network.shortcut)  # type: ignore[attr-defined]
    elif isinstance(network, Concatenate):
        twin.branches = [planned(branch, accepts, training=training, images=images) for branch in network.branches]  # type: ignore[attr-defined]
    else:
        return network
    return twin


def _folded(layers: list[Layer], accepts: Accepts, images: int) -> list[Layer]:
    """Without the batch normalisations that the convolutions before them can take in, where images outweigh the kernel.

    Between the two there may be pooling: a mean commutes with s · z + t, and so does a maximum as long as s is positive.
    """
    layers = list(layers)
    for position in range(len(layers) - 1, -1, -1):
        first, *behind = layers[position : position + 3]
        if type(first) is not Conv2D or first.final_activation is not None or first.input_shape is None or not behind:
            continue
        pooled = isinstance(behind[0], AveragePooling2D | MaxPooling2D) and not getattr(
            behind[0], "count_padding", False
        )
        norm = behind[1] if pooled and len(behind) > 1 else behind[0]
        if not isinstance(norm, BatchNormalization) or (isinstance(behind[0], MaxPooling2D) and norm.scale):
            continue
        block = _ConvBlock(first, {})
        arrays, settings = block.arguments(_like(first.input_shape), training=False)
        outputs = images * prod(first.output_shape(first.input_shape))
        if outputs >= first.params["kernel"].size and accepts("conv2d", *arrays, **settings):
            layers[position] = _FoldedConv(first, norm)
            layers.remove(norm)
    return layers


def _grouped(layers: list[Layer], accepts: Accepts) -> list[Layer]:
    grouped: list[Layer] = []
    position = 0
    while position < len(layers):
        block, length = _block_at(layers, position, accepts)
        grouped.append(block)
        position += length
    return grouped


def _block_at(layers: list[Layer], position: int, accepts: Accepts) -> tuple[Layer, int]:
    """The longest group that begins here and is accepted, and how many layers it takes in."""
    first = layers[position]
    if isinstance(first, Residual):
        return _residual_at(first, layers, position, accepts)
    kind = {Conv2D: _ConvBlock, _FoldedConv: _ConvBlock, BatchNormalization: _NormBlock}.get(type(first))  # type: ignore[call-overload]
    if kind is None or first.input_shape is None:
        return first, 1
    for tail, length in reversed(_tails(layers, position)):
        block = kind(first, tail)
        arrays, settings = block.arguments(_like(first.input_shape), training=True)
        if accepts(block.op, *arrays, **settings):
            return block, length
    return first, 1


def _residual_at(residual: Residual, layers: list[Layer], position: int, accepts: Accepts) -> tuple[Layer, int]:
    """A residual connection, its sum taken together with the activation behind it."""
    behind = layers[position + 1] if position + 1 < len(layers) else None
    if not isinstance(behind, Activation | ReLU) or behind.input_shape is None:
        return residual, 1
    like = _like(behind.input_shape)
    if not accepts("add", like, like, activation=behind.final_activation):
        return residual, 1
    twin = copy.copy(residual)
    twin.sum_activation = behind.final_activation
    return twin, 2


def _tails(layers: list[Layer], position: int) -> list[tuple[dict[str, Any], int]]:
    """What can be taken in behind a layer, from little to much: the settings of the fused op, and how many layers."""
    activation, end = layers[position].final_activation, position + 1
    tails: list[tuple[dict[str, Any], int]] = [({"activation": activation}, 1)] if activation else []
    if activation is None and end < len(layers) and isinstance(layers[end], Activation | ReLU):
        activation, end = layers[end].final_activation, end + 1
        tails.append(({"activation": activation}, end - position))
    if end < len(layers) and isinstance(layers[end], MaxPooling2D | AveragePooling2D):
        pool: Any = layers[end]
        if not getattr(pool, "count_padding", False):
            sizes = {"pool_size": pool.pool_size, "pool_strides": pool.strides, "pool_padding": pool.padding}
            tails.append(({"activation": activation, "pool": pool.op, **sizes}, end + 1 - position))
    return tails


def _like(shape: Shape) -> NDArray[np.float32]:
    """An array of one sample that takes no memory, to ask about."""
    return np.broadcast_to(np.float32(0), (1, *shape))
