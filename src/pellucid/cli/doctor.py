"""``pellucid doctor``."""

from __future__ import annotations

import json as json_
from typing import Annotated, Any

from cyclopts import Parameter

from .options import with_settings

_SETTINGS = (
    "backend",
    "threads",
    "data.data_dir",
    "data.verify",
    "data.test_part",
    "data.size",
    "data.channels",
    "data.on_bad_image",
    "data.classes",
)


@with_settings(_SETTINGS)
def doctor(
    target: str,
    /,
    *,
    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    **overrides: Any,
) -> int:
    """Say why a network does not learn, or learns what it should not.

    Of data: labels that do not fit the images, images that are in two parts,
    one class only, imbalance, empty images. Of a model: inputs that are not
    scaled, softmax twice, dead units, weights that are not finite. Of a run
    all of that and its history: a loss that is stuck, a rate that is too high
    or too low, overfitting, where numbers stopped being finite.

    The exit status is 1 if something serious was found, else 0.

    Examples:

      pellucid doctor runs/mine

      pellucid doctor photos/ --size 64 64

      pellucid doctor model.safetensors --json

    Parameters
    ----------
    target
        A run folder, a model file, or a data set by name or path.
    json
        Print one JSON object instead of words.
    """
    from ..config import make
    from ..doctor import case_of, examine, examined
    from ..run.prepare import choose_engine

    choose_engine(make(overrides))
    case = case_of(target, overrides)
    findings, causes = examine(case), examined(case)
    status = int(any(finding.serious for finding in findings))
    if json:
        found = [finding.to_dict() for finding in findings]
        print(json_.dumps({"target": target, "looked_for": causes, "findings": found}))
        return status
    if findings:
        from rich.console import Console

        Console().print(_table(findings))
    serious = sum(finding.serious for finding in findings)
    count = f"{len(findings)} found, {serious} serious" if findings else "Nothing found"
    print(f"{count}. Looked for: {', '.join(causes)}.")
    return status


def _table(findings: list[Any]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_lines=True)
    table.add_column("", no_wrap=True)
    table.add_column("cause", min_width=10)
    table.add_column("what was measured", ratio=3)
    table.add_column("what to do", ratio=2)
    for finding in findings:
        style = "bold red" if finding.serious else "yellow"
        words = (finding.cause, finding.evidence, finding.advice)
        table.add_row(Text(finding.severity, style), *map(Text, words))
    return table
