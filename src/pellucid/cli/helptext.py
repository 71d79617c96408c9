"""The look of ``--help``: every option once, by its short name."""

from __future__ import annotations

from typing import Any

from cyclopts.help import DefaultFormatter


class ShortNames(DefaultFormatter):
    """Cyclopts' panels without the dotted twins (``--training.epochs``) of short names, which would double their length."""

    def __call__(self, console: Any, options: Any, panel: Any) -> None:
        for entry in panel.entries:
            for names in ("positive_names", "negative_names"):
                given = getattr(entry, names)
                setattr(entry, names, tuple(name for name in given if "." not in name) or given)
        super().__call__(console, options, panel)
