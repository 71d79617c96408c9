"""Damaged settings, files of layers, and records of runs."""

from __future__ import annotations

import datetime
import json
import math
import random
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from pellucid import config, doctor
from pellucid.errors import PellucidError
from pellucid.report.collect import Report, curves
from pellucid.report.page import render
from pellucid.report.record import read_record as read_run
from pellucid.run.networks import build
from pellucid.run.prepare import compile_model

from .mutate import Named, as_json, spoil, spoil_text, spoil_tree

CONFIG = """
seed = 3
backend = "numpy"

[data]
source = "digits"
validation_split = 0.2
size = [8, 8]
classes = ["1", "2", "3"]

[model]
name = "own"
[[model.layers]]
class = "Conv2D"
filters = 4
kernel_size = [3, 3]
activation = "relu"
[[model.layers]]
class = "Flatten"
[[model.layers]]
class = "Dense"
units = 3
activation = "softmax"

[optimizer]
name = "adam"
learning_rate = 0.001
beta_1 = 0.9
accumulate = 2
clipnorm = 1.0
warmup = "1 epochs"
[optimizer.schedule]
name = "cosine"
final = 0.01
[optimizer.averages]
name = "ema"
[optimizer.groups."*/bias"]
weight_decay = 0.0

[training]
epochs = 2
batch_size = 16
max_time = "10m"
monitor = "val_loss"
augment = "flip,shift"
freeze = ["conv1"]
rollback = 0.5
"""
LAYERS = """
[[layers]]
class = "Conv2D"
filters = 4
kernel_size = 3
[[layers]]
class = "Flatten"
[[layers]]
class = "Dense"
units = 3
"""


def damage_toml(chance: random.Random, seed: Named, seeds: Sequence[Named]) -> Named:
    name, content = seed
    if chance.random() < 0.1:
        return name, spoil(chance, content, [other for _, other in seeds])
    if chance.random() < 0.6:
        tree = spoil_tree(
            chance, tomllib.loads(content.decode()), [math.nan, math.inf, "2 epochs", "cosine", datetime.date.max]
        )
        if isinstance(tree, dict):
            return name, tomli_w.dumps(_without_none(tree)).encode()
    known = [setting.name.rpartition(".")[2] for setting in config.settings()]
    words = [
        *known,
        "[data]",
        "[[model.layers]]",
        "'''",
        "2026-11-21",
        "1979-05-27T07:32:00Z",
        "0b101",
        "{a = 1}",
        "[[1]]",
    ]
    return name, spoil_text(chance, content.decode(), words).encode("utf-8", "surrogatepass")


def _without_none(tree: Any) -> Any:
    """What TOML can say."""
    if isinstance(tree, dict):
        return {key: _without_none(value) for key, value in tree.items() if value is not None}
    return [_without_none(item) for item in tree if item is not None] if isinstance(tree, list) else tree


def read_config(path: Path) -> None:
    settings = config.complete(config.read(path))
    try:
        model = build(settings.model, (8, 8, 1), 3)
        model.freeze(settings.training.freeze or ())
        compile_model(model, settings)
        model.augmenter(settings.training.augment)
    except MemoryError as error:  # which the command line puts into words
        raise PellucidError(f"not enough memory: {error}") from error
    settings.to_toml()


def read_layers(path: Path) -> None:
    config.make({"data.source": "digits", "model.file": str(path)})


RUN = '[data]\nsource = "digits"\n'
DATA = {"data": "Dataset digits", "parts": {"train": 10, "test": 3}, "notes": ["x"], "fingerprint": "00", "files": []}
ROWS = (
    '{"epoch": 1, "step": 3, "train_loss": 0.5, "val_accuracy": 0.4, "images_per_second": 9.5, "seconds": 1.0}\n'
    '{"epoch": 2, "step": 6, "train_loss": "NaN", "val_accuracy": 0.3, "images_per_second": 9.5, "seconds": 2.0}\n'
    '{"best_epoch": 1, "test_loss": 0.5, "test_accuracy": 0.9, "test_images": 3}\n'
)
FAILURE = {"error": "The loss became nan.", "place": None, "loss": "NaN", "epoch": 1, "step": 5, "images": [4, 7]}


def damage_record(chance: random.Random, seed: Named, seeds: Sequence[Named]) -> Named:
    name, content = seed
    if chance.random() < 0.3:
        return name, spoil(chance, content)
    if chance.random() < 0.5:
        return name, spoil_text(chance, content.decode()).encode()
    lines = content.decode().splitlines()
    at = chance.randrange(len(lines))
    return name, "\n".join([*lines[:at], as_json(spoil_tree(chance, json.loads(lines[at]))), *lines[at + 1 :]]).encode()


def read_record(path: Path) -> None:
    """The page of a run without a model, which shows all that was written down."""
    record = read_run(next(parent for parent in path.parents if (parent / "config.toml").is_file()))
    case = doctor.Case(rows=[row for row in record.rows if "train_loss" in row] or None, failures=record.failures)
    machine = {"date": "", "machine": {"cpu": "", "cores": 2, "system": ""}, "versions": {}}
    report = Report(record, record.missing, machine, curves(record), doctor.examine(case), doctor.examined(case))
    render(report)
