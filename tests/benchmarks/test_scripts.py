"""The scripts run from beginning to end, and their results carry a receipt but nothing about whose machine it was."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is optional: the benchmarks compare with it")
import figure
import harness
import torch

import layers
from pellucid import backend
from pellucid.benchmark import inference, networks, receipt, timing, training
from pellucid.benchmark.pytorch import check
from pellucid.kernels import simd_bfloat16

torch.set_num_threads(1)  # its idle workers would be in the way


def run(script: Path, *arguments: object) -> str:
    """Run a script as a person would; returns what it printed."""
    # Warnings of a benchmark are not the tests' business.
    command = [sys.executable, "-W", "ignore", str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "140"}, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_training_is_measured_saved_and_drawn(benchmarks, tmp_path):
    file = tmp_path / "training.json"
    printed = run(
        benchmarks / "training.py",
        "--runs",
        2,
        "--networks",
        "lenet5",
        "--batch",
        8,
        "--seconds",
        0.01,
        "--output",
        file,
    )
    assert "lenet5" in printed
    text = file.read_text(encoding="utf-8")
    result = json.loads(text)
    assert result["command"].startswith("python benchmarks/training.py --runs 2 --networks lenet5 --batch 8")
    assert result["settings"]["runs"] == 2
    assert result["settings"]["batch"] == 8
    assert result["machine"]["cpu"]
    assert result["versions"].keys() >= {"python", "pellucid", "torch", "numpy", "numba"}
    (row,) = result["networks"]
    assert row["network"] == "lenet5"
    assert row["errors"]["float64"] < 1e-9
    assert set(row["milliseconds"]) == {"pellucid", "PyTorch NCHW", "PyTorch channels-last"}
    assert row["best"] in row["ratios"]
    assert row["quartiles"][0] <= row["ratio"] <= row["quartiles"][1]
    for private in (socket.gethostname(), str(tmp_path), str(benchmarks), str(Path.home())):
        assert len(private) < 3 or private not in text
    figure.draw(figure.results_in(tmp_path), tmp_path / "speed.png")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_what_losing_nothing_costs_is_measured_and_saved(benchmarks, tmp_path):
    file = tmp_path / "checkpoints.json"
    options = ("--networks", "lenet5", "--batch", 2, "--every", 2, "--runs", 2, "--folder", tmp_path)
    printed = run(benchmarks / "checkpoints.py", *options, "--output", file)
    assert "a checkpoint every 2 steps" in printed
    assert list(tmp_path.iterdir()) == [file]
    (row,) = json.loads(file.read_text(encoding="utf-8"))["networks"]
    assert row["network"] == "lenet5"
    assert row["checkpoints"]["bytes"] > 100_000
    for precaution in ("checkpoints", "looks"):
        low, high = row[precaution]["overhead_percent"]["quartiles"]
        assert low <= row[precaution]["overhead_percent"]["median"] <= high


def test_the_figure_has_a_panel_for_every_result(tmp_path, monkeypatch):
    """Networks that a panel has no result for, or that were refused, are left out there."""
    better = {"ratio": 2.0, "quartiles": [1.9, 2.2]}
    rows = {
        "training": [{"network": "cnn2", **better}, {"network": "cnn3", "refused": "planted"}],
        "training-bfloat16": [{"network": "cnn2", "ratio": 1.3, "quartiles": [1.2, 1.4]}],
        "inference": [{"network": "lenet5", "throughput": better, "latency": better}],
        "memory": [{"network": "cnn2", "ratio": 0.25, "quartiles": [0.2, 0.5]}],
    }
    for name, found in rows.items():
        head = receipt.receipt(name, ["python", f"benchmarks/{name}.py"], batch=64)
        receipt.save(head | {"networks": found}, tmp_path / f"{name}.json")
    drawn = {}

    def keep(panel, ax, networks, found):
        original(panel, ax, networks, found)
        drawn[panel.title.partition("\n")[0]] = sorted(text.get_text() for text in ax.texts), networks

    original = figure._panel
    monkeypatch.setattr(figure, "_panel", keep)
    figure.draw(figure.results_in(tmp_path), tmp_path / "speed.png")
    networks = ["lenet5", "cnn2"]  # from the bottom up: what has no training is below
    assert drawn == {
        "training step": (["2.0x"], networks),
        "predicting many images": (["2.0x"], networks),
        "predicting one image": (["2.0x"], networks),
        "memory of a training": (["4.0x"], networks),
    }


def test_layers_are_measured_in_all_ways():
    options = argparse.Namespace(batch=4, runs=1, seconds=0.0)
    row = layers.measure("17x16:16-16", options)  # enough tiles for Winograd's algorithm
    assert list(row["tasks"])[:3] == ["forward", "backward", "dw"]
    assert row["gflop"] == pytest.approx(2e-9 * 4 * 17 * 16 * 9 * 16 * 16)
    for task in ("forward", "backward", "dw"):
        found = row["tasks"][task]
        assert list(found["gflops"])[:2] == ["direct", "Winograd"]
        assert {"PyTorch NCHW", "PyTorch channels-last"} < set(found["gflops"])
        here = ["bfloat16"] if simd_bfloat16.unit() == "amx" else []
        assert list(found["ratios"]) == ["direct", "Winograd", *here]
        assert ("PyTorch bfloat16 NCHW" in found["gflops"]) == bool(here)
    first = layers.measure("9x9:3-8", options)
    assert list(first["tasks"]) == ["forward", "dw"]  # nobody needs dx of a first layer
    assert "Winograd" not in first["tasks"]["forward"]["gflops"]


def test_a_layer_whose_numbers_differ_is_not_timed(monkeypatch):
    monkeypatch.setattr(layers, "WRONG", -1.0)
    assert "differ by" in layers.measure("9x9:8-8", argparse.Namespace(batch=2, runs=1, seconds=0.0))["refused"]


def test_errors_are_those_of_the_way_that_was_asked_for():
    found = layers.errors((4, 16, 16, 16), (3, 3, 16, 16), padding="same")
    assert list(found) == ["direct", "Winograd", *(["bfloat16"] if simd_bfloat16.unit() == "amx" else [])]
    assert found["direct"] != found["Winograd"]
    for way, of in found.items():
        assert list(of) == ["forward", "dx", "dw"]
        assert all(0 < error < (1e-2 if way == "bfloat16" else 1e-5) for error in of.values())
    if "bfloat16" in found:
        assert min(found["bfloat16"]["forward"], found["bfloat16"]["dx"]) > 1e-4
    assert list(layers.errors((2, 6, 6, 4), (3, 3, 4, 4), strides=2)) == ["direct"]


@pytest.mark.parametrize("name", ["16x16", "16x16:0-3", "a"])
def test_a_layer_that_is_none_is_refused(name):
    with pytest.raises(SystemExit, match="wanted HEIGHTxWIDTH:CHANNELS-FILTERS"):
        layers.parse(name)


def test_a_network_whose_numbers_differ_is_not_timed(monkeypatch):
    def refuse(model, x, y):
        raise check.DiffersError("planted")

    monkeypatch.setattr(check, "check", refuse)
    row = training.measure("lenet5", batch=2)
    assert row["refused"] == "planted"
    assert "milliseconds" not in row


def test_beside_bfloat16_ours_takes_part_in_both_precisions():
    row = training.measure("cnn1_avg", batch=2, runs=1, seconds=1e-6, bfloat16=True)
    assert set(row["milliseconds"]) == {"pellucid", "PyTorch bfloat16 NCHW", "PyTorch bfloat16 channels-last"}
    assert row["in_bfloat16"]["milliseconds"]["median"] > 0
    assert row["in_bfloat16"]["ratio"] != row["ratio"]
    assert "in bfloat16" in training.line(row)
    assert backend.get_precision() == "float32"


def test_answers_that_differ_are_not_timed(monkeypatch):
    monkeypatch.setattr(inference, "TOLERANCE", 0.0)
    row = inference.measure("speed_small", batch=2, images=2)  # which has weights that follow from the images
    assert row["refused"].startswith("the probabilities differ by")
    assert "throughput" not in row


def test_a_network_that_takes_long_has_fewer_images_a_round(monkeypatch):
    monkeypatch.setattr(inference, "LEAST_IMAGES", 10)
    row = inference.measure("cnn1_avg", batch=3, images=50, runs=1, seconds=1e-6)
    assert row["throughput"]["images"] == 12  # whole batches
    assert row["latency"]["images"] == 1
    assert inference.measure("cnn1_avg", batch=3, images=50, runs=1, seconds=60)["throughput"]["images"] == 50


def test_a_process_holds_one_library_and_reports_time_and_memory():
    model = networks.network("cnn1_mnist")
    for engine in ("pellucid", "channels-last"):
        report = harness.run_process(engine, model, threads=1, images=8, batch=4, steps=3)
        assert report["torch_loaded"] == (engine != "pellucid")
        assert 0 < report["built_seconds"] < report["first_step_seconds"]
        assert 2**20 < report["built_bytes"] <= report["peak_bytes"]
        assert 0 < report["loss"] < 100


def test_all_take_part_in_every_round_in_turned_order():
    calls: list[str] = []
    contenders = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    times, per_round = timing.interleave(contenders, 3, seconds=0.0)
    assert per_round == 1
    assert "".join(calls) == "aabbcc" + "abc" + "cba" + "abc"
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "b": 3, "c": 3}


def test_ratios_are_paired_and_taken_against_the_quickest():
    times = {"pellucid": [1.0, 2.0, 4.0], "slow": [4.0, 8.0, 16.0], "quick": [2.0, 6.0, 8.0]}
    result = timing.compare(times)
    assert result["best"] == "quick"
    assert result["ratio"] == 2.0
    assert result["quartiles"] == [2.0, 2.5]
    assert result["ratios"]["slow"] == {"median": 4.0, "quartiles": [4.0, 4.0]}
    assert result["milliseconds"]["pellucid"]["median"] == 2000.0
    assert timing.share(times) == {"best": "quick", "ratio": 0.5, "quartiles": [0.4167, 0.5]}


def test_an_unknown_network_ends_with_what_there_is():
    with pytest.raises(SystemExit, match="Did you mean"):
        harness.network_names(["lenet6"])
