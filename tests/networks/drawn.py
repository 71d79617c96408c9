"""Small networks drawn at random: every kind of layer, setting and way to put them together that fits."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from pellucid import Sequential, layers
from pellucid.errors import PellucidError
from pellucid.layers import Layer

ACTIVATIONS = ("relu", "relu", "leaky_relu", "sigmoid", "tanh", "elu", "silu", "gelu")
WIDTHS = (1, 2, 3, 5, 8, 12, 16, 17, 24, 32, 40)
DEEPEST = 2  # networks within networks
LARGEST = 60_000  # numbers an image may turn into
FEW = 8  # numbers that are normalised together at least: with two or three, a rounding error may become anything
Shape = tuple[int, ...]
Rng = np.random.Generator


class Drawn(NamedTuple):
    """A network and what it learns."""

    layers: list[Layer]
    x: np.ndarray
    y: np.ndarray
    loss: str
    seed: int

    def model(self) -> Sequential:
        """The network with its first weights, the same each time."""
        model = Sequential([layer.clone() for layer in self.layers])
        model.build(self.x.shape[1:], seed=self.seed)
        return model

    def __str__(self) -> str:
        listed = "".join(f"\n    {layer!r}," for layer in self.layers)
        return f"network {self.seed}: x {self.x.shape}, loss {self.loss!r}, [{listed}\n]"


def draw(seed: int) -> Drawn:
    """The network of this number."""
    rng = np.random.default_rng([seed, 2026])
    n = int(rng.choice([1, 2, 3, 8, 16, 16]))
    shape = (n, int(rng.integers(5, 20)), int(rng.integers(5, 20)), int(rng.choice([1, 2, 3, 4, 8])))
    x = rng.standard_normal(shape).astype(np.float32)
    made: list[Layer] = [layers.WhiteningConv2D(2)] if _yes(rng, 0.1) else []
    body, _ = _chain(rng, _after(shape, *made), int(rng.integers(2, 7)))
    made += [*body, _flat(rng)]
    for _ in range(int(rng.integers(0, 3))):
        made += _dense(rng, n)
    classes = int(rng.integers(2, 7))
    loss, last = [("cce", "softmax"), ("bce", "sigmoid"), ("mse", "linear")][int(rng.integers(3))]
    made.append(layers.Dense(classes, activation=last))
    y = rng.standard_normal((n, classes)).astype(np.float32) if loss == "mse" else rng.integers(classes, size=n)
    return Drawn(made, x, y, loss, seed)


def _chain(rng: Rng, shape: Shape, length: int, depth: int = 0) -> tuple[list[Layer], Shape]:
    """Layers that fit one another, and the shape that comes out of them."""
    made: list[Layer] = []
    while len(made) < length:
        drawn = _KINDS[int(rng.integers(len(_KINDS)))](rng, shape, depth)
        more = drawn if isinstance(drawn, list) else [drawn]
        try:
            shapes = list(itertools.accumulate(more, _after, initial=shape))
        except PellucidError:  # it does not fit: another one
            continue
        if max(map(math.prod, shapes)) <= LARGEST * shape[0]:
            made += more
            shape = shapes[-1]
    return made, shape


def _after(shape: Shape, *layers: Layer) -> Shape:
    """(N, …) after these layers."""
    for layer in layers:
        shape = (shape[0], *layer.output_shape(shape[1:]))
    return shape


def _yes(rng: Rng, probability: float = 0.5) -> bool:
    return bool(rng.random() < probability)


def _maybe(rng: Rng, values: tuple[str, ...]) -> str | None:
    return str(rng.choice(values)) if _yes(rng, 0.7) else None


def _pair(rng: Rng, most: int) -> Any:
    """A number, or one for each axis."""
    a, b = (int(value) for value in rng.integers(1, most + 1, 2))
    return a if _yes(rng, 0.7) else (a, b)


def _padding(rng: Rng, most: int = 2) -> Any:
    kind = rng.random()
    if kind < 0.8:
        return "same" if kind < 0.5 else "valid"
    sides = [int(value) for value in rng.integers(0, most + 1, 4)]
    return [sides[0], (sides[0], sides[1]), ((sides[0], sides[1]), (sides[2], sides[3]))][int(rng.integers(3))]


def _conv(rng: Rng, shape: Shape, depth: int) -> Layer:
    plain = _yes(rng, 0.5)  # 3x3, stride 1, as most are, which have kernels of their own
    groups = int(rng.choice([1, 1, 1, 2, shape[-1]]))
    filters = int(rng.choice(WIDTHS)) * (1 if shape[-1] % groups else groups)
    return layers.Conv2D(
        min(filters, 64) // groups * groups or groups,
        3 if plain else _pair(rng, 5),
        1 if plain else _pair(rng, 3),
        _padding(rng),
        1 if plain else _pair(rng, 2),
        1 if plain else groups,
        _maybe(rng, ACTIVATIONS),
        use_bias=_yes(rng, 0.7),
        bias_initializer=0.1,
    )


def _block(rng: Rng, shape: Shape, depth: int) -> list[Layer]:
    """What most networks are made of, and fused kernels are for: convolution, normalisation, activation, pooling."""
    made: list[Layer] = [layers.Conv2D(int(rng.choice(WIDTHS[4:])), 3, padding="same", use_bias=_yes(rng))]
    made += [layers.BatchNormalization(scale=_yes(rng, 0.7))] if _yes(rng) and math.prod(shape[:3]) >= FEW else []
    made += [layers.ReLU() if _yes(rng, 0.7) else layers.Activation(str(rng.choice(ACTIVATIONS)))]
    pool = layers.MaxPooling2D if _yes(rng, 0.7) else layers.AveragePooling2D
    return [*made, pool(2)] if _yes(rng) else made


def _depthwise(rng: Rng, shape: Shape, depth: int) -> Layer:
    multiplier = int(rng.integers(1, 3))
    sizes = _pair(rng, 4), _pair(rng, 2), _padding(rng), multiplier, _pair(rng, 2)
    return layers.DepthwiseConv2D(*sizes, _maybe(rng, ACTIVATIONS), use_bias=_yes(rng))


def _norm(rng: Rng, shape: Shape, depth: int) -> Layer:
    settings = {"epsilon": float(rng.choice([1e-3, 1e-5])), "scale": _yes(rng, 0.7), "center": _yes(rng, 0.7)}
    kind = int(rng.integers(5))
    if kind == 0 and shape[-1] >= FEW:
        return layers.LayerNormalization(**settings)
    groups = int(rng.choice([1, 2, 4, shape[-1]]))
    if kind == 1 and math.prod(shape[1:]) // groups >= FEW:
        return layers.GroupNormalization(groups, **settings)
    if math.prod(shape[:-1]) < FEW:
        return layers.Rescaling(0.5)
    momentum = float(rng.choice([0.6, 0.9, 0.99]))
    return layers.BatchNormalization(momentum=momentum, unbiased=_yes(rng), **settings)


def _max_pool(rng: Rng, shape: Shape, depth: int) -> Layer:
    return layers.MaxPooling2D(_pair(rng, 3), None if _yes(rng) else _pair(rng, 2), _padding(rng, 0))


def _average_pool(rng: Rng, shape: Shape, depth: int) -> Layer:
    sizes = _pair(rng, 3), None if _yes(rng) else _pair(rng, 2), _padding(rng, 0)
    return layers.AveragePooling2D(*sizes, count_padding=_yes(rng, 0.3))


def _activation(rng: Rng, shape: Shape, depth: int) -> Layer:
    kinds = [
        layers.ReLU(),
        layers.LeakyReLU(0.1),
        layers.GELU(approximate=True),
        layers.Activation(str(rng.choice(ACTIVATIONS))),
        layers.Rescaling(0.5, 0.25),
    ]
    return kinds[int(rng.integers(len(kinds)))]


def _drop(rng: Rng, shape: Shape, depth: int) -> Layer:
    return layers.SpatialDropout2D(0.25) if _yes(rng) else layers.Dropout(float(rng.choice([0.1, 0.5])))


def _residual(rng: Rng, shape: Shape, depth: int) -> Layer:
    if depth == DEEPEST:
        return layers.ReLU()
    body, after = _chain(rng, shape, int(rng.integers(1, 4)), depth + 1)
    strides = tuple(max(1, -(-before // now)) for before, now in zip(shape[1:3], after[1:3], strict=True))
    same = after == shape and _yes(rng, 0.7)
    return layers.Residual(body, None if same else layers.Conv2D(after[3], 1, strides, padding="same"))


def _concatenate(rng: Rng, shape: Shape, depth: int) -> Layer:
    if depth == DEEPEST:
        return layers.ReLU()
    branches = [_chain(rng, shape, int(rng.integers(1, 3)), depth + 1) for _ in range(int(rng.integers(2, 4)))]
    sizes = [after[1:3] for _, after in branches]
    fitting = [branch for branch, after in branches if after[1:3] == max(sizes, key=sizes.count)]
    return layers.Concatenate(fitting if len(fitting) > 1 else [*fitting, [layers.Rescaling(2.0)]])


def _flat(rng: Rng) -> Layer:
    kinds = [layers.Flatten(), layers.Flatten("channels_first"), layers.GlobalAveragePooling2D()]
    return [*kinds, layers.GlobalMaxPooling2D()][int(rng.integers(4))]


def _dense(rng: Rng, n: int) -> list[Layer]:
    units = int(rng.choice(WIDTHS))
    activation = _maybe(rng, (*ACTIVATIONS, "softmax"))  # which is left to the loss where it comes last
    made: list[Layer] = [layers.Dense(units, activation, use_bias=_yes(rng))]
    kind = int(rng.integers(5))
    made += [layers.Dropout(0.3)] if kind == 0 else []
    made += [layers.BatchNormalization()] if kind == 1 and n >= FEW else []
    made += [layers.LayerNormalization()] if kind == 2 and units >= FEW else []
    return made


_KINDS = [
    _conv,
    _conv,
    _conv,
    _block,
    _block,
    _block,
    _depthwise,
    _norm,
    _norm,
    _max_pool,
    _average_pool,
    _activation,
    _drop,
]
_KINDS += [_residual, _residual, _concatenate]
