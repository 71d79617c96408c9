"""``pellucid predict``."""

from __future__ import annotations

import json as json_
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def predict(
    model: str,
    pictures: Annotated[list[Path], Parameter(negative_iterable=())],
    /,
    *,
    top: Annotated[int, Parameter(metavar="N")] = 3,
    views: Annotated[Literal["none", "mirror", "mirror+shifts"] | None, Parameter(show_default=False)] = None,
    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
) -> int:
    """Ask a trained model what is on pictures.

    Prints the likeliest classes of each picture with their probabilities. A
    picture that cannot be read is named on the error stream, the others are
    done, and the exit status is 1.

    Examples:

      pellucid predict runs/digits-cnn1_avg-20250131-120000 seven.png

      pellucid predict model.safetensors photos/ --top 1 --json

    Parameters
    ----------
    model
        A run folder or a model file.
    pictures
        Image files, and folders to be searched for them.
    top
        How many classes to name.
    views
        Answer with the mean over several views of each picture; without it, as the model was trained to.
    json
        Print a JSON list instead of lines.
    """
    from ..run.asking import predict as ask

    done, unreadable = [], 0
    for prediction in ask(model, pictures, top=top, views=views):
        if prediction.error is not None:
            unreadable += 1
            print(prediction.error, file=sys.stderr)
        elif not json:
            classes = "   ".join(f"{name} {100 * probability:.1f} %" for name, probability in prediction.classes)
            print(f"{prediction.file}: {classes}")
        done.append(prediction.to_dict())
    if json:
        print(json_.dumps(done, indent=1))
    return 1 if unreadable else 0
