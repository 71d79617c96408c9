"""Model files: what comes back, and what is refused without harm."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import pellucid
from pellucid import Preprocessing, Sequential, load, losses, modelfile, zoo
from pellucid.errors import FileFormatError
from pellucid.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, GlobalAveragePooling2D, Residual


@pytest.fixture(scope="module")
def model() -> Sequential:
    """Nested layers, moving statistics, preprocessing, class names."""
    block = Residual(
        [Conv2D(3, 3, padding=((1, 1), (0, 2))), BatchNormalization(momentum=0.9)], Conv2D(3, 1, name="side")
    )
    net = Sequential([block, Dropout(0.5), GlobalAveragePooling2D(), Dense(4, "softmax")], name="net")
    net.compile("sgd", losses.get("cce", label_smoothing=0.1), input_shape=(6, 5, 3), metrics=["accuracy"], seed=5)
    net.preprocessing = Preprocessing((6, 5), 3, 1 / 255, (0.4, 0.5, 0.6), (0.2, 0.2, 0.3))
    net.class_names = ("cat", "dog", "Schafkäse", "4")
    net.training_summary = {"dataset": "pets", "test_accuracy": 0.5}
    net.fit(*images(), epochs=2, verbose=0)
    return net


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "net.safetensors"
    model.save(path)
    return path


def images(n=8):
    rng = np.random.default_rng(0)
    return rng.integers(256, size=(n, 6, 5, 3), dtype=np.uint8), np.arange(n) % 4


def about(path) -> dict:
    header = json.loads(path.read_bytes()[8 : 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]])
    return json.loads(header["__metadata__"]["pellucid"])


def write(path, description, arrays) -> Path:
    """A safetensors file with any description, which may be a string that is no JSON."""
    text = description if isinstance(description, str) else json.dumps(description)
    save_file(arrays, path, metadata={"pellucid": text})
    return path


# What comes back -------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_model_comes_back_as_it_was(model, saved):
    x, y = images()
    again = load(saved)
    assert again.config() == model.config()
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.evaluate(x, y) == model.evaluate(x, y)
    for name in (
        "preprocessing",
        "class_names",
        "training_summary",
        "input_shape",
        "seed",
        "loss",
        "data_format",
        "name",
    ):
        assert getattr(again, name) == getattr(model, name), name
    assert {path: a.dtype for path, a in again.params.items()} == {path: a.dtype for path, a in model.params.items()}


def test_saving_what_was_loaded_gives_the_same_bytes(saved, tmp_path):
    load(saved).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_a_loaded_model_can_go_on_learning(saved):
    x, y = images()
    again = load(saved)
    again.compile("adam", "cce")
    assert np.isfinite(again.fit(x, y, verbose=0).rows[0]["train_loss"])


def test_a_loaded_model_shares_nothing_with_another(saved):
    one, other = load(saved), load(saved)
    one.params["dense1/bias"][...] = 7
    assert not (other.params["dense1/bias"] == 7).any()


@pytest.mark.parametrize("name", ["lenet5", "inception_small", "resnet8"])
def test_networks_of_the_zoo_come_back(name, tmp_path):
    model = zoo.build(name, (32, 32, 1), seed=2)
    model.save(tmp_path / name)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype(np.float32)
    np.testing.assert_array_equal(load(tmp_path / name).predict(x), model.predict(x))


def test_channels_first_comes_back(tmp_path):
    model = Sequential([Flatten(), Dense(2)])
    model.compile(loss="mse", input_shape=(3, 4, 4), data_format="channels_first")
    model.save(tmp_path / "m")
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(load(tmp_path / "m").predict(x), model.predict(x))


def test_the_arrays_are_plain_safetensors_by_path(model, saved):
    arrays = load_file(saved)
    assert arrays.keys() == (model.params | model.state).keys()
    np.testing.assert_array_equal(arrays["dense1/kernel"], model.params["dense1/kernel"])


# What is refused -------------------------------------------------------------------------------------------------------


def test_a_file_cut_off_at_any_byte_is_refused(saved, tmp_path):
    data = saved.read_bytes()
    path = tmp_path / "cut"
    for end in {0, 1, 7, 8, 9, *range(10, len(data), 97), len(data) - 1}:
        path.write_bytes(data[:end])
        with pytest.raises(
            FileFormatError, match=r"is not a model file, or it is cut off or damaged .*Wanted a .safetensors"
        ):
            load(path)


def test_any_damaged_byte_is_refused_or_changes_numbers_only(saved, tmp_path):
    """No damage escapes as another error, whatever it hits."""
    data, path = bytearray(saved.read_bytes()), tmp_path / "damaged"
    rng = np.random.default_rng(0)
    header = 8 + struct.unpack("<Q", data[:8])[0]
    for position in [*range(8), *rng.choice(np.arange(8, header), 300, replace=False)]:
        damaged = data.copy()
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with contextlib.suppress(FileFormatError):
            assert load(path).built


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"PK\x03\x04" + bytes(50),
        b"<!DOCTYPE html><html>",
        b"\xff" * 64,
    ],
)
def test_what_is_no_safetensors_file_is_refused(content, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="is not a model file"):
        load(path)


def test_a_missing_file_or_a_folder_is_named(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(FileFormatError, match=f"There is no model file '{re.escape(str(path))}'"):
            load(path)


def test_arrays_of_another_program_are_refused(tmp_path):
    save_file({"weight": np.ones(3, np.float32)}, tmp_path / "a")
    with pytest.raises(
        FileFormatError, match=r"holds arrays but no pellucid model. Wanted a file written by model.save"
    ):
        load(tmp_path / "a")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_refused(version, saved, tmp_path):
    path = write(tmp_path / "m", about(saved) | {"format": version}, load_file(saved))
    with pytest.raises(
        FileFormatError, match=rf"is of model format {version!r}, this pellucid reads 1. Install the version"
    ):
        load(path)


def _edit(description, *path_and_value):
    *path, value = path_and_value
    target = description
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return description


LAST = ("architecture", "layers", 3)
DESCRIPTIONS = {
    "an unknown layer": ((*LAST, "class", "Dance"), "There is no layer class 'Dance'. Known: .*Dense"),
    "a layer that is no layer": ((*LAST, "class", "PellucidError"), "There is no layer class"),
    "an unknown setting": ((*LAST, "widht", 3), "The settings of Dense do not fit"),
    "a missing setting": ((*LAST, {"class": "Dense"}), "The settings of Dense do not fit"),
    "an unknown activation": ((*LAST, "activation", "sofmax"), "Did you mean 'softmax'"),
    "a setting of another type": ((*LAST, "units", "many"), "is damaged"),
    "a layer without class": ((*LAST, {"units": 3}), "made of layers"),
    "another kind of architecture": (("architecture", {"class": "Flatten", "name": None}), "is not a Sequential"),
    "no architecture": (("architecture", None), "config must be a table"),
    "no layers": (("architecture", "layers", []), "is damaged"),
    "layers that are none": (("architecture", "layers", 5), "is damaged"),
    "another width": ((*LAST, "units", 5), r"its array 'dense1/kernel' is \(3, 4\), its architecture wants \(3, 5\)"),
    "an enormous layer": ((*LAST, "units", 10**12), r"its architecture wants \(3, 1000000000000\)"),
    "an enormous kernel": (
        ("architecture", "layers", 0, "body", "layers", 0, "kernel_size", [10**6, 10**6]),
        "does not fit into an image|its architecture wants",
    ),
    "an enormous image": (("input_shape", [10**9, 10**9, 10**9]), "its architecture wants"),
    "another number of channels": (("input_shape", [6, 5, 1]), "its architecture wants"),
    "an empty image": (("input_shape", [6, 0, 3]), "is damaged"),
    "no image": (("input_shape", None), "is damaged"),
    "a negative deviation": (("preprocessing", "std", [0.2, -1, 0.2]), "preprocessing of the model is damaged"),
    "an unknown preprocessing": (("preprocessing", {"blur": 3}), "The preprocessing of a model has the entries"),
    "an unknown loss": (("loss", {"name": "guess"}), "There is no loss 'guess'"),
    "an unknown metric": (("metrics", ["luck"]), "There is no metric 'luck'"),
    "another format of images": (("data_format", "sideways"), "data_format was 'sideways'"),
    "class names that are none": (("class_names", 5), "is damaged"),
    "too few class names": (("class_names", ["cat"]), "1 class names .* 4 outputs"),
}


@pytest.mark.parametrize(("change", "text"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_a_description_that_does_not_fit_is_refused_before_memory_is_taken(change, text, saved, tmp_path):
    path = write(tmp_path / "m", _edit(about(saved), *change), load_file(saved))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FileFormatError, match=text) as error:
        load(path)
    assert str(path) in str(error.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"format"', '{"format": 1}', "[" * 100_000, '{"format": 1, "seed": ' + "9" * 5000 + "}"],
    ids=lambda text: text[:22],
)
def test_a_description_that_is_no_table_is_refused(text, saved, tmp_path):
    path = write(tmp_path / "m", text, load_file(saved))
    with pytest.raises(FileFormatError, match=re.escape(str(path))):
        load(path)


@pytest.mark.parametrize("depth", [100, 400, 3000, 100_000])
def test_layers_within_layers_without_end_are_refused(depth, saved, tmp_path):
    chain = '{"class": "Chain", "name": null, "layers": [' * depth + "]}" * depth
    text = json.dumps(about(saved) | {"architecture": "HERE"}).replace('"HERE"', chain)
    path = write(tmp_path / "m", text, load_file(saved))
    with pytest.raises(FileFormatError, match=re.escape(str(path))):
        load(path)


@pytest.mark.parametrize(
    ("dtype", "size"), [("BF16", 2), ("F8_E4M3", 1), ("BOOL", 1), ("I32", 4), ("U8", 1), ("C64", 8)]
)
def test_arrays_of_other_kinds_of_numbers_are_refused(dtype, size, tmp_path):
    description = {"format": 1, "architecture": Sequential([Dense(2, use_bias=False)]).config(), "input_shape": [3]}
    array = {"dtype": dtype, "shape": [3, 2], "data_offsets": [0, 6 * size]}
    header = json.dumps({"__metadata__": {"pellucid": json.dumps(description)}, "dense1/kernel": array}).encode()
    path = tmp_path / "m"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(6 * size))
    with pytest.raises(FileFormatError, match=re.escape(str(path))):
        load(path)


def test_weights_keep_their_precision(tmp_path):
    model = Sequential([Dense(2)])
    model.build((3,), dtype=np.float64)
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.params["dense1/kernel"].dtype == np.float64
    np.testing.assert_array_equal(again.params["dense1/kernel"], model.params["dense1/kernel"])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda a: a.pop("dense1/bias"), r"its array 'dense1/bias' is missing, its architecture wants \(4,\)"),
        (
            lambda a: a.update(extra=np.ones(2)),
            r"its array 'extra' is \(2,\), its architecture wants none of that name",
        ),
        (lambda a: a.update({"dense1/bias": np.ones(5)}), r"its array 'dense1/bias' is \(5,\)"),
        (lambda a: a.update({"dense1/bias": np.ones((4, 1))}), r"its array 'dense1/bias' is \(4, 1\)"),
        (lambda a: a.update({"dense1/bias": np.ones(4, np.int64)}), "its array 'dense1/bias' holds int64"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, text, saved, tmp_path):
    arrays = load_file(saved)
    change(arrays)
    with pytest.raises(FileFormatError, match=text):
        load(write(tmp_path / "m", about(saved), arrays))


# Writing ---------------------------------------------------------------------------------------------------------------


def test_a_save_that_fails_leaves_the_old_file(model, saved, tmp_path, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(saved.read_bytes())

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            model.save(path)
    assert path.read_bytes() == saved.read_bytes()
    assert os.listdir(tmp_path) == ["m"]


def test_a_description_that_is_no_json_leaves_the_old_file(model, saved, tmp_path, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(saved.read_bytes())
    for value in (float("nan"), object(), {1, 2}):
        monkeypatch.setattr(model, "training_summary", {"loss": value})
        with pytest.raises(
            pellucid.PellucidError, match=r"cannot be described in its file \(.*training_summary.* may hold text"
        ):
            model.save(path)
    assert path.read_bytes() == saved.read_bytes()
    assert os.listdir(tmp_path) == ["m"]


def test_numbers_of_numpy_in_the_summary_are_numbers(model, tmp_path, monkeypatch):
    monkeypatch.setattr(model, "training_summary", {"accuracy": np.float32(0.5), "epochs": np.int64(3)})
    model.save(tmp_path / "m")
    assert load(tmp_path / "m").training_summary == {"accuracy": 0.5, "epochs": 3}


def test_saved_arrays_are_those_of_the_model_in_any_layout(tmp_path):
    turned = np.arange(6, dtype=np.float32).reshape(2, 3).T
    modelfile.write(tmp_path / "m", {"a": turned}, {})
    np.testing.assert_array_equal(modelfile.read(tmp_path / "m")[1]["a"], turned)


# Nothing in a file can run ----------------------------------------------------------------------------------------------


def test_no_source_unpickles_or_evaluates_what_it_reads():
    """Old data sets are pickles, read by an unpickler that knows no classes."""
    root = Path(pellucid.__file__).parent
    dangerous = re.compile(
        r"\bimport pickle\b|\bfrom pickle\b|(?<!\.)\beval\(|\bexec\(|allow_pickle=True|\bmarshal\b|\bdill\b|yaml\.load"
    )
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if dangerous.search(re.sub(r'(?s)""".*?"""|#[^\n]*', "", path.read_text(encoding="utf-8")))
    }
    assert found <= {"data/sources/pickles.py"}
