"""Networks by name. Each builder's docstring says where the network comes from and what it reached there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import PellucidError, ShapeError, nearest
from ..layers import Layer
from ..model import Sequential
from . import classics, origins, speed

BUILDERS: dict[str, Callable[[int], list[Layer]]] = {
    builder.__name__: builder
    for builder in (
        origins.cnn1_avg,
        origins.cnn1_mnist,
        origins.cnn2,
        origins.cnn2_mnist,
        origins.cnn3,
        origins.cnn3_bn,
        origins.cnn3_sigmoid,
        origins.cnn4,
        origins.lenet5,
        classics.resnet8,
        classics.resnet9,
        classics.resnet20,
        classics.vgg_small,
        classics.inception_small,
        speed.speed_small,
        speed.speed_medium,
        speed.speed_large,
        speed.speed_huge,
    )
}


def names() -> list[str]:
    """The names of all networks.

    >>> names()[:3]
    ['cnn1_avg', 'cnn1_mnist', 'cnn2']
    """
    return list(BUILDERS)


def describe(name: str) -> str:
    """The docstring of a network: its layers and where it comes from."""
    return (_builder(name).__doc__ or "").strip()


def build(name: str, input_shape: Sequence[int] = (32, 32, 3), num_classes: int = 10, seed: int = 0) -> Sequential:
    """A network with its first weights drawn, for images (H, W, C) and this many classes.

    Raises ``PellucidError`` for an unknown name, ``ShapeError`` where the images are too small for the network.

    >>> build("cnn2", input_shape=(32, 32, 3), num_classes=10, seed=0).count_params()
    545098
    """
    model = Sequential(_builder(name)(num_classes), name=name)
    try:
        model.build(tuple(input_shape), seed=seed)
    except ShapeError as error:
        raise ShapeError(
            f"The network {name!r} cannot take images of {'x'.join(map(str, input_shape))}: {error}"
        ) from None
    return model


def _builder(name: str) -> Callable[[int], list[Layer]]:
    if name not in BUILDERS:
        raise PellucidError(f"There is no network {name!r}. {nearest(name, BUILDERS)}")
    return BUILDERS[name]
