"""What a forward pass through a chain of layers kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from numpy.typing import NDArray

from .errors import PellucidError, nearest


class Entry(NamedTuple):
    """One layer's part: its name, what it put out, and what its backward will need."""

    name: str
    output: NDArray | None  # None once a tape that is read once has been read
    cache: Any


class Tape(list[Entry]):
    """The entries of a chain in order; ``tape["conv2"]`` or, inside a container, ``tape["residual1/body/conv2"]``.

    >>> tape = Tape([Entry("relu1", "its output", None)])
    >>> tape["relu1"].output
    'its output'
    """

    own: Any = None  # what the container itself kept, beside its layers
    _read_once = False

    def once(self) -> Tape:
        """The same tape, to be read by one backward pass only: it lets go of each entry as that is taken.

        So the memory of a layer is free again as soon as its gradients are known.
        """
        self._read_once = True
        return self

    def take(self, position: int) -> Entry:
        """An entry for its layer's backward."""
        entry: Entry = self[position]
        if self._read_once:
            self[position] = entry._replace(output=None, cache=None)
            entry = entry._replace(output=None)
            if isinstance(entry.cache, Tape):
                entry.cache.once()
        return entry

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
