"""One record per layer and interesting setting: it drives the contract tests, and a layer without a record fails the suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid import Sequential
from pellucid.layers import (
    GELU,
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Chain,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    GroupNormalization,
    Layer,
    LayerNormalization,
    LeakyReLU,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Residual,
    Softmax,
    SpatialDropout2D,
    WhiteningConv2D,
)
from pellucid.randomness import Randomness

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Record:
    """How to make a layer, and what is known about it."""

    make: Callable[[], Layer]
    input_shape: Shape
    output_shape: Shape
    weights: dict[str, Shape]  # the shapes of parameters and state, by path
    case: str = "plain"

    def __str__(self) -> str:
        return f"{self.name}-{self.case}"

    @property
    def name(self) -> str:
        return type(self.make()).__name__

    def build(self, dtype: Any = np.float32) -> Layer:
        """The layer with random weights: zeros and ones, the usual first values of biases and scales, hide mistakes."""
        layer, rng = self.make(), np.random.default_rng(7)
        layer.build(self.input_shape, seed=3, dtype=dtype)
        params = {path: a + rng.normal(scale=0.3, size=a.shape) for path, a in layer.params.items()}
        layer.load_weights(params | {path: a + rng.uniform(0, 0.5, a.shape) for path, a in layer.state.items()})
        return layer

    def x(self, n: int = 3, dtype: Any = np.float32) -> NDArray:
        """A batch of ``n`` inputs; the same numbers in every precision."""
        return np.random.default_rng(11).standard_normal((n, *self.input_shape)).astype(np.float32).astype(dtype)

    def dy(self, n: int = 3, dtype: Any = np.float32) -> NDArray:
        """A gradient of the output."""
        return np.random.default_rng(13).standard_normal((n, *self.output_shape)).astype(np.float32).astype(dtype)


def randomness(*indices: int, seed: int = 5, epoch: int = 2) -> Randomness:
    """The streams of a batch of images with these places in their data set."""
    return Randomness.for_batch(seed, epoch, np.array(indices))


def _conv(
    make: Callable[[], Layer], x: Shape, y: Shape, kernel: Shape, case: str = "plain", bias: bool = True
) -> Record:
    return Record(make, x, y, {"kernel": kernel} | ({"bias": (y[-1],)} if bias else {}), case)


def _batch_norm(make: Callable[[], Layer], x: Shape, names: str, case: str = "plain") -> Record:
    return Record(make, x, x, dict.fromkeys([*names.split(), "moving_mean", "moving_variance"], (x[-1],)), case)


def _branchy() -> list[Layer]:
    """Containers within containers."""
    branch = [Conv2D(2, 1), Residual([Conv2D(2, 3, padding="same", activation="tanh"), Dropout(0.3)])]
    return [
        Concatenate([branch, MaxPooling2D(3, 1, "same")]),
        Residual(Conv2D(3, 1), [BatchNormalization(), Conv2D(3, 1)]),
    ]


BRANCHY = {
    "concatenate1/branch1/conv1/kernel": (1, 1, 1, 2),
    "concatenate1/branch1/conv1/bias": (2,),
    "concatenate1/branch1/residual1/body/conv1/kernel": (3, 3, 2, 2),
    "concatenate1/branch1/residual1/body/conv1/bias": (2,),
    "residual1/body/kernel": (1, 1, 3, 3),
    "residual1/body/bias": (3,),
    "residual1/shortcut/batch_norm1/gamma": (3,),
    "residual1/shortcut/batch_norm1/beta": (3,),
    "residual1/shortcut/batch_norm1/moving_mean": (3,),
    "residual1/shortcut/batch_norm1/moving_variance": (3,),
    "residual1/shortcut/conv1/kernel": (1, 1, 3, 3),
    "residual1/shortcut/conv1/bias": (3,),
}

RECORDS = [
    _conv(lambda: Conv2D(4, (2, 3)), (5, 6, 3), (4, 4, 4), (2, 3, 3, 4)),
    _conv(lambda: Conv2D(5, 1, activation="relu"), (3, 4, 3), (3, 4, 5), (1, 1, 3, 5), "pointwise"),
    _conv(
        lambda: Conv2D(3, (3, 4), (2, 3), "same", activation="tanh"), (7, 6, 2), (4, 2, 3), (3, 4, 2, 3), "strided same"
    ),
    _conv(lambda: Conv2D(2, (3, 2), dilation_rate=(2, 3)), (9, 8, 2), (5, 5, 2), (3, 2, 2, 2), "dilated"),
    _conv(
        lambda: Conv2D(2, 3, padding=((1, 2), (0, 1)), use_bias=False),
        (4, 4, 2),
        (5, 3, 2),
        (3, 3, 2, 2),
        "asymmetric without bias",
        bias=False,
    ),
    _conv(
        lambda: Conv2D(6, 3, groups=2, activation="gelu", kernel_initializer="he_normal", bias_initializer=0.1),
        (5, 5, 4),
        (3, 3, 6),
        (3, 3, 2, 6),
        "grouped",
    ),
    _conv(lambda: DepthwiseConv2D(3), (5, 4, 3), (3, 2, 3), (3, 3, 3, 1)),
    _conv(
        lambda: DepthwiseConv2D(3, 2, "same", 2, activation="silu"), (5, 6, 3), (3, 3, 6), (3, 3, 3, 2), "multiplied"
    ),
    _conv(
        lambda: DepthwiseConv2D((2, 3), padding=1, dilation_rate=(1, 2), use_bias=False),
        (4, 5, 2),
        (5, 3, 2),
        (2, 3, 2, 1),
        "dilated without bias",
        bias=False,
    ),
    Record(
        lambda: WhiteningConv2D(),
        (5, 4, 3),
        (4, 3, 24),
        {"kernel": (2, 2, 3, 24), "adapted_to": (1,), "bias": (24,)},
    ),
    Record(
        lambda: WhiteningConv2D((1, 3), use_bias=False),
        (3, 6, 2),
        (3, 4, 12),
        {"kernel": (1, 3, 2, 12), "adapted_to": (1,)},
        "without bias",
    ),
    Record(lambda: Dense(4), (5,), (4,), {"kernel": (5, 4), "bias": (4,)}),
    Record(lambda: Dense(3, "softmax", use_bias=False), (6,), (3,), {"kernel": (6, 3)}, "softmax without bias"),
    Record(lambda: Flatten(), (3, 4, 2), (24,), {}),
    Record(lambda: Flatten("channels_first"), (3, 4, 2), (24,), {}, "channels first"),
    Record(lambda: MaxPooling2D(), (5, 6, 3), (2, 3, 3), {}),
    Record(lambda: MaxPooling2D(3, 2, "same"), (5, 6, 2), (3, 3, 2), {}, "overlapping same"),
    Record(lambda: MaxPooling2D((2, 3), (1, 2), ((1, 1), (0, 1))), (4, 5, 2), (5, 2, 2), {}, "asymmetric"),
    Record(lambda: AveragePooling2D(), (5, 6, 3), (2, 3, 3), {}),
    Record(lambda: AveragePooling2D(3, 2, "same"), (5, 6, 2), (3, 3, 2), {}, "overlapping same"),
    Record(lambda: AveragePooling2D((2, 3), 1, 1, count_padding=True), (4, 4, 2), (5, 4, 2), {}, "counting padding"),
    Record(lambda: GlobalAveragePooling2D(), (3, 4, 3), (3,), {}),
    Record(lambda: GlobalMaxPooling2D(), (3, 4, 3), (3,), {}),
    _batch_norm(lambda: BatchNormalization(), (4, 3, 3), "gamma beta"),
    _batch_norm(
        lambda: BatchNormalization(momentum=0.9, epsilon=1e-5, unbiased=True),
        (5,),
        "gamma beta",
        "vectors, PyTorch's way",
    ),
    _batch_norm(lambda: BatchNormalization(center=False), (2, 3, 2), "gamma", "no centre"),
    _batch_norm(lambda: BatchNormalization(scale=False), (2, 3, 2), "beta", "no scale"),
    Record(lambda: LayerNormalization(), (3, 4, 5), (3, 4, 5), {"gamma": (5,), "beta": (5,)}),
    Record(lambda: LayerNormalization(-1, 1e-5, False), (6,), (6,), {"gamma": (6,)}, "vectors, no centre"),
    Record(lambda: GroupNormalization(2), (3, 4, 6), (3, 4, 6), {"gamma": (6,), "beta": (6,)}),
    Record(lambda: GroupNormalization(-1, scale=False), (4, 3, 2), (4, 3, 2), {"beta": (2,)}, "each channel, no scale"),
    Record(lambda: GroupNormalization(1), (8,), (8,), {"gamma": (8,), "beta": (8,)}, "vectors"),
    Record(lambda: SpatialDropout2D(0.4), (3, 4, 6), (3, 4, 6), {}),
    Record(lambda: Dropout(0.4), (3, 4, 2), (3, 4, 2), {}),
    Record(lambda: Dropout(0), (5,), (5,), {}, "nothing dropped"),
    *(
        Record(lambda kind=kind: Activation(kind), (2, 3, 4), (2, 3, 4), {}, kind)
        for kind in ("linear", "relu", "leaky_relu", "sigmoid", "tanh", "elu", "silu", "gelu", "softmax", "log_softmax")
    ),
    Record(lambda: ReLU(), (3, 4, 2), (3, 4, 2), {}),
    Record(lambda: LeakyReLU(), (3, 4, 2), (3, 4, 2), {}),
    Record(lambda: GELU(), (3, 4, 2), (3, 4, 2), {}),
    Record(lambda: GELU(approximate=True), (5,), (5,), {}, "by tanh"),
    Record(lambda: LeakyReLU(0.01), (5,), (5,), {}, "PyTorch's slope"),
    Record(lambda: Softmax(), (6,), (6,), {}),
    Record(lambda: Rescaling(0.125), (6,), (6,), {}),
    Record(lambda: Rescaling(2.0, -1.0), (3, 2, 2), (3, 2, 2), {}, "offset"),
    Record(
        lambda: Chain([Conv2D(2, 3, activation="relu"), Flatten(), Dense(3)]),
        (4, 5, 1),
        (3,),
        {"conv1/kernel": (3, 3, 1, 2), "conv1/bias": (2,), "dense1/kernel": (12, 3), "dense1/bias": (3,)},
    ),
    Record(lambda: Chain(_branchy()), (4, 4, 1), (4, 4, 3), BRANCHY, "nested"),
    Record(
        lambda: Sequential([Flatten(), Dense(3, "softmax")]),
        (2, 2, 1),
        (3,),
        {"dense1/kernel": (4, 3), "dense1/bias": (3,)},
    ),
    Record(
        lambda: Residual([Conv2D(2, 3, padding="same"), ReLU()]),
        (4, 3, 2),
        (4, 3, 2),
        {"body/conv1/kernel": (3, 3, 2, 2), "body/conv1/bias": (2,)},
    ),
    Record(
        lambda: Residual(Conv2D(3, 3, 2, "same"), Conv2D(3, 1, 2, use_bias=False)),
        (5, 4, 2),
        (3, 2, 3),
        {"body/kernel": (3, 3, 2, 3), "body/bias": (3,), "shortcut/kernel": (1, 1, 2, 3)},
        "with shortcut",
    ),
    Record(
        lambda: Concatenate([Conv2D(2, 1), [MaxPooling2D(3, 1, "same"), Conv2D(3, 1)], AveragePooling2D(3, 1, "same")]),
        (3, 4, 2),
        (3, 4, 7),
        {
            "branch1/kernel": (1, 1, 2, 2),
            "branch1/bias": (2,),
            "branch2/conv1/kernel": (1, 1, 2, 3),
            "branch2/conv1/bias": (3,),
        },
    ),
    Record(
        lambda: Concatenate([Dense(2), Dense(1)]),
        (3,),
        (3,),
        {"branch1/kernel": (3, 2), "branch1/bias": (2,), "branch2/kernel": (3, 1), "branch2/bias": (1,)},
        "vectors",
    ),
]
