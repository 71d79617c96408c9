"""A few images, each with what spoke for the answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import explain, figures
from ..model import Sequential
from .answers import LARGEST, Answers, Picture
from .pixels import embedded, overlay


class View(NamedTuple):
    """One explanation of one image: a picture and what it shows."""

    title: str
    uri: str


class Explained(NamedTuple):
    """An image, its likeliest classes with their probabilities, and what mattered."""

    picture: Picture
    best: list[tuple[str, float]]
    views: list[View]


def choose(answers: Answers, count: int) -> list[int]:
    """``count`` images worth explaining: the surest mistakes and, for the other half, right answers of different classes."""
    wrong = [mistake.image for mistake in answers.evaluation.mistakes]
    right = one_of_each(answers)
    mistakes = min(len(wrong), max(count - len(right), count // 2))
    return [*right[: count - mistakes], *wrong[:mistakes]]


def explained(model: Sequential, answers: Answers, images: list[int]) -> list[Explained]:
    """Grad-CAM and occlusion for what the network said; beside them Grad-CAM for the label, or SmoothGrad where that was said."""
    if not images:
        return []
    x, said, label = answers.x[images], answers.predicted[images], answers.y[images]
    names = answers.evaluation.class_names
    shown = figures.displayable(x)
    cam, cam_of_label = explain.grad_cam(model, x, said), explain.grad_cam(model, x, label)
    hidden, smooth = explain.occlusion(model, x, said), explain.smooth_grad(model, x, said, samples=16)
    found = []
    for n, image in enumerate(images):
        views = [
            _view(f"speaks for {names[said[n]]}", shown[n], cam, n),
            _view(f"red is needed for {names[said[n]]}", shown[n], hidden, n),
            _view(f"would speak for {names[label[n]]}", shown[n], cam_of_label, n)
            if said[n] != label[n]
            else _view("changes the answer most", shown[n], smooth, n),
        ]
        p = answers.probabilities[image]
        best = [(names[k], float(p[k])) for k in np.argsort(-p, kind="stable")[:3]]
        found.append(Explained(answers.picture(image), best, views))
    return found


def _view(title: str, image: NDArray, found: explain.Attribution, n: int) -> View:
    heat = found.heat[n]
    nothing = "" if heat.any() else " (nothing does)"
    return View(
        f"{found.method[0].upper()}{found.method[1:]}: {title}{nothing}",
        embedded(overlay(image, heat, found.signed), LARGEST),
    )


def one_of_each(answers: Answers) -> list[int]:
    """The first right answer of every class, in the order of the images; then the second ones, and so on."""
    right = np.flatnonzero(answers.right)
    classes = answers.y[right]
    turn = np.zeros(len(right), int)
    for k in np.unique(classes):
        turn[classes == k] = np.arange((classes == k).sum())
    return [int(i) for i in right[np.argsort(turn, kind="stable")]]
