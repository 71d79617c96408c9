"""One record per op and interesting setting: it drives all contract tests, and an op without a record fails the suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pellucid import ops
from pellucid.randomness import Randomness


@dataclass(frozen=True)
class Record:
    """How to call an op, and what is known about the result."""

    op: str
    case: str
    draw: Callable[[Generator], tuple[Any, ...]]  # the array arguments in float64, off kinks and ties
    y_shape: tuple[int, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    gradients: tuple[str, ...] = ("x",)  # the arguments that backward differentiates by, in order
    linear: tuple[str, ...] = ()  # the arguments in which the op is linear, the bias being None

    def __str__(self) -> str:
        return f"{self.op}-{self.case}"

    @property
    def forward(self) -> Callable[..., Any]:
        return getattr(ops, self.op)

    @property
    def backward(self) -> Callable[..., Any]:
        return getattr(ops, f"{self.op}_backward")

    def arrays(self, dtype: Any = np.float64, seed: int = 0) -> list[Any]:
        """The arguments; everything in floating point in ``dtype``."""
        drawn = self.draw(np.random.default_rng(seed))
        return [a.astype(dtype) if a is not None and a.dtype.kind == "f" else a for a in drawn]

    def derive(self, dy: NDArray, cache: Any) -> tuple[Any, ...]:
        """The gradients as a tuple, also where there is only one."""
        found = self.backward(dy, cache)
        return found if isinstance(found, tuple) else (found,)


def normal(rng: Generator, *shape: int) -> NDArray:
    return rng.standard_normal(shape)


def off_kinks(rng: Generator, *shape: int) -> NDArray:
    """Random numbers of both signs, none nearer than 0.05 to zero."""
    return rng.uniform(0.05, 2.0, shape) * rng.choice([-1.0, 1.0], shape)


def no_ties(rng: Generator, *shape: int) -> NDArray:
    """Random numbers of which any two differ by at least 0.01."""
    return 0.01 * (rng.permutation(int(np.prod(shape))) - 0.5 * np.prod(shape)).reshape(shape)


def probabilities(rng: Generator, n: int, k: int) -> NDArray:
    """Rows of numbers in (0.02, 0.98) that sum to one."""
    return 0.9 * rng.dirichlet(np.ones(k), n) + 0.1 / k


def several(rng: Generator, n: int, k: int) -> NDArray:
    """Rows of zeros and ones in which any number of classes is right, also none: they do not sum to one."""
    return rng.integers(2, size=(n, k)).astype(np.float64)


def labels(rng: Generator, n: int, k: int) -> NDArray:
    return rng.integers(k, size=n)


def _conv(
    case: str, x: tuple, kernel: tuple, y_shape: tuple, bias: bool = True, op: str = "conv2d", **settings: Any
) -> Record:
    return Record(
        op,
        case,
        lambda r: (normal(r, *x), normal(r, *kernel), normal(r, kernel[-1]) if bias else None),
        y_shape,
        settings,
        ("x", "kernel", "bias") if bias else ("x", "kernel"),
        linear=() if "activation" in settings else ("x", "kernel"),
    )


def _pool(op: str, case: str, x: tuple, y_shape: tuple, **settings: Any) -> Record:
    linear = ("x",) if "average" in op else ()
    return Record(op, case, lambda r: (no_ties(r, *x),), y_shape, settings, linear=linear)


def _batch_norm(
    case: str,
    x: tuple,
    scale: bool = True,
    center: bool = True,
    op: str = "batch_norm",
    y_shape: tuple | None = None,
    **settings: Any,
) -> Record:
    c = x[-1]
    names = ("x", *(["gamma"] if scale else []), *(["beta"] if center else []))
    return Record(
        op,
        case,
        lambda r: (
            3 + 2 * normal(r, *x),
            off_kinks(r, c) if scale else None,
            normal(r, c) if center else None,
            normal(r, c),
            r.uniform(0.5, 2.0, c),
        ),
        y_shape or x,
        settings,
        names,
    )


def _group_norm(op: str, case: str, x: tuple, scale: bool = True, center: bool = True, **settings: Any) -> Record:
    c = x[-1]
    return Record(
        op,
        case,
        lambda r: (3 + 2 * normal(r, *x), off_kinks(r, c) if scale else None, normal(r, c) if center else None),
        x,
        settings,
        ("x", *(["gamma"] if scale else []), *(["beta"] if center else [])),
    )


def _activation(op: str, case: str = "plain", **settings: Any) -> Record:
    return Record(op, case, lambda r: (off_kinks(r, 3, 2, 2, 5),), (3, 2, 2, 5), settings)


def _loss(
    op: str,
    first: str,
    predictions: Callable[..., NDArray],
    targets: Callable[..., NDArray],
    case: str,
    *,
    weighted: bool = False,
    classes: int = 4,
    **settings: Any,
) -> Record:
    def draw(r: Generator) -> tuple[Any, ...]:
        weights = r.uniform(0.2, 3.0, 5) if weighted else None
        return predictions(r, 5, classes), targets(r, 5, classes), weights

    return Record(op, case, draw, (), settings, (first,))


def _losses(op: str, first: str, predictions: Callable[..., NDArray]) -> list[Record]:
    return [
        _loss(op, first, predictions, labels, "labels"),
        _loss(op, first, predictions, probabilities, "soft targets", label_smoothing=0.2),
        _loss(
            op, first, predictions, labels, "weighted", weighted=True, label_smoothing=0.1, reduction="weighted_mean"
        ),
        _loss(op, first, predictions, probabilities, "summed", weighted=True, reduction="sum"),
        _loss(op, first, predictions, several, "several right classes"),
    ]


DROPOUT_RNG = Randomness.for_batch(seed=5, epoch=1, indices=np.array([4, 0, 9]))

RECORDS = [
    _conv("plain", (2, 5, 6, 3), (3, 2, 3, 4), (2, 3, 5, 4)),
    _conv("no bias", (2, 4, 4, 2), (2, 2, 2, 3), (2, 3, 3, 3), bias=False),
    _conv("pointwise", (2, 3, 4, 3), (1, 1, 3, 5), (2, 3, 4, 5)),
    _conv("strided same", (2, 7, 6, 2), (3, 4, 2, 3), (2, 4, 2, 3), strides=(2, 3), padding="same"),
    _conv("dilated", (1, 9, 8, 2), (3, 2, 2, 2), (1, 5, 5, 2), dilation=(2, 3)),
    _conv("asymmetric", (1, 4, 4, 2), (3, 3, 2, 2), (1, 5, 3, 2), padding=((1, 2), (0, 1))),
    _conv("grouped", (2, 5, 5, 4), (3, 3, 2, 6), (2, 3, 3, 6), groups=2),
    _conv("depthwise", (2, 5, 5, 3), (3, 3, 1, 6), (2, 3, 3, 6), groups=3, strides=2, padding=1),
    _conv("plain", (2, 4, 4, 2), (3, 3, 2, 3), (2, 4, 4, 3), op="conv2d_block", padding="same"),
    _conv("relu", (2, 4, 4, 2), (3, 3, 2, 3), (2, 2, 2, 3), op="conv2d_block", activation="relu"),
    _conv(
        "relu pooled",
        (2, 6, 5, 2),
        (3, 3, 2, 3),
        (2, 3, 2, 3),
        op="conv2d_block",
        padding="same",
        activation="relu",
        pool="max_pool2d",
    ),
    _conv(
        "gelu averaged",
        (2, 5, 5, 2),
        (2, 2, 2, 3),
        (2, 2, 2, 3),
        op="conv2d_block",
        activation="gelu",
        pool="average_pool2d",
        pool_size=3,
        pool_strides=2,
        pool_padding="same",
    ),
    _conv(
        "tanh, every setting",
        (1, 9, 8, 4),
        (3, 2, 2, 4),
        (1, 2, 3, 4),
        op="conv2d_block",
        strides=(2, 1),
        dilation=(1, 2),
        groups=2,
        activation="tanh",
        pool="average_pool2d",
        pool_size=3,
        pool_strides=2,
        pool_padding="same",
    ),
    _pool("max_pool2d", "plain", (2, 5, 6, 3), (2, 2, 3, 3)),
    _pool("max_pool2d", "overlapping same", (2, 5, 6, 2), (2, 3, 3, 2), pool_size=3, strides=2, padding="same"),
    _pool(
        "max_pool2d",
        "asymmetric",
        (1, 4, 5, 2),
        (1, 5, 2, 2),
        pool_size=(2, 3),
        strides=(1, 2),
        padding=((1, 1), (0, 1)),
    ),
    _pool("average_pool2d", "plain", (2, 5, 6, 3), (2, 2, 3, 3)),
    _pool("average_pool2d", "overlapping same", (2, 5, 6, 2), (2, 3, 3, 2), pool_size=3, strides=2, padding="same"),
    _pool(
        "average_pool2d", "counting", (2, 5, 5, 2), (2, 3, 3, 2), pool_size=3, strides=2, padding=1, count_padding=True
    ),
    _pool("global_average_pool2d", "plain", (2, 3, 4, 3), (2, 3)),
    _pool("global_max_pool2d", "plain", (2, 3, 4, 3), (2, 3)),
    Record(
        "dense",
        "plain",
        lambda r: (normal(r, 3, 5), normal(r, 5, 4), normal(r, 4)),
        (3, 4),
        gradients=("x", "kernel", "bias"),
        linear=("x", "kernel"),
    ),
    Record(
        "dense",
        "square, no bias",  # here a kernel could be transposed by mistake and still fit
        lambda r: (normal(r, 4, 4), normal(r, 4, 4), None),
        (4, 4),
        gradients=("x", "kernel"),
        linear=("x", "kernel"),
    ),
    Record("flatten", "channels last", lambda r: (normal(r, 2, 3, 4, 5),), (2, 60), linear=("x",)),
    Record(
        "flatten",
        "channels first",
        lambda r: (normal(r, 2, 3, 4, 5),),
        (2, 60),
        {"data_format": "channels_first"},
        linear=("x",),
    ),
    _batch_norm("training", (3, 4, 2, 3), training=True),
    _batch_norm("inference", (3, 4, 2, 3), training=False),
    _batch_norm("training vectors", (6, 3), training=True, momentum=0.9, epsilon=1e-5, unbiased=True),
    _batch_norm("no scale", (5, 3), scale=False, training=True),
    _batch_norm("no centre", (5, 3), center=False, training=True),
    _batch_norm("bare", (5, 3), scale=False, center=False, training=False),
    _batch_norm("relu", (3, 4, 2, 3), op="batch_norm_block", training=True, activation="relu"),
    _batch_norm(
        "relu pooled",
        (3, 4, 4, 3),
        y_shape=(3, 2, 2, 3),
        op="batch_norm_block",
        training=True,
        activation="relu",
        pool="max_pool2d",
    ),
    _batch_norm(
        "inference averaged",
        (3, 4, 4, 2),
        y_shape=(3, 3, 3, 2),
        op="batch_norm_block",
        training=False,
        activation="elu",
        pool="average_pool2d",
        pool_strides=1,
    ),
    Record(
        "dropout",
        "fixed mask",
        lambda r: (normal(r, 3, 2, 3, 4),),
        (3, 2, 3, 4),
        {"rate": 0.4, "rng": DROPOUT_RNG},
        linear=("x",),
    ),
    Record(
        "spatial_dropout",
        "fixed mask",
        lambda r: (normal(r, 3, 2, 3, 4),),
        (3, 2, 3, 4),
        {"rate": 0.4, "rng": DROPOUT_RNG},
        linear=("x",),
    ),
    _group_norm("group_norm", "three groups", (2, 3, 2, 6), groups=3),
    _group_norm("group_norm", "one group, PyTorch's epsilon", (2, 2, 3, 4), groups=1, epsilon=1e-5),
    _group_norm("group_norm", "each channel, no scale", (2, 3, 2, 3), scale=False, groups=3),
    _group_norm("group_norm", "vectors, bare", (3, 6), scale=False, center=False, groups=2),
    _group_norm("layer_norm", "plain", (2, 3, 2, 5)),
    _group_norm("layer_norm", "vectors, no centre", (4, 6), center=False, epsilon=1e-5),
    Record("add", "plain", lambda r: (normal(r, 2, 3, 4), normal(r, 2, 3, 4)), (2, 3, 4), {}, ("x", "other")),
    Record(
        "add",
        "relu",
        lambda r: (off_kinks(r, 2, 3, 4), np.zeros((2, 3, 4))),
        (2, 3, 4),
        {"activation": "relu"},
        ("x", "other"),
    ),
    Record("concatenate", "two", lambda r: (normal(r, 2, 3, 4), normal(r, 2, 3, 2)), (2, 3, 6), {}, ("x", "other")),
    Record("rescale", "plain", lambda r: (normal(r, 2, 3, 4),), (2, 3, 4), {"scale": 0.3, "offset": -0.2}),
    Record("concatenate", "one", lambda r: (normal(r, 2, 3),), (2, 3), {}, ("x",)),
    _activation("relu"),
    _activation("leaky_relu"),
    _activation("leaky_relu", "PyTorch's slope", negative_slope=0.01),
    _activation("sigmoid"),
    _activation("tanh"),
    _activation("elu"),
    _activation("elu", "alpha", alpha=0.3),
    _activation("silu"),
    _activation("gelu"),
    _activation("gelu", "approximate", approximate=True),
    _activation("softmax"),
    _activation("log_softmax"),
    *_losses("softmax_cross_entropy", "logits", normal),
    *_losses("categorical_cross_entropy", "probabilities", probabilities),
    *_losses("sigmoid_cross_entropy", "logits", off_kinks),
    *_losses("binary_cross_entropy", "probabilities", probabilities),
    *_losses("mean_squared_error", "predictions", normal),
]
