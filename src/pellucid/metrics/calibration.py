"""Whether a network that says "90 %" is right in 90 of 100 cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .intervals import wilson_interval


@dataclass(frozen=True, eq=False)
class Calibration:
    """Predictions sorted by their confidence into bins of equal width (a reliability diagram).

    ``edges`` has one number more than there are bins; bin b holds confidences in (edges[b], edges[b + 1]]. ``confidence`` is the
    mean confidence in a bin and ``accuracy`` the share that was right, NaN where ``count`` is 0.
    """

    edges: NDArray
    count: NDArray
    confidence: NDArray
    accuracy: NDArray

    @property
    def expected_error(self) -> float:
        """The expected calibration error: Σ count/N · |accuracy - confidence| over the bins.

        Source: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", arXiv:1706.04599, equation 3.
        """
        share = self.count / max(self.count.sum(), 1)
        return float(np.nansum(share * np.abs(self.accuracy - self.confidence)))

    @property
    def largest_error(self) -> float:
        """The maximum calibration error: the largest |accuracy - confidence| of all bins."""
        return float(np.nanmax(np.abs(self.accuracy - self.confidence)))

    @property
    def overconfidence(self) -> float:
        """Mean confidence minus accuracy: above 0 for a network that is surer than it should be."""
        share = self.count / max(self.count.sum(), 1)
        return float(np.nansum(share * (self.confidence - self.accuracy)))

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON; the interval of each bin's accuracy is that of Wilson."""
        bins = []
        for b in np.flatnonzero(self.count):
            low, high = wilson_interval(float(self.accuracy[b]), int(self.count[b]))
            bins.append(
                {
                    "from": float(self.edges[b]),
                    "to": float(self.edges[b + 1]),
                    "images": int(self.count[b]),
                    "confidence": float(self.confidence[b]),
                    "accuracy": float(self.accuracy[b]),
                    "accuracy_low": low,
                    "accuracy_high": high,
                }
            )
        errors = {"expected_error": self.expected_error, "largest_error": self.largest_error}
        return {**errors, "overconfidence": self.overconfidence, "bins": bins}


def calibration(confidence: NDArray, right: NDArray, bins: int = 15) -> Calibration:
    """The reliability of N predictions: ``confidence`` (N,) in 0 … 1 and whether each was ``right`` (N,).

    >>> found = calibration(np.array([0.95, 0.9, 0.55]), np.array([True, True, False]), bins=10)
    >>> found.count.tolist(), round(found.expected_error, 3)
    ([0, 0, 0, 0, 0, 1, 0, 0, 1, 1], 0.233)
    """
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)  # (a, b]: 0.9 lies below the edge
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(place, weights=values, minlength=bins) / count for values in (confidence, right)]
    return Calibration(edges, count, *means)
