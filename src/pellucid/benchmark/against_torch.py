"""The comparison with PyTorch on the user's machine, in one process."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import inference, training
from .receipt import Result, receipt
from .series import series

TASKS = {"training": training, "inference": inference}


def against_torch(
    task: str,
    names: Sequence[str],
    command: Sequence[str],
    settings: Mapping[str, Any],
    *,
    path: Path | None = None,
    console: Any = None,
    **about: Any,
) -> tuple[Result, int]:
    """Compare these networks with PyTorch's; the result, and 1 if one of them was refused, else 0.

    ``task`` is "training" or "inference", ``settings`` are those of ``measure`` there. They go into the receipt, and so do the
    ``command`` and what else is known ``about`` the comparison. ``pytorch.setup.prepare`` has to come first.
    """
    benchmark = TASKS[task]
    used = {name: p.default for name, p in inspect.signature(benchmark.measure).parameters.items() if name != "name"}
    result = receipt(task, command, **used | dict(settings), **about)
    status = series(
        result,
        names,
        lambda name: benchmark.measure(name, **settings),
        line=benchmark.line,
        table=benchmark.table,
        path=path,
        console=console,
    )
    return result, status
