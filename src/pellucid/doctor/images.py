"""What is wrong with images and labels, whatever network is to learn them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..data import Part
from .finding import Finding, Findings
from .neighbours import Agreement
from .twins import twins, twins_in

# One hundredth of a part in the training part moves its accuracy by up to as much, which is what results are compared by.
_MANY_DUPLICATES = 0.01
_IMBALANCE = 10  # `pellucid data check` says so too; below that, plain training copes


def unreadable_data(trouble: str) -> Findings:
    """Data that are no longer where they were: half of the questions cannot be asked."""
    yield Finding(
        "unreadable data",
        "warning",
        f"The data could not be read, so only the rest was examined: {trouble}",
        "Bring the data back to where they were; --data-dir says where official files lie now.",
    )


def one_class(train: Part) -> Findings:
    """There is nothing to tell apart."""
    if len(train) and len(np.unique(train.y)) == 1:
        yield Finding(
            "one class",
            "serious",
            f"All of {len(train):,} training images have the label {train.y[0]}.",
            "A classifier wants at least two classes: look at how the labels were made, or add images of another class.",
            {"class": int(train.y[0]), "images": len(train)},
        )


def class_imbalance(train: Part, priors: NDArray, class_names: tuple[str, ...] = ()) -> Findings:
    """The loss is mostly that of the largest classes, and so is the accuracy."""
    counts = np.bincount(train.y, minlength=len(priors))
    most, fewest = int(counts.argmax()), int(counts.argmin())
    if (counts > 0).sum() < 2 or 0 < counts[most] <= _IMBALANCE * counts[fewest]:
        return
    names = {number: class_names[number] if class_names else f"class {number}" for number in (most, fewest)}
    yield Finding(
        "class imbalance",
        "warning",
        f"{names[most]} has {counts[most]:,} training images, {names[fewest]} {counts[fewest] or 'none'}. Who always says "
        f"{names[most]} is right in {100 * priors.max():.1f} % of them.",
        "Weigh the classes with fit(class_weight=…), add images of the rare ones, and judge by recall and F1 of each class "
        "(pellucid evaluate), not by accuracy.",
        {"counts": counts.tolist()},
    )


def constant_images(train: Part, held_out: Mapping[str, Part]) -> Findings:
    """Images of a single colour: empty files, failed downloads, black frames."""
    empty = {name: _constant(part) for name, part in {"train": train, **held_out}.items()}
    empty = {name: places for name, places in empty.items() if len(places)}
    if not empty:
        return
    share = sum(map(len, empty.values())) / (len(train) + sum(map(len, held_out.values())))
    which = "; ".join(f"{len(places):,} in {name} ({_some(places)})" for name, places in empty.items())
    yield Finding(
        "constant images",
        "serious" if share > 0.1 else "warning",
        f"Images whose pixels are all the same: {which}.",
        "Nothing can be seen on them. Look at how they came about, and leave them out.",
        {"images": {name: places.tolist() for name, places in empty.items()}},
    )


def duplicates(train: Part, held_out: Mapping[str, Part]) -> Findings:
    """Images that are tested on after they were trained on: what is measured is memory."""
    for name, part in held_out.items():
        pairs = twins_in(train, part)
        if not pairs:
            continue
        some = ", ".join(f"{name} {_named(part, i)} = train {_named(train, j)}" for i, j in pairs[:3])
        yield Finding(
            "duplicates",
            "serious" if len(pairs) > _MANY_DUPLICATES * len(part) else "warning",
            f"{len(pairs):,} of {len(part):,} images of the {name} part ({100 * len(pairs) / len(part):.2g} %) are, pixel for "
            f"pixel, in the training part too: {some}{', …' if len(pairs) > 3 else '.'}",
            f"Remove them from the training part; until then the {name} accuracy is too good. Copy images after the split.",
            {"part": name, "images": len(part), "pairs": [[i, j] for i, j in pairs]},
        )


def contradicting_labels(train: Part) -> Findings:
    """The same picture under two labels: at least one of them is wrong."""
    pairs = [(i, j) for i, j in twins(train) if train.y[i] != train.y[j]]
    if pairs:
        some = ", ".join(f"{_named(train, i)} ({train.y[i]}) = {_named(train, j)} ({train.y[j]})" for i, j in pairs[:3])
        yield Finding(
            "contradicting labels",
            "serious" if len(pairs) > _MANY_DUPLICATES * len(train) else "warning",
            f"{len(pairs):,} training images are there again, pixel for pixel, with another label: {some}"
            f"{', …' if len(pairs) > 3 else '.'}",
            "Look at them and keep the right label.",
            {"pairs": [[i, j] for i, j in pairs]},
        )


def at_random(found: Agreement) -> bool:
    """Whether like images have unlike labels, as far as can be measured: fewer than three standard deviations above chance."""
    return found.sigmas < 3


def neighbours_in_words(found: Agreement) -> str:
    return (
        f"the nearest training images have the right label for {100 * found.accuracy:.1f} % of {found.images:,} images, "
        f"blind guessing for {100 * found.chance:.1f} %"
    )


def _constant(part: Part) -> NDArray[np.int64]:
    if part.x.shape[1] * part.x.shape[2] == 1:
        return np.zeros(0, np.int64)  # a single pixel is constant by nature
    top = np.flatnonzero((part.x[:, 0] == part.x[:, 0, :1]).all(axis=(1, 2)))  # where the first row is, more may be
    x = part.x[top]
    return top[(x == x[:, :1, :1]).all(axis=(1, 2, 3))]


def _named(part: Part, place: int) -> str:
    return part.paths[place] if part.paths is not None else str(place)


def _some(places: NDArray) -> str:
    return ", ".join(map(str, places[:5])) + (", …" if len(places) > 5 else "")
