"""Putting a checkpoint back into a model, or refusing to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .. import schedules
from ..errors import FileFormatError, PellucidError
from ..schedules import Schedule, positive_rate
from . import strict_json
from .callbacks import Callback
from .checkpoint import Checkpoint, named
from .progress import Progress
from .trainable import Arrays, Trainable


def restore(checkpoint: Checkpoint, model: Trainable, callbacks: Sequence[Callback] = ()) -> Progress:
    """Put weights, optimizer and the memory of ``callbacks`` back where they were; returns where the training stands.

    ``model`` has to be built and compiled as it was. Hand the returned progress to ``fit``, together with the same callbacks.

    Raises
    ------
    FileFormatError
        if the checkpoint is of another network or optimizer. Nothing is changed then.
    """
    where = checkpoint.path or "The checkpoint"
    _same_settings(checkpoint.model, model.config(), f"{where} is of another network")
    _same_arrays(checkpoint.params, model.params, f"{where} is of another network")
    _same_arrays(checkpoint.state, model.state, f"{where} is of another network")
    settings = {
        **checkpoint.optimizer,
        "learning_rate": None,
    }  # may have been changed while training, and is taken over
    _same_settings(
        settings,
        {**model.optimizer.config(), "learning_rate": None},
        f"{where} is of another optimizer, named optimizer",
    )
    _slots_fit(checkpoint.slots, model.params | model.state, f"{where} does not fit this optimizer")
    rate = _learning_rate(checkpoint)

    _load_memory(checkpoint, callbacks)
    model.load_weights(checkpoint.params | checkpoint.state)
    model.optimizer.load_slots(checkpoint.slots, checkpoint.iterations)
    if rate is not None:
        model.optimizer.learning_rate = rate
    return Progress.from_dict(
        json.loads(json.dumps(checkpoint.progress.to_dict()))
    )  # a copy: the checkpoint stays as it is


def _learning_rate(checkpoint: Checkpoint) -> float | Schedule | None:
    """The rate, or the schedule with all it remembers."""
    rate = checkpoint.optimizer.get("learning_rate")
    try:
        return schedules.get(rate) if isinstance(rate, dict) else None if rate is None else positive_rate(rate)
    except PellucidError as error:
        raise FileFormatError(f"{checkpoint.path or 'The checkpoint'} is damaged: {error}") from error


def _same_settings(theirs: Any, ours: Any, problem: str) -> None:
    difference = _difference(_plain(theirs), _plain(ours))
    if difference is not None:
        place, there, here = difference
        raise FileFormatError(f"{problem}: {place or 'it'} is {there!s:.120} in the checkpoint and {here!s:.120} here.")


def _difference(theirs: Any, ours: Any, place: str = "") -> tuple[str, str, str] | None:
    """The first place where two JSON values differ, with what is there in either."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        pairs = [(f"{place}.{key}" if place else key, theirs.get(key), ours.get(key)) for key in {**theirs, **ours}]
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        pairs = [(f"{place}[{i}]", *both) for i, both in enumerate(zip(theirs, ours, strict=True))]
    else:
        return None if theirs == ours else (place, json.dumps(theirs), json.dumps(ours))
    return next((found for where, a, b in pairs if (found := _difference(a, b, where))), None)


def _plain(value: Any) -> Any:
    return json.loads(strict_json.dumps(value))


def _same_arrays(theirs: Arrays, ours: Arrays, problem: str) -> None:
    missing, unknown = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    if missing or unknown:
        raise FileFormatError(f"{problem}: missing {missing[:5] or 'none'}, unknown {unknown[:5] or 'none'}.")
    for path, array in theirs.items():
        if (array.shape, array.dtype) != (ours[path].shape, ours[path].dtype):
            raise FileFormatError(
                f"{problem}: {path} is {array.dtype} {array.shape} in the checkpoint "
                f"and {ours[path].dtype} {ours[path].shape} here."
            )


def _slots_fit(slots: Arrays, params: Arrays, problem: str) -> None:
    for key, slot in slots.items():
        path = key.partition("/")[2]
        if path not in params or slot.shape != params[path].shape:
            raise FileFormatError(f"{problem}: there is no parameter for its slot {key} {slot.shape}.")


def _load_memory(checkpoint: Checkpoint, callbacks: Sequence[Callback]) -> None:
    """Give all callbacks their memory, or none. One that the checkpoint does not know begins afresh."""
    pairs = [(callback, checkpoint.callbacks.get(name)) for name, callback in named(callbacks).items()]
    before = [(callback, callback.state()) for callback, _ in pairs]
    try:
        for callback, memory in pairs:
            if memory:
                callback.load_state(memory)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        for callback, memory in before:
            callback.load_state(memory)
        raise FileFormatError(
            f"{checkpoint.path or 'The checkpoint'} is damaged: the memory of a callback does not fit ({error!r})."
        ) from error
