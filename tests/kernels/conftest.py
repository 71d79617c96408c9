"""What the tests of the compiled kernels share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

ROUNDING = 2.0**-24  # the unit roundoff of float32


@pytest.fixture(scope="session")
def agrees() -> Callable:
    """``agrees(name, computed, exact, magnitude, length)``: is the difference what rounding in float32 explains?

    A sum of ``length`` products whose absolute values add up to ``magnitude`` is off by at most ``length · u · magnitude``, and
    with rounding errors of random sign by about ``sqrt(length) · u · magnitude`` (Higham, Mary, "A new approach to
    probabilistic rounding error analysis", SIAM J. Sci. Comput. 41, 2019). Two more roundings for storing and the bias.
    """

    def check(name: str, computed: np.ndarray, exact: np.ndarray, magnitude: np.ndarray, length: int) -> None:
        assert computed.dtype == np.float32, name
        assert computed.shape == exact.shape, name
        allowed = (2 * np.sqrt(length) + 2) * ROUNDING * magnitude + 1e-37
        excess = np.abs(computed - exact) - allowed
        worst = np.unravel_index(excess.argmax(), excess.shape)
        assert excess[worst] <= 0, f"{name}{list(map(int, worst))}: {computed[worst]} instead of {exact[worst]}"

    return check


@pytest.fixture(scope="session")
def same_bits() -> Callable:
    """``same_bits(function)``: does it return the same bits on 1, 2 and 3 threads? Gives the result back."""
    from pellucid.kernels import get_num_threads, set_num_threads

    def check(function: Callable[[], Sequence[np.ndarray | None]]) -> Sequence[np.ndarray | None]:
        before, results = get_num_threads(), []
        try:
            for threads in (1, 2, 3):
                set_num_threads(threads)
                results.append(function())
        finally:
            set_num_threads(before)
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                assert (a is None and b is None) or a.tobytes() == b.tobytes()
        return results[0]

    return check
