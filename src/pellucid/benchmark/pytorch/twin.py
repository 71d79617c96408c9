"""The same network in PyTorch: any built ``pellucid.Sequential`` as a ``torch.nn.Module`` with the same weights.

The last softmax or sigmoid is left to the loss, in both libraries. Images are (N, C, H, W) to PyTorch; where a dense layer
reads a flattened image, the rows of its kernel are put into PyTorch's order instead of reordering every batch.

PyTorch's batch normalisation keeps an unbiased moving variance, pellucid by default a biased one, as Keras does. Nothing that
is computed in a training step depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ... import layers
from ...errors import PellucidError
from ...model import Sequential
from ...ops import shape as shapes
from .modules import Description, build

Shape = tuple[int, ...]
_ELEMENTWISE = (layers.ReLU, layers.LeakyReLU, layers.GELU, layers.Dropout, layers.Rescaling)
_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.WhiteningConv2D)
_NORMS = (layers.BatchNormalization, layers.GroupNormalization, layers.LayerNormalization)
_OUTPUT_NOT_KEPT = (*_CONVOLUTIONS, *_NORMS, layers.Dense, layers.Residual)


class Network(NamedTuple):
    """A description of a network as plain types, fit for JSON."""

    layers: list[Description]
    output: str  # what is left to the loss: "softmax", "sigmoid" or ""
    input_shape: list[int]
    classes: int


def describe(model: Sequential) -> Network:
    """A built model as plain types; ``modules.build`` makes modules of them."""
    shape = tuple(model.input_shape or ())
    last = model.final_activation
    output = last if last in ("softmax", "sigmoid") else ""
    chain = model.without_activation() if output else model
    return Network(_chain(chain, shape, ""), output, list(shape), model.output_shape(shape)[-1])


def twin(model: Sequential) -> nn.Sequential:
    """The model in PyTorch, with copies of its weights, in their precision."""
    module = build(describe(model).layers)
    dtype = next(iter(model.params.values())).dtype
    module.to(torch.float64 if dtype == np.float64 else torch.float32)
    load_weights(module, model)
    return module


def load_weights(module: nn.Module, model: Sequential) -> None:
    """Copy all parameters and moving statistics of the model into its twin."""
    arrays = model.params | model.state
    with torch.no_grad():
        for path, tensor, link in links(module, arrays):
            tensor.copy_(torch.from_numpy(link.to_torch(arrays[path]).copy()))  # those of a model may be read-only


def gradients(module: nn.Module, model: Sequential) -> dict[str, NDArray]:
    """The gradients a twin holds after ``backward``, under the paths and in the shapes of the parameters that are trained."""
    params = model.trainable_params
    return {
        path: link.from_torch(tensor.grad.numpy(), params[path].shape) for path, tensor, link in links(module, params)
    }


class _Link(NamedTuple):
    """How one array of pellucid becomes one of PyTorch."""

    axes: tuple[int, ...]  # of pellucid's array, in PyTorch's order
    split: Shape | None = None  # pellucid's array in the shape that the axes count

    def to_torch(self, array: NDArray) -> NDArray:
        parts = array.reshape(self.split or array.shape).transpose(self.axes)
        # A dense kernel (H, W, C, units), its rows reordered, is (units, C, H, W) now.
        return np.ascontiguousarray(
            parts.reshape(len(parts), -1) if len(self.split or ()) == 4 and array.ndim == 2 else parts
        )

    def from_torch(self, array: NDArray, shape: Shape) -> NDArray:
        split = self.split or shape
        parts = array.reshape([split[axis] for axis in self.axes])
        return parts.transpose(np.argsort(self.axes)).reshape(shape)


def links(module: nn.Module, arrays: dict[str, NDArray]) -> Iterator[tuple[str, torch.Tensor, _Link]]:
    """For each array of the model: its path, its tensor in the twin, and how one becomes the other."""
    for part in module.modules():
        if not hasattr(part, "path"):
            continue
        tensors = {"bias": part.bias}
        kernel = _Link((0,))
        if isinstance(part, nn.Conv2d):
            depthwise = part.in_channels == part.groups and part.weight.shape[1] == 1
            kernel = _Link((3, 2, 0, 1), (*part.kernel_size, 1, part.out_channels) if depthwise else None)
            tensors["kernel"] = part.weight
        elif isinstance(part, nn.Linear):
            split = None if part.rows is None else (*part.rows, part.out_features)
            kernel = _Link((1, 0) if split is None else (3, 2, 0, 1), split)
            tensors["kernel"] = part.weight
        else:
            tensors = {"gamma": part.weight, "beta": part.bias}
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                tensors |= {"moving_mean": part.running_mean, "moving_variance": part.running_var}
        for name, tensor in tensors.items():
            if f"{part.path}/{name}" in arrays:
                yield f"{part.path}/{name}", tensor, kernel if name == "kernel" else _Link((0,))


# From layers to descriptions -----------------------------------------------------------------------------------------


def _chain(chain: layers.Layer, shape: Shape, prefix: str) -> list[Description]:
    described: list[Description] = []
    parts = chain.parts(shape) if isinstance(chain, layers.Chain) else [("", chain, shape)]
    flattened: Shape | None = None  # the image whose flattened numbers pass here, still in PyTorch's order
    before: layers.Layer | None = None
    for position, (name, layer, here) in enumerate(parts):
        path = f"{prefix}{name}".rstrip("/")
        if isinstance(layer, layers.Flatten):
            if layer.data_format == "channels_last" and len(here) == 3:
                if _dense_reads(parts[position + 1 :]):
                    flattened = here
                else:
                    described.append({"kind": "flatten_channels_last"})
                    continue
            described.append({"kind": "flatten"})
        elif isinstance(layer, layers.Dense):
            described.append(_dense(layer, here, path, flattened))
            described += _activated(layer, in_place=True)
            flattened = None
        else:
            described += _layer(layer, here, path, _gives_away(before))
        before = layer
    return described


def _gives_away(layer: layers.Layer | None) -> bool:
    """Whether nobody needs this layer's output once the next layer has read it, so that ReLU may overwrite it."""
    return isinstance(layer, _OUTPUT_NOT_KEPT) and layer.activation in (None, "linear")


