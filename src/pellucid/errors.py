"""Errors that say what was given, what was wanted and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PellucidError(ValueError):
    """A mistake in the input of pellucid; its text is meant for the person who made it.

    The command line prints the text without a traceback and exits with status 2.
    """


class ShapeError(PellucidError):
    """An array or a layer has a shape that does not fit."""


class DataError(PellucidError):
    """A data file or folder cannot be used as it is."""


class FileFormatError(PellucidError):
    """A model, checkpoint or config file is damaged or is something else."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint that ends an error about an unknown name.

    >>> nearest("cfar10", ["cifar10", "mnist"])
    "Did you mean 'cifar10'? Known: cifar10, mnist."
    >>> nearest("zzz", ["relu", "elu"])
    'Known: relu, elu.'
    """
    names = list(known)
    matches = difflib.get_close_matches(word.lower(), [name.lower() for name in names], n=1, cutoff=0.5)
    hint = next((f"Did you mean {name!r}? " for name in names if matches and name.lower() == matches[0]), "")
    return f"{hint}Known: {', '.join(names)}."
