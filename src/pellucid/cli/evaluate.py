"""``pellucid evaluate``."""

from __future__ import annotations

import json as json_
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from .options import with_settings

_SETTINGS = (
    "backend",
    "threads",
    "data.data_dir",
    "data.verify",
    "data.download",
    "data.on_bad_image",
)


@with_settings(_SETTINGS)
def evaluate(
    model: str,
    data: Annotated[str | None, Parameter(show_default=False)] = None,
    /,
    *,
    part: Annotated[Literal["test", "validation", "train"] | None, Parameter(show_default=False)] = None,
    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    **overrides: Any,
) -> int:
    """Loss and accuracy of a trained model on images it never saw.

    The accuracy comes with its 95 % confidence interval, the number of
    images, and which they are.

    Examples:

      pellucid evaluate runs/digits-cnn1_avg-20250131-120000

      pellucid evaluate model.safetensors photos/ --json

    Parameters
    ----------
    model
        A run folder or a model file.
    data
        A data set by name or path; without it, the one the model was trained with.
    part
        Which part of the data; without it the test part, or what there is.
    json
        Print one JSON object instead of words.
    """
    from ..run import evaluate as score

    result = score(model, data, part=part, overrides=overrides)
    if json:
        print(json_.dumps(result.to_dict()))
    else:
        print(result)
        for note in result.notes:
            print(f"  {note}")
    return 0
