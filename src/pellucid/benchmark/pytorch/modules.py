"""PyTorch networks from plain descriptions.

Needs nothing of pellucid, so that a process which holds PyTorch alone can build and train the same network: that is what
memory and start-up are measured on. ``twin`` writes the descriptions.

The networks are written as a PyTorch user would write them: padding inside the convolution where PyTorch can, ReLU in place
where nothing else needs its input, the fused optimizer, the loss on logits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody writes it

Description = dict[str, Any]
Sides = list[list[int]]  # [[top, bottom], [left, right]]
FORMATS = {"NCHW": torch.contiguous_format, "channels-last": torch.channels_last}


class Pad(nn.Module):
    """Padding that differs from side to side, which PyTorch's layers cannot do themselves."""

    def __init__(self, sides: Sides, value: float = 0.0) -> None:
        super().__init__()
        (self.top, self.bottom), (self.left, self.right) = sides
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (self.left, self.right, self.top, self.bottom), value=self.value)


class AverageOfImage(nn.Module):
    """Average pooling where padding does not count, for padding that differs from side to side."""

    def __init__(self, sides: Sides, window: list[int], strides: list[int]) -> None:
        super().__init__()
        self.pad, self.window, self.strides = Pad(sides), window, strides

    def forward(self, x: Tensor) -> Tensor:
        inside = F.avg_pool2d(self.pad(torch.ones_like(x[:1, :1])), self.window, self.strides)
        return F.avg_pool2d(self.pad(x), self.window, self.strides) / inside


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution with strides that reads few channels, as one with strides of 1 of the pixels it reads.

    With fewer channels than a vector has lanes oneDNN 3.x writes past the end of a buffer in the backward pass, and
    PyTorch's process ends with a damaged heap (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """

    FEW = 16  # the lanes of AVX-512

    def forward(self, x: Tensor) -> Tensor:
        down, right = self.stride
        return F.conv2d(x[:, :, ::down, ::right], self.weight, self.bias, groups=self.groups)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation of every pixel's channels, which are not the last axis here."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # as (N, H, W, C)


class FrozenBatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation that uses its moving statistics in training too."""

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(False)


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """The same for images."""

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(False)


class Residual(nn.Module):
    """body(x) + shortcut(x)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + (x if self.shortcut is None else self.shortcut(x))


class Concatenate(nn.Module):
    """The outputs of branches, side by side along the channels."""

    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def build(layers: list[Description]) -> nn.Sequential:
    """The modules of a description one after another; those with weights carry the ``path`` of their pellucid layer."""
    chain = nn.Sequential()
    for layer in layers:
        for module in _MAKERS[layer["kind"]](layer):
            chain.append(module)
    return chain


def _conv(layer: Description) -> list[nn.Module]:
    pads, padding = _padding(layer["padding"], 0.0)
    few = layer["inputs"] // layer["groups"] < PointwiseConv2d.FEW
    pointwise = max(layer["window"]) == 1 < max(layer["strides"]) and padding == [0, 0]
    module = (PointwiseConv2d if pointwise and few else nn.Conv2d)(
        layer["inputs"], layer["outputs"], layer["window"], layer["strides"], padding, layer["dilation"],
        layer["groups"], bias=layer["bias"],
    )  # fmt: skip
    return [*pads, _placed(module, layer)]


def _dense(layer: Description) -> list[nn.Module]:
    return [_placed(nn.Linear(layer["inputs"], layer["outputs"], bias=layer["bias"]), layer)]


def _batch_norm(layer: Description) -> list[nn.Module]:
    kinds = (FrozenBatchNorm1d, FrozenBatchNorm2d) if layer["inference"] else (nn.BatchNorm1d, nn.BatchNorm2d)
    # The two libraries call the two parts of the moving average the other way round.
    settings = {"eps": layer["epsilon"], "momentum": 1 - layer["momentum"]}
    return [_placed(kinds[layer["image"]](layer["channels"], **settings), layer)]


def _group_norm(layer: Description) -> list[nn.Module]:
    return [_placed(nn.GroupNorm(layer["groups"], layer["channels"], eps=layer["epsilon"]), layer)]


def _layer_norm(layer: Description) -> list[nn.Module]:
    kind = ChannelNorm if layer["image"] else nn.LayerNorm
    return [_placed(kind(layer["channels"], eps=layer["epsilon"]), layer)]


def _max_pool(layer: Description) -> list[nn.Module]:
    pads, padding = _padding(layer["padding"], -torch.inf, layer["window"])
    return [*pads, nn.MaxPool2d(layer["window"], layer["strides"], padding)]


