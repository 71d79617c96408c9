"""Schedules, averages, groups and penalties from the command line: written down, repeated, gone on with."""

from __future__ import annotations

import tomllib

import pytest

from .conftest import good, rows, run

SETTINGS = (
    *("--model", "cnn1_avg", "--batch-size", 10, "--optimizer", "sgd", "--learning-rate", 0.05, "--momentum", 0.9),
    *("--schedule", "cosine:final=0.1", "--warmup", "1 epoch", "--weight-decay", 1e-3, "--global-clipnorm", 1),
    *("--averages", "lookahead:decay=0.5,every=3,growth=2", "--freeze", "conv1", "--accumulate", 2),
    *("--groups", '{"*/bias": {"rate_multiplier": 4, "weight_decay": 0}}'),
    *("--regularizers", '{"dense*/kernel": {"l2": 0.001}}', "--seed", 3),
)


def test_a_run_says_all_of_it_and_repeats_and_resumes_it(small_images, tmp_path):
    answer = good("train", small_images, *SETTINGS, "--epochs", 4, "--out", "whole", cwd=tmp_path)
    assert "sgd with learning rate 0.05 (cosine) after a warm-up of 1 epoch" in answer.out
    config = tomllib.loads((tmp_path / "whole/config.toml").read_text())
    assert config["optimizer"]["schedule"] == {"name": "cosine", "final": 0.1}
    assert config["optimizer"]["averages"] == {"name": "lookahead", "decay": 0.5, "every": 3, "growth": 2}
    assert config["optimizer"]["groups"] == {"*/bias": {"rate_multiplier": 4, "weight_decay": 0}}
    assert config["training"]["freeze"] == ["conv1"]
    found = rows(tmp_path / "whole")
    assert all(row["train_penalty"] > 0 for row in found[:4])
    rates = [row["learning_rate"] for row in found[:4]]
    assert 0 < rates[0] < 0.05
    assert rates[1:] == sorted(rates[1:], reverse=True)

    good("train", "whole/config.toml", "--out", "parts", "--max-time", "0.001s", cwd=tmp_path)  # a single step
    good("resume", "parts", "--max-time", "1h", cwd=tmp_path)
    assert rows(tmp_path / "parts") == found


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--schedule", "cosin"), "There is no schedule 'cosin'. Did you mean 'cosine'?"),
        (("--freeze", "conf1"), "The pattern 'conf1' fits no layer. The layers are conv1, "),
    ],
)
def test_mistakes_end_before_the_training(small_images, tmp_path, options, text):
    answer = run("train", small_images, "--model", "cnn1_avg", *options, cwd=tmp_path)
    assert answer.status == 2
    assert text in answer.err
    assert not (tmp_path / "runs").exists()


def test_a_learning_rate_is_suggested_with_reason_and_picture(small_images, tmp_path):
    options = ("--model", "cnn1_avg", "--optimizer", "sgd", "--batch-size", 10)
    answer = good("lr-find", small_images, *options, "--out", "test.png", cwd=tmp_path)
    assert "cnn1_avg with sgd on small.npz, batches of 10" in answer.out
    assert "the loss began to fall at" in answer.out
    assert (tmp_path / "test.png").stat().st_size > 5000
    command = answer.out.rpartition("Next:")[2].split()
    assert command[:2] == ["pellucid", "train"]
    assert command[-8:-2] == ["--model", "cnn1_avg", "--optimizer", "sgd", "--batch-size", "10"]
    assert not (tmp_path / "runs").exists()
