"""Which names fit a pattern."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from .errors import PellucidError


def matching(pattern: str, names: Iterable[str], what: str = "parameter") -> list[str]:
    """The names that fit a pattern, or an error that lists them all if none does.

    Patterns are those of file names: ``*`` is any text, ``?`` one letter, ``[abc]`` one of these.

    >>> matching("*/bias", ["conv1/kernel", "conv1/bias", "dense1/bias"])
    ['conv1/bias', 'dense1/bias']
    >>> matching("conv2/*", ["conv1/kernel", "conv1/bias"])
    Traceback (most recent call last):
    pellucid.errors.PellucidError: The pattern 'conv2/*' fits no parameter. The parameters are conv1/kernel, conv1/bias.
    """
    known = list(names)
    found = [name for name in known if fnmatchcase(name, pattern)]
    if not found:
        raise PellucidError(f"The pattern {pattern!r} fits no {what}. The {what}s are {', '.join(known) or 'none'}.")
    return found