def _average_pool(layer: Description) -> list[nn.Module]:
    pads, padding = _padding(layer["padding"], 0.0, layer["window"])
    if pads and not layer["count_padding"]:
        return [AverageOfImage(layer["padding"], layer["window"], layer["strides"])]
    pool = nn.AvgPool2d(layer["window"], layer["strides"], padding, count_include_pad=layer["count_padding"])
    return [*pads, pool]


def _activation(layer: Description) -> list[nn.Module]:
    if layer["name"] == "relu":
        return [nn.ReLU(inplace=layer["in_place"])]
    if layer["name"] == "leaky_relu":
        return [nn.LeakyReLU(layer.get("negative_slope", 0.3))]
    if layer["name"] == "gelu":
        return [nn.GELU(approximate="tanh" if layer.get("approximate") else "none")]
    return [_ACTIVATIONS[layer["name"]]()]


_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "softmax": lambda: nn.Softmax(1),
    "log_softmax": lambda: nn.LogSoftmax(1),
}

_MAKERS: dict[str, Callable[[Description], list[nn.Module]]] = {
    "conv": _conv,
    "dense": _dense,
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "max_pool": _max_pool,
    "average_pool": _average_pool,
    "activation": _activation,
    "global_average_pool": lambda layer: [Apply(lambda x: x.mean((2, 3)))],
    "global_max_pool": lambda layer: [Apply(lambda x: x.amax((2, 3)))],
    "flatten": lambda layer: [nn.Flatten()],
    "flatten_channels_last": lambda layer: [Apply(lambda x: x.permute(0, 2, 3, 1).flatten(1))],
    "dropout": lambda layer: [nn.Dropout(layer["rate"])],
    "spatial_dropout": lambda layer: [nn.Dropout2d(layer["rate"])],
    "rescaling": lambda layer: [Apply(lambda x: x * layer["scale"] + layer["offset"] if layer["offset"] else x * layer["scale"])],
    "chain": lambda layer: [build(layer["layers"])],
    "residual": lambda layer: [
        Residual(build(layer["body"]), None if layer["shortcut"] is None else build(layer["shortcut"]))
    ],
    "concatenate": lambda layer: [Concatenate([build(branch) for branch in layer["branches"]])],
}  # fmt: skip


def _placed(module: nn.Module, layer: Description) -> nn.Module:
    module.path, module.rows = layer["path"], layer.get("rows")  # type: ignore[assignment]
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in layer["trained"])
    return module


def _padding(sides: Sides, value: float, window: list[int] | None = None) -> tuple[list[nn.Module], list[int]]:
    """Padding as a module in front, or as the two numbers PyTorch's own layers take where these can say it."""
    equal = all(before == after for before, after in sides)
    small = window is None or all(2 * side[0] <= k for side, k in zip(sides, window, strict=True))
    return ([], [side[0] for side in sides]) if equal and small else ([Pad(sides, value)], [0, 0])


# Training and prediction ---------------------------------------------------------------------------------------------


def loss_function(output: str) -> Callable[[Tensor, Tensor], Tensor]:
    """What is minimised on the logits of a network whose outputs pass through softmax or sigmoid."""
    return F.binary_cross_entropy_with_logits if output == "sigmoid" else F.cross_entropy


def targets(labels: Tensor, classes: int, output: str) -> Tensor:
    """Labels as the loss wants them: one yes-or-no answer per output for sigmoid."""
    if output != "sigmoid":
        return labels
    return labels[:, None].float() if classes == 1 else F.one_hot(labels, classes).float()


def training_step(
    network: Callable[[Tensor], Tensor],
    parameters: list[nn.Parameter],
    output: str,
    x: Tensor,
    y: Tensor,
    *,
    learning_rate: float = 1e-3,
    bfloat16: bool = False,
) -> Callable[[], float]:
    """One step of SGD on one batch, as a function; it returns the loss, as a training loop would log it."""
    loss_of = loss_function(output)
    optimizer = torch.optim.SGD(parameters, lr=learning_rate, fused=True)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = loss_of(network(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def predictor(
    network: Callable[[Tensor], Tensor], output: str, x: Tensor, batch_size: int, *, bfloat16: bool = False
) -> Callable[[], Tensor]:
    """Probabilities for all images of x, batch by batch, as a function. The module must be in its inference mode."""

    def predict() -> Tensor:
        results = []
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            for start in range(0, len(x), batch_size):
                logits = network(x[start : start + batch_size])
                results.append(logits.sigmoid() if output == "sigmoid" else logits.softmax(1))
            return torch.cat(results).float()

    return predict
