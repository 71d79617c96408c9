"""Compiling ahead: what a network will need is in the cache of machine code before anybody waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import backend
from ..augmentation.augmenter import Augmenter, normalised
from ..errors import PellucidError
from ..layers import Dense
from ..model import Sequential
from ..optimizers import OPTIMIZERS
from ..preprocessing import Preprocessing
from . import networks

BATCHES = (1, 64, 256)  # one image alone, a training's batch, predict's: kernels are chosen by shapes


class WarmUp(NamedTuple):
    """What a network, or the optimizers, had compiled."""

    name: str
    functions: int  # that were not in the cache
    seconds: float


def warm_up(names: Sequence[str], input_shape: Sequence[int] | None = None, classes: int = 10) -> Iterator[WarmUp]:
    """Compile the kernels of networks (see ``networks.network``), one after another, then of all optimizers, then of image work.

    Each network is trained for a step and asked, on random images.
    """
    for name in names:
        yield _counted(name, lambda: _train_and_ask(networks.network(name, input_shape, classes)))  # noqa: B023 - called at once
    yield _counted("optimizers", _step_with_every_optimizer)
    yield _counted("preprocessing and augmentation", _work_on_images)


def cache_folder() -> Path:
    """Where machine code is kept.

    Raises
    ------
    PellucidError
        if no kernels are used or none can be kept, so that there is nothing to warm up.
    """
    if backend.get_backend() != "native":
        raise PellucidError("The NumPy backend compiles nothing: leave PELLUCID_BACKEND unset or set it to native.")
    from ..kernels import cache

    folder = cache.cache_folder()
    if folder is None:
        raise PellucidError(
            "Compiled kernels cannot be kept: PELLUCID_CACHE_DIR is off, or no folder can be written to. "
            "Let PELLUCID_CACHE_DIR name a folder of yours."
        )
    return folder


def _counted(name: str, work: Callable[[], object]) -> WarmUp:
    from ..kernels import cache

    before, start = len(cache.compiled), time.perf_counter()
    work()
    return WarmUp(name, len(cache.compiled) - before, time.perf_counter() - start)


def _train_and_ask(model: Sequential) -> None:
    for batch in BATCHES:
        x, y = networks.images(model, batch)
        model.predict(x, batch_size=batch)
        if batch == BATCHES[1]:
            model.train_on_batch(x, y)


def _step_with_every_optimizer() -> None:
    for name in OPTIMIZERS:
        model = Sequential([Dense(2, activation="softmax")])
        model.compile(name, input_shape=(2,), metrics=())
        model.train_on_batch(np.zeros((2, 2), np.float32), np.array([0, 1]))


def _work_on_images() -> None:
    x, y = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3), np.array([0, 1])
    for images in (x, normalised(x, Preprocessing.fit(x))):  # as bytes and as floats
        Augmenter("flip,crop:1,mixup:1", shape=(8, 8, 3), classes=2)(images, y, y, epoch=0)
