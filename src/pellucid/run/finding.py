"""Which learning rate suits a run, before it is begun."""

from __future__ import annotations

from ..config import RunConfig
from ..training.ratefinder import RateTest
from .prepare import prepare


def find_learning_rate(config: RunConfig, *, lowest: float, highest: float, steps: int) -> tuple[RateTest, str]:
    """A range test with the data, network and optimizer of a run; and what was tested, in words."""
    prepared = prepare(config)
    config, model, train = prepared.config, prepared.model, prepared.train
    batch_size = config.training.batch_size or 64
    found = model.find_learning_rate(
        train.x,
        train.y,
        batch_size=batch_size,
        lowest=lowest,
        highest=highest,
        steps=steps,
        augmentation=config.training.augment,
    )
    words = f"{model.name} with {config.optimizer.name} on {prepared.dataset.name}, batches of {batch_size}:"
    return found, f"{words} {len(found.rates)} of {steps} steps."
