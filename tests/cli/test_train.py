"""Training from the command line."""

import json
import shutil
import signal
import time
import tomllib

import pytest

from .conftest import finish, good, rows, start


def test_digits_are_learned_and_tested(digits_run):
    folder, answer = digits_run
    last = rows(folder)[-1]
    assert last["test_accuracy"] >= 0.97
    assert last["test_images"] == 359
    assert last["test_accuracy_low"] < last["test_accuracy"] < last["test_accuracy_high"]
    assert f"Accuracy {100 * last['test_accuracy']:.2f} %" in answer.out
    assert "on 359 images: the test part of digits" in answer.out
    for place in ("model.safetensors", "metrics.jsonl", "pellucid predict", "pellucid evaluate", "pellucid resume"):
        assert place in answer.out


def test_the_run_folder_holds_what_the_run_was(digits_run):
    folder, _ = digits_run
    config = tomllib.loads((folder / "config.toml").read_text())
    assert config["model"] == {"name": "cnn1_avg"}
    assert config["backend"] == "native"
    assert config["optimizer"]["name"] == "adam"
    assert config["optimizer"]["learning_rate"] == 0.001
    record = json.loads((folder / "data.json").read_text())
    assert record["split"]["validation"] == 144
    assert len(record["fingerprint"]) == 64
    epochs = rows(folder)[:-1]
    assert [row["epoch"] for row in epochs] == list(range(1, 31))
    keys = {"epoch", "step", "train_loss", "train_accuracy", "val_loss", "val_accuracy"}
    assert all(keys <= row.keys() for row in epochs)


def test_its_config_repeats_a_run(short_run, tmp_path):
    folder, _ = short_run
    good("train", folder / "config.toml", "--out", "again", cwd=tmp_path)
    assert rows(tmp_path / "again") == rows(folder)
    assert (tmp_path / "again/config.toml").read_text() == (folder / "config.toml").read_text()


def test_a_killed_and_resumed_run_is_the_uninterrupted_one(short_run, tmp_path):
    process = start("train", short_run[0] / "config.toml", "--epochs", 12, "--out", "run", cwd=tmp_path)
    wait_for(lambda: (tmp_path / "run/checkpoints/step-00000040.safetensors").exists(), process)
    process.kill()
    assert finish(process).status == -signal.SIGKILL
    done = len(rows(tmp_path / "run"))
    assert 1 <= done < 12
    answer = good("resume", "run", cwd=tmp_path)
    assert "Going on in epoch" in answer.out
    good("train", "run/config.toml", "--out", "whole", cwd=tmp_path)
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_prints_how_to_resume(small_images, tmp_path, number, status):
    process = start("train", small_images, "--model", "cnn1_avg", "--epochs", 5000, "--out", "my run", cwd=tmp_path)
    wait_for(lambda: (tmp_path / "my run/metrics.jsonl").exists(), process)
    process.send_signal(number)
    answer = finish(process)
    assert answer.status == status
    assert "pellucid resume 'my run'" in answer.out + answer.err
    assert "Traceback" not in answer.err
    assert any((tmp_path / "my run/checkpoints").iterdir())


def test_a_finished_run_can_be_trained_longer(short_run, tmp_path):
    good("train", short_run[0] / "config.toml", "--epochs", 1, "--out", "run", cwd=tmp_path)
    good("resume", "run", "--epochs", 3, cwd=tmp_path)
    assert rows(tmp_path / "run") == rows(short_run[0])
    assert tomllib.loads((tmp_path / "run/config.toml").read_text())["training"]["epochs"] == 3


def test_a_run_killed_before_its_test_is_tested_when_resumed(short_run, tmp_path):
    shutil.copytree(short_run[0], tmp_path / "run")
    metrics = tmp_path / "run/metrics.jsonl"
    whole = metrics.read_text()
    metrics.write_text(whole[: whole.rindex("{")])
    good("resume", "run", cwd=tmp_path)
    assert rows(tmp_path / "run") == rows(short_run[0])


def test_resume_refuses_other_data(small_images, tmp_path):
    (tmp_path / "mine.npz").write_bytes(small_images.read_bytes())
    good("train", "mine.npz", "--model", "cnn1_avg", "--epochs", 1, "--out", "run", cwd=tmp_path)
    import numpy as np

    with np.load(tmp_path / "mine.npz") as file:
        arrays = dict(file)
    arrays["x"][0] += 1
    np.savez(tmp_path / "mine.npz", **arrays)
    answer = finish(start("resume", "run", "--epochs", 2, cwd=tmp_path))
    assert answer.status == 2
    assert "--accept-other-data" in answer.err
    good("resume", "run", "--epochs", 2, "--accept-other-data", cwd=tmp_path)


