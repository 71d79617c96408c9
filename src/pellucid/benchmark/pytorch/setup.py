"""PyTorch as a neighbour in this process: is it there, how many threads it has, and that it leaves ours alone."""

from __future__ import annotations

import importlib.util
import sys

from ... import backend
from ...errors import PellucidError


def prepare(threads: int | None = None) -> None:
    """Give both libraries the same threads and none of them the other's core. Call it before PyTorch is loaded.

    Raises
    ------
    PellucidError
        if there is no PyTorch, or if it is loaded already: then it is too late.
    """
    if importlib.util.find_spec("torch") is None:
        raise PellucidError(
            "PyTorch is not installed here, so there is nothing to compare with. Install it beside pellucid: "
            "pip install torch --index-url https://download.pytorch.org/whl/cpu"
        )
    if "torch" in sys.modules:
        raise PellucidError("PyTorch is loaded already; a fair comparison needs a process that begins with prepare().")
    set_threads(threads or backend.get_num_threads())


def set_threads(count: int) -> None:
    """The number of threads of both libraries."""
    import torch

    backend.set_num_threads(count)
    torch.set_num_threads(count)
