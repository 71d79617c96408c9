"""``pellucid evaluate``."""

from __future__ import annotations

import json as json_
from pathlib import Path
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
    save: Annotated[Path | None, Parameter(metavar="FILE", show_default=False)] = None,
    figures: Annotated[Path | None, Parameter(metavar="FOLDER", show_default=False)] = None,
    views: Annotated[Literal["none", "mirror", "mirror+shifts"] | None, Parameter(show_default=False)] = None,
    **overrides: Any,
) -> int:
    """Loss and accuracy of a trained model on images it never saw.

    The accuracy comes with its 95 % confidence interval, the number of
    images, and which they are. The table has precision, recall, F1 and the
    area under the ROC curve of every class; below it stand how well the
    network knows when it is wrong, and its worst mistakes.

    Examples:

      pellucid evaluate runs/digits-cnn1_avg-20250131-120000

      pellucid evaluate model.safetensors photos/ --json

      pellucid evaluate runs/mine --figures pictures/ --save scores.json

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
    save
        Write that JSON object to a file.
    figures
        Draw confusion matrix, ROC curves, reliability and the surest mistakes into this folder.
    views
        Answer with the mean over several views of each image; without it, as the model was trained to.
    """
    from ..files import write_atomically
    from ..run import evaluate as score

    result = score(model, data, part=part, overrides=overrides, figures=figures, views=views)
    if save is not None:
        text = json_.dumps(result.to_dict(), indent=1)
        write_atomically(save, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    if json:
        print(json_.dumps(result.to_dict()))
        return 0
    print(result)
    for note in result.notes:
        print(f"  {note}")
    if result.details is not None:
        from rich.console import Console

        from ..metrics.table import table

        Console().print(table(result.details, headline=False))
    for what, where in (("Figures:", figures), ("JSON:", save)):
        if where is not None:
            print(f"{what:9} {where}")
    return 0
