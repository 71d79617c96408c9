"""Data sets: official ones by name, your own by path; validation splits; the order of batches.

>>> from pellucid import data
>>> digits = data.load("digits", seed=0)
>>> digits.train.x.shape, digits.train.x.dtype, digits.train.y.dtype
((1294, 8, 8, 1), dtype('uint8'), dtype('int64'))
"""

from .batches import batch_indices, number_of_batches
from .catalogue import SOURCES, Source, SourceFile, names
from .dataset import Dataset, Part
from .load import load
from .report import Description, Report, check, describe, get
from .split import stratified_split

__all__ = [
    "SOURCES",
    "Dataset",
    "Description",
    "Part",
    "Report",
    "Source",
    "SourceFile",
    "batch_indices",
    "check",
    "describe",
    "get",
    "load",
    "names",
    "number_of_batches",
    "stratified_split",
]
