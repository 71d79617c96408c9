"""Presets: complete settings for a data set, found by measuring. A preset is a TOML file like any other config.

``pellucid train cifar10 --preset 5min`` trains by it, ``--print-config`` shows it; what the command line says wins. What to
expect of each, and the runs behind it, stand in ``docs/recipes.md``.

>>> names("cifar10")
['1min', '5min', '15min', '30min', '1h']
>>> path("cifar10", "5min").name
'cifar10-5min.toml'
"""

from __future__ import annotations

from pathlib import Path

from ..errors import PellucidError, nearest

_ORDER = ["15s", "1min", "5min", "15min", "30min", "1h", "best"]


def _all() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in Path(__file__).parent.glob("*.toml"):
        source, _, name = file.stem.rpartition("-")
        found.setdefault(source, []).append(name)
    return {source: sorted(found[source], key=_ORDER.index) for source in sorted(found)}


def names(source: str) -> list[str]:
    """The presets of a data set, from short to long."""
    return _all().get(_plain(source), [])


def path(source: str, name: str) -> Path:
    """The file of a preset. Raises ``PellucidError`` if there is none of this name for this data set.

    >>> path("cifar10", "5mins")
    Traceback (most recent call last):
    pellucid.errors.PellucidError: cifar10 has no preset '5mins'. Did you mean '5min'? Known: 1min, 5min, 15min, 30min, 1h.
    """
    known = names(source)
    if not known:
        raise PellucidError(
            f"There are no presets for {source!r}, only for {' and '.join(_all())}. Leave out --preset."
        )
    if name not in known:
        raise PellucidError(f"{source} has no preset {name!r}. {nearest(name, known)}")
    return Path(__file__).parent / f"{_plain(source)}-{name}.toml"


def _plain(source: str) -> str:
    return source.lower().replace("-", "_")
