"""Real rows of CIFAR-10 and MNIST, where PELLUCID_DATA points at them."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import data
from pellucid.errors import DataError
from pellucid.preprocessing import Preprocessing


def test_mnist_is_the_official_one(real):
    dataset = data.load("mnist", data_dir=real("mnist"))
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [50_000, 10_000, 10_000]
    assert dataset.test.y[:10].tolist() == [
        7,
        2,
        1,
        0,
        4,
        1,
        4,
        9,
        5,
        9,
    ]  # the first test labels, as printed everywhere
    assert all(record["official"] for record in dataset.provenance["files"])
    whole = data.load("mnist", data_dir=real("mnist"), validation_split=0)
    assert whole.train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert Preprocessing.fit(whole.train.x).mean[0] == pytest.approx(0.1307, abs=5e-5)  # LeCun's
    assert Preprocessing.fit(whole.train.x).std[0] == pytest.approx(0.3081, abs=5e-5)


def test_cifar10_pixels_are_the_official_ones(real):
    dataset = data.load("cifar10", data_dir=real("cifar10"), verify=False, validation_split=0)
    assert len(dataset.train) == 50_000
    assert dataset.train.y[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert dataset.test.y[:8].tolist() == [3, 8, 8, 0, 6, 6, 1, 6]
    means = dataset.train.x.reshape(-1, 3).sum(0, dtype=np.int64) / (50_000 * 1024)
    np.testing.assert_allclose(means, [125.306918046875, 122.950394140625, 113.86538318359375], rtol=1e-12)
    assert dataset.train.x[0, 0, 0].tolist() == [59, 62, 63]  # the first pixel of the frog


def test_cifar10_with_an_incomplete_test_batch_is_refused_or_noted(real):
    folder = real("cifar10")
    if (folder / "cifar-10-batches-py" / "test_batch").stat().st_size > 30_000_000:
        pytest.skip("the test batch here is complete")
    with pytest.raises(DataError, match=r"(?s)test_batch.*1,017 images.*wanted md5 40351d58.*--no-verify"):
        data.load("cifar10", data_dir=folder)
    dataset = data.load("cifar10", data_dir=folder, verify=False)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [40_000, 10_000, 1_017]
    assert any("1,017 of the 10,000" in note for note in dataset.notes)


def test_cifar10_four_and_one_batches(real):
    dataset = data.load("cifar10", data_dir=real("cifar10"), verify=False, test_part="data_batch_5")
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [30_000, 10_000, 10_000]
    assert np.bincount(dataset.validation.y).max() - np.bincount(dataset.validation.y).min() <= 30
    assert not any("test:" in note for note in dataset.notes)
