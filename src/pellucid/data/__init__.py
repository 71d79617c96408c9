"""Data sets: official ones by name, your own by path; validation splits; the order of batches.

>>> from pellucid import data
>>> digits = data.load("digits", seed=0)
>>> digits.train.x.shape, digits.train.x.dtype, digits.train.y.dtype
((1294, 8, 8, 1), dtype('uint8'), dtype('int64'))
"""

from pellucid.data.batches import batch_indices, number_of_batches
from pellucid.data.catalogue import SOURCES, Source, SourceFile, names
from pellucid.data.dataset import Dataset, Part
from pellucid.data.load import load
from pellucid.data.report import Description, Report, check, describe, get
from pellucid.data.split import stratified_split

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
