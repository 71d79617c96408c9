"""``pellucid bench``: plain, layer by layer, compiling ahead, beside PyTorch."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from pellucid import Sequential
from pellucid.cli import main
from pellucid.layers import Conv2D, Dense, Flatten

DENSE = '[[layers]]\nclass = "Flatten"\n[[layers]]\nclass = "Dense"\nunits = 3\nactivation = "softmax"\n'
SMALL = f'[[layers]]\nclass = "Conv2D"\nfilters = 2\nkernel_size = 3\n{DENSE}'


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.toml").write_text(SMALL)
    return "net.toml", "--input-shape", 8, 8, 1, "--classes", 3


def test_plainly_both_tasks_are_measured_for_every_network(command, net):
    plain = ("--backend", "numpy", "--seconds", 0.05, "--batch-size", 4)
    answer = command("bench", "cnn1_avg", *net, *plain, "--json", "-")
    assert answer.status == 0
    rows = answer.json()
    assert [row["task"] for row in rows] == ["train", "predict"] * 2
    assert all(row["images_per_second"] > 0 for row in rows)
    assert "net.toml, batches of 4" in answer.err


def test_profile_names_every_layer_and_its_limit(command, net, tmp_path):
    answer = command("bench", "--profile", *net, "--batch", 4, "--runs", 1, "--json", "deep/profile.json")
    assert answer.status == 0
    for word in ("conv1", "dense1", "optimizer", "GFLOP/s", "peak", "limited", "Limits measured in this run"):
        assert word in answer.out
    (found,) = json.loads((tmp_path / "deep" / "profile.json").read_text())
    assert found["batch_size"] == 4
    assert [row["path"] for row in found["layers"]] == ["conv1", "flatten1", "dense1", "loss", "optimizer"]
    assert found["peak"]["gflops"] > 0
    assert all(row["forward_ms"] > 0 for row in found["layers"][:4])


def test_a_model_file_can_be_profiled(tmp_path, capsys):
    model = Sequential([Conv2D(2, 3, activation="relu"), Flatten(), Dense(2, activation="softmax")])
    model.build((6, 6, 1))
    model.save(tmp_path / "model.safetensors")
    assert main(["bench", "--profile", str(tmp_path / "model.safetensors"), "--batch", "2", "--runs", "1"]) == 0
    assert "conv1" in capsys.readouterr().out


def test_warming_up_compiles_once(command, tmp_path, monkeypatch):
    (tmp_path / "dense.toml").write_text(DENSE)
    monkeypatch.setenv("PELLUCID_CACHE_DIR", str(tmp_path / "cache"))
    arguments = ("bench", "--warm-up", "dense.toml", "--input-shape", 4, 4, 1, "--classes", 3, "--json", "-")
    first, again = (command(*arguments, backend="native") for _ in range(2))
    assert first.status == again.status == 0
    rows = first.json()
    assert [row["name"] for row in rows] == ["dense.toml", "optimizers", "preprocessing and augmentation"]
    assert all(row["functions"] > 0 and row["seconds"] > 0 for row in rows)
    assert [row["functions"] for row in again.json()] == [0, 0, 0]
    assert len(list((tmp_path / "cache" / "kernels").glob("*.bin"))) == sum(row["functions"] for row in rows)
    assert "nothing to compile" in again.err


def test_what_cannot_be_warmed_up_is_said(command, monkeypatch):
    assert "NumPy backend compiles nothing" in command("bench", "--warm-up", "lenet5").err
    monkeypatch.setenv("PELLUCID_CACHE_DIR", "off")
    answer = command("bench", "--warm-up", "lenet5", backend="native")
    assert answer.status == 2
    assert "cannot be kept" in answer.err


def test_against_torch_compares_and_keeps_the_result(command, net, tmp_path):
    pytest.importorskip("torch")
    options = ("--runs", 1, "--batch", 4, "--threads", 1, "--json", "result.json")
    answer = command("bench", "--against", "torch", *net, *options, backend="native")
    assert answer.status == 0, answer.err
    assert "net.toml: " in answer.out
    assert "PyTorch" in answer.out
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["benchmark"] == "training"
    assert result["command"].startswith("pellucid bench --against torch net.toml")
    assert (result["settings"]["batch"], result["settings"]["runs"], result["settings"]["threads"]) == (4, 1, 1)
    (row,) = result["networks"]
    assert set(row["milliseconds"]) == {"pellucid", "PyTorch NCHW", "PyTorch channels-last"}
    assert row["ratio"] > 0


def test_predictions_are_compared_if_asked(net, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    from pellucid.benchmark.pytorch import setup

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(setup, "prepare", lambda: None)  # which refuses a process that has PyTorch loaded, as this one
    arguments = ("bench", "--against", "torch", "--inference", *net, "--runs", 1, "--batch", 4, "--json", "-")
    assert main([str(argument) for argument in arguments]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["benchmark"] == "inference"
    assert result["networks"][0]["latency"]["ratio"] > 0


def test_without_torch_the_comparison_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    assert main(["bench", "--against", "torch", "lenet5"]) == 2
    assert "PyTorch is not installed here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--profile", "--warm-up"], "two different measurements"),
        (["--inference"], "belongs to --against torch"),
        (["--profile", "cnn22"], "Did you mean"),
        (["lenet5", "--batch", "0"], ">= 1"),
        (["lenet5", "--seconds", "0"], "more than 0"),
        (["--against", "keras"], "torch"),
    ],
)
def test_mistakes_are_answered(arguments, words, capsys):
    assert main(["bench", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_labels_fit_a_network_with_one_output(tmp_path, monkeypatch):
    """A yes-or-no network: binary cross-entropy on 0 and 1, in both libraries."""
    pytest.importorskip("torch")
    from pellucid.benchmark.pytorch import check

    model = Sequential([Conv2D(2, 3, activation="relu"), Flatten(), Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy", input_shape=(6, 6, 1), metrics=())
    x = np.random.default_rng(0).standard_normal((4, 6, 6, 1)).astype(np.float32)
    assert check.check(model, x, np.array([0, 1, 1, 0]))["float64"] < 1e-12
