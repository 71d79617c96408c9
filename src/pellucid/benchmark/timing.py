"""Interleaved timing, and the statistics that make a claim of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

OURS, OURS_IN_BFLOAT16 = "pellucid", "pellucid bfloat16"
REST = 0.03  # seconds in front of each turn: idle threads of the other libraries stop watching for work and leave their cores
Contenders = Mapping[str, Callable[[], object]]


def interleave(contenders: Contenders, runs: int, *, seconds: float = 0.1) -> tuple[dict[str, list[float]], int]:
    """Seconds per call in each round, and how many calls a round has of each contender.

    All take part in every round, one after another and in turned order every other round, so that what else happens on the
    machine hits all of them. A round has as many calls as fit into ``seconds`` for the quickest, the same for all. What the
    first calls compile or lay out is not counted.

    >>> times, calls = interleave({"add": lambda: 1 + 1, "sum": lambda: sum(range(100))}, runs=3, seconds=1e-4)
    >>> len(times["add"]), calls > 1
    (3, True)
    """
    calls = max(1, min(1000, round(seconds / min(map(warmed, contenders.values())))))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for number in range(runs):
        for name in order if number % 2 == 0 else reversed(order):
            run = contenders[name]
            time.sleep(REST)
            start = time.perf_counter()
            for _ in range(calls):
                run()
            times[name].append((time.perf_counter() - start) / calls)
    return times, calls


def warmed(run: Callable[[], object]) -> float:
    """The seconds that the second call takes, at least a nanosecond."""
    run()
    start = time.perf_counter()
    run()
    return max(time.perf_counter() - start, 1e-9)


def spread(values: Any) -> dict[str, Any]:
    """Median and quartiles.

    >>> spread([3, 1, 2])
    {'median': 2.0, 'quartiles': [1.5, 2.5]}
    """
    low, median, high = (float(f"{q:.4g}") for q in np.quantile(values, (0.25, 0.5, 0.75)))
    return {"median": median, "quartiles": [low, high]}


def compare(times: Mapping[str, Sequence[float]], ours: str = OURS) -> dict[str, Any]:
    """Medians of all contenders, and the paired ratios (theirs over ours, round by round) of all others.

    ``best`` is the other contender with the smallest median time; ``ratio`` and ``quartiles`` are those against it.

    >>> result = compare({"pellucid": [1.0, 2.0], "slow": [9.0, 9.0], "quick": [3.0, 6.0]})
    >>> result["best"], result["ratio"], result["quartiles"]
    ('quick', 3.0, [3.0, 3.0])
    """
    mine = np.array(times[ours])
    ratios = {name: spread(np.array(values) / mine) for name, values in times.items() if name != ours}
    best = min(ratios, key=lambda name: float(np.median(times[name])))
    return {
        "milliseconds": {name: spread(1e3 * np.array(values)) for name, values in times.items()},
        "ratios": ratios,
        "best": best,
        "ratio": ratios[best]["median"],
        "quartiles": ratios[best]["quartiles"],
    }


def share(amounts: Mapping[str, Sequence[float]], ours: str = OURS) -> dict[str, Any]:
    """The same for amounts of which little is good: ours over the smallest of the others, run by run, as ``ratio``.

    >>> share({"pellucid": [1.0, 2.0], "large": [8.0, 8.0], "small": [2.0, 4.0]})
    {'best': 'small', 'ratio': 0.5, 'quartiles': [0.5, 0.5]}
    """
    best = min((name for name in amounts if name != ours), key=lambda name: float(np.median(amounts[name])))
    part = spread(np.array(amounts[ours]) / np.array(amounts[best]))
    return {"best": best, "ratio": part["median"], "quartiles": part["quartiles"]}


def times_x(row: Mapping[str, Any]) -> str:
    """A ratio with its quartiles.

    >>> times_x({"ratio": 2.412, "quartiles": [2.35, 2.471]})
    '2.41x (2.35-2.47)'
    """
    low, high = row["quartiles"]
    return f"{row.get('ratio', row.get('median')):.2f}x ({low:.2f}-{high:.2f})"
