"""``pellucid doctor``, and what it says while a network is trained."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pellucid.cli import main
from pellucid.doctor import examine_run

from .conftest import good


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Images that have nothing to do with their labels, and a test part with two images of the training part."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (500, 8, 8, 1), np.uint8), np.arange(500) % 4
    test = x[400:].copy()
    test[[3, 30]] = x[[7, 8]]
    path = tmp_path_factory.mktemp("noise") / "noise.npz"
    parts = {"x": x[:300], "y": y[:300], "x_val": x[300:400], "y_val": y[300:400], "x_test": test, "y_test": y[400:]}
    np.savez(path, **parts, class_names=["a", "b", "c", "d"])
    return path


@pytest.fixture(scope="module")
def run_on_noise(noise, tmp_path_factory):
    """(folder, what was printed) of a training that cannot succeed."""
    home = tmp_path_factory.mktemp("run")
    settings = ("--model", "cnn1_avg", "--epochs", "12", "--batch-size", "32")
    return home / "run", good("train", noise, *settings, "--out", "run", cwd=home)


def test_a_training_says_what_is_wrong_as_soon_as_it_is_known(run_on_noise):
    _, answer = run_on_noise
    before, _, after = answer.out.partition("epoch 1/12")
    assert "Doctor: Duplicates: 2 of 100 images of the test part" in before
    assert before.count("Doctor: Labels do not fit: Images that look alike do not have like labels") == 1
    assert after.count("Doctor: Labels do not fit") == 1  # serious by now
    assert "the validation accuracy never rose above" in after


def test_what_was_said_is_not_said_again_after_resuming(run_on_noise, tmp_path):
    import shutil

    shutil.copytree(run_on_noise[0], tmp_path / "run")
    more = good("resume", "run", "--epochs", "13", cwd=tmp_path)
    assert "Doctor: Labels" not in more.out + more.err
    assert "Doctor: Duplicates" not in more.out + more.err


def test_the_doctor_can_be_sent_away(noise, tmp_path):
    answer = good("train", noise, "--model", "cnn1_avg", "--epochs", "1", "--no-doctor", "--out", "run", cwd=tmp_path)
    assert "Doctor" not in answer.out + answer.err


def test_a_run_is_examined_afterwards(run_on_noise, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    folder, _ = run_on_noise
    assert main(["doctor", str(folder)]) == 1
    said = capsys.readouterr().out
    assert "labels do not fit" in said
    assert "serious. Looked for: step not finite, loss not finite," in said
    found = {finding.cause: finding for finding in examine_run(folder)}
    assert found["labels do not fit"].serious
    assert found["duplicates"].numbers["pairs"] == [[3, 7], [30, 8]]


def test_json_has_everything(noise, command):
    answer = command("doctor", noise, "--json")
    assert answer.status == 1  # two of a hundred test images were trained on
    found = {finding["cause"]: finding for finding in answer.json()["findings"]}
    assert found["labels do not fit"]["severity"] == "warning"
    assert found["duplicates"]["numbers"]["pairs"] == [[3, 7], [30, 8]]
    assert found["duplicates"]["advice"]
    assert "stuck loss" not in answer.json()["looked_for"]  # of data there is no history


def test_nothing_is_found_in_the_run_that_everybody_starts_with(digits_run, capsys):
    folder, answer = digits_run
    assert "Doctor" not in answer.out + answer.err
    for target in (folder, folder / "model.safetensors", "digits"):
        assert main(["doctor", str(target)]) == 0
        assert capsys.readouterr().out.startswith("Nothing found. Looked for: ")


def test_pictures_of_one_class_only(tmp_path, capsys):
    (tmp_path / "cat").mkdir()
    for number in range(3):
        Image.new("L", (8, 8), 80 * number).save(tmp_path / "cat" / f"{number}.png")
    assert main(["doctor", str(tmp_path), "--json"]) == 1
    said = capsys.readouterr().out
    assert '"one class"' in said
    assert '"constant images"' in said


def test_data_that_are_gone_do_not_keep_it_from_looking_at_the_rest(run_on_noise, tmp_path, capsys):
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(run_on_noise[0], folder)
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("noise.npz", "gone.npz"))
    main(["doctor", str(folder), "--json"])
    said = capsys.readouterr().out
    assert '"unreadable data"' in said
    assert '"softmax twice"' in said.partition('"looked_for"')[2]


@pytest.mark.parametrize(("target", "says"), [("digitz", "Did you mean 'digits'"), ("nowhere/run", "does not exist")])
def test_what_is_not_there_is_a_mistake(target, says, capsys):
    assert main(["doctor", target]) == 2
    assert says in capsys.readouterr().err
