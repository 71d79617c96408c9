"""How fast a network trains and predicts on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .. import backend
from ..errors import PellucidError
from . import networks
from .receipt import cpu_name


class Measurement(NamedTuple):
    """Images per second: the median over batches, and the slowest and the fastest tenth."""

    backend: str
    task: str
    images_per_second: float
    slow: float
    fast: float
    gflops: float
    first_batch_seconds: float
    batches: int
    batch_size: int
    threads: int | None  # of the compiled kernels; what NumPy's own library does is its business
    cpu: str


def measure(
    name: str,
    backends: Sequence[str],
    *,
    batch_size: int = 64,
    input_shape: Sequence[int] | None = None,
    classes: int = 10,
    seconds: float = 3.0,
) -> list[Measurement]:
    """Train and ask a network (see ``networks.network``) on random images for ``seconds`` each; the first batch is kept apart."""
    if not 0 < seconds < 1e6:
        raise PellucidError(f"Got {seconds} seconds; wanted more than 0.")
    results = []
    for engine in backends:
        with backend.using(engine):
            model = networks.network(name, input_shape, classes)
            x, y = networks.images(model, batch_size)
            flops = 2 * model.multiply_adds(model.input_shape or ()) / 1e9
            train = _time(lambda: model.train_on_batch(x, y), seconds)  # noqa: B023 - called before the next round
            ask = _time(lambda: model.predict(x, batch_size=batch_size), seconds)  # noqa: B023
        results.append(_measurement(engine, "train", train, batch_size, 3 * flops))
        results.append(_measurement(engine, "predict", ask, batch_size, flops))
    return results


def _time(step: Callable[[], object], seconds: float) -> list[float]:
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < 4 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
        if len(times) == 1:
            begin = time.perf_counter()  # what the first batch compiles is not counted
    return times


def _measurement(engine: str, task: str, times: list[float], batch_size: int, gflop: float) -> Measurement:
    rates = batch_size / np.array(times[1:])
    median, slow, fast = (float(np.quantile(rates, q)) for q in (0.5, 0.1, 0.9))
    threads = backend.get_num_threads() if engine == "native" else None
    return Measurement(
        engine, task, median, slow, fast, median * gflop, times[0], len(times) - 1, batch_size, threads, cpu_name()
    )
