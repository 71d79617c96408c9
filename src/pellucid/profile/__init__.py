"""Where the time of a training step goes, layer by layer, and what limits each layer.

A processor can do two things at most: so many multiplications a second, and so many bytes a second to and from memory. Both
limits are measured here, in the same run (``measure_peak``). For every layer the profile counts the operations and the
bytes it cannot do without, and so knows the time it would take at either limit. The longer of the two is the least time
possible (the "roofline" of Williams, Waterman, Patterson, "Roofline: an insightful visual performance model", CACM 52, 2009):

- "arithmetic": the arithmetic takes longer, and the layer reaches at least a quarter of that limit;
- "memory": the same for bytes;
- "overhead": the layer takes more than four times the least time, so neither limit is what holds it up: calls from Python,
  passes over memory that could be saved, work too small to share among threads.

A share can exceed 100 %: small arrays stay in a cache, which is quicker than memory, and Winograd's convolution needs fewer
multiplications than are counted.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError
from ..layers import Chain, Concatenate, Flatten, Layer, Residual
from ..layers.base import Shape
from ..model import Sequential
from ..plan import planned
from ..randomness import Randomness
from .peak import Peak, measure_peak

__all__ = ["Peak", "Profile", "Row", "measure_peak", "profile"]

FAR = 4.0  # this many times the least possible time is far from any limit
_Piece = tuple[
    str, Layer, list[tuple[Layer, Shape]]
]  # its path, what runs, the layers it was made of and what they are fed
_FLOAT = 4  # bytes


class Row(NamedTuple):
    """One layer's part of a training step, or that of several which run as one: "conv1 + max_pool1".

    The loss and the optimizer have rows of their own.
    """

    path: str
    output_shape: Shape
    forward_ms: float
    backward_ms: float
    gflop: float  # billions of operations, forward and backward
    gigabytes: float  # read and written at least, forward and backward
    peak: Peak

    @property
    def ms(self) -> float:
        """Forward and backward together."""
        return self.forward_ms + self.backward_ms

    @property
    def gflops(self) -> float:
        """Billions of operations a second."""
        return 1e3 * self.gflop / self.ms if self.ms else 0.0

    @property
    def bandwidth(self) -> float:
        """Gigabytes a second."""
        return 1e3 * self.gigabytes / self.ms if self.ms else 0.0

    @property
    def share(self) -> float:
        """The least possible time divided by the time taken."""
        return max(self._least()) / self.ms if self.ms else 0.0

    @property
    def limit(self) -> str:
        """What limits the layer: "arithmetic", "memory" or "overhead"; "" where it does nothing."""
        arithmetic, memory = self._least()
        if not arithmetic and not memory:
            return ""
        if self.share < 1 / FAR:
            return "overhead"
        return "arithmetic" if arithmetic >= memory else "memory"

    def _least(self) -> tuple[float, float]:
        return 1e3 * self.gflop / self.peak.gflops, 1e3 * self.gigabytes / self.peak.gigabytes


@dataclass(frozen=True)
class Profile:
    """The rows, and what they add up to. ``rich`` renders it as a table."""

    name: str
    batch_size: int
    rows: list[Row]
    measured_ms: float  # of the steps that were taken apart
    step_ms: float  # of ``train_on_batch``, left alone
    peak: Peak

    def __rich__(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table

        title = f"{self.name}, batches of {self.batch_size}, {self.peak.threads} threads"
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=title, title_justify="left")
        table.add_column("layer", no_wrap=True)
        for heading in ("output", "forward\nms", "backward\nms", "part", "GFLOP/s", "of\npeak", "MB", "of\nlimit"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("limited\nby", no_wrap=True)
        total = sum(row.ms for row in self.rows) or 1.0
        for row in self.rows:
            shape = "x".join(map(str, row.output_shape))
            rates = [f"{row.gflops:.1f}", f"{row.gflops / self.peak.gflops:.0%}"] if row.gflop else ["·", "·"]
            rates += [f"{1e3 * row.gigabytes:.1f}" if row.gigabytes else "·"]
            times = [f"{row.forward_ms:.3f}", f"{row.backward_ms:.3f}", f"{row.ms / total:.0%}"]
            table.add_row(row.path, shape, *times, *rates, f"{row.share:.0%}" if row.limit else "·", row.limit)
        return Group(table, self.totals())

    def to_dict(self) -> dict[str, Any]:
        """The same as plain types, fit for JSON."""
        derived = ("ms", "gflops", "bandwidth", "share", "limit")
        rows = [row._asdict() | {name: getattr(row, name) for name in derived} for row in self.rows]
        for row in rows:
            del row["peak"]  # the same for all
        about = {"name": self.name, "batch_size": self.batch_size, "peak": self.peak._asdict()}
        return about | {"step_ms": self.step_ms, "measured_ms": self.measured_ms, "layers": rows}

    def totals(self) -> str:
        """The closing lines of the table."""
        gflop = sum(row.gflop for row in self.rows)
        rate = 1e3 * gflop / self.step_ms
        return (
            f"The layers together {sum(row.ms for row in self.rows):.2f} ms; a whole step {self.step_ms:.2f} ms, "
            f"{1e3 * self.batch_size / self.step_ms:,.0f} images/s, {rate:.1f} GFLOP/s.\n"
            f"Limits measured in this run: {self.peak.gflops:.0f} GFLOP/s, {self.peak.gigabytes:.1f} GB/s. "
            f'"overhead" takes more than {FAR:.0f} times what the nearer limit allows.'
        )


def profile(model: Sequential, batch_size: int = 64, repeats: int = 10, peak: Peak | None = None) -> Profile:
    """Take training steps of a built model on random images apart, layer by layer; times are medians over ``repeats`` steps.

    Layers that a training step runs as one op have one row. The model is left as it is.

    Operations are counted as everybody counts them: 2 per multiply-add forward, 4 backward (2 where the gradient by the
    input is not computed). Bytes are the least possible: forward reads input and weights and writes the output; backward
    reads the output's gradient, the input and the weights, and writes their gradients.

    >>> from pellucid import zoo
    >>> result = profile(zoo.build("cnn1_mnist", (8, 8, 1)), batch_size=2, repeats=1, peak=Peak(100.0, 10.0, 1))
    >>> [row.path for row in result.rows][-3:]
    ['dense2', 'loss', 'optimizer']
    """
    if batch_size < 1 or repeats < 1:
        raise PellucidError(f"profile got batch_size={batch_size} and repeats={repeats}; wanted at least 1 of each.")
    twin = _ready(model)
    shape = tuple(twin.input_shape or ())
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch_size, *shape), np.float32)
    y = rng.integers(max(2, twin.output_shape(shape)[-1]), size=batch_size)
    known = peak or measure_peak()
    twin.train_on_batch(x, y)  # compiles what there is to compile
    whole, apart, clocks = [], [], []
    for _ in range(repeats):
        whole.append(_seconds(lambda: twin.train_on_batch(x, y)))
        clock = _Clock()
        apart.append(_seconds(lambda: _step(twin, x, y, clock)))  # noqa: B023 - called at once
        clocks.append(clock)
    # Measured twice: other work on the machine can hide the peak for a moment, and every share would look too good.
    peak = peak or known.or_more(measure_peak())
    rows = []
    for path, _, group in _pieces(*_networks(twin), shape):
        gflop, gigabytes = _work(group, batch_size, clocks[-1].input_gradient.get(path, True))
        last, here = group[-1]
        rows.append(Row(path, tuple(last.output_shape(here)), *_medians(clocks, path), gflop, gigabytes, peak))
    rows.append(Row("loss", (), *_medians(clocks, "loss"), 0.0, 0.0, peak))
    moved = 3e-9 * _FLOAT * twin.count_params()  # weights read and written, gradients read
    rows.append(Row("optimizer", (), *_medians(clocks, "optimizer"), 0.0, moved, peak))
    measured, step = (1e3 * statistics.median(seconds) for seconds in (apart, whole))
    return Profile(model.name or "model", batch_size, rows, measured, step, peak)


def _ready(model: Sequential) -> Sequential:
    """A copy to train on."""
    if not model.built:
        raise PellucidError("The model has no weights yet: compile it with its input_shape first.")
    twin = model.twin(np.float32)
    default = "binary_crossentropy" if twin.final_activation == "sigmoid" else "categorical_crossentropy"
    twin.compile("sgd", model.loss or default, learning_rate=1e-3, metrics=())
    return twin


def _networks(model: Sequential) -> tuple[Layer, Layer]:
    """What a training step runs, neighbouring layers grouped, and the layers it was made of."""
    _, leaves_activation = model.loss.takes(model.final_activation)  # type: ignore[union-attr]
    plain = model.without_activation() if leaves_activation else model
    return planned(plain), plain


def _step(model: Sequential, x: NDArray, y: NDArray, clock: _Clock) -> None:
    """What ``train_on_batch`` does, one layer after another, under a clock."""
    loss: Any = model.loss
    op, _ = loss.takes(model.final_activation)
    network, plain = _networks(model)
    rng = Randomness.for_batch(model.seed, 0, np.arange(len(x)))
    with _timed(_pieces(network, plain, tuple(model.input_shape or ())), clock):
        outputs, tape = Chain.forward(network, x, training=True, rng=rng)  # type: ignore[arg-type]
        with clock.running("loss", True):
            _, saved = loss.forward(op, outputs, y)
        with clock.running("loss", False):
            dy = backend.backward(1.0, saved)
        _, gradients = Chain.backward(network, dy, tape, input_gradient=False)  # type: ignore[arg-type]
    with clock.running("optimizer", False):
        model.optimizer.apply(model.params, gradients)  # type: ignore[union-attr]


def _medians(clocks: list[_Clock], path: str) -> tuple[float, float]:
    """Milliseconds forward and backward; 0 for what did not run."""
    ways = ([clock.seconds.get((path, forward), 0.0) for clock in clocks] for forward in (True, False))
    forward, backward = (1e3 * statistics.median(seconds) for seconds in ways)
    return forward, backward


class _Clock:
    """Seconds per (path, forward or not); what runs inside something else counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, bool], float] = {}
        self.input_gradient: dict[str, bool] = {}
        self._inside = [0.0]

    @contextlib.contextmanager
    def running(self, path: str, forward: bool) -> Iterator[None]:
        self._inside.append(0.0)
        start = time.perf_counter()
        yield
        taken = time.perf_counter() - start
        self.seconds[path, forward] = taken - self._inside.pop()
        self._inside[-1] += taken


