"""Does this layer keep the contract?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import backend
from ..differentiation import gradient_errors
from ..errors import PellucidError
from ..layers import Layer
from ..randomness import Randomness
from .report import TOLERANCE, Report


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
