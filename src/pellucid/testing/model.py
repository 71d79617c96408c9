"""Does this whole model learn along the gradient of its loss?"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .report import TOLERANCE, Report


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
