"""Your own data: folders of pictures, tables of paths, arrays."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pellucid import data
from pellucid.errors import DataError
from pellucid.preprocessing import Preprocessing


def picture(path, value=0, size=(5, 4), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 255 - value)).save(path)
    return path


@pytest.fixture
def pets(tmp_path):
    for i in range(6):
        picture(tmp_path / "pets" / "dog" / f"{i}.png", 10 * i)
        picture(tmp_path / "pets" / "cat" / f"{i}.png", 100 + 10 * i)
    return tmp_path / "pets"


def test_class_folders_in_alphabetical_order(pets):
    dataset = data.load(pets, validation_split=0)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.train.x.shape == (12, 4, 5, 3)
    assert dataset.train.x[dataset.train.y == 1][:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40, 50]
    assert [path.endswith(f"dog/{i}.png") for i, path in enumerate(dataset.train.paths[6:])] == [True] * 6
    assert dataset.test is None
    np.testing.assert_array_equal(dataset.train.x[7], Preprocessing.fit(dataset.train.x).read(dataset.train.paths[7]))


def test_part_folders_make_parts(tmp_path):
    for part, number in (("Train", 4), ("valid", 2), ("test", 1)):
        for name in ("a", "b"):
            for i in range(number):
                picture(tmp_path / part / name / "deeper" / f"{i}.JPG", i)
    dataset = data.load(tmp_path)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [8, 4, 2]
    assert data.load(tmp_path, validation_split=0).validation is not None
    with pytest.raises(DataError, match="bring their own validation part"):
        data.load(tmp_path, validation_split=0.5)


def test_other_files_are_left_aside_and_noted(pets):
    (pets / "readme.txt").write_text("hello")
    (pets / "cat" / "list.csv").write_text("hello")
    (pets / "cat" / ".hidden.png").write_text("hello")
    (pets / ".git").mkdir()
    dataset = data.load(pets)
    assert len(dataset.train) + len(dataset.validation) == 12
    assert any(note.startswith("2 files") for note in dataset.notes)


def test_unreadable_images_are_all_named_or_skipped(pets):
    (pets / "cat" / "bad1.png").write_bytes(b"nothing")
    (pets / "dog" / "bad2.png").write_bytes((pets / "dog" / "1.png").read_bytes()[:50])
    with pytest.raises(DataError, match=r"(?s)2 image files cannot be read.*bad1\.png.*bad2\.png.*skip"):
        data.load(pets)
    dataset = data.load(pets, on_bad_image="skip", validation_split=0)
    assert len(dataset.train) == 12
    assert len(dataset.provenance["skipped"]) == 2
    assert any("bad1.png" in note and "bad2.png" in note for note in dataset.notes)
    with pytest.raises(DataError, match="'error' or 'skip'"):
        data.load(pets, on_bad_image="ignore")


def test_a_class_with_only_unreadable_images_is_named(pets):
    (pets / "emu").mkdir()
    (pets / "emu" / "1.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no readable training image is left of emu"):
        data.load(pets, on_bad_image="skip")


def test_images_of_different_sizes_want_a_size(pets):
    picture(pets / "cat" / "wide.png", size=(30, 4))
    with pytest.raises(DataError, match=r"4 x 5 \(12\), 4 x 30 \(1\).*--data\.size 4 5"):
        data.load(pets)
    assert data.load(pets, size=(8, 6)).input_shape == (8, 6, 3)


def test_grey_pictures_give_one_channel_unless_asked(tmp_path):
    for name in ("a", "b"):
        for i in range(3):
            picture(tmp_path / name / f"{i}.png", i, mode="L")
    assert data.load(tmp_path).input_shape == (4, 5, 1)
    assert data.load(tmp_path, channels=3).input_shape == (4, 5, 3)
    picture(tmp_path / "a" / "colour.png")
    assert data.load(tmp_path).input_shape == (4, 5, 3)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([], "no class folders"),
        (["1.png", "2.png"], "2 images but no class folders"),
        (["cat/1.png"], "one class only \\(cat\\)"),
        (["cat/1.png", "dog/"], "dog holds no images"),
        (["train/cat/1.png", "cat/1.png"], "mixes the part folders 'train' with 'cat'"),
        (["test/cat/1.png", "val/cat/1.png"], "no train folder"),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"], "names one part twice"),
        (
            ["train/a/1.png", "train/b/1.png", "val/c/1.png"],
            "'c' in the validation part is no class of the training part",
        ),
        (["train/", "val/a/1.png"], "no class folders"),
    ],
)
def test_folders_that_cannot_be_used_say_why(tmp_path, entries, words):
    for entry in entries:
        if entry.endswith("/"):
            (tmp_path / "own" / entry).mkdir(parents=True)
        else:
            picture(tmp_path / "own" / entry)
    (tmp_path / "own").mkdir(exist_ok=True)
    with pytest.raises(DataError, match=words):
        data.load(tmp_path / "own")


def test_pictures_larger_than_the_memory_are_refused_before_decoding(pets):
    from pellucid.data.sources.pictures import Picture, read_pictures

    two = [Picture(pets / name / "1.png", "train", name) for name in ("cat", "dog")]
    with pytest.raises(DataError, match=r"too much for the .*--data\.size"):
        read_pictures(two * 5000, where="many", size=(8192, 8192), channels=3, on_bad_image="error")


def test_a_table_of_paths_and_labels(pets, tmp_path):
    rows = [f"pets/cat/{i}.png,cat,train\npets/dog/{i}.png,dog," for i in range(4)]
    rows += ["pets/cat/4.png,cat,val", "pets/dog/5.png,dog,test", f"{pets / 'cat' / '5.png'},cat,TEST", ""]
    (tmp_path / "list.csv").write_text("\n".join(["\ufeffPath, label ,split", *rows]), encoding="utf-8")
    dataset = data.load(tmp_path / "list.csv")
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [8, 1, 2]
    assert dataset.class_names == ("cat", "dog")
    assert dataset.provenance["files"][0]["sha256"]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "list.csv").write_text("label;path\n10;../pets/cat/1.png\n9;../pets/dog/1.png\n")
    assert data.load(tmp_path / "sub" / "list.csv", validation_split=0).class_names == ("9", "10")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has the columns none"),
        ("file,class\na,b\n", "has the columns file, class; wanted path, label"),
        ("path,label\n", "has no rows"),
        ("path,label\npets/cat/1.png,\n", "line 2: the label is missing"),
        ("path,label\n,cat\n", "line 2: the path is missing"),
        ("path,label,split\npets/cat/1.png,cat,dev\n", "line 2: split is 'dev'"),
        (
            "path,label\npets/cat/1.png,cat\nno1.png,dog\nno2.png,dog\n",
            "(?s)2 of 3 files.*line 3: .*no1.png.*line 4: .*no2.png",
        ),
        ("path,label,split\npets/cat/1.png,a,\npets/cat/2.png,b,\npets/dog/1.png,c,test\n", "'c' in the test part"),
        ("path,label\npets/cat/1.png,cat\n", "one class only"),
        ("path,label,split\npets/cat/1.png,cat,test\n", "no class of the training part"),
    ],
)
def test_tables_that_cannot_be_used_say_why(pets, tmp_path, text, words):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        data.load(tmp_path / "list.csv")


def test_a_table_in_another_encoding_is_named(tmp_path):
    (tmp_path / "list.csv").write_bytes("path,label\nä.png,Bär\n".encode("utf-16"))
    with pytest.raises(DataError, match="UTF-8"):
        data.load(tmp_path / "list.csv")


def arrays(tmp_path, **content):
    np.savez_compressed(tmp_path / "own.npz", **content)
    return data.load(tmp_path / "own.npz", validation_split=0)


X = np.random.default_rng(0).integers(0, 256, (8, 5, 4, 3), np.uint8)
Y = np.arange(8) % 2


def test_arrays_of_all_parts(tmp_path):
    dataset = arrays(
        tmp_path, x=X, y=Y, x_val=X[:3], y_val=Y[:3], x_test=X[:2], y_test=Y[:2, None], class_names=["no", "yes"]
    )
    np.testing.assert_array_equal(dataset.train.x, X)
    assert (len(dataset.validation), len(dataset.test), dataset.class_names) == (3, 2, ("no", "yes"))
    assert arrays(tmp_path, x=X[..., 0], y=Y).input_shape == (5, 4, 1)
    assert arrays(tmp_path, x=X, y=np.where(Y == 0, b"zebra", b"ant")).class_names == ("ant", "zebra")
    assert arrays(tmp_path, x=X, y=Y.astype(float), class_names=["a", "b", "c"]).num_classes == 3


def test_what_the_numbers_of_arrays_mean(tmp_path):
    fractions = arrays(tmp_path, x=(X / 255).astype(np.float64), y=Y)
    assert fractions.train.x.dtype == np.float32
    np.testing.assert_allclose(fractions.train.x, X, atol=1e-4)  # in the units of an image file
    np.testing.assert_allclose(
        Preprocessing.fit(fractions.train.x)(X), Preprocessing.fit(X)(X), atol=1e-5
    )  # so a picture means the same to both networks
    assert arrays(tmp_path, x=X.astype(np.int64), y=Y).train.x.dtype == np.uint8
    measured = arrays(tmp_path, x=X.astype(np.float32) - 100, y=Y)
    np.testing.assert_array_equal(measured.train.x, X.astype(np.float32) - 100)
    assert any("measurements" in note for note in measured.notes)
    assert arrays(tmp_path, x=X > 100, y=Y).train.x.max() == 255
    assert arrays(tmp_path, x=X.astype(np.uint16) * 200, y=Y).train.x.dtype == np.float32


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "wanted x \\(images\\) and y"),
        ({"images": X}, "wanted x"),
        ({"x": X}, "has x but not the other"),
        ({"x": X, "y": Y, "y_test": Y}, "has y_test but not the other"),
        ({"x": X, "y": Y[:5]}, "5 labels for 8 images"),
        ({"x": X, "y": np.eye(2)[Y]}, "argmax"),
        ({"x": X, "y": Y - 1}, "labels run from -1 to 0"),
        ({"x": X, "y": Y + 1}, "y - 1"),
        ({"x": X, "y": Y * 10**9}, "labels run from 0 to 1,000,000,000"),
        ({"x": X, "y": Y * 2, "class_names": ["a", "b"]}, "2 names in class_names"),
        ({"x": X, "y": Y, "class_names": ["a", "a"]}, "a name twice"),
        ({"x": X, "y": Y, "x_test": X, "y_test": Y + 1}, "labels run from 0 to 2"),
        ({"x": X, "y": Y + 0.5}, "fractions or NaN"),
        ({"x": X, "y": Y * np.nan}, "fractions or NaN"),
        ({"x": X, "y": Y * 1j}, "complex"),
        ({"x": X, "y": Y * 0}, "one class only"),
        ({"x": X, "y": Y, "x_test": X[:, :3], "y_test": Y}, "All parts want the same size"),
        ({"x": X, "y": Y, "x_test": X / 255, "y_test": Y}, "different kinds of numbers"),
        ({"x": X * 1j, "y": Y}, "holds complex"),
        ({"x": X.transpose(0, 3, 1, 2).repeat(3, 2).repeat(3, 3), "y": Y}, "channels first"),
        ({"x": X[0], "y": Y}, "labels for"),
        ({"x": X[:, 0, 0], "y": Y}, "wanted \\(N, H, W, C\\)"),
        ({"x": X[:0], "y": Y[:0]}, "at least one image"),
        ({"x": np.where(X[0, 0, 0, 0] == X, np.nan, X / 255), "y": Y}, "NaN or infinite values in"),
        ({"x": np.where(X[0, 0, 0, 0] == X, np.inf, X / 255), "y": Y}, "NaN or infinite values in"),
        ({"x": X * 1e300, "y": Y}, "too large for float32"),
        ({"x": X, "y": np.where(Y == 0, "a", "b"), "x_test": X, "y_test": np.where(Y == 0, "a", "c")}, "labels c are no classes"),
        ({"x": X, "y": np.where(Y == 0, "a", "b"), "x_test": X, "y_test": Y}, "the same kind"),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be_used_say_why(tmp_path, content, words):
    with pytest.raises(DataError, match=words):
        arrays(tmp_path, **content)


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04 nothing"])
def test_files_that_are_no_npz_are_named(tmp_path, content):
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"own\.npz is"):
        data.load(tmp_path / "own.npz")


def test_other_kinds_of_files_say_what_can_be_read(tmp_path):
    (tmp_path / "own.xlsx").write_bytes(b"")
    with pytest.raises(DataError, match="Wanted: a folder of class folders"):
        data.load(tmp_path / "own.xlsx")


def test_some_classes_of_a_folder(pets):
    picture(pets / "emu" / "1.png")
    dataset = data.load(pets, classes=["emu", "cat"], validation_split=0)
    assert dataset.class_names == ("emu", "cat")
    assert dataset.train.y.tolist() == [1] * 6 + [0]
    assert len(dataset.train.paths) == 7
    with pytest.raises(DataError, match="Did you mean 'dog'"):
        data.load(pets, classes=["dgo", "cat"])
    with pytest.raises(DataError, match="chosen twice"):
        data.load(pets, classes=["cat", "cat"])
