"""``pellucid summary``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def summary(
    network: str,
    /,
    *,
    input_shape: Annotated[tuple[int, int, int], Parameter(metavar="H W C", negative_iterable=())] = (32, 32, 3),
    classes: Annotated[int, Parameter(metavar="N")] = 10,
) -> int:
    """The layers of a network: shapes, parameters, multiply-adds.

    Examples:

      pellucid summary cnn2

      pellucid summary net.toml --input-shape 28 28 1

      pellucid summary runs/digits-cnn1_avg-20250131-120000

    Parameters
    ----------
    network
        A network of the zoo, a TOML file of layers, a model file or a run folder.
    input_shape
        Height, width and channels of the images, for a network that is not trained yet.
    classes
        The number of classes, for a network of the zoo.
    """
    from ..run.networks import find

    model = find(network, input_shape, classes)
    model.summary()
    if model.class_names:
        print(f"Classes: {', '.join(model.class_names)}")
    about = model.training_summary
    if about:
        scores = ", ".join(
            f"{name.replace('_', ' ')} {about[name]:.4f}"
            for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
            if isinstance(about.get(name), float)
        )
        source = about["data"].get("source") if isinstance(about.get("data"), dict) else None
        print(f"Trained{f' on {source}' if source else ''}, epoch {about.get('epoch', '?')}: {scores}")
    return 0
