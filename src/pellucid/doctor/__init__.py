"""The doctor: why a network does not learn, or learns what it should not.

One small function a cause, each with the thresholds it goes by and why; ``examine`` asks all that can be asked of a ``Case``.
A ``Finding`` says what is wrong, by which numbers, and what to do. ``Watch`` does the same while a network is trained.

>>> import numpy as np
>>> from pellucid import data, doctor
>>> x, y = np.zeros((200, 4, 4, 1), np.uint8), np.arange(200) % 2
>>> x[:, 0, 0, 0], x[0] = y * 100 + np.arange(200) % 50, 7
>>> [finding.cause for finding in doctor.examine(doctor.Case(train=data.Part(x, y)))]
['constant images']
"""

from .case import Case, as_part
from .causes import CAUSES, examine, examined
from .finding import Finding
from .targets import case_of, case_of_data, case_of_model, case_of_run, examine_run
from .watch import Watch

__all__ = [
    "CAUSES",
    "Case",
    "Finding",
    "Watch",
    "as_part",
    "case_of",
    "case_of_data",
    "case_of_model",
    "case_of_run",
    "examine",
    "examine_run",
    "examined",
]
