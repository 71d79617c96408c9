"""Everything the page shows, gathered from a run folder as plain data."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .. import doctor
from ..benchmark.receipt import receipt
from ..errors import PellucidError
from ..model import Sequential, load
from ..summary import Summary, summarize
from . import charts, inside
from .answers import Answers, Picture, ask
from .charts import Chart
from .confusion import Confusion, confusion
from .explanations import Explained, choose, explained, one_of_each
from .record import Record, numbers, read_record

T = TypeVar("T")
_GALLERY = 16
_CURVES, _POINTS = 10, 101
_COMPILED = "What the network computes with may still have been compiled in the first epoch."


@dataclass
class Report:
    """The contents of the page; what could not be had is None or empty, and ``missing`` says why."""

    record: Record
    missing: list[str]
    machine: dict[str, Any]
    charts: list[Chart] = field(default_factory=list)
    findings: list[doctor.Finding] = field(default_factory=list)
    looked_for: list[str] = field(default_factory=list)
    model: Sequential | None = None
    summary: Summary | None = None
    layers: list[inside.LayerRow] = field(default_factory=list)
    answers: Answers | None = None
    samples: list[Picture] = field(default_factory=list)
    confusion: Confusion | None = None
    reliability: Chart | None = None
    roc: Chart | None = None
    mistakes: list[Picture] = field(default_factory=list)
    right: list[Picture] = field(default_factory=list)
    explained: list[Explained] = field(default_factory=list)
    kernels: list[inside.Kernels] = field(default_factory=list)
    maps_of: Picture | None = None
    maps: list[inside.Maps] = field(default_factory=list)
    favourites: list[inside.Excited] = field(default_factory=list)

    @property
    def guessing(self) -> float:
        """The cross-entropy of somebody who finds all classes equally likely: ln(classes)."""
        return math.log(len(self.answers.evaluation.class_names)) if self.answers else math.nan

    @property
    def colours(self) -> str:
        """What the images are, in a word."""
        channels = 0 if self.model is None else (self.model.input_shape or (0,))[-1]
        return {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")

    @property
    def searched(self) -> int:
        """How many images were searched for dead outputs and favourites."""
        return min(len(self.answers.x), inside.SAMPLE) if self.answers else 0

    def attempt(self, what: str, make: Callable[[], T], otherwise: T) -> T:
        """What ``make`` gives; where it cannot, ``otherwise``, and the reason among what is missing."""
        try:
            return make()
        except (PellucidError, OSError, MemoryError) as error:
            self.missing.append(f"{what}: {error}")
            return otherwise


def collect(path: str | os.PathLike[str], *, images: int = 6, overrides: Mapping[str, Any] | None = None) -> Report:
    """Gather what there is to say about the run in the folder ``path``; ``images`` of its answers are explained.

    ``overrides`` are settings of the data by dotted names. Raises ``PellucidError`` if ``path`` is no run.
    """
    if images < 0:
        raise PellucidError(f"--images was {images}; wanted at least 0.")
    record = read_record(path)
    report = Report(record, list(record.missing), receipt("report", ["pellucid", "report"]))
    report.charts = curves(record)
    case = report.attempt("Nobody looked for faults", lambda: doctor.case_of_run(path, overrides), None)
    if case is not None:
        report.findings, report.looked_for = doctor.examine(case), doctor.examined(case)
    if not record.folder.model.is_file():
        report.missing.append("There is no model file, so nothing can be said about its answers and layers.")
        return report
    model = report.attempt("The model cannot be read", lambda: load(record.folder.model), None)
    if model is None:
        return report
    report.model, report.summary = model, summarize(model, model.input_shape or (), name=model.name or "network")
    _answers(report, model, overrides)
    _inside(report, model, report.summary)
    if report.answers is not None:
        answers = report.answers
        chosen = choose(answers, images)
        report.explained = report.attempt("No explanations", lambda: explained(model, answers, chosen), [])
    return report


def curves(record: Record) -> list[Chart]:
    """Loss and accuracy by epoch, the speed if there are several, and the learning rate if it changes."""
    rows = record.rows

    def chart(title: str, names: dict[str, tuple[str, str]], **settings: Any) -> Chart | None:
        return charts.line_chart(title, {kind: numbers(rows, name) for name, kind in names.items()}, **settings)

    parts = {"train": ("training", "train"), "val": ("validation", "val")}
    best = f"The model that was kept is that of epoch {record.best['epoch']}." if record.best else ""
    rates = {rate for _, rate in numbers(rows, "learning_rate")}
    top = 1.05 * max((speed for _, speed in numbers(rows, "images_per_second")), default=1.0)
    drawn = [
        chart("Loss", {f"{part}_loss": kind for part, kind in parts.items()}, note=best),
        chart("Accuracy", {f"{part}_accuracy": kind for part, kind in parts.items()}, percent=True),
        chart("Learning rate", {"learning_rate": ("rate at the end of the epoch", "rate")}) if len(rates) > 1 else None,
        chart(
            "Speed of training", {"images_per_second": ("images per second", "rate")}, y_range=(0, top), note=_COMPILED
        )
        if len(rows) > 1
        else None,
    ]
    return [each for each in drawn if each is not None]


def _answers(report: Report, model: Sequential, overrides: Mapping[str, Any] | None) -> None:
    answers = report.attempt("No scores", lambda: ask(model, overrides), None)
    if answers is None:
        return
    report.answers = answers
    if answers.part != "test":
        report.missing.append(f"There is no test part: all scores are of the {answers.part} part.")
    first = {int(label): image for image, label in reversed(list(enumerate(answers.y)))}
    report.samples = [answers.picture(first[label]) for label in sorted(first)[:_GALLERY]]
    report.confusion = confusion(answers)
    report.mistakes = [answers.picture(mistake.image) for mistake in answers.evaluation.mistakes[:_GALLERY]]
    report.right = [answers.picture(image) for image in one_of_each(answers)[:_GALLERY]]
    report.reliability, report.roc = _reliability(answers), _roc(answers)


def _reliability(answers: Answers) -> Chart | None:
    bins = answers.evaluation.calibration.to_dict()["bins"]
    points = [(row["confidence"], row["accuracy"]) for row in bins]
    return charts.line_chart(
        "How sure it is, and how often right",
        {("share right", "val"): points},
        x_label="how sure",
        x_range=(0, 1),
        y_range=(0, 1),
        percent=True,
        diagonal=True,
        note="On the dashed line a network that says 80\u00a0% is right in 80 of 100 cases; below it, it is surer than it "
        "should be. The expected calibration error is the mean distance from it.",
    )


def _roc(answers: Answers) -> Chart | None:
    """One class against the others, for each class; of many classes the ten that are hardest to tell from the others."""
    scores = [score for score in answers.evaluation.classes if score.roc is not None]
    hardest = sorted(scores, key=lambda score: score.auc or 0.0)[:_CURVES]
    if not hardest:
        return None
    series: dict[tuple[str, str], charts.Points] = {}
    for place, score in reversed(list(enumerate(hardest))):  # the hardest last, above the others
        false, true, _ = score.roc.thinned(_POINTS)  # type: ignore[union-attr]
        series[f"{score.name}: area {score.auc:.4f}", "other" if place else "val"] = list(zip(false, true, strict=True))
    others = "the others" if len(hardest) == len(scores) else f"the next {_CURVES - 1}"
    legend = [("val", f"{hardest[0].name}, the hardest to tell"), ("other", others)]
    if hardest[0].auc == 1:
        legend = [("val", "every class, without a mistake")]
    return charts.line_chart(
        "Telling each class from the others (ROC)",
        series,
        x_label="of the other classes, taken for this one",
        x_range=(0, 1),
        y_range=(0, 1),
        percent=True,
        diagonal=True,
        marks=False,
        legend=legend,
        note="The lower the bar for naming a class, the more of its images are found (up), and the more others are taken for "
        "it (to the right). The dashed line is guessing. The area below a curve is the AUC of its class.",
    )


def _inside(report: Report, model: Sequential, summary: Summary) -> None:
    x = None if report.answers is None else report.answers.x[: inside.SAMPLE]
    report.layers = report.attempt("No table of layers", lambda: inside.layer_rows(model, summary, x), [])
    report.kernels = report.attempt("No filters", lambda: inside.kernels(model), [])
    if x is None or report.answers is None:
        return
    right = one_of_each(report.answers)
    image = right[0] if right else 0
    report.maps_of = report.answers.picture(image)
    shown = report.answers.x[image : image + 1]
    report.maps = report.attempt("No activation maps", lambda: inside.maps(model, shown), [])
    report.favourites = report.attempt("No favourite images", lambda: inside.favourites(model, x), [])
