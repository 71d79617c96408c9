"""Images as the last layer sees them: features, and a map of them in two dimensions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError, nearest
from ..layers import Chain
from ..model import Sequential
from .network import batches, find_layer, input_of, layers_of

_METHODS = ("pca", "tsne")


def penultimate(model: Sequential) -> str:
    """The path of the last layer with weights: what it is fed are the features of the network."""
    with_weights = [p.path for p in layers_of(model).values() if not p.layer.children() and p.layer.params]
    if not with_weights:
        raise PellucidError("No layer of this network has weights, so it has learned no features.")
    return with_weights[-1]


def features(model: Sequential, x: NDArray, layer: str | None = None, *, batch_size: int = 64) -> NDArray:
    """What a layer is fed for each image, flattened: (N, features). Without ``layer``, the last one with weights.

    >>> from pellucid import zoo
    >>> features(zoo.build("cnn2"), np.zeros((2, 32, 32, 3), np.float32)).shape
    (2, 128)
    """
    path = penultimate(model) if layer is None else find_layer(model, layer).path
    found = []
    for _, batch in batches(model, x, batch_size):
        _, tape = Chain.forward(model, batch)
        found.append(input_of(model, batch, tape, path).reshape(len(batch), -1))
    return np.concatenate(found)


def feature_map(
    model: Sequential, x: NDArray, *, method: str = "pca", layer: str | None = None, seed: int = 0, batch_size: int = 64
) -> NDArray:
    """A point (N, 2) for each image: near each other for the network, near each other here.

    ``method="pca"`` keeps the two directions in which the features spread most; ``"tsne"`` keeps neighbours together (van der
    Maaten, Hinton, "Visualizing data using t-SNE", JMLR 9, 2008), drawn from ``seed``. Both are scikit-learn's.

    >>> from pellucid import zoo
    >>> feature_map(zoo.build("cnn2"), np.random.default_rng(0).random((5, 32, 32, 3), np.float32)).shape
    (5, 2)
    """
    if method not in _METHODS:
        raise PellucidError(f"There is no method {method!r}. {nearest(str(method), _METHODS)}")
    rows = features(model, x, layer, batch_size=batch_size).astype(np.float64)
    if len(rows) < 3:
        raise PellucidError(f"A map of {len(rows)} images says nothing; give it at least 3.")
    from sklearn.decomposition import PCA

    components = min(50 if method == "tsne" else 2, *rows.shape)
    points = PCA(components, svd_solver="full").fit_transform(rows)
    if method == "tsne":
        from sklearn.manifold import TSNE

        points = TSNE(perplexity=min(30, (len(rows) - 1) / 3), init="pca", random_state=seed).fit_transform(points)
    return points if points.shape[1] == 2 else np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
