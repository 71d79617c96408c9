"""An evaluation as a table for the terminal."""

from __future__ import annotations

from typing import Any

import numpy as np

from .evaluation import Evaluation

_MISTAKES = 5
_CLASSES = 40  # a longer table shows the weakest


def table(found: Evaluation, *, headline: bool = True) -> Any:
    """What ``print`` and Rich show: accuracy, a row per class, top-k, calibration, the most frequent and the surest mistakes.

    ``headline=False`` leaves out the first line, for those who have said it already.
    """
    from rich.console import Group
    from rich.text import Text

    about = [line(found) for line in (_top, _calibration, _confused, _surest)]
    first = [Text(_headline(found))] if headline else []
    return Group(*first, _classes(found), *(Text(line) for line in about if line))


def _headline(found: Evaluation) -> str:
    low, high = (100 * end for end in found.interval)
    share = f"Accuracy {100 * found.accuracy:.2f} % (95 % interval {low:.2f} … {high:.2f} %)"
    return f"{share}, log loss {found.log_loss:.4f}, on {found.images:,} images"


def _top(found: Evaluation) -> str:
    shares = ", ".join(f"{k} likeliest {100 * share:.2f} %" for k, share in found.top_k.items())
    return f"Right class among the {shares}" if shares else ""


def _classes(found: Evaluation) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = f"The weakest {_CLASSES} of {len(found.classes):,} classes" if len(found.classes) > _CLASSES else None
    rows = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=title, title_justify="left")
    rows.add_column("class")
    for heading in ("images", "precision", "recall", "F1", "AUC"):
        rows.add_column(heading, justify="right", no_wrap=True)
    rows.add_column("mostly taken for", no_wrap=True)
    weakest = sorted(range(len(found.classes)), key=lambda k: found.classes[k].f1)[:_CLASSES]
    for k in sorted(weakest):
        score = found.classes[k]
        wrong = found.confusion[k].copy()
        wrong[k] = 0
        other = f"{found.class_names[wrong.argmax()]} ({wrong.max()})" if wrong.max() else ""
        numbers = (f"{value:.3f}" for value in (score.precision, score.recall, score.f1))
        rows.add_row(score.name, f"{score.images:,}", *numbers, _number(score.auc), other)
    rows.add_section()
    for name, mean in (("macro average", found.macro), ("weighted average", found.weighted)):
        rows.add_row(name, "", f"{mean.precision:.3f}", f"{mean.recall:.3f}", f"{mean.f1:.3f}", _number(mean.auc))
    return rows


def _number(value: float | None) -> str:
    return "·" if value is None else f"{value:.3f}"


def _calibration(found: Evaluation) -> str:
    gap = found.calibration.overconfidence
    how = "surer than right" if gap > 0 else "more often right than sure"
    about = f", on average {100 * abs(gap):.1f} points {how}" if abs(gap) > 0.005 else ""
    return f"Calibration: expected error {100 * found.calibration.expected_error:.1f} points{about}"


def _confused(found: Evaluation) -> str:
    wrong = found.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:3]
    pairs = [divmod(int(place), len(wrong)) for place in order if wrong.flat[place]]
    names = found.class_names
    listed = ", ".join(f"{names[i]} taken for {names[j]} ({wrong[i, j]})" for i, j in pairs)
    return f"Most frequent mistakes: {listed}" if listed else ""


def _surest(found: Evaluation) -> str:
    listed = "; ".join(
        f"image {m.image}: {m.label}, said {m.predicted} {100 * m.confidence:.0f} %" for m in found.mistakes[:_MISTAKES]
    )
    return f"Surest mistakes: {listed}" if listed else ""
