"""What Hypothesis draws: convolutions, poolings, images in odd memory layouts, losses."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

drawn = settings(deadline=None, derandomize=True, max_examples=120)

pairs = st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)))
layouts = st.sampled_from(["contiguous", "columns first", "every other", "reversed"])


def lay_out(a: NDArray, layout: str) -> NDArray:
    """The same numbers in another order in memory."""
    if layout == "columns first":
        return np.asfortranarray(a)
    if layout == "every other":
        apart = np.zeros(tuple(2 * n for n in a.shape), a.dtype)
        apart[(slice(None, None, 2),) * a.ndim] = a
        return apart[(slice(None, None, 2),) * a.ndim]
    if layout == "reversed":
        return a[(slice(None, None, -1),) * a.ndim].copy()[(slice(None, None, -1),) * a.ndim]
    return a


def both(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


@st.composite
def paddings(draw: st.DrawFn, largest: tuple[int, int]) -> Any:
    """Padding in any of its forms, up to ``largest`` (vertical, horizontal)."""
    up, across = (st.integers(0, n) for n in largest)
    forms = [
        st.sampled_from(["valid", "same"]),
        st.integers(0, min(largest)),
        st.tuples(up, across),
        st.tuples(st.tuples(up, up), st.tuples(across, across)),
    ]
    return draw(st.one_of(forms))


def extra(padding: Any) -> tuple[int, int]:
    """How many pixels a padding adds (vertical, horizontal); "same" counts as enough."""
    if isinstance(padding, str):
        return (0, 0) if padding == "valid" else (99, 99)
    return tuple(2 * p if isinstance(p, int) else sum(p) for p in both(padding))  # type: ignore[return-value]


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[list[Any], dict[str, Any]]:
    """(arrays, settings) of a convolution that fits."""
    kernel, dilation = draw(pairs), draw(pairs)
    span = tuple((k - 1) * d + 1 for k, d in zip(both(kernel), both(dilation), strict=True))
    padding = draw(paddings((3, 3)))
    h, w = (draw(st.integers(max(1, s - e), max(1, s - e) + 6)) for s, e in zip(span, extra(padding), strict=True))
    groups, ci, co = (draw(st.integers(1, 3)) for _ in range(3))
    if draw(st.booleans()):  # depthwise: every channel its own group
        groups, ci = groups * ci, 1
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = lay_out(rng.standard_normal((draw(st.integers(1, 3)), h, w, ci * groups)), draw(layouts))
    weights = lay_out(rng.standard_normal((*both(kernel), ci, co * groups)), draw(layouts))
    bias = rng.standard_normal(co * groups) if draw(st.booleans()) else None
    return [x, weights, bias], {"strides": draw(pairs), "padding": padding, "dilation": dilation, "groups": groups}


@st.composite
def poolings(draw: st.DrawFn) -> tuple[list[Any], dict[str, Any]]:
    """(arrays, settings) of a pooling that fits; the pixels have no ties."""
    pool = draw(pairs)
    padding = draw(paddings(tuple(k - 1 for k in both(pool))))  # type: ignore[arg-type]
    h, w = (
        draw(st.integers(max(1, k - e), max(1, k - e) + 7)) for k, e in zip(both(pool), extra(padding), strict=True)
    )
    shape = (draw(st.integers(1, 3)), h, w, draw(st.integers(1, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = 0.1 * rng.permutation(int(np.prod(shape))).reshape(shape) - draw(st.sampled_from([0.0, 3.0, 100.0]))
    return [lay_out(x, draw(layouts))], {"pool_size": pool, "strides": draw(st.none() | pairs), "padding": padding}


@st.composite
def losses(draw: st.DrawFn, *, least_classes: int) -> tuple[NDArray, NDArray, NDArray | None, dict[str, Any]]:
    """(random numbers (N, K), targets, weights, settings) in every accepted form."""
    n, k = draw(st.integers(1, 6)), draw(st.integers(least_classes, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.integers(max(k, 2), size=n)
    soft = rng.dirichlet(np.ones(k), n) if k > 1 else rng.uniform(size=(n, 1))
    form = draw(st.sampled_from(["labels", "column", "rows", "soft"]))
    rows = np.eye(max(k, 2))[labels][:, -k:]
    targets = {"labels": labels, "column": labels[:, None], "rows": rows, "soft": soft}[form]
    weights = rng.uniform(0.1, 3.0, n) if draw(st.booleans()) else None
    options = {
        "label_smoothing": draw(st.sampled_from([0.0, 0.1, 0.5])),
        "reduction": draw(st.sampled_from(["mean", "weighted_mean", "sum"])),
    }
    return rng.standard_normal((n, k)), targets, weights, options
