"""Asking trained models: evaluate, predict, summary; and the verbs that need none: check, data."""

import json

import numpy as np
import pytest
from PIL import Image

from pellucid import load
from pellucid.metrics import wilson_interval
from pellucid.run import evaluate

from .conftest import good, rows


def test_evaluate_repeats_the_figure_of_the_training(short_run):
    folder, _ = short_run
    last = rows(folder)[-1]
    found = good("evaluate", folder, "--json", cwd=folder).json()
    assert found["accuracy"] == last["test_accuracy"]
    assert found["loss"] == pytest.approx(last["test_loss"], rel=1e-5)
    assert (found["images"], found["part"], found["data"]) == (20, "test", "small.npz")


def test_evaluate_another_part_of_a_named_data_set(digits_run):
    folder, _ = digits_run
    text = good("evaluate", folder / "model.safetensors", "digits", "--part", "validation", cwd=folder).out
    assert "on 144 images: the validation part of digits" in text


def test_evaluate_tells_everything_in_words_json_and_pictures(short_run, tmp_path):
    answer = good("evaluate", short_run[0], "--figures", "pictures", "--save", "all.json", cwd=tmp_path)
    assert "macro average" in answer.out
    assert "Calibration: expected error" in answer.out
    assert (tmp_path / "pictures" / "confusion-matrix.png").stat().st_size > 5000
    found = json.loads((tmp_path / "all.json").read_text())
    details = found["details"]
    assert np.trace(details["confusion"]) / found["images"] == pytest.approx(found["accuracy"])
    assert details["class_names"] == ["north", "a", "b", "south"]
    assert details["log_loss"] == pytest.approx(found["loss"], rel=1e-4)


def test_predict_sees_in_a_picture_what_evaluate_saw(short_run, small_images, tmp_path):
    folder, _ = short_run
    x, names = pictures_of(small_images, tmp_path / "pictures")
    answers = good("predict", folder, "pictures", "--top", 4, "--json", cwd=tmp_path).json()
    expected = load(folder / "model.safetensors").predict(x)
    for answer, row in zip(answers, expected, strict=True):
        found = {entry["class"]: entry["probability"] for entry in answer["classes"]}
        assert [found[name] for name in names] == pytest.approx(row.tolist(), abs=1e-6)
        assert answer["classes"][0]["class"] == names[row.argmax()]


def test_predict_names_unreadable_pictures_and_does_the_others(short_run, command, tmp_path):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    answer = command("predict", short_run[0], "bad.png", "good.png", "missing.png", "--top", 1)
    assert answer.status == 1
    assert answer.out.startswith("good.png: ")
    assert answer.out.count("%") == 1
    assert "bad.png is not an image" in answer.err
    assert "missing.png is not a file" in answer.err


def test_evaluate_on_ones_own_pictures(short_run, small_images, tmp_path):
    x, names = pictures_of(small_images, tmp_path)
    y = load_labels(small_images)
    for i, label in enumerate(y):
        folder = tmp_path / "mine" / names[label]
        folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{i:02}.png").rename(folder / f"{i}.png")
    found = good("evaluate", short_run[0], "mine", "--json", cwd=tmp_path).json()
    assert (found["images"], found["part"]) == (20, "all")
    assert found["accuracy"] == pytest.approx(load(short_run[0] / "model.safetensors").evaluate(x, y)["accuracy"])


def test_summary_of_a_name_a_file_and_a_run(short_run, command, tmp_path):
    assert "545,098" in command("summary", "cnn2").out
    (tmp_path / "net.toml").write_text('[[layers]]\nclass = "Flatten"\n[[layers]]\nclass = "Dense"\nunits = 10\n')
    assert "640" in command("summary", "net.toml", "--input-shape", 8, 8, 1).out
    text = command("summary", short_run[0]).out
    assert "Classes: north, a, b, south" in text
    assert "Trained on" in text


@pytest.mark.smoke
def test_check_passes_for_a_right_network(command):
    answer = command("check", "--model", "cnn1_avg", "--input-shape", 8, 8, 1, "--samples", 5)
    assert answer.status == 0
    assert "conv1/kernel" in answer.out
    assert "right" in answer.out


def test_check_fails_for_a_wrong_gradient(monkeypatch, capsys):
    from pellucid import backend, cli

    backward = backend.backward

    def wrong(dy, saved, **settings):
        gradients = backward(dy, saved, **settings)
        return (
            tuple(1.01 * g if g is not None else None for g in gradients) if isinstance(gradients, tuple) else gradients
        )

    monkeypatch.setattr(backend, "backward", wrong)
    assert cli.main(["check", "--model", "cnn1_avg", "--input-shape", "8", "8", "1", "--samples", "3"]) == 1
    assert "WRONG" in capsys.readouterr().out


def test_data_verbs(command, tmp_path):
    listed = {row["name"]: row for row in command("data", "list", "--json", "--data-dir", tmp_path).json()}
    assert listed["digits"]["embedded"]
    assert listed["mnist"]["train"] == 60000
    assert "built in" in command("data", "get", "digits").out
    checked = command("data", "check", "digits", "--validation-split", 0, "--json").json()
    assert checked["parts"] == {"train": 1438, "test": 359}


def test_wilson_interval_holds_at_the_borders():
    assert wilson_interval(1.0, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson_interval(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


def load_labels(path):
    with np.load(path) as file:
        return file["y_test"]


def pictures_of(path, folder):
    """The test images of an .npz as PNG files 00.png, 01.png, …; returns them and the names of the classes."""
    folder.mkdir(exist_ok=True)
    with np.load(path) as file:
        x, names = file["x_test"], [str(name) for name in file["class_names"]]
    for i, image in enumerate(x):
        Image.fromarray(image).save(folder / f"{i:02}.png")
    return x, names


def test_a_model_that_puts_out_nan_is_still_scored_and_the_reason_for_no_details_is_said(short_run):
    model = load(short_run[0] / "model.safetensors")
    for array in model.params.values():
        array[...] = np.nan
    found = evaluate(model)
    assert found.details is None
    assert any("No further scores: 20 of 20 rows are no probabilities" in note for note in found.notes)