@contextlib.contextmanager
def _timed(pieces: list[_Piece], clock: _Clock) -> Iterator[None]:
    """A block in which every layer reports its time."""
    for path, layer, _ in pieces:
        _put_clock(layer, path, clock)
    try:
        yield
    finally:
        for _, layer, _ in pieces:
            del layer.forward, layer.backward  # the class's own are back


def _put_clock(layer: Layer, path: str, clock: _Clock) -> None:
    forward, backward = layer.forward, layer.backward

    def timed_forward(x: NDArray, **options: Any) -> Any:
        with clock.running(path, True):
            return forward(x, **options)

    def timed_backward(dy: NDArray, cache: Any, *, input_gradient: bool = True, **options: Any) -> Any:
        clock.input_gradient[path] = input_gradient
        with clock.running(path, False):
            return backward(dy, cache, input_gradient=input_gradient, **options)

    layer.forward, layer.backward = timed_forward, timed_backward  # type: ignore[method-assign]


def _pieces(network: Layer, plain: Layer, shape: Shape, prefix: str = "") -> list[_Piece]:
    """What runs as one, in order. Of containers those that compute something themselves: they add or concatenate."""
    found: list[_Piece] = []
    running = dict(network.children())
    groups: list[list[tuple[str, Layer, Shape]]] = []
    for part in plain.parts(shape):
        if part[0] in running:  # a group runs under the name of its first layer
            groups.append([])
        groups[-1].append(part)
    for group in groups:
        name, layer, here = group[0]
        found += _pieces(running[name], layer, here, f"{prefix}{name}/")
        if not isinstance(layer, Chain):
            path = " + ".join([f"{prefix}{name}", *(more for more, _, _ in group[1:])])
            found.append((path, running[name], [part[1:] for part in group]))
    return found


def _work(group: list[tuple[Layer, Shape]], batch_size: int, input_gradient: bool) -> tuple[float, float]:
    """Billions of operations and of bytes, forward and backward; of a container, what it does itself."""
    (first, shape), (last, before_last) = group[0], group[-1]
    x, y = batch_size * math.prod(shape), batch_size * math.prod(last.output_shape(before_last))
    if isinstance(last, Flatten):
        return 0.0, 0.0  # another view of the same numbers
    if isinstance(first, Residual):
        return 0.0, 1e-9 * _FLOAT * 3 * (y + (x if input_gradient else 0))  # two read, one written, each way
    if isinstance(first, Concatenate):
        sums = len(first.branches) - 1
        return 0.0, 1e-9 * _FLOAT * (2 * y + (3 * sums * x if input_gradient else 0))
    weights = sum(layer.count_params() for layer, _ in group)
    numbers = (x + weights + y) + (y + x + weights) + (weights + (x if input_gradient else 0))
    macs = sum(layer.multiply_adds(here) for layer, here in group)
    return 1e-9 * (6 if input_gradient else 4) * macs * batch_size, 1e-9 * _FLOAT * numbers


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
