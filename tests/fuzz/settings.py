"""Damaged settings, files of layers, and records of runs."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from pellucid import config, training
from pellucid.run.record import was_concluded

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

[training]
epochs = 2
batch_size = 16
max_time = "10m"
monitor = "val_loss"
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
    if chance.random() < 0.2:
        return name, spoil(chance, content, [other for _, other in seeds])
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


def read_config(path: Path) -> None:
    config.complete(config.read(path)).to_toml()


def read_layers(path: Path) -> None:
    config.make({"data.source": "digits", "model.file": str(path)})


DATA = {"data": "Dataset digits", "parts": {"train": 10, "test": 3}, "notes": ["x"], "fingerprint": "00", "files": []}
ROWS = '{"epoch": 1, "step": 3, "train_loss": 0.5, "seconds": 1.0}\n{"best_epoch": 1, "test_accuracy": 0.9}\n'


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
    assert isinstance(was_concluded(training.RunFolder(path.parent)), bool)
