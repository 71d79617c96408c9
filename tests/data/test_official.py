"""Official data sets in their official layouts, written small."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from pellucid import data
from pellucid.errors import DataError


def same(part, *pairs):
    np.testing.assert_array_equal(part.x, np.concatenate([x for x, _ in pairs]))
    np.testing.assert_array_equal(part.y, np.concatenate([y for _, y in pairs]))
    assert part.x.dtype == np.uint8
    assert part.y.dtype == np.int64
    assert part.x.flags.writeable


@pytest.mark.parametrize("folder", ["", "cifar-10-batches-py", "cifar10/cifar-10-batches-py"])
def test_cifar10_batches_are_read_in_their_order(official, publish, tmp_path, folder):
    written = official.cifar10(tmp_path / folder)
    publish("cifar10", tmp_path / folder)
    dataset = data.load("cifar10", data_dir=tmp_path, validation_split=0)
    same(dataset.train, *(written[f"data_batch_{k}"] for k in range(1, 6)))
    same(dataset.test, written["test_batch"])
    assert dataset.validation is None
    assert dataset.class_names[:2] == ("airplane", "automobile")
    assert all(record["official"] for record in dataset.provenance["files"])


def test_cifar10_fifth_batch_as_test_part_needs_no_test_batch(official, publish, tmp_path):
    written = official.cifar10(tmp_path)
    publish("cifar10", tmp_path)
    (tmp_path / "test_batch").unlink()
    dataset = data.load("cifar10", data_dir=tmp_path, validation_split=0, test_part="data_batch_5")
    same(dataset.train, *(written[f"data_batch_{k}"] for k in range(1, 5)))
    same(dataset.test, written["data_batch_5"])
    with pytest.raises(DataError, match="lacks test_batch"):
        data.load("cifar10", data_dir=tmp_path, download=False)


def test_cifar10_straight_out_of_its_archive(official, formats, tmp_path):
    written = official.cifar10(tmp_path / "loose")
    members = [(f"cifar-10-batches-py/{name}", (tmp_path / "loose" / name).read_bytes()) for name in reversed(written)]
    formats.tar(tmp_path / "cifar-10-python.tar.gz", [("cifar-10-batches-py/readme.html", b"<html>"), *members])
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz(.|\n)*--no-verify"):
        data.load("cifar10", data_dir=tmp_path)
    dataset = data.load("cifar10", data_dir=tmp_path, verify=False, validation_split=0)
    same(dataset.train, *(written[f"data_batch_{k}"] for k in range(1, 6)))
    assert {path.name for path in tmp_path.iterdir()} == {"loose", "cifar-10-python.tar.gz"}  # nothing was unpacked


def test_cifar100_takes_the_fine_labels(official, publish, tmp_path):
    written = official.cifar100(tmp_path / "cifar-100-python")
    publish("cifar100", tmp_path / "cifar-100-python")
    dataset = data.load("cifar100", data_dir=tmp_path, validation_split=0)
    same(dataset.train, written["train"])
    same(dataset.test, written["test"])
    assert len(set(dataset.class_names)) == 100


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST/raw"), ("fashion_mnist", "fashion_mnist"), ("mnist", "")]
)
def test_idx_files_packed_or_not(official, publish, tmp_path, name, folder, packed):
    written = official.idx(tmp_path / folder, packed=packed)
    publish(name, tmp_path / folder)
    dataset = data.load(name, data_dir=tmp_path, validation_split=0)
    same(dataset.train, (written["train-images-idx3-ubyte"][..., None], written["train-labels-idx1-ubyte"]))
    same(dataset.test, (written["t10k-images-idx3-ubyte"][..., None], written["t10k-labels-idx1-ubyte"]))


def test_svhn_label_ten_is_zero(official, publish, tmp_path):
    written = official.svhn(tmp_path / "svhn")
    publish("svhn", tmp_path / "svhn")
    dataset = data.load("svhn", data_dir=tmp_path, validation_split=0)
    same(dataset.train, (written["train_32x32.mat"][0], written["train_32x32.mat"][1] % 10))
    same(dataset.test, (written["test_32x32.mat"][0], written["test_32x32.mat"][1] % 10))
    assert dataset.class_names[0] == "0"


def test_the_test_part_of_digits_does_not_depend_on_the_seed():
    first, second = data.load("digits", seed=1), data.load("digits", seed=2)
    np.testing.assert_array_equal(first.test.x, second.test.x)
    assert not np.array_equal(first.validation.x, second.validation.x)
    assert first.fingerprint != second.fingerprint
    assert first.fingerprint == data.load("digits", seed=1).fingerprint
    assert first.train.x.max() == 255
    assert len(first.train) + len(first.validation) + len(first.test) == 1797


def test_files_with_other_checksums_are_refused_by_name_and_accepted_on_request(official, tmp_path):
    official.cifar10(tmp_path)
    with pytest.raises(DataError, match=r"(?s)data_batch_1.*20 images.*wanted md5 c99cafc1.*test_batch.*--no-verify"):
        data.load("cifar10", data_dir=tmp_path)
    dataset = data.load("cifar10", data_dir=tmp_path, verify=False)
    assert any("20 of the 10,000" in note and note.startswith("test:") for note in dataset.notes)
    assert any(note.startswith("not verified: data_batch_1") for note in dataset.notes)
    assert not dataset.provenance["files"][0]["official"]


def test_files_of_another_data_set_are_refused_even_unverified(official, publish, tmp_path):
    official.idx(tmp_path / "fashion_mnist", packed=False)
    publish("mnist", tmp_path / "fashion_mnist")
    with pytest.raises(DataError, match="is a file of mnist, not of fashion_mnist"):
        data.load("fashion_mnist", data_dir=tmp_path, verify=False)


def test_the_argument_is_searched_before_the_environment(official, publish, tmp_path, monkeypatch):
    official.idx(tmp_path / "b" / "mnist", n=60)
    official.idx(tmp_path / "a" / "mnist", n=40)
    monkeypatch.setenv("PELLUCID_DATA", str(tmp_path / "b"))
    settings = {"verify": False, "validation_split": 0}
    assert len(data.load("mnist", data_dir=tmp_path / "a", **settings).train) == 40
    assert len(data.load("mnist", **settings).train) == 60
    assert len(data.load("mnist", data_dir=tmp_path / "empty", **settings).train) == 60


def test_size_channels_and_classes_of_an_official_set(official, tmp_path):
    official.idx(tmp_path)
    dataset = data.load("mnist", data_dir=tmp_path, verify=False, size=(32, 24), channels=3, classes=["7", "1"])
    assert dataset.input_shape == (32, 24, 3)
    assert dataset.class_names == ("7", "1")
    assert set(dataset.test.y) == {0, 1}
    with pytest.raises(DataError, match="no class '11'"):
        data.load("mnist", data_dir=tmp_path, verify=False, classes=["1", "11"])
    with pytest.raises(DataError, match="one class only"):
        data.load("mnist", data_dir=tmp_path, verify=False, classes=["1"])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("cfar10", "Did you mean 'cifar10'"),
        ("fashion", "Did you mean 'fashion_mnist'"),
        ("./cats", "does not exist"),
        ("photos/cats", "its folder does not exist either"),
        ("data.npz", "does not exist"),
    ],
)
def test_unknown_sources_say_what_was_meant(source, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=words):
        data.load(source)


def test_names_are_forgiving_about_case_and_hyphens(official, tmp_path):
    official.idx(tmp_path / "fashion_mnist")
    assert data.load("Fashion-MNIST", data_dir=tmp_path, verify=False).name == "fashion_mnist"


def test_wrong_test_parts_are_named(tmp_path):
    with pytest.raises(DataError, match="Did you mean 'data_batch_5'"):
        data.load("cifar10", test_part="data_batch_4", data_dir=tmp_path)
    with pytest.raises(DataError, match="belongs to cifar10"):
        data.load("mnist", test_part="data_batch_5", data_dir=tmp_path)


def test_a_folder_of_official_files_is_recognised(official, tmp_path):
    official.cifar10(tmp_path / "cifar-10-batches-py")
    with pytest.raises(DataError, match="holds the files of cifar10"):
        data.load(tmp_path)


def test_missing_sets_say_where_to_put_the_files(tmp_path):
    with pytest.raises(DataError, match=r"looked in .*train_32x32\.mat"):
        data.load("svhn", data_dir=tmp_path, download=False)


def test_describe_finds_what_is_there(official, tmp_path):
    official.idx(tmp_path / "mnist")
    official.cifar10(tmp_path)
    (tmp_path / "data_batch_3").unlink()
    rows = {row.name: row for row in data.describe(tmp_path)}
    assert rows["mnist"].folder == tmp_path / "mnist"
    assert not rows["cifar10"].available
    assert "lacks data_batch_3" in rows["cifar10"].note
    assert rows["digits"].available


def test_check_counts_images_that_are_in_two_parts(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), np.uint8)
    y = np.arange(20) % 2
    np.savez(tmp_path / "a.npz", x=x, y=y, x_test=x[:3], y_test=y[:3])
    report = data.check(tmp_path / "a.npz", validation_split=0)
    assert report.duplicates == {"test": 3}
    assert any("test part are also in the training part" in warning for warning in report.warnings)
    assert report.class_counts["train"] == [10, 10]
    assert report.to_dict()["parts"] == {"train": 20, "test": 3}


def test_get_verifies_and_names_the_folder(official, publish, tmp_path):
    official.idx(tmp_path / "mnist")
    with pytest.raises(DataError, match="not the official mnist files"):
        data.get("mnist", tmp_path)
    publish("mnist", tmp_path / "mnist")
    assert data.get("mnist", tmp_path) == tmp_path / "mnist"
    assert data.get("digits") is None
    with pytest.raises(DataError, match="Did you mean 'mnist'"):
        data.get("mnits")


def test_importing_data_loads_nothing_heavy():
    program = (
        "import sys, pellucid.data; "
        "heavy = {'PIL', 'pooch', 'requests', 'sklearn', 'scipy', 'platformdirs', 'rich', 'numba', 'matplotlib'}; "
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
