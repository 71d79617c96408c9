"""A dry run: everything a training does, on a couple of batches, and nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..training import History, fit
from .prepare import Prepared

_BATCHES = 2


def rehearse(prepared: Prepared, folder: Path, say: Callable[[str], None]) -> History:
    """Train, validate and test on two batches; say how that went and what a real run would do."""
    config, model = prepared.config, prepared.model
    batch_size, epochs = config.training.batch_size or 64, config.training.epochs or 1
    train = prepared.train.take(range(min(len(prepared.train), _BATCHES * batch_size)))
    augment = model.augmenter(config.training.augment)
    settings: dict[str, Any] = {"batch_size": batch_size, "epochs": 1, "seed": config.seed, "augment": augment}
    fit(model, train.x, train.y, **settings)  # may have to compile kernels first
    start = time.monotonic()
    history = fit(model, train.x, train.y, **settings)
    seconds = (time.monotonic() - start) / len(train) * len(prepared.train)
    for part in (prepared.validation, prepared.dataset.test):
        if part is not None and len(part):
            few = part.take(range(min(len(part), batch_size)))
            model.evaluate(few.x, few.y)
    steps = -(-len(prepared.train) // batch_size)
    steps = min(steps, config.training.limit_batches or steps)
    say(
        f"Dry run: {_BATCHES} batches trained (loss {history.rows[-1]['train_loss']:.4f}), validated and tested, nothing written."
    )
    say(
        f"A real run takes {epochs} epochs of {steps:,} steps, roughly {_time(seconds * epochs)}, and writes config.toml, "
        f"metrics.jsonl, checkpoints and model.safetensors to {folder}"
    )
    return history


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
