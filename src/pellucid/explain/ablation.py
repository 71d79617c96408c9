"""What each filter is worth: how much the network loses without it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError, nearest
from ..layers import Chain, Layer
from ..metrics import as_probabilities, evaluation
from ..model import Sequential
from ..plan import planned
from .edited import edited
from .network import batches, find_layer


@dataclass(frozen=True, eq=False)
class Ablation:
    """What a network loses when one filter of a layer is silenced.

    ``accuracy`` and ``loss`` are those of the whole network on the images. For each filter (C,): ``accuracy_drop``, and
    ``loss_rise`` in the mean cross-entropy, which also counts what changes no answer; ``class_drop`` (C, K) is the fall of each
    class's recall, NaN for classes without images.
    """

    layer: str
    images: int
    accuracy: float
    loss: float
    accuracy_drop: NDArray
    loss_rise: NDArray
    class_drop: NDArray

    @property
    def ranking(self) -> NDArray[np.int64]:
        """The filters, the most valuable (largest rise of the loss) first."""
        return np.argsort(-self.loss_rise, kind="stable")

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        about = {name: getattr(self, name) for name in ("layer", "images", "accuracy", "loss")}
        arrays = {name: getattr(self, name).tolist() for name in ("accuracy_drop", "loss_rise", "ranking")}
        return {**about, **arrays}


def ablation(
    model: Sequential, x: NDArray, y: NDArray, layer: str, *, replace: str = "zero", batch_size: int = 256
) -> Ablation:
    """Silence the filters (or units) of a layer one by one and score the network on labelled images each time.

    ``replace="zero"`` puts 0 in place of the filter's output, ``"mean"`` its mean over ``x``: the better choice for a layer whose
    outputs are not centred on nothing, such as a convolution before batch normalisation.

    Only the layers behind the silenced one are run again. Source: Morcos et al., "On the importance of single directions for
    generalization", arXiv:1803.06959.

    >>> from pellucid import zoo
    >>> x = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
    >>> ablation(zoo.build("cnn2"), x, np.array([0, 1, 2, 3]), "conv1").loss_rise.shape
    (32,)
    """
    if replace not in ("zero", "mean"):
        raise PellucidError(f"replace was {replace!r}. {nearest(str(replace), ('zero', 'mean'))}")
    place = find_layer(model, layer)
    position = [child for child, _ in model.children()].index(place.path.partition("/")[0])
    nested = "/" in place.path
    cut = position if nested else position + 1  # what lies before is run once
    ahead, behind = _part(model.layers[:cut]), _part(model.layers[cut:])
    x = model.check_input(x)
    fed = [planned(ahead, training=False)(batch) for _, batch in batches(model, x, batch_size)]
    outputs = (Chain.forward(behind, maps)[1][place.path].output if nested else maps for maps in fed)
    silence = _mean(outputs) if replace == "mean" else np.zeros(place.output_shape[-1])

    def outputs_without(filter: int | None) -> NDArray:
        def without(maps: NDArray) -> NDArray:
            if filter is None:
                return maps
            maps = maps.copy()
            maps[..., filter] = silence[filter]
            return maps

        run = planned(edited(behind, place.path, without) if nested else behind, training=False)
        rows = np.concatenate([run(maps if nested else without(maps)) for maps in fed])
        return as_probabilities(rows, model.final_activation)

    whole = outputs_without(None)
    evaluation(y, whole)  # raises for labels that do not fit, and for a network that puts out NaN
    accuracy, loss, recall = _score(whole, np.asarray(y))
    scores = [_score(outputs_without(filter), np.asarray(y)) for filter in range(place.output_shape[-1])]
    return Ablation(
        layer=place.path,
        images=len(x),
        accuracy=accuracy,
        loss=loss,
        accuracy_drop=accuracy - np.array([row[0] for row in scores]),
        loss_rise=np.array([row[1] for row in scores]) - loss,
        class_drop=recall - np.array([row[2] for row in scores]),
    )


def _score(probabilities: NDArray, y: NDArray) -> tuple[float, float, NDArray]:
    """Accuracy, mean cross-entropy and the recall of each class, NaN for classes without images."""
    labels = y.argmax(axis=1) if y.shape == probabilities.shape else y.reshape(-1).astype(int)
    p = probabilities / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    right = p.argmax(axis=1) == labels
    least = np.finfo(probabilities.dtype).eps
    loss = -np.log(np.maximum(p[np.arange(len(p)), labels], least)).mean()
    counts, found = (np.bincount(labels, weights=w, minlength=p.shape[1]) for w in (None, right))
    with np.errstate(invalid="ignore"):
        return float(right.mean()), float(loss), found / counts


def _part(layers: list[Layer]) -> Chain:
    """Some of a model's layers as a network of their own, sharing the weights."""
    part = Chain()
    part.layers = layers
    return part


def _mean(outputs: Iterable[NDArray]) -> NDArray:
    """The mean of every filter over images and places."""
    total, count = 0.0, 0
    for output in outputs:
        total = total + output.sum(axis=tuple(range(output.ndim - 1)), dtype=np.float64)
        count += output.size // output.shape[-1]
    return np.asarray(total) / count
