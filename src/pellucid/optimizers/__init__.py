"""Optimizers: how a gradient changes a parameter. One family per file; the formulas themselves are ``pellucid.ops.update``."""

from __future__ import annotations

from typing import Any

from ..errors import FileFormatError, PellucidError, nearest
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .averages import EMA, Lookahead
from .base import Optimizer
from .muon import Muon
from .rmsprop import RMSprop
from .sgd import SGD

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "muon": Muon,
}


def get(optimizer: str | Optimizer | dict[str, Any], **settings: Any) -> Optimizer:
    """An optimizer by name, by config, or itself. Settings that are None are left at their defaults.

    >>> get("sgd", learning_rate=0.05)
    SGD(learning_rate=0.05, momentum=0.0, nesterov=False, dialect='keras')
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, dict):
        settings = {k: v for k, v in optimizer.items() if k != "name"} | settings
        optimizer = str(optimizer.get("name"))
    if not isinstance(optimizer, str) or optimizer.lower() not in OPTIMIZERS:
        raise PellucidError(f"There is no optimizer {optimizer!r}. {nearest(str(optimizer), OPTIMIZERS)}")
    kind = OPTIMIZERS[optimizer.lower()]
    settings = {name: value for name, value in settings.items() if value is not None}
    for name in settings.keys() - kind.settings():
        raise FileFormatError(
            f"The settings of optimizer {optimizer!r} do not fit: it has no {name!r}. {nearest(name, kind.settings())}"
        )
    return kind(**settings)


__all__ = [
    "EMA",
    "OPTIMIZERS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lookahead",
    "Muon",
    "Optimizer",
    "RMSprop",
    "get",
]
