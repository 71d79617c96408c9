"""JSON that every reader accepts: numbers that JSON does not know are written as strings and read back as numbers."""

from __future__ import annotations

import json
import math
from typing import Any

_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def dumps(value: Any) -> str:
    """One line of strict JSON. Finite floats are written with all their digits: reading gives the same bits.

    >>> dumps({"train_loss": float("nan"), "step": 7})
    '{"train_loss": "NaN", "step": 7}'
    """
    return json.dumps(_encode(value), allow_nan=False)


def loads(text: str) -> Any:
    """The inverse of ``dumps``. Raises ``ValueError`` for anything that is not JSON.

    >>> loads('{"train_loss": "-Infinity"}')
    {'train_loss': -inf}
    """
    try:
        return _decode(json.loads(text))
    except RecursionError as error:  # a thousand opening brackets
        raise ValueError("nested too deeply") from error


def _encode(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decode(item) for item in value]
    return _WORDS.get(value, value) if isinstance(value, str) else value
