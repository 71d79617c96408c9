"""What a forward pass through a chain of layers kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from numpy.typing import NDArray

from .errors import PellucidError, nearest


class Entry(NamedTuple):
    """One layer's part: its name, what it put out, and what its backward will need."""

    name: str
    output: NDArray
    cache: Any


class Tape(list[Entry]):
    """The entries of a chain in order; ``tape["conv2"]`` or, inside a container, ``tape["residual1/body/conv2"]``.

    >>> tape = Tape([Entry("relu1", "its output", None)])
    >>> tape["relu1"].output
    'its output'
    """

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        for path, entry in self.walk():
            if path == key:
                return entry
        raise PellucidError(f"The tape has no layer {key!r}. {nearest(key, [path for path, _ in self.walk()])}")

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Entry]]:
        """All entries with their paths, those inside containers after the container itself."""
        for entry in self:
            yield f"{prefix}{entry.name}", entry
            if isinstance(entry.cache, Tape):
                yield from entry.cache.walk(f"{prefix}{entry.name}/")
