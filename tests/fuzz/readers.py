"""The readers of pellucid: for each, a few small sound files, how to damage them with a sense for their structure, and how
the program reads them. A reader may return, or raise ``PellucidError``; anything else is a bug."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pellucid
from pellucid import data
from pellucid.data.sources import cifar, idx, svhn

from .mutate import Named
from .official import (
    WANTED,
    cifar_seeds,
    damage_idx,
    damage_mat,
    damage_pickle,
    damage_tar,
    idx_seeds,
    mat_seeds,
    tar_seeds,
)
from .own import PICTURE, csv_seeds, damage_csv, damage_image, damage_npz, image_seeds, npz_seeds, read_picture
from .saved import damage_arrays, read_checkpoint, saved
from .settings import (
    CONFIG,
    DATA,
    FAILURE,
    LAYERS,
    ROWS,
    RUN,
    damage_record,
    damage_toml,
    read_config,
    read_layers,
    read_record,
)


class Reader(NamedTuple):
    """``seeds()`` are sound files, ``damage(chance, seed, seeds)`` makes a bad one, ``read(path)`` is what is tried.

    The files ``beside`` it lie in the same folder.
    """

    seeds: Callable[[], list[Named]]
    damage: Callable[[random.Random, Named, Sequence[Named]], Named]
    read: Callable[[Path], object]
    beside: dict[str, bytes] = {}  # noqa: RUF012 - never changed


RECORD = {
    "data.json": json.dumps(DATA).encode(),
    "metrics.jsonl": ROWS.encode(),
    "failures/step-00000005.json": json.dumps(FAILURE).encode(),
}
READERS = {
    "model": Reader(
        lambda: [("m.safetensors", saved()[0])], functools.partial(damage_arrays, "pellucid"), pellucid.load
    ),
    "checkpoint": Reader(
        lambda: [("step-00000006.safetensors", saved()[1])],
        functools.partial(damage_arrays, "content"),
        read_checkpoint,
    ),
    "config": Reader(lambda: [("config.toml", CONFIG.encode())], damage_toml, read_config),
    "layers": Reader(lambda: [("net.toml", LAYERS.encode())], damage_toml, read_layers),
    "record": Reader(
        lambda: [*RECORD.items()],
        damage_record,
        read_record,
        {"config.toml": RUN.encode(), **RECORD},
    ),
    "npz": Reader(npz_seeds, damage_npz, data.load),
    "csv": Reader(csv_seeds, damage_csv, data.load, {"a.png": PICTURE, "b.png": PICTURE}),
    "image": Reader(image_seeds, damage_image, read_picture),
    "idx": Reader(idx_seeds, damage_idx, lambda path: idx.read_idx(path, axes=3 if "3" in path.name else 1)),
    "cifar": Reader(cifar_seeds, damage_pickle, lambda path: cifar.read_batch(path.read_bytes(), path.name, 10)),
    "tar": Reader(tar_seeds, damage_tar, lambda path: cifar.read_members(path, WANTED)),
    "mat": Reader(mat_seeds, damage_mat, svhn.read_mat),
}
