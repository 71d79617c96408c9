"""Errors that say what was given, what was wanted and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 4000  # letters of a text


class PellucidError(ValueError):
    """A mistake in the input of pellucid; its text is meant for the person who made it.

    The command line prints the text without a traceback and exits with status 2. What files bring into it is made
    presentable: control characters are spelt out, and a text longer than a page is cut in its middle.

    >>> print(PellucidError("There is no class 'cat\\x1b[2J'"))
    There is no class 'cat\\x1b[2J'
    """

    def __str__(self) -> str:
        text = super().__str__()
        if not text.replace("\n", "").isprintable():
            text = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
        left_out = len(text) - _LONGEST
        return text if left_out <= 0 else f"{text[: _LONGEST - 500]} … [{left_out:,} letters] … {text[-500:]}"


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
    matches = difflib.get_close_matches(word[:100].lower(), [name.lower() for name in names], n=1, cutoff=0.5)
    hint = next((f"Did you mean {name!r}? " for name in names if matches and name.lower() == matches[0]), "")
    return f"{hint}Known: {', '.join(names)}."
