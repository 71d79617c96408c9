"""What the filters of a convolution look for: their kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError
from ..layers import Conv2D, DepthwiseConv2D, Layer, WhiteningConv2D
from ..model import Sequential
from .network import Place, find_layer, layers_of

CONVOLUTIONS = (Conv2D, DepthwiseConv2D, WhiteningConv2D)


def is_convolution(place: Place) -> bool:
    """Whether the layer slides kernels over images."""
    return isinstance(place.layer, CONVOLUTIONS)


def convolutions(model: Sequential) -> list[str]:
    """The paths of all convolutions, in order.

    >>> from pellucid import zoo
    >>> convolutions(zoo.build("cnn2"))
    ['conv1', 'conv2']
    """
    return [place.path for place in layers_of(model).values() if is_convolution(place)]


def filters(model: Sequential, layer: str | None = None) -> NDArray:
    """The kernels of a convolution, a copy, one filter after another: (filters, KH, KW, channels it reads).

    Without ``layer`` those of the first convolution, which read the colours of the image.

    >>> from pellucid import zoo
    >>> filters(zoo.build("cnn2")).shape, filters(zoo.build("cnn2"), "conv2").shape
    ((32, 3, 3, 3), (64, 3, 3, 32))
    """
    if layer is None:
        layer = next(iter(convolutions(model)), None)
        if layer is None:
            raise PellucidError("The network has no convolution, so it has no filters.")
    kernel = kernel_of(find_layer(model, layer, is_convolution, "filters").layer)
    return np.moveaxis(kernel, 3, 0).copy()


def kernel_of(layer: Layer) -> NDArray:
    """The kernel of a convolution as ``conv2d`` takes it, (KH, KW, CI / groups, CO)."""
    kernel = (layer.params | layer.state)["kernel"]  # a whitening convolution's is not trained
    return kernel.reshape(*kernel.shape[:2], 1, -1) if isinstance(layer, DepthwiseConv2D) else kernel
