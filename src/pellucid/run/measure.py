"""How fast a network trains and predicts on this machine."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import backend
from ..errors import PellucidError
from .networks import find


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
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    seconds: float = 3.0,
    threads: int | None = None,
) -> list[Measurement]:
    """Train and ask a network on random images for ``seconds`` each; the first batch is kept apart."""
    if batch_size < 1 or not 0 < seconds < 1e6:
        raise PellucidError(
            f"Got batches of {batch_size} and {seconds} seconds; wanted at least 1 image and more than 0 seconds."
        )
    if threads is not None:
        backend.set_num_threads(threads)
    rng = np.random.default_rng(0)
    results = []
    for engine in backends:
        with backend.using(engine):
            model = find(name, input_shape, classes)
            sigmoid = model.final_activation == "sigmoid"
            model.compile("sgd", "binary_crossentropy" if sigmoid else "categorical_crossentropy", learning_rate=1e-3)
            shape = model.input_shape or tuple(input_shape)
            x = rng.standard_normal((batch_size, *shape), np.float32)
            y = rng.integers(max(2, model.output_shape(shape)[-1]), size=batch_size)
            border, model.preprocessing = model.preprocessing, None  # the images are random already
            flops = 2 * model.multiply_adds(shape) / 1e9
            train = _time(lambda: model.train_on_batch(x, y), seconds)  # noqa: B023 - called before the next round
            ask = _time(lambda: model.predict(x, batch_size=batch_size), seconds)  # noqa: B023
            model.preprocessing = border
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


def cpu_name() -> str:
    """The processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
