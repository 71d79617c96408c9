"""Public checks: is this derivative right, does this layer keep the contract, does this whole model learn what it claims?

Each check returns a ``Report``; the ``assert_`` functions are the same for test suites. Everything runs in float64 on the
NumPy reference. Layers and ops of your own are held to the same rules as those of the library:

    def test_my_layer():
        assert_layer(MyLayer(units=3), input_shape=(8, 8, 2))
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import backend
from .differentiation import CheckedGradient, gradient_errors
from .errors import PellucidError
from .layers import Layer
from .randomness import Randomness

TOLERANCE = {"complex": 1e-9, "central": 1e-5}  # what a right gradient stays below, by method


@dataclass(frozen=True)
class Report:
    """What a check found: the largest relative error of each gradient, and broken rules in words.

    >>> report = Report("my op", [CheckedGradient("x", (2, 3), 6, 3e-16)], 1e-9)
    >>> report.ok, report.error
    (True, 3e-16)
    >>> print(report)
    my op: right
      x  (2, 3)  6 elements  error 3.0e-16
    """

    name: str
    rows: list[CheckedGradient]
    tolerance: float
    problems: list[str] = field(default_factory=list)

    @property
    def error(self) -> float:
        """The largest relative error of all."""
        return max((row.error for row in self.rows), default=0.0)

    @property
    def ok(self) -> bool:
        """No gradient is off by more than the tolerance and no rule is broken."""
        return self.error <= self.tolerance and not self.problems

    def __str__(self) -> str:
        lines = [f"{self.name}: {'right' if self.ok else 'WRONG'}"]
        width = max((len(row.path) for row in self.rows), default=0)
        for row in self.rows:
            wrong = "" if row.error <= self.tolerance else f"  <-- above {self.tolerance:.0e}"
            lines.append(f"  {row.path:{width}}  {row.shape}  {row.checked} elements  error {row.error:.1e}{wrong}")
        return "\n".join(lines + [f"  {problem}" for problem in self.problems])

    def verify(self) -> None:
        """Raise AssertionError with the report as its text unless all is right."""
        if not self.ok:
            raise AssertionError(str(self))


# Ops -----------------------------------------------------------------------------------------------------------------


def check_gradients(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[..., Any],
    arrays: Sequence[NDArray | None],
    *,
    method: str = "complex",
    seed: int = 0,
    samples: int = 300,
    directions: int = 3,
    tolerance: float | None = None,
    **settings: Any,
) -> Report:
    """Compare an op's ``backward`` with numerical derivatives of its ``forward``, for a random gradient ``dy`` of the output.

    A gradient of ones would hide transpositions, a random one does not. Arrays of up to ``samples`` elements are checked
    element by element, larger ones by samples and random directions; see ``gradient_errors`` for what the error means.

    Parameters
    ----------
    forward, backward
        the pair: ``forward(*arrays, **settings) -> (y, cache)``, ``backward(dy, cache) -> gradients``, one for each of the
        first array arguments, or a bare one.
    arrays
        where to check; None for arguments left out. Keep them off kinks and ties with ``method="central"``.
    method
        ``"complex"``, exact to rounding, for ops that also run on complex arrays; or ``"central"`` for any op.

    >>> from pellucid import ops
    >>> x, kernel = np.random.default_rng(0).normal(size=(2, 4)), np.eye(4)[:, :3]
    >>> print(check_gradients(ops.dense, ops.dense_backward, [x, kernel, np.zeros(3)]))
    dense: right
      x       (2, 4)  8 elements  error ...
      kernel  (4, 3)  12 elements  error ...
      bias    (3,)  3 elements  error ...
    """
    rng = np.random.default_rng(seed)
    arrays = [a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in arrays]

    def run(replaced: dict[str, NDArray]) -> tuple[Any, Any]:
        fresh = [None if a is None else replaced.get(name, a).copy() for name, a in zip(names, arrays, strict=True)]
        return forward(*fresh, **settings)

    names = _argument_names(forward, len(arrays))
    y, cache = run({})
    dy = np.asarray(rng.standard_normal(np.shape(y)))
    dy_before = dy.copy()
    found = backward(dy, cache)
    gradients = dict(zip(names, found if isinstance(found, tuple) else (found,), strict=False))
    inputs = {name: a for name, a in zip(names, arrays, strict=True) if a is not None and name in gradients}
    rows = gradient_errors(
        lambda point: np.sum(run(point)[0] * dy),
        gradients,
        inputs,
        samples=samples,
        directions=directions,
        seed=seed,
        method=method,
    )
    problems = [] if np.array_equal(dy, dy_before) else ["backward changes dy; it belongs to the caller."]
    problems += [
        f"backward returns a gradient for {name}, which was None."
        for name in gradients
        if name not in inputs and gradients[name] is not None
    ]
    name = getattr(forward, "__name__", "op")
    return Report(name, rows, TOLERANCE[method] if tolerance is None else tolerance, problems)


def assert_gradients(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[..., Any],
    arrays: Sequence[NDArray | None],
    **options: Any,
) -> None:
    """``check_gradients`` for tests: raises AssertionError with the whole report if a gradient is wrong.

    >>> from pellucid import ops
    >>> assert_gradients(ops.tanh, lambda dy, cache: dy, [np.ones(2)])
    Traceback (most recent call last):
    AssertionError: tanh: WRONG
      x  (2,)  2 elements  error 5.8e-01  <-- above 1e-09
    """
    check_gradients(forward, backward, arrays, **options).verify()


def adjoint_error(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[..., Any],
    arrays: Sequence[NDArray | None],
    argument: int = 0,
    *,
    seed: int = 0,
    **settings: Any,
) -> float:
    """How far an op that is linear in one argument is from ⟨dy, A x⟩ = ⟨Aᵀ dy, x⟩, relative to |dy| |A x|.

    The identity needs no numerical derivative, and holds for float32 as well as for compiled kernels.

    >>> from pellucid import ops
    >>> x = np.random.default_rng(0).normal(size=(1, 6, 6, 2))
    >>> adjoint_error(ops.average_pool2d, ops.average_pool2d_backward, [x], pool_size=3) < 1e-14
    True
    """
    y, cache = forward(*arrays, **settings)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
    found = backward(dy, cache)
    gradient = (found if isinstance(found, tuple) else (found,))[argument]
    x = np.asarray(arrays[argument])
    size = np.linalg.norm(dy) * np.linalg.norm(y)
    return float(abs(np.vdot(dy, y) - np.vdot(gradient, x)) / max(size, np.finfo(y.dtype).tiny))


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in inspect.signature(function).parameters.values() if p.kind in positional][:count]
    return names + [f"argument{n}" for n in range(len(names) + 1, count + 1)]


# Layers --------------------------------------------------------------------------------------------------------------


def check_layer(
    layer: Layer,
    input_shape: tuple[int, ...],
    *,
    batch_size: int = 2,
    training: bool = True,
    method: str = "complex",
    seed: int = 0,
    samples: int = 100,
    directions: int = 3,
    tolerance: float | None = None,
) -> Report:
    """Hold a layer to the contract: its gradients, and the rules that keep layers free of surprises.

    A clone of the layer with random parameters is checked, the layer itself is not touched. The gradients by the input
    and by every parameter are compared with numerical derivatives. The rules:

    - the config is plain JSON and makes the same layer again;
    - the output has the shape that ``output_shape`` promises, and float32 stays float32;
    - forward does not change its input, backward does not change ``dy`` and can be called twice on one cache;
    - ``input_gradient=False`` leaves the other gradients as they are;
    - no array of the batch stays on the layer;
    - in inference, the state does not change and images do not see one another.

    >>> from pellucid.layers import Conv2D
    >>> check_layer(Conv2D(3, 2, activation="tanh"), input_shape=(4, 5, 2)).ok
    True
    """
    tolerance = TOLERANCE[method] if tolerance is None else tolerance
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch_size, *input_shape))
    problems = list(_config_problems(layer))
    if problems:
        return Report(repr(layer), [], tolerance, problems)
    with backend.using("numpy"):
        twin = layer.clone()
        twin.build(input_shape, seed=seed, dtype=np.complex128 if method == "complex" else np.float64)
        # zeros and ones, the usual first values of biases and scales, would hide mistakes
        params = {path: a.real + rng.normal(scale=0.3, size=a.shape) for path, a in twin.params.items()}
        state = {path: a.real + rng.uniform(0, 0.5, a.shape) for path, a in twin.state.items()}
        draws = Randomness.for_batch(seed, 0, np.arange(batch_size))

        def run(point: dict[str, NDArray]) -> NDArray:
            twin.load_weights({path: point[path] for path in params} | state)
            return twin.forward(point["input"], training=training, rng=draws)[0]

        plain = layer.clone()
        plain.build(input_shape, seed=seed, dtype=np.float64)
        plain.load_weights(params | state)
        broken, dy, gradients = _follow_rules(plain, x, training, draws, rng)
        rows = gradient_errors(
            lambda point: np.sum(run(point) * dy),
            gradients,
            {"input": x} | params,
            samples=samples,
            directions=directions,
            seed=seed,
            method=method,
        )
    unknown = [
        f"backward returns a gradient for {path!r}, which is no parameter."
        for path in gradients.keys() - params - {"input"}
    ]
    return Report(repr(layer), rows, tolerance, broken + unknown)


def assert_layer(layer: Layer, input_shape: tuple[int, ...], **options: Any) -> None:
    """``check_layer`` for tests, in training and in inference: raises AssertionError with the whole report.

    >>> from pellucid.layers import BatchNormalization
    >>> assert_layer(BatchNormalization(), input_shape=(3, 3, 2))
    """
    for training in [options.pop("training")] if "training" in options else [True, False]:
        check_layer(layer, input_shape, training=training, **options).verify()


def check_model(model: Any, x: NDArray | None = None, y: NDArray | None = None, **options: Any) -> Report:
    """``model.gradient_check(x, y, **options)`` of a compiled model, as a report; ``assert_model`` is the same for tests.

    >>> from pellucid.layers import Dense
    >>> from pellucid.model import Sequential
    >>> model = Sequential([Dense(4, "tanh"), Dense(3, "softmax")])
    >>> model.compile(loss="cce", input_shape=(5,))
    >>> check_model(model).ok
    True
    """
    rows = model.gradient_check(x, y, **options)
    return Report(model.name or "model", rows, TOLERANCE[options.get("method", "complex")])


def assert_model(model: Any, x: NDArray | None = None, y: NDArray | None = None, **options: Any) -> None:
    """``check_model`` for tests: raises AssertionError with the whole report."""
    check_model(model, x, y, **options).verify()


# The rules -----------------------------------------------------------------------------------------------------------


def _config_problems(layer: Layer) -> Iterator[str]:
    try:
        config = layer.config()
        again = Layer.from_config(json.loads(json.dumps(config)))
    except (TypeError, AttributeError, PellucidError) as error:
        yield f"The config does not make the layer again: {error}"
        return
    if again.config() != config:
        yield f"The config makes another layer: {again.config()} instead of {config}."


def _follow_rules(
    layer: Layer, x: NDArray, training: bool, draws: Randomness, rng: np.random.Generator
) -> tuple[list[str], NDArray, dict[str, NDArray | None]]:
    """Run a layer in float64, then in float32; returns broken rules, the ``dy`` that was used and the gradients."""
    problems = []

    def rule(kept: bool | np.bool, text: str) -> None:
        if not kept:
            problems.append(text)

    before, state = _arrays_on(layer), {path: a.copy() for path, a in layer.state.items()}
    x_given = x.copy()
    y, cache = layer.forward(x_given, training=training, rng=draws)
    promised = (len(x), *layer.output_shape(x.shape[1:]))
    rule(y.shape == promised, f"output_shape promises {promised} but forward returns {y.shape}.")
    rule(np.array_equal(x_given, x), "forward changes its input.")

    dy = rng.standard_normal(y.shape)
    dy_given = dy.copy()
    dx, gradients = layer.backward(dy_given, cache)
    rule(np.array_equal(dy_given, dy), "backward changes dy, which belongs to the caller.")
    rule(np.array_equal(x_given, x), "backward changes the input of forward.")
    dx = None if dx is None else dx.copy()
    gradients = {path: gradient.copy() for path, gradient in gradients.items()}
    again = layer.backward(dy, cache)
    rule(_same({"input": dx} | gradients, {"input": again[0]} | again[1]), "backward differs when called again.")
    rule(
        _same(gradients, layer.backward(dy, cache, input_gradient=False)[1]),
        "input_gradient=False changes or drops the gradients of parameters.",
    )
    left = _arrays_on(layer).keys() - before.keys()
    rule(not left, "forward or backward leaves an array on the layer; return it in the cache instead.")
    if not training:
        rule(_same(state, layer.state), "inference changes the state.")
        alone = layer.forward(x[:1], training=False, rng=None)[0]
        rule(np.allclose(alone, y[:1], rtol=1e-9, atol=1e-12), "in inference an output depends on other images.")
    _check_float32(layer, x, dy, training, draws, rule)
    return problems, dy, {"input": dx} | gradients


def _check_float32(
    layer: Layer, x: NDArray, dy: NDArray, training: bool, draws: Randomness, rule: Callable[[bool, str], None]
) -> None:
    single = layer.clone()
    single.build(x.shape[1:])
    y, cache = single.forward(x.astype(np.float32), training=training, rng=draws)
    dx, gradients = single.backward(dy.astype(np.float32), cache)
    rule(y.dtype == np.float32, f"forward turns float32 into {y.dtype}.")
    dtypes = {path: a.dtype for path, a in ({"input": dx} | gradients).items() if a is not None}
    wrong = {path: str(dtype) for path, dtype in dtypes.items() if dtype != np.float32}
    rule(not wrong, f"in float32, gradients have other dtypes: {wrong}.")


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def _arrays_on(layer: Layer) -> dict[int, NDArray]:
    """All arrays reachable from the attributes of a layer and those inside it, by identity."""
    arrays: dict[int, NDArray] = {}
    waiting: list[Any] = [vars(part) for part in layer.walk()]
    while waiting:
        item = waiting.pop()
        if isinstance(item, np.ndarray):
            arrays[id(item)] = item
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple | set):
            waiting.extend(item)
    return arrays
