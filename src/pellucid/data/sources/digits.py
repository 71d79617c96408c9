"""The digits that come with scikit-learn: 1,797 images of 8 x 8 pixels, no download needed.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

import numpy as np

from ..catalogue import Source
from ..dataset import Contents, Part
from ..split import stratified_split

TEST_FRACTION = 0.2
TEST_SEED = 1797  # the test part is the same whatever the seed of a run


def read(source: Source) -> Contents:
    """The digits as uint8 (N, 8, 8, 1): a value v of 0..16 becomes round(v · 255 / 16); a fifth is the test part."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = ((bunch.images.astype(np.int64) * 255 + 8) // 16).astype(np.uint8)[..., None]  # (N, 8, 8, 1)
    whole = Part(x, bunch.target)
    rest, test = stratified_split(whole.y, TEST_FRACTION, seed=TEST_SEED)
    notes = [f"test: {len(test):,} of the {len(whole):,} images, stratified, the same for every seed."]
    return Contents(whole.take(rest), None, whole.take(test), source.class_names, notes)
