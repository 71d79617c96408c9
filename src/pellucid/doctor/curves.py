"""What the history of a training says, together with how far the weights went.

Losses are compared with ``chance``, the loss of knowing nothing but how frequent the classes are: ln K for K even classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Part
from ..training.progress import Row
from .finding import Finding, Findings
from .images import at_random, neighbours_in_words
from .neighbours import Agreement


def _long_enough(rows: Sequence[Row]) -> bool:
    """Whether a network that learns must have shown it: slow starts (deep networks, warm-up) take an epoch or two, not more."""
    return rows[-1]["step"] >= 100 and (len(rows) >= 3 or rows[-1]["step"] >= 1000)


def stuck_loss(rows: Sequence[Row], chance: float) -> Findings:
    """The training loss stays where it is without learning anything: within 2 % below, or 10 % above, chance.

    Healthy networks are 10 % below after two epochs, slow ones (plain gradient descent with a small rate) too.
    """
    losses = [row["train_loss"] for row in rows]
    if _long_enough(rows) and min(losses) >= 0.98 * chance and losses[-1] <= 1.1 * chance:
        yield Finding(
            "stuck loss",
            "serious",
            f"After {len(rows)} epochs the training loss is {losses[-1]:.3f}; answering with the frequency of each class, "
            f"whatever the image, costs {chance:.3f}.",
            "The network has learned nothing. Look at the other findings; without any, train on a hundred images only "
            "(--overfit 100): a sound network learns them by heart.",
            {"train_loss": losses[-1], "chance": chance, "epochs": len(rows)},
        )


def rate_too_high(rows: Sequence[Row], chance: float, moved: float, dead: Mapping[str, NDArray]) -> Findings:
    """Steps so large that they leap over what there is to find.

    Two things together: some kernel is further from its beginning than twice its own length, so nothing of how it was drawn is
    left (a healthy short training moves it by a fifth up to once its length, a rate 100 times too high
    by 2 to 9 times); and there is damage. Long healthy trainings take their weights up to 4 times as far, without
    damage.
    """
    losses = [row["train_loss"] for row in rows]
    lost = losses[-1] - min(losses)
    worst = max((float(units.mean()) for units in dead.values()), default=0.0)
    signs = {
        f"an epoch cost {max(losses):.3g}, more than knowing nothing ({chance:.3f})": max(losses) > 1.05 * chance,
        f"the training loss rose again by {lost:.2f}": lost > 0.1 * chance,
        f"the training loss is still {losses[-1]:.3f} (knowing nothing: {chance:.3f})": losses[-1] > 0.8 * chance,
        f"{100 * worst:.0f} % of the units of a layer are dead": worst >= 0.5,
    }
    damage = [words for words, there in signs.items() if there]
    # One sign is not enough: wide layers lose units, restarts let the loss rise. Nor are two, if the network has learned since.
    unlearned = losses[-1] > 0.5 * chance or lost > 0.1 * chance
    if moved > 2 and len(damage) >= 2 and unlearned:
        rate = rows[-1].get("learning_rate", math.nan)
        yield Finding(
            "rate too high",
            "serious",
            f"The weights went {moved:.1f} times their own length away from where they began, and {'; '.join(damage)}.",
            f"The learning rate (last {rate:g}) is probably too high: try a tenth of it.",
            {"moved": moved, "learning_rate": rate, "train_loss": losses[-1], "chance": chance, "dead": worst},
        )


def rate_too_low(rows: Sequence[Row], chance: float, moved: float, dead: Mapping[str, NDArray]) -> Findings:
    """Steps so small that the network is still the one that was drawn.

    No kernel has moved by more than a twentieth of its length (a healthy training: a fifth and more), and the loss is high. A
    network without gradient does not move either, but for another reason.
    """
    blocked = any(units.all() for units in dead.values())
    loss = rows[-1]["train_loss"]
    if _long_enough(rows) and moved < 0.05 and loss > 0.7 * chance and not blocked:
        rate = rows[-1].get("learning_rate", math.nan)
        yield Finding(
            "rate too low",
            "serious",
            f"In {rows[-1]['step']:,} steps no kernel moved by more than {100 * moved:.2g} % of its length, and the training "
            f"loss is still {loss:.3f} (knowing nothing: {chance:.3f}).",
            f"The learning rate (last {rate:g}) is probably too low: try ten times of it.",
            {"moved": moved, "learning_rate": rate, "train_loss": loss, "chance": chance},
        )


def labels_do_not_fit(
    priors: NDArray,
    neighbours: Callable[[], Agreement | None],
    held_out: Mapping[str, Part],
    rows: Sequence[Row] | None = None,
    moved: float | None = None,
) -> Findings:
    """Labels that have nothing to do with the images: shuffled, shifted by one, numbered in another order.

    Of data alone: images that look alike have unlike labels. That may also be a hard task, so it is a warning. If in addition a
    network has learned for a while and validates no better than the most frequent class, within three standard deviations in
    every epoch, it is serious.
    """
    if (priors > 0).sum() < 2:
        return
    if rows is None:
        found = neighbours()
        if found is not None and at_random(found):
            yield Finding(
                "labels do not fit",
                "warning",
                f"Images that look alike do not have like labels: {neighbours_in_words(found)}.",
                "Look at some images with their labels (pellucid data show). If they fit, the task is merely hard.",
                found.numbers(),
            )
        return
    accuracies = [row["val_accuracy"] for row in rows if "val_accuracy" in row]
    validation = held_out.get("validation")
    if not accuracies or validation is None or not _long_enough(rows) or (moved is not None and moved < 0.1):
        return  # nothing was validated, or nothing learned yet
    share = float(priors.max())
    margin = 3 * math.sqrt(share * (1 - share) / len(validation))
    if max(accuracies) > share + margin:
        return
    found = neighbours()
    if found is None or not at_random(found):
        return
    learned = rows[-1].get("train_accuracy", math.nan)
    yield Finding(
        "labels do not fit",
        "serious",
        f"In {len(rows)} epochs the validation accuracy never rose above {100 * max(accuracies):.1f} %, the most frequent "
        f"class has {100 * share:.1f} % (training accuracy: {100 * learned:.1f} %); and {neighbours_in_words(found)}.",
        "The labels seem to have nothing to do with the images: look at some together (pellucid data show). Were images and "
        "labels sorted or shuffled apart, or classes numbered differently in two parts?",
        {"val_accuracy": max(accuracies), "train_accuracy": learned, "share": share, **found.numbers()},
    )


def overfitting(rows: Sequence[Row], held_out: Mapping[str, Part]) -> Findings:
    """The training images are known by heart.

    A gap of a quarter is far more than what is lost on any new images; above three standard deviations of the validation accuracy
    it is no accident. A network that validates no better than guessing has another trouble, and is left to ``labels_do_not_fit``.
    """
    last, validation = rows[-1], held_out.get("validation")
    if validation is None or not len(validation) or "val_accuracy" not in last or "train_accuracy" not in last:
        return
    train, seen = last["train_accuracy"], last["val_accuracy"]
    share = float(np.bincount(validation.y).max() / len(validation))
    noise = math.sqrt(max(seen * (1 - seen), 1e-9) / len(validation))
    if train - seen >= max(0.25, 3 * noise) and seen > share + 3 * noise:
        yield Finding(
            "overfitting",
            "warning",
            f"Accuracy {100 * train:.1f} % on training images and {100 * seen:.1f} % on {len(validation):,} validation images "
            f"(losses {last['train_loss']:.3f} and {last.get('val_loss', math.nan):.3f}).",
            "More images, augmentation (--augment flip,crop:4), dropout, weight decay, or a smaller network; stop when "
            "validation no longer improves (--early-stopping 5).",
            {"train_accuracy": train, "val_accuracy": seen, "images": len(validation)},
        )


def step_not_finite(failures: Sequence[Mapping[str, Any]], rows: Sequence[Row] | None = None) -> Findings:
    """A step whose loss, gradient or weights were NaN or infinite; see ``pellucid.training.Evidence``."""
    last = rows[-1]["step"] if rows else 0
    for failure in failures:
        step = failure.get("step") or 0
        recovered = last > step
        yield Finding(
            "step not finite",
            "warning" if recovered else "serious",
            str(failure.get("error") or f"Step {step} was not finite.")
            + (" The training has gone on since." if recovered else ""),
            "The batch and the weights are kept in the run's folder failures. pellucid resume RUN --rollback 0.1 goes on from "
            "the last good checkpoint with a tenth of the rate.",
            {name: failure.get(name) for name in ("epoch", "step", "loss", "place")},
        )


def loss_not_finite(rows: Sequence[Row]) -> Findings:
    """An epoch whose training or validation loss was NaN or infinite."""
    broken = [row["epoch"] for row in rows if not all(map(math.isfinite, _losses(row)))]
    if broken:
        yield Finding(
            "loss not finite",
            "serious",
            f"The loss was NaN or infinite in epoch {broken[0]}"
            + (f" and {len(broken) - 1} others." if len(broken) > 1 else "."),
            "Train anew with a tenth of the learning rate, and see that images and labels hold no NaN.",
            {"epochs": broken},
        )


def _losses(row: Row) -> list[float]:
    return [row[name] for name in ("train_loss", "val_loss") if name in row]
