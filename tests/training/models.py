"""The smallest thing that can be trained, a real one, and what compares two trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid import training
from pellucid.files import write_atomically
from pellucid.randomness import Randomness


class StubOptimizer:
    """Momentum."""

    def __init__(self, learning_rate: float = 0.1) -> None:
        self.learning_rate, self.iterations, self.slots = learning_rate, 0, {}

    @property
    def rate(self) -> float:
        return self.learning_rate

    def expect(self, horizon: Any) -> None:
        self.horizon = horizon

    def observe(self, row: dict[str, Any]) -> None:
        self.observed = row

    def apply(self, params: dict[str, NDArray], gradients: dict[str, NDArray]) -> None:
        self.iterations += 1
        for path, gradient in gradients.items():
            v = self.slots.setdefault(f"velocity/{path}", np.zeros_like(gradient))
            v *= 0.9
            v -= self.learning_rate * gradient
            params[path] += v

    def load_slots(self, slots: dict[str, NDArray], iterations: int) -> None:
        self.slots, self.iterations = {path: slot.copy() for path, slot in slots.items()}, iterations

    def config(self) -> dict[str, Any]:
        return {"name": "stub", "learning_rate": self.learning_rate}


class Stub:
    """A straight line through noisy points; its state is a moving mean, its noise a function of (seed, epoch, index)."""

    def __init__(self, features: int = 3, width: float = 0.1, learning_rate: float = 0.05) -> None:
        self.params = {"line/w": np.zeros(features), "line/b": np.zeros(())}
        self.state = {"line/mean": np.zeros(features)}
        self.optimizer = StubOptimizer(learning_rate)
        self.training_summary: dict[str, Any] = {}
        self.width = width
        self.seen: list[tuple[int, list[int]]] = []

    def train_step(self, x, y, *, sample_weight=None, epoch=0, indices=None) -> dict[str, float]:
        self.seen.append((epoch, list(indices)))
        noise = self.width * Randomness.for_batch(0, epoch, indices).uniform(x.shape[1:])
        self.state["line/mean"] += 0.1 * (x.mean(axis=0) - self.state["line/mean"])
        error = ((x + noise) @ self.params["line/w"] + self.params["line/b"] - y) * (
            1.0 if sample_weight is None else sample_weight
        )
        self.optimizer.apply(self.params, {"line/w": error @ x / len(x), "line/b": np.asarray(error.mean())})
        return {"loss": float((error**2).mean()), "accuracy": float((abs(error) < 0.1).mean())}

    def evaluate(self, x, y, batch_size: int = 256) -> dict[str, float]:
        error = x @ self.params["line/w"] + self.params["line/b"] - y
        return {"loss": float((error**2).mean()), "accuracy": float((abs(error) < 0.1).mean())}

    def load_weights(self, arrays: dict[str, NDArray]) -> None:
        for path, array in arrays.items():
            (self.params if path in self.params else self.state)[path][...] = array

    def config(self) -> dict[str, Any]:
        return {"class": "Stub", "layers": [{"features": len(self.params["line/w"]), "width": self.width}]}

    def save(self, path: Any) -> None:
        text = json.dumps({**self.training_summary, "w": self.params["line/w"].tolist()})
        write_atomically(path, lambda temporary: temporary.write_text(text))


def points(n: int = 22, features: int = 3) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((n, features))
    return x, x @ np.arange(1.0, features + 1) + 0.01 * rng.standard_normal(n)


class StopAt(training.Callback):
    """Leave after a step: politely, or as if the process had died."""

    def __init__(self, step: int, *, die: bool = False) -> None:
        self.step, self.die = step, die

    def on_batch_end(self, run: training.Training, scores: dict[str, float]) -> None:
        if run.progress.step == self.step:
            if self.die:
                raise Died
            run.stop("SIGTEST")


class Died(BaseException):
    """The process is gone: nobody gets to save anything."""


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what a clock decides."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows]


def lines(path: Path) -> list[dict[str, Any]]:
    """A file of strict JSON lines."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not strict JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def assert_same(one: Any, two: Any) -> None:
    """Two models are equal in every bit of weights, state and optimizer."""
    for a, b in ((one.params, two.params), (one.state, two.state), (one.optimizer.slots, two.optimizer.slots)):
        assert a.keys() == b.keys()
        for path in a:
            assert a[path].dtype == b[path].dtype
            assert a[path].tobytes() == b[path].tobytes(), path
    assert one.optimizer.iterations == two.optimizer.iterations