def test_a_dry_run_writes_nothing(command, tmp_path):
    answer = command("train", "digits", "--dry-run")
    assert answer.status == 0
    assert "30 epochs of 41 steps" in answer.out
    assert list(tmp_path.iterdir()) == []


def test_a_name_wins_over_a_run_folder_of_the_same_name(short_run, tmp_path):
    shutil.copytree(short_run[0], tmp_path / "digits")
    answer = good("train", "digits", "--dry-run", cwd=tmp_path)
    assert "359 test" in answer.out


def test_overfit_trains_and_validates_on_the_same_few_images(small_images, tmp_path):
    arguments = ("--model", "cnn1_avg", "--overfit", 8, "--epochs", 60, "--out", "run")
    answer = good("train", small_images, *arguments, cwd=tmp_path)
    last = rows(tmp_path / "run")[-1]
    assert last["val_accuracy"] == 1.0
    assert "test_accuracy" not in last
    assert "on the images it was trained on" in answer.out


def test_own_layers_options_by_both_names_and_a_file(small_images, tmp_path):
    (tmp_path / "net.toml").write_text(
        '[[layers]]\nclass = "Flatten"\n\n[[layers]]\nclass = "Dense"\nunits = 4\nactivation = "softmax"\n'
    )
    (tmp_path / "settings.toml").write_text(
        f'[data]\nsource = "{small_images}"\n[model]\nfile = "net.toml"\n[training]\nepochs = 1\nbatch_size = 30\n'
        '[optimizer]\nname = "sgd"\nmomentum = 0.5\n'
    )
    arguments = ("--training.epochs", 2, "--learning-rate", 0.02, "--data.validation-split=12", "--out", "run")
    good("train", "settings.toml", *arguments, "--limit-batches", 1, "--early-stopping", 3, cwd=tmp_path)
    config = tomllib.loads((tmp_path / "run/config.toml").read_text())
    assert [layer["class"] for layer in config["model"]["layers"]] == ["Flatten", "Dense"]
    assert (
        config["training"] | {"epochs": 2, "batch_size": 30, "limit_batches": 1, "early_stopping": 3}
        == config["training"]
    )
    assert config["optimizer"]["momentum"] == 0.5
    assert config["optimizer"]["learning_rate"] == 0.02
    assert [row.get("step") for row in rows(tmp_path / "run")] == [1, 2, None]
    good("train", "run/config.toml", "--out", "again", cwd=tmp_path)
    assert rows(tmp_path / "again") == rows(tmp_path / "run")


def test_a_time_limit_ends_the_run_properly(small_images, tmp_path):
    arguments = ("--model", "cnn1_avg", "--epochs", 100000, "--max-time", "1s", "--out", "run")
    answer = good("train", small_images, *arguments, cwd=tmp_path)
    assert "Stopped early: the time limit" in answer.out
    assert "test_accuracy" in rows(tmp_path / "run")[-1]


def test_both_engines_give_the_same_losses(small_images, tmp_path):
    # One batch an epoch: every line of the metrics is a step.
    arguments = ("--model", "cnn2", "--batch-size", 8, "--limit-batches", 1, "--epochs", 20)
    for backend in ("numpy", "native"):
        good("train", small_images, *arguments, "--backend", backend, "--out", backend, cwd=tmp_path)
    losses = [[row["train_loss"] for row in rows(tmp_path / backend)[:20]] for backend in ("numpy", "native")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0][-1] < losses[0][0]


def test_bfloat16_is_announced_remembered_and_resumed(small_images, tmp_path):
    arguments = ("--model", "cnn1_avg", "--batch-size", 8, "--precision", "bfloat16")
    answer = good("train", small_images, *arguments, "--epochs", 3, "--out", "whole", cwd=tmp_path)
    told = " ".join(answer.out.split())
    assert "rounded to 8 significant bits" in told
    assert "saves no time" in told  # for NumPy does it
    assert tomllib.loads((tmp_path / "whole/config.toml").read_text())["precision"] == "bfloat16"
    good("train", small_images, *arguments, "--epochs", 1, "--out", "parts", cwd=tmp_path)
    good("resume", "parts", "--epochs", 3, cwd=tmp_path)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    good("train", small_images, *arguments[:-1], "float32", "--epochs", 3, "--out", "float32", cwd=tmp_path)
    losses = [[row["train_loss"] for row in rows(tmp_path / run)[:3]] for run in ("whole", "float32")]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def wait_for(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline
        time.sleep(0.002)
