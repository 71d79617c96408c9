"""Networks drawn at random train on both backends with equal losses, gradients and moving statistics.

Fifty networks here; ``PELLUCID_DRAWN_NETWORKS=2000 pytest tests/networks`` draws more.

What "equal" can mean for two ways to round is measured: the same network runs in float64, and in float32 on the NumPy
backend. The compiled kernels may be off by ten times what NumPy's float32 is off by, or by what float32 always explains:
sums of up to a hundred thousand terms are off by sqrt(1e5) u = 2e-5 of their size (Higham and Mary 2019; u = 6e-8), and
Winograd's convolution by 1e-5, a few layers in a row by some times that. A mistake in a kernel is a thousand times larger.

Luck has a part in it: where a number in front of ReLU is 0 up to rounding, its sign decides about a path of the gradient,
and no bound is small enough for that. So a network fails only if it differs on three draws of its images.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from pellucid import Sequential, backend
from pellucid.optimizers import SGD

from .drawn import Drawn, draw

COUNT = int(os.environ.get("PELLUCID_DRAWN_NETWORKS", "50"))
STEPS, DRAWS = 5, 3
FACTOR = 10.0
FLOORS = {"loss": 1e-5, "gradient of ": 1e-4, "state of ": 1e-4, "losses of the training": 1e-4}
Arrays = dict[str, np.ndarray]


class Step(NamedTuple):
    loss: float
    gradients: Arrays
    state: Arrays


@pytest.mark.parametrize("seed", range(COUNT))
def test_drawn_networks_train_equally(seed):
    network = draw(seed)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(DRAWS):
        found = differences(network)
        if not found:
            return
        network = network._replace(x=rng.standard_normal(network.x.shape).astype(np.float32))
    pytest.fail(f"{network}\n" + "\n".join(found))


def differences(network: Drawn) -> list[str]:
    """What the compiled kernels compute otherwise than NumPy, in words.

    Losses of a whole training are compared as they come. Losses, gradients and moving statistics of every step start from the
    same weights, those of the compiled training, so that no step is excused by the one before.
    """
    found: list[str] = []

    def compare(name: str, ours: Any, numpys: Any, exact: Any, scale: float) -> None:
        error, allowed = (float(np.linalg.norm(np.subtract(a, exact, dtype=np.float64))) for a in (ours, numpys))
        floor = next(value for start, value in FLOORS.items() if name.startswith(start))
        if not error <= max(FACTOR * allowed, floor * scale):  # NaN is not
            found.append(f"{name}: off by {error:.1e}, NumPy by {allowed:.1e}, where the size is {scale:.1e}")

    with backend.using("native"):
        rate = learning_rate(network)
        model = learner(network, np.float32, rate)
        losses, weights = [], []
        for number in range(STEPS):
            weights.append({path: array.copy() for path, array in (model.params | model.state).items()})
            ours = step(model, network, number)
            losses.append(ours.loss)
            exact = at(weights[-1], network, np.float64, number)
            numpys = at(weights[-1], network, np.float32, number)
            compare(f"loss of step {number}", ours.loss, numpys.loss, exact.loss, max(abs(exact.loss), 1e-2))
            whole = size(exact.gradients)
            for path, gradient in exact.gradients.items():
                scale = max(float(np.linalg.norm(gradient)), 0.03 * whole)  # one that cancels is measured by the others
                compare(
                    f"gradient of {path} in step {number}",
                    ours.gradients[path],
                    numpys.gradients[path],
                    gradient,
                    scale,
                )
            for path, array in exact.state.items():
                variance = exact.state.get(path.replace("moving_mean", "moving_variance"), array)
                scale = max(float(np.linalg.norm(array)), float(np.sqrt(np.abs(variance)).sum()))
                compare(f"state of {path} in step {number}", ours.state[path], numpys.state[path], array, scale)
            model.optimizer.apply(model.params, ours.gradients)
    trainings = [alone(network, dtype, rate) for dtype in (np.float32, np.float64)]
    scale = float(np.linalg.norm(trainings[1]))
    compare("losses of the training", losses, *trainings, scale)
    return found


def learner(network: Drawn, dtype: Any, rate: float) -> Sequential:
    model = network.model()
    model.adapt_to(network.x)
    model = model if dtype == np.float32 else model.twin(dtype)
    model.compile(SGD(rate, momentum=0.9), network.loss, metrics=())
    return model


def step(model: Sequential, network: Drawn, number: int) -> Step:
    logs, gradients = model.gradients(network.x, network.y, epoch=number)
    return Step(logs["loss"], gradients, model.state)


def at(weights: Arrays, network: Drawn, dtype: Any, number: int) -> Step:
    """The step on NumPy, from these weights."""
    with backend.using("numpy"):
        model = learner(network, dtype, 1.0)
        model.load_weights(weights)
        return step(model, network, number)


def alone(network: Drawn, dtype: Any, rate: float) -> list[float]:
    """The losses of the whole training on NumPy."""
    with backend.using("numpy"):
        model = learner(network, dtype, rate)
        return [model.train_on_batch(network.x, network.y) for _ in range(STEPS)]


def learning_rate(network: Drawn) -> float:
    """One that changes the weights by a hundredth in the first step, so that every network learns and none leaps."""
    with backend.using("numpy"):
        model = learner(network, np.float64, 1.0)
        return 0.01 * size(model.params) / size(step(model, network, 0).gradients)


def size(arrays: Arrays) -> float:
    return float(np.sqrt(sum(np.sum(np.square(array, dtype=np.float64)) for array in arrays.values())))


# Could it fail? ------------------------------------------------------------------------------------------------------

FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "every third a little too large": lambda a: np.where(_number(a) % 3 == 0, np.float32(1.003) * a, a),
    "one forgotten": lambda a: np.where(_number(a) == np.abs(a).argmax(), np.float32(0), a),
}


def _number(a: np.ndarray) -> np.ndarray:
    return np.arange(a.size).reshape(a.shape)


def ops_of(network: Drawn) -> set[str]:
    """The ops that run compiled in a step of this network."""
    used = set()
    forward = backend.forward

    def watched(op: str, *arrays: Any, **settings: Any) -> Any:
        y, saved = forward(op, *arrays, **settings)
        used.add(op if saved.implementation.backend == "native" else "")
        return y, saved

    with pytest.MonkeyPatch.context() as patch, backend.using("native"):
        patch.setattr(backend, "forward", watched)
        step(learner(network, np.float32, 1.0), network, 0)
    return used - {""}


@pytest.fixture(scope="module")
def networks_of() -> dict[str, list[Drawn]]:
    """For every op the drawn networks in which it runs compiled."""
    found: dict[str, list[Drawn]] = {}
    for seed in range(50):
        network = draw(seed)
        for op in ops_of(network):
            found.setdefault(op, []).append(network)
    return found


def compiled_ops() -> list[str]:
    from pellucid import kernels

    return sorted({row[0] for row in kernels.IMPLEMENTATIONS})


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("op", compiled_ops())
def test_a_fault_in_any_compiled_op_is_found(op, way, networks_of, monkeypatch):
    """Every compiled op is among the fifty networks, and two small faults in it, planted there, do not go unnoticed."""
    original = {"forward": backend.forward, "backward": backend.backward}

    def forward(name: str, *arrays: Any, **settings: Any) -> Any:
        y, saved = original["forward"](name, *arrays, **settings)
        hit = way == "forward" and name == op and saved.implementation.backend == "native"
        return (fault(y) if hit else y), saved

    def backward(dy: Any, saved: Any, **settings: Any) -> Any:
        gradients = original["backward"](dy, saved, **settings)
        name = saved.implementation.forward
        hit = way == "backward" and saved.implementation.backend == "native" and name in functions
        if not hit:
            return gradients
        if not isinstance(gradients, tuple):
            return fault(gradients)
        changed = max(i for i, gradient in enumerate(gradients) if gradient is not None)
        return tuple(fault(g) if i == changed else g for i, g in enumerate(gradients))

    from pellucid import kernels

    functions = {row[1] for row in kernels.IMPLEMENTATIONS if row[0] == op}
    monkeypatch.setattr(backend, "forward", forward)
    monkeypatch.setattr(backend, "backward", backward)
    for name, fault in FAULTS.items():  # noqa: B007 - forward and backward use it
        assert any(map(differences, networks_of[op])), name
