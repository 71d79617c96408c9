"""``pellucid explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from .options import with_settings

_SETTINGS = ("backend", "threads", "data.data_dir", "data.verify", "data.download", "data.on_bad_image")

_CLASS = "The class to be explained, by name or number; without it, what the network predicts."


@with_settings(_SETTINGS)
def explain(
    model: str,
    image: Annotated[str | None, Parameter(show_default=False)] = None,
    /,
    *,
    method: Annotated[str, Parameter(metavar="NAME")] = "gradcam",
    layer: Annotated[str | None, Parameter(metavar="PATH", show_default=False)] = None,
    class_: Annotated[str | None, Parameter(name="--class", metavar="NAME", show_default=False, help=_CLASS)] = None,
    of: Literal["logit", "probability"] = "logit",
    at: Annotated[
        tuple[int, int] | None, Parameter(metavar="ROW COLUMN", show_default=False, negative_iterable=())
    ] = None,
    filter: Annotated[int | None, Parameter(metavar="N", show_default=False)] = None,
    images: Annotated[int, Parameter(metavar="N")] = 512,
    out: Annotated[Path | None, Parameter(metavar="FILE", show_default=False)] = None,
    **overrides: Any,
) -> int:
    """Show what a trained model looks at, and how it comes to its answer.

    Of one image: gradcam, saliency, smoothgrad, integrated (gradients) and
    occlusion show which pixels mattered; activations what every layer made
    of it; arithmetic works out one number of a layer, step by step;
    receptive draws what one output of each layer sees.

    Of the network: filters, and on many images favourites (what excites
    each filter most), statistics (dead filters), flow (of the gradient),
    ablation (what each filter is worth), clusters (filters that say alike),
    pca and tsne (a map of the images as the last layer sees them).

    Examples:

      pellucid explain runs/mine cat.png

      pellucid explain runs/mine test:17 --method integrated --class dog

      pellucid explain runs/mine cat.png --method arithmetic --layer conv1

    Parameters
    ----------
    model
        A run folder or a model file.
    image
        A picture, or an image of the training's data such as test:17; without it, the first there is.
    method
        How: one of those above.
    layer
        A layer by its path, such as conv2 or residual1/body/conv1; without it, one that suits the method.
    of
        What is explained: the score before softmax, or the probability.
    at
        The place in the layer's maps, for arithmetic and receptive; without it, the strongest, or the middle.
    filter
        The filter, for arithmetic and favourites.
    images
        How many images to look at, for methods that look at many.
    out
        Where the figure goes (.png, .svg, .pdf, .jpg), or the numbers (.npz); without it, METHOD.png.
    """
    from ..run.explaining import checked_path, explained, write

    out = checked_path(out or Path(f"{method}.png"))
    row, column = at or (None, None)
    place = {"row": row, "column": column, "filter": filter}
    found = explained(
        model, method, image=image, layer=layer, class_=class_, of=of, count=images, overrides=overrides, **place
    )
    path = write(found, out)
    print(found.words)
    print(f"Written: {path}")
    return 0
