"""All causes, and asking for them. A cause is a function whose parameters are named after what it needs to know of a ``Case``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Container, Mapping

from . import curves, images, network, units
from .case import Case
from .finding import Finding, Findings

CAUSES: tuple[Callable[..., Findings], ...] = (
    curves.step_not_finite,
    curves.loss_not_finite,
    units.weights_not_finite,
    images.one_class,
    network.softmax_twice,
    network.inputs_not_scaled,
    curves.labels_do_not_fit,
    curves.rate_too_high,
    curves.rate_too_low,
    units.dead_units,
    curves.stuck_loss,
    units.one_answer,
    curves.overfitting,
    images.duplicates,
    images.contradicting_labels,
    images.class_imbalance,
    images.constant_images,
    images.unreadable_data,
)
"""In the order in which they are told: what makes everything else meaningless comes first."""


def examine(case: Case, about: Container[str] | None = None) -> list[Finding]:
    """Everything that can be found with what is known; or only what depends on something named in ``about``, such as ``"rows"``.

    >>> examine(Case(rows=[{"epoch": 1, "step": 9, "train_loss": float("nan")}]))[0].evidence
    'The loss was NaN or infinite in epoch 1.'
    """
    chosen = [cause for cause in CAUSES if about is None or any(name in about for name in _needs(cause))]
    return [finding for cause in chosen if _answerable(cause, case) for finding in cause(**_known(cause, case))]


def examined(case: Case) -> list[str]:
    """The names of the causes that can be looked for with what is known.

    >>> examined(Case(rows=[{"epoch": 1, "step": 9, "train_loss": 1.0}]))
    ['loss not finite', 'overfitting']
    """
    return [name_of(cause) for cause in CAUSES if _answerable(cause, case)]


def name_of(cause: Callable[..., Findings]) -> str:
    """The name that the findings of a cause carry."""
    return cause.__name__.replace("_", " ")


@functools.cache
def _needs(cause: Callable[..., Findings]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(cause).parameters


def _known(cause: Callable[..., Findings], case: Case) -> dict[str, object]:
    """The arguments of a cause, None for what is not known."""
    return {name: getattr(case, name) for name in _needs(cause)}


def _answerable(cause: Callable[..., Findings], case: Case) -> bool:
    """Whether everything is known that a cause cannot do without."""
    return all(getattr(case, name) is not None for name, p in _needs(cause).items() if p.default is p.empty)
