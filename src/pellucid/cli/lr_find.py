"""``pellucid lr-find``."""

from __future__ import annotations

import json as json_
import shlex
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .options import short_names, with_settings
from .train import model_file


@with_settings()
def lr_find(
    data: Annotated[str | None, Parameter(show_default=False)] = None,
    /,
    *,
    out: Annotated[Path, Parameter(metavar="FILE")] = Path("lr-find.png"),
    lowest: Annotated[float, Parameter(metavar="X")] = 1e-6,
    highest: Annotated[float, Parameter(metavar="X")] = 10.0,
    steps: Annotated[int, Parameter(metavar="N")] = 100,
    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    **overrides: Any,
) -> int:
    """Find a learning rate: train with ever larger ones, and see.

    Takes a hundred steps of a training with the settings given, with rates
    that grow from step to step, draws the loss over the rate, and suggests
    one. No run is begun. The exit status is 1 if no rate can be suggested.

    Examples:

      pellucid lr-find digits

      pellucid lr-find cifar10 --model cnn2 --optimizer sgd --momentum 0.9

    Parameters
    ----------
    data
        A data set by name, a folder of class folders, an .npz or .csv file; or a .toml of settings.
    out
        The figure: .png, .svg, .pdf or .jpg.
    lowest
        The rate to begin with.
    highest
        The rate to end with, unless the loss diverges before.
    steps
        In how many steps.
    json
        Print one JSON object instead of words.
    """
    from .. import figures
    from ..config import make, read
    from ..run import find_learning_rate

    options = [_option(name, value) for name, value in overrides.items()]
    overrides = model_file(overrides)
    if data is not None and data.lower().endswith(".toml"):
        settings = read(data, overrides)
    else:
        settings = make(({"data.source": data} if data is not None else {}) | overrides)
    found, words = find_learning_rate(settings, lowest=lowest, highest=highest, steps=steps)
    figures.save(found.figure(), out)
    if json:
        print(json_.dumps(found.to_dict()))
    else:
        print(words)
        print(f"{found.reason}.")
        if found.suggestion is not None:
            train = " ".join(["pellucid train", shlex.quote(data or ""), *options])
            print(f"\nLearning rate: {found.suggestion:g}")
            print(f"Figure:        {out}")
            print(f"Next:          {train} --learning-rate {found.suggestion:g}")
        else:
            print(f"\nFigure:        {out}")
    return 0 if found.suggestion is not None else 1


def _option(name: str, value: Any) -> str:
    """A setting as it is written on the command line."""
    short = short_names()[name]
    if isinstance(value, bool):
        return f"--{short}" if value else f"--no-{short}"
    words = value if isinstance(value, list | tuple) else [value]
    return " ".join([f"--{short}", *(shlex.quote(str(word)) for word in words)])
