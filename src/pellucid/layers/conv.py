"""Convolution layers."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError, ShapeError
from ..ops import shape
from ..ops.shape import Padding, Pair
from ..randomness import Randomness
from .activation import activate, activate_backward, known_activation
from .base import Field, Gradients, Layer, Shape, Weight, slide, wants_image


class Conv2D(Layer):
    """Convolution of images (H, W, CI) with ``filters`` kernels, plus bias, then an activation: Keras's names and order.

    ``padding`` is "valid", "same", a number, (vertical, horizontal) or ((top, bottom), (left, right)). Weights: ``kernel``
    (KH, KW, CI / groups, filters) and ``bias`` (filters,).

    >>> layer = Conv2D(16, 3, padding="same", activation="relu")
    >>> layer.output_shape((32, 32, 3)), layer.weights((32, 32, 3))["kernel"].shape
    ((32, 32, 16), (3, 3, 3, 16))
    """

    prefix = "conv"

    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        strides: Pair = 1,
        padding: Padding = "valid",
        dilation_rate: Pair = 1,
        groups: int = 1,
        activation: str | None = None,
        use_bias: bool = True,
        kernel_initializer: str | float = "glorot_uniform",
        bias_initializer: str | float = "zeros",
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if filters < 1 or groups < 1 or filters % groups:
            raise PellucidError(
                f"Conv2D got filters={filters} and groups={groups}; filters must be a multiple of groups."
            )
        self.filters, self.kernel_size, self.strides, self.padding = filters, kernel_size, strides, padding
        self.dilation_rate, self.groups, self.activation = dilation_rate, groups, known_activation(activation)
        self.use_bias, self.kernel_initializer, self.bias_initializer = use_bias, kernel_initializer, bias_initializer

    def _settings(self) -> dict[str, Any]:
        return {"strides": self.strides, "padding": self.padding, "dilation": self.dilation_rate, "groups": self.groups}

    def _geometry(self, input_shape: Shape) -> shape.Geometry:
        h, w, ci = wants_image(self, input_shape)
        kh, kw = shape.pair(self.kernel_size, "kernel_size")
        if ci % self.groups:
            raise ShapeError(f"Conv2D got {ci} input channels and groups={self.groups}; groups must divide them.")
        return shape.conv_geometry((1, h, w, ci), (kh, kw, ci // self.groups, self.filters), **self._settings())

    def weights(self, input_shape: Shape) -> dict[str, Weight]:
        kh, kw = self._geometry(input_shape).window
        ci = input_shape[2] // self.groups
        fans = (kh * kw * ci, kh * kw * self.filters)
        weights = {"kernel": Weight((kh, kw, ci, self.filters), self.kernel_initializer, fans)}
        return weights | ({"bias": Weight((self.filters,), self.bias_initializer)} if self.use_bias else {})

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*self._geometry(input_shape).output, self.filters)

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        params = self.params
        y, convolved = backend.forward("conv2d", x, params["kernel"], params.get("bias"), **self._settings())
        y, activated = activate(self.activation, y)
        return y, (convolved, activated)

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray | None, Gradients]:
        convolved, activated = cache
        dy = activate_backward(dy, activated)
        dx, dkernel, dbias = backend.backward(dy, convolved, input_gradient=input_gradient)
        return dx, {"kernel": dkernel} | ({"bias": dbias} if self.use_bias else {})

    def multiply_adds(self, input_shape: Shape) -> int:
        geo = self._geometry(input_shape)
        taps = geo.window[0] * geo.window[1] * input_shape[2] // self.groups
        return geo.output[0] * geo.output[1] * self.filters * taps

    def receptive_field(self, field: Field, input_shape: Shape) -> Field:
        return slide(field, self._geometry(input_shape))


class DepthwiseConv2D(Layer):
    """Convolution of each channel with ``depth_multiplier`` kernels of its own; channels do not mix.

    Output channel ``c · depth_multiplier + m`` is input channel c under its m-th kernel. Weights: ``kernel`` (KH, KW, C,
    depth_multiplier) and ``bias`` (C · depth_multiplier,).

    >>> DepthwiseConv2D(3, depth_multiplier=2).output_shape((8, 8, 5))
    (6, 6, 10)
    """

    prefix = "depthwise_conv"

    def __init__(
        self,
        kernel_size: Pair,
        strides: Pair = 1,
        padding: Padding = "valid",
        depth_multiplier: int = 1,
        dilation_rate: Pair = 1,
        activation: str | None = None,
        use_bias: bool = True,
        depthwise_initializer: str | float = "glorot_uniform",
        bias_initializer: str | float = "zeros",
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if depth_multiplier < 1:
            raise PellucidError(f"DepthwiseConv2D got depth_multiplier={depth_multiplier}; wanted at least 1.")
        self.kernel_size, self.strides, self.padding, self.depth_multiplier = (
            kernel_size,
            strides,
            padding,
            depth_multiplier,
        )
        self.dilation_rate, self.activation, self.use_bias = dilation_rate, known_activation(activation), use_bias
        self.depthwise_initializer, self.bias_initializer = depthwise_initializer, bias_initializer

    def _geometry(self, input_shape: Shape) -> shape.Geometry:
        h, w, _ = wants_image(self, input_shape)
        settings = {"strides": self.strides, "padding": self.padding, "dilation": self.dilation_rate}
        return shape.geometry((h, w), self.kernel_size, **settings)  # type: ignore[arg-type]

    def weights(self, input_shape: Shape) -> dict[str, Weight]:
        kh, kw = self._geometry(input_shape).window
        c, m = input_shape[2], self.depth_multiplier
        weights = {"kernel": Weight((kh, kw, c, m), self.depthwise_initializer, (kh * kw, kh * kw * m))}
        return weights | ({"bias": Weight((c * m,), self.bias_initializer)} if self.use_bias else {})

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*self._geometry(input_shape).output, input_shape[2] * self.depth_multiplier)

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        kernel = self.params["kernel"]
        kh, kw, c, m = kernel.shape
        settings = {"strides": self.strides, "padding": self.padding, "dilation": self.dilation_rate, "groups": c}
        y, convolved = backend.forward(
            "conv2d", x, kernel.reshape(kh, kw, 1, c * m), self.params.get("bias"), **settings
        )
        y, activated = activate(self.activation, y)
        return y, (convolved, activated)

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray | None, Gradients]:
        convolved, activated = cache
        dy = activate_backward(dy, activated)
        dx, dkernel, dbias = backend.backward(dy, convolved, input_gradient=input_gradient)
        gradients = {"kernel": dkernel.reshape(self.params["kernel"].shape)}
        return dx, gradients | ({"bias": dbias} if self.use_bias else {})

    def multiply_adds(self, input_shape: Shape) -> int:
        geo = self._geometry(input_shape)
        return geo.output[0] * geo.output[1] * input_shape[2] * self.depth_multiplier * geo.window[0] * geo.window[1]

    def receptive_field(self, field: Field, input_shape: Shape) -> Field:
        return slide(field, self._geometry(input_shape))
