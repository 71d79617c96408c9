"""One network after another: each is measured, told of and kept before the next one's turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .receipt import Result, headline, save

WIDTH = 150  # of tables in a file


def series(
    result: Result,
    names: Iterable[str],
    measure: Callable[[str], dict[str, Any]],
    *,
    line: Callable[[dict[str, Any]], str],
    table: Callable[[Result], Any],
    path: Path | None = None,
    console: Any = None,
    kind: str = "network",
) -> int:
    """Add a row per network (or what else ``kind`` says) to ``result`` and print it; at the end a table.

    Returns 1 if one was refused, else 0. The file ``path`` is written after every row, so that nothing measured is lost if the
    next one takes too long.
    """
    console = console or make_console()
    rows = result[f"{kind}s"] = []
    for name in names:
        with console.status(name):
            row = {kind: name} | measure(name)
        rows.append(row)
        if path is not None:
            save(result, path)
        console.print(f"{name}: {refusal(row) or line(row)}", highlight=False, soft_wrap=True)
    drawn = table(result)
    drawn.title_justify = "left"
    console.print(drawn)
    console.print(headline(result), highlight=False)
    return 1 if any("refused" in row for row in rows) else 0


def refusal(row: dict[str, Any]) -> str:
    """Why a network was not timed, or nothing."""
    return f"not timed: {row['refused']}" if "refused" in row else ""


def make_console(stderr: bool = False) -> Any:
    """Where tables go; as wide as they need to be when that is a file."""
    from rich.console import Console

    terminal = Console(stderr=stderr)
    return terminal if terminal.is_terminal else Console(stderr=stderr, width=WIDTH)
