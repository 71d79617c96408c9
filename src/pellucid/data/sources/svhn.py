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
from .matlab import read_matrices

_MAX_FILE = 2 << 30  # the largest official file, the extra training images, has 1.3 GB
_MAX_BYTES = 1_000_000 * 3072  # of a million images


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
    """Images (N, 32, 32, 3) and labels (N,) of one file.

    Raises
    ------
    DataError
        the file is damaged, a web page, or not of this kind.
    """
    if path.stat().st_size > _MAX_FILE:
        raise DataError(f"{path} is refused: {path.stat().st_size:,} bytes, more than any official file has.")
    content = path.read_bytes()
    if not content.startswith(b"MATLAB 5.0 MAT-file"):
        start = content[:8].hex(" ") or "nothing"
        what = "a web page" if content[:32].lstrip()[:1] == b"<" else f"a file that starts with {start}"
        raise DataError(f"{path} is {what}, not a MATLAB 5 file. Remove it and get it again.")
    try:
        variables = read_matrices(content, ("X", "y"), _MAX_BYTES)
    except DataError as error:
        raise DataError(f"{path} {error}. Get it again.") from error
    missing = {"X", "y"} - variables.keys()
    if missing:
        raise DataError(f"{path} lacks the variable {min(missing)}: it is truncated or no SVHN file. Get it again.")
    x, y = variables["X"], variables["y"]
    if x.ndim != 4 or x.shape[:3] != (32, 32, 3) or x.shape[3] == 0 or x.dtype != np.uint8:
        raise DataError(f"{path} is no SVHN file: X is {x.shape} {x.dtype}, wanted (32, 32, 3, N) uint8.")
    if y.shape != (x.shape[3], 1):
        raise DataError(f"{path} is no SVHN file: y is {y.shape}, wanted ({x.shape[3]}, 1), a label per image.")
    y = y.ravel()  # (N,)
    if not np.isin(y, np.arange(1, 11)).all():
        raise DataError(f"{path} holds labels from {y.min()} to {y.max()}, wanted 1 to 10 (10 stands for 0).")
    x = np.ascontiguousarray(x.transpose(3, 0, 1, 2))  # (H, W, C, N) -> (N, H, W, C)
    return x, y.astype(np.int64) % 10
