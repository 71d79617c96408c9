"""SVHN, the cropped digits: MATLAB 5 files with X (32, 32, 3, N) and y (N, 1), where the label 10 stands for 0.

Source: Y. Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning", 2011,
http://ufldl.stanford.edu/housenumbers/.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import DataError
from ..catalogue import Source
from ..dataset import Contents, Part
from ..locate import Found

_MAX_IMAGES = 1_000_000


def read(source: Source, found: Found) -> Contents:
    """Read the training and the test file into uint8 (N, 32, 32, 3) and labels 0..9."""
    notes: list[str] = []
    parts = []
    for (_, path), kind, expected in zip(found.files, ("training", "test"), (source.train, source.test), strict=True):
        x, y = read_mat(path)
        if len(y) != expected:
            notes.append(f"{kind}: {path.name} holds {len(y):,} of the {expected:,} official images.")
        parts.append(Part(x, y))
    return Contents(parts[0], None, parts[1], source.class_names, notes)


def read_mat(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) and labels (N,) of one file. The shapes are looked at before the arrays are read.

    Raises
    ------
    DataError
        the file is damaged, a web page, or not of this kind.
    """
    from scipy.io import loadmat, whosmat

    with open(path, "rb") as file:
        start = file.read(32)
    if not start.startswith(b"MATLAB 5.0 MAT-file"):
        what = (
            "a web page" if start.lstrip()[:1] == b"<" else f"a file that starts with {start[:8].hex(' ') or 'nothing'}"
        )
        raise DataError(f"{path} is {what}, not a MATLAB 5 file. Remove it and get it again.")
    try:
        shapes = {name: (shape, kind) for name, shape, kind in whosmat(path)}
        missing = {"X", "y"} - set(shapes)
        if missing:
            raise DataError(f"{path} lacks the variable {min(missing)}: it is truncated or no SVHN file. Get it again.")
        shape, kind = shapes["X"]
        if len(shape) != 4 or shape[:3] != (32, 32, 3) or not 0 < shape[3] <= _MAX_IMAGES or kind != "uint8":
            raise DataError(f"{path} is no SVHN file: X is {shape} {kind}, wanted (32, 32, 3, N) uint8.")
        if shapes["y"][0] != (shape[3], 1):
            raise DataError(
                f"{path} is no SVHN file: y is {shapes['y'][0]}, wanted ({shape[3]}, 1), a label per image."
            )
        variables = loadmat(path, variable_names=["X", "y"])
    except DataError:
        raise
    except Exception as error:  # a damaged file fails anywhere inside
        raise DataError(f"{path} is damaged or truncated ({type(error).__name__}: {error}). Get it again.") from error
    y = variables["y"].ravel()  # (N,)
    if not np.isin(y, np.arange(1, 11)).all():
        raise DataError(f"{path} holds labels from {y.min()} to {y.max()}, wanted 1 to 10 (10 stands for 0).")
    x = np.ascontiguousarray(variables["X"].transpose(3, 0, 1, 2))  # (H, W, C, N) -> (N, H, W, C)
    return x, y.astype(np.int64) % 10
