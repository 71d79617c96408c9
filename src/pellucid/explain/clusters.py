"""Which filters of a layer say the same: feature maps sorted into groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError
from ..layers import Chain
from ..model import Sequential
from .network import batches, find_layer


@dataclass(frozen=True, eq=False)
class FilterClusters:
    """The filters of a layer in groups of alike ones.

    ``labels`` (C,) is each filter's group, the largest group being 0; -1 for filters that never change. ``correlation`` (C, C)
    is that of their outputs over all places of all images, 0 for those filters.
    """

    layer: str
    labels: NDArray[np.int64]
    correlation: NDArray

    @property
    def order(self) -> NDArray[np.int64]:
        """The filters group by group, those that never change last."""
        return np.lexsort((np.arange(len(self.labels)), np.where(self.labels < 0, len(self.labels), self.labels)))


def cluster_filters(
    model: Sequential, x: NDArray, layer: str, *, clusters: int = 6, batch_size: int = 64
) -> FilterClusters:
    """Group the filters (or units) of a layer by how alike their outputs on ``x`` are.

    Two filters are as far apart as 1 - the correlation of their maps; groups are merged by average distance until ``clusters``
    are left (scikit-learn's ``AgglomerativeClustering``). Nothing is drawn at random.

    >>> from pellucid import zoo
    >>> x = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
    >>> cluster_filters(zoo.build("cnn2"), x, "conv1", clusters=3).labels.shape
    (32,)
    """
    from sklearn.cluster import AgglomerativeClustering

    place = find_layer(model, layer)
    if clusters < 1:
        raise PellucidError(f"clusters was {clusters}; wanted at least 1.")
    correlation, alive = _correlation(model, x, place.path, batch_size)
    labels = np.full(len(alive), -1)
    if alive.sum() > 1:
        grouping = AgglomerativeClustering(min(clusters, int(alive.sum())), metric="precomputed", linkage="average")
        found = grouping.fit_predict(np.maximum(1 - correlation[np.ix_(alive, alive)], 0))
        largest_first = np.argsort(-np.bincount(found), kind="stable")
        labels[alive] = np.argsort(largest_first)[found]
    elif alive.any():
        labels[alive] = 0
    return FilterClusters(place.path, labels, correlation)


def _correlation(model: Sequential, x: NDArray, path: str, batch_size: int) -> tuple[NDArray, NDArray[np.bool_]]:
    """The correlation of all pairs of filters, and which filters change at all. Sums are kept, no maps."""
    count, total, products = 0, np.zeros(0), np.zeros(0)
    shift: NDArray | None = None  # about the mean: sums of squares of far-off numbers would drown in rounding
    for _, batch in batches(model, x, batch_size):
        output = Chain.forward(model, batch)[1][path].output
        rows = output.reshape(-1, output.shape[-1]).astype(np.float64)
        if shift is None:
            shift = rows.mean(axis=0)
            total, products = np.zeros_like(shift), np.zeros((len(shift), len(shift)))
        rows -= shift
        count += len(rows)
        total += rows.sum(axis=0)
        products += rows.T @ rows
    covariance = products / count - np.outer(total, total) / count**2
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0))
    alive = deviation > 1e-6 * deviation.max(initial=0)
    scale = np.where(alive, deviation, 1)
    correlation = np.where(np.outer(alive, alive), covariance / np.outer(scale, scale), 0)
    return np.clip(correlation, -1, 1), alive
