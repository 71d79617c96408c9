"""The whitening convolution: a first layer whose kernel is computed from the images, not learned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError, ShapeError
from ..ops import shape
from ..ops.shape import Pair
from ..randomness import Randomness
from .base import Field, Gradients, Layer, Shape, Weight, slide, wants_image

_PATCHES = 1 << 18  # patches looked at together


class WhiteningConv2D(Layer):
    """A valid convolution that makes neighbouring pixels independent of each other: y = x ∗ kernel + bias.

    The patches of KH·KW·CI pixels of natural images vary a thousand times more along some directions than along others.
    Filter k is the k-th eigenvector of their covariance, divided by √(eigenvalue + epsilon); K = KH·KW·CI such filters, the most
    common pattern first, are followed by their negatives. So every output has a variance of about one and no two filters of
    the first half agree. ``adapt`` computes the kernel from images (a model does it by itself when its training begins); until
    then it whitens white noise. The kernel is never trained: it belongs to ``state``, (KH, KW, CI, 2K), as does
    ``adapted_to``, (1,), the number of images it was computed from. The parameter is ``bias`` (2K,).

    Source: Jordan, "94 % on CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498; Page, "How to train your ResNet", 2018.

    >>> layer = WhiteningConv2D(2)
    >>> layer.build((32, 32, 3))
    >>> layer.output_shape((32, 32, 3)), sorted(layer.params), sorted(layer.state)
    ((31, 31, 24), ['bias'], ['adapted_to', 'kernel'])
    >>> layer.adapt(np.random.default_rng(0).normal(size=(50, 32, 32, 3)).astype(np.float32))
    >>> layer(np.zeros((1, 32, 32, 3), np.float32)).shape, layer.needs_data
    ((1, 31, 31, 24), False)
    """

    prefix = "whitening"

    def __init__(
        self, kernel_size: Pair = 2, epsilon: float = 5e-4, use_bias: bool = True, *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        if not epsilon >= 0:
            raise PellucidError(f"WhiteningConv2D got epsilon={epsilon}; wanted a number of at least 0.")
        self.kernel_size, self.epsilon, self.use_bias = kernel_size, epsilon, use_bias

    def _geometry(self, input_shape: Shape) -> shape.Geometry:
        h, w, ci = wants_image(self, input_shape)
        kh, kw = shape.pair(self.kernel_size, "kernel_size")
        return shape.conv_geometry((1, h, w, ci), (kh, kw, ci, 1), strides=1, padding="valid", dilation=1, groups=1)

    def weights(self, input_shape: Shape) -> dict[str, Weight]:
        kh, kw = self._geometry(input_shape).window
        ci = input_shape[2]
        k = kh * kw * ci
        weights = {
            "kernel": Weight((kh, kw, ci, 2 * k), "orthogonal_pairs", trained=False),
            "adapted_to": Weight((1,), "zeros", trained=False),
        }
        return weights | ({"bias": Weight((2 * k,), "zeros")} if self.use_bias else {})

    def output_shape(self, input_shape: Shape) -> Shape:
        geo = self._geometry(input_shape)
        return (*geo.output, 2 * geo.window[0] * geo.window[1] * input_shape[2])

    @property
    def needs_data(self) -> bool:
        return not self.state["adapted_to"][0]

    def adapt(self, x: NDArray) -> None:
        """Compute the kernel from images (N, H, W, CI) as this layer sees them."""
        state = self.state
        state["kernel"][...] = whitening_kernel(x, state["kernel"].shape[:2], self.epsilon)
        state["adapted_to"][0] = len(x)

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        return backend.forward("conv2d", x, self.state["kernel"], self.params.get("bias"))

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray | None, Gradients]:
        dx, _, dbias = backend.backward(dy, cache, input_gradient=input_gradient, kernel_gradient=False)
        return dx, {"bias": dbias} if self.use_bias else {}

    def multiply_adds(self, input_shape: Shape) -> int:
        kh, kw = self._geometry(input_shape).window
        oh, ow, co = self.output_shape(input_shape)
        return oh * ow * co * kh * kw * input_shape[2]

    def receptive_field(self, field: Field, input_shape: Shape) -> Field:
        return slide(field, self._geometry(input_shape))


def whitening_kernel(x: NDArray, kernel_size: tuple[int, int], epsilon: float = 5e-4) -> NDArray[np.float64]:
    """The kernel of ``WhiteningConv2D`` for images ``x`` (N, H, W, CI): (KH, KW, CI, 2·KH·KW·CI), in float64.

    The patches' mean is not subtracted: images are normalised before, and the layer has a bias. The largest number of a filter is
    positive, so that the same images always give the same kernel.

    >>> x = np.random.default_rng(0).normal(size=(100, 8, 8, 1))
    >>> x[:, :, 1::2] = x[:, :, ::2]                             # every other column is a copy of the one on its left
    >>> whitening_kernel(x, (1, 2))[0, :, 0].round(1).tolist()   # their sum varies a lot, their difference little
    [[0.6, 1.1, -0.6, -1.1], [0.6, -1.1, -0.6, 1.1]]
    """
    (kh, kw), (h, w, ci) = kernel_size, x.shape[1:]
    if len(x) == 0 or kh > h or kw > w:
        raise ShapeError(f"A whitening kernel of {kh}x{kw} got images of shape {x.shape}; wanted some that are larger.")
    k = kh * kw * ci
    covariance, count = np.zeros((k, k)), 0
    step = max(1, _PATCHES // (h * w))
    for start in range(0, len(x), step):
        windows = np.lib.stride_tricks.sliding_window_view(x[start : start + step], (kh, kw), axis=(1, 2))
        patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, k).astype(np.float64)  # (N·OH·OW, KH·KW·CI)
        covariance += patches.T @ patches
        count += len(patches)
    variances, filters = np.linalg.eigh(covariance / count)  # in the columns, the smallest variance first
    variances, filters = variances[::-1], filters[:, ::-1]
    largest = np.take_along_axis(filters, np.abs(filters).argmax(0, keepdims=True), 0)
    filters = filters * np.sign(largest) / np.sqrt(np.maximum(variances, 0) + epsilon)
    return np.concatenate([filters, -filters], axis=1).reshape(kh, kw, ci, 2 * k)