def _dense_reads(rest: list[tuple[str, layers.Layer, Shape]]) -> bool:
    """Whether a dense layer comes next, apart from layers to which the order of numbers does not matter."""
    following = (layer for _, layer, _ in rest if not isinstance(layer, _ELEMENTWISE))
    return isinstance(next(following, None), layers.Dense)


def _dense(layer: layers.Dense, shape: Shape, path: str, flattened: Shape | None) -> Description:
    size = {"inputs": math.prod(shape), "outputs": layer.units, "bias": layer.use_bias}
    rows = None if flattened is None else list(flattened)
    return {"kind": "dense", "path": path, "rows": rows, **size, "trained": _trained(layer, weight=True, bias=True)}


def _activated(layer: layers.Layer, in_place: bool) -> list[Description]:
    if layer.activation in (None, "linear"):
        return []
    settings = {name: getattr(layer, name) for name in ("negative_slope", "approximate") if hasattr(layer, name)}
    return [{"kind": "activation", "name": layer.activation, "in_place": in_place, **settings}]


def _layer(layer: layers.Layer, shape: Shape, path: str, in_place: bool) -> list[Description]:
    """Every kind of layer but Dense and Flatten."""
    match layer:
        case layers.Conv2D() | layers.DepthwiseConv2D():
            return [_conv(layer, shape, path), *_activated(layer, in_place=True)]
        case layers.WhiteningConv2D():
            return [_conv(layer, shape, path)]
        case layers.BatchNormalization() | layers.GroupNormalization() | layers.LayerNormalization():
            return [_norm(layer, shape, path)]
        case layers.MaxPooling2D():
            return [{"kind": "max_pool", **_window(layer, shape)}]
        case layers.AveragePooling2D():
            return [{"kind": "average_pool", **_window(layer, shape), "count_padding": layer.count_padding}]
        case layers.GlobalAveragePooling2D():
            return [{"kind": "global_average_pool"}]
        case layers.GlobalMaxPooling2D():
            return [{"kind": "global_max_pool"}]
        case layers.Dropout():
            return [{"kind": "dropout", "rate": layer.rate}]
        case layers.SpatialDropout2D():
            return [{"kind": "spatial_dropout", "rate": layer.rate}]
        case layers.Rescaling():
            return [{"kind": "rescaling", "scale": layer.scale, "offset": layer.offset}]
        case layers.Residual():
            shortcut = None if layer.shortcut is None else _chain(layer.shortcut, shape, f"{path}/shortcut/")
            return [{"kind": "residual", "body": _chain(layer.body, shape, f"{path}/body/"), "shortcut": shortcut}]
        case layers.Concatenate():
            branches = [_chain(branch, shape, f"{path}/{branch.name}/") for branch in layer.branches]
            return [{"kind": "concatenate", "branches": branches}]
        case layers.Chain():
            return [{"kind": "chain", "layers": _chain(layer, shape, f"{path}/")}]
        case layers.Activation() | layers.ReLU() | layers.LeakyReLU() | layers.GELU() | layers.Softmax():
            return _activated(layer, in_place)
    raise PellucidError(f"{type(layer).__name__} has no counterpart in PyTorch here yet: add one to {__name__}.")


def _conv(layer: Any, shape: Shape, path: str) -> Description:
    geo = shapes.geometry(
        (shape[0], shape[1]),
        layer.kernel_size,
        strides=getattr(layer, "strides", 1),
        padding=getattr(layer, "padding", "valid"),
        dilation=getattr(layer, "dilation_rate", 1),
    )
    return {
        "kind": "conv",
        "path": path,
        "inputs": shape[2],
        "outputs": layer.output_shape(shape)[-1],
        "window": list(geo.window),
        "strides": list(geo.strides),
        "padding": [list(side) for side in geo.padding],
        "dilation": list(geo.dilation),
        "groups": shape[2] if isinstance(layer, layers.DepthwiseConv2D) else getattr(layer, "groups", 1),
        "bias": layer.use_bias,
        "trained": _trained(layer, weight=not isinstance(layer, layers.WhiteningConv2D), bias=True),
    }


def _norm(layer: Any, shape: Shape, path: str) -> Description:
    return {
        "kind": layer.prefix,
        "path": path,
        "channels": shape[-1],
        "image": len(shape) == 3,
        "groups": shape[-1] if getattr(layer, "groups", 1) == -1 else getattr(layer, "groups", 1),
        "epsilon": layer.epsilon,
        "momentum": getattr(layer, "momentum", 0.0),
        "inference": not layer.trainable,  # a frozen layer's statistics are those it has
        "trained": _trained(layer, weight=layer.scale, bias=layer.center),
    }


def _trained(layer: layers.Layer, **parts: bool) -> list[str]:
    return [name for name, trained in parts.items() if trained and layer.trainable]


def _window(layer: Any, shape: Shape) -> Description:
    geo = shapes.pool_geometry((1, *shape), layer.pool_size, strides=layer.strides, padding=layer.padding)  # type: ignore[arg-type]
    return {
        "window": list(geo.window),
        "strides": list(geo.strides),
        "padding": [list(side) for side in geo.padding],
    }
