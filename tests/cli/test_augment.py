"""Augmentation and views from the command line: recorded, repeated, drawn."""

import json
import tomllib

import numpy as np
import pytest
from PIL import Image

from pellucid import load
from pellucid.cli import main

from .conftest import good, rows


@pytest.fixture(scope="module")
def augmented_run(tmp_path_factory, small_images):
    """Two epochs with augmentation and mirrored views. (folder, what was printed)"""
    home = tmp_path_factory.mktemp("augmented")
    settings = ("--model", "cnn1_avg", "--epochs", 2, "--augment", "crop:1,flip,mixup:0.3", "--views", "mirror")
    return home / "run", good("train", small_images, *settings, "--out", "run", cwd=home)


def test_a_run_records_its_augmentation_and_its_model_its_views(augmented_run):
    folder, answer = augmented_run
    config = tomllib.loads((folder / "config.toml").read_text())
    assert config["training"]["augment"] == "flip,crop:1,mixup:0.3"
    assert config["training"]["views"] == "mirror"
    assert "augmentation: flip, crop:1, mixup:0.3" in answer.out
    assert "Every answer is the mean over several views of the image: mirror." in answer.out
    model = load(folder / "model.safetensors")
    assert (model.views, model.training_summary["augmentation"]) == ("mirror", "flip,crop:1,mixup:0.3")


def test_its_config_repeats_it_and_without_augmentation_it_is_another(augmented_run, tmp_path):
    folder, _ = augmented_run
    good("train", folder / "config.toml", "--out", "again", cwd=tmp_path)
    assert rows(tmp_path / "again") == rows(folder)
    good("train", folder / "config.toml", "--augment", "", "--out", "plain", cwd=tmp_path)
    assert rows(tmp_path / "plain")[0]["train_loss"] != rows(folder)[0]["train_loss"]


def test_resumed_it_goes_on_as_if_never_stopped(augmented_run, tmp_path):
    folder, _ = augmented_run
    good("train", folder / "config.toml", "--epochs", 1, "--out", "run", cwd=tmp_path)
    good("resume", "run", "--epochs", 2, cwd=tmp_path)
    kept = [{k: v for k, v in row.items() if k.startswith(("train", "val"))} for row in rows(tmp_path / "run")]
    assert [row for row in kept if row] == [
        {k: v for k, v in row.items() if k.startswith(("train", "val"))} for row in rows(folder)[:-1]
    ]


def test_evaluate_and_predict_answer_with_its_views_unless_told_otherwise(
    augmented_run, tmp_path, small_images, capsys
):
    folder, _ = augmented_run
    Image.fromarray(np.load(small_images)["x_test"][0]).save(tmp_path / "one.png")

    def answer(*arguments):
        assert main([*map(str, arguments), "--json"]) == 0  # in this process: four more would take four more seconds
        return json.loads(capsys.readouterr().out)

    def loss(*views):
        return answer("evaluate", folder, *views)["loss"]

    assert loss() == loss("--views", "mirror") != loss("--views", "none") != loss("--views", "mirror+shifts")
    ask = ("predict", folder, tmp_path / "one.png")
    assert answer(*ask) == answer(*ask, "--views", "mirror") != answer(*ask, "--views", "none")


@pytest.mark.parametrize("augment", [(), ("--augment", "flip,crop:2,cutout:4,cutmix")])
def test_training_images_are_drawn(small_images, tmp_path, augment, capsys):
    out = str(tmp_path / "samples.png")
    assert main(["data", "show", str(small_images), *augment, "--images", "3", "--out", out]) == 0
    assert capsys.readouterr().out.strip() == out
    with Image.open(tmp_path / "samples.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 20


def test_what_cannot_be_is_explained(small_images, capsys):
    for arguments, words in [
        (("train", small_images, "--augment", "flop"), "Did you mean 'flip'?"),
        (("train", small_images, "--augment", "crop:40"), "crop:40 is too large for images of 12x12"),
        (("train", small_images, "--views", "miror"), "mirror"),
        (("data", "show", small_images, "--out", "samples.gif"), "A figure cannot be written to 'samples.gif'"),
        (("data", "show", small_images, "--images", "0"), "The number of images in a row was 0"),
    ]:
        assert main(list(map(str, arguments))) == 2
        assert words in capsys.readouterr().err
