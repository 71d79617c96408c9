"""What a run tells the person in front of the screen, before and after."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Callable

from ..model import Sequential
from ..training import History, RunFolder
from ..training.callbacks import print_safely
from .prepare import Prepared
from .scoring import Evaluation

Say = Callable[[str], None]


def say_aloud(text: str) -> None:
    """Print a line; a pipe or terminal that is gone is no reason to end a training."""
    print_safely(text, sys.stdout)


def introduce(prepared: Prepared, say: Say) -> None:
    """Say what is about to be trained, and on what."""
    config, model = prepared.config, prepared.model
    optimizer = config.optimizer
    rate = f"{optimizer.learning_rate:g}"
    if optimizer.schedule is not None:
        rate += f" ({optimizer.schedule['name'].replace('_', ' ')})"
    if optimizer.warmup is not None:
        rate += f" after a warm-up of {optimizer.warmup}"
    say(repr(prepared.dataset).strip("<>"))
    for remark in prepared.remarks:
        say(f"  {remark}")
    say(
        f"{model.name}: {model.count_params():,} parameters, {optimizer.name} with learning rate {rate}, "
        f"{config.training.epochs} epochs in batches of {config.training.batch_size}"
    )
    if config.training.augment:
        say(f"  augmentation: {config.training.augment.replace(',', ', ')}")
    if model.views != "none":
        say(f"  answers are the mean over the views {model.views}")
    smoothing, classes = config.training.label_smoothing or 0.0, prepared.dataset.num_classes
    if smoothing and "categorical" in str(config.training.loss):
        rest = smoothing / classes  # the share of every wrong class
        lowest = -((1 - smoothing + rest) * math.log(1 - smoothing + rest) + (classes - 1) * rest * math.log(rest))
        say(f"  label smoothing {smoothing:g}: the losses count it and cannot fall below {lowest:.2f}")


def conclude(
    model: Sequential, test: Evaluation | None, folder: RunFolder, prepared: Prepared, history: History, say: Say
) -> None:
    """How accurate, on what, where things are, and what to do next."""
    summary, path = model.training_summary, shlex.quote(str(folder.path))
    if test is not None:
        say(f"\n{test}")
        for note in test.notes:
            say(f"  {note}")
    elif "val_accuracy" in summary:
        what = (
            "the images it was trained on"
            if prepared.config.training.overfit
            else "the validation part, which chose it"
        )
        say(
            f"\nAccuracy {100 * summary['val_accuracy']:.2f} %, loss {summary['val_loss']:.4f} on {what}; there is no test part"
        )
    else:
        say("\nThere is neither a validation nor a test part: nobody knows how good this model is on new images")
    say(f"Model:    {folder.model} (epoch {summary.get('epoch')} of {len(history.rows)})")
    say(f"Metrics:  {folder.metrics}")
    say(f"Next:     pellucid predict {path} picture.png")
    say(f"          pellucid evaluate {path}")
    more = f" --epochs {2 * (prepared.config.training.epochs or 1)}" if history.stop_reason is None else ""
    say(f"          pellucid resume {path}{more}")
