"""Scores: one number per sample to be averaged while training, and everything there is to know about many predictions.

>>> import numpy as np
>>> found = evaluation([0, 1, 1], np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), ["cat", "dog"])
>>> round(found.accuracy, 3), found.confusion.tolist()
(0.667, [[1, 0], [1, 1]])
"""

from .calibration import Calibration
from .evaluation import Evaluation, Mistake, evaluation
from .intervals import wilson_interval
from .per_class import Averages, ClassScore, Curve
from .per_sample import METRICS, Metric, accuracy, get, top_k
from .probabilities import as_probabilities

__all__ = [
    "METRICS",
    "Averages",
    "Calibration",
    "ClassScore",
    "Curve",
    "Evaluation",
    "Metric",
    "Mistake",
    "accuracy",
    "as_probabilities",
    "evaluation",
    "get",
    "top_k",
    "wilson_interval",
]
