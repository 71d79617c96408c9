"""Damaged model files and checkpoints."""

from __future__ import annotations

import functools
import json
import random
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load

import pellucid
from pellucid import arrayfile, training
from pellucid.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, Residual
from pellucid.training import strict_json

from .mutate import Named, as_json, spoil, spoil_text, spoil_tree


def network(optimizer: str = "adam") -> pellucid.Sequential:
    body = Residual([Conv2D(2, 3, padding="same"), BatchNormalization()], Conv2D(2, 1))
    model = pellucid.Sequential([body, MaxPooling2D(2), Dropout(0.5), Flatten(), Dense(3, "softmax")])
    model.compile(optimizer, "cce", input_shape=(4, 4, 1), learning_rate=0.01, seed=1)
    model.preprocessing = pellucid.Preprocessing((4, 4), 1, 1 / 255, (0.5,), (0.5,))
    model.class_names = ("a", "b", "c")
    return model


def callbacks(folder: Path) -> list[training.Callback]:
    return [training.EarlyStopping(restore_best=True), training.BestModel(folder / "m.safetensors")]


@functools.cache
def saved() -> tuple[bytes, bytes]:
    """A model file and a checkpoint of a short training."""
    model, progress = network(), training.Progress()
    x, y = np.random.default_rng(0).random((12, 4, 4, 1), np.float32), np.arange(12) % 3
    memory = callbacks(Path("nowhere"))[:1]
    with pellucid.backend.using("numpy"):
        training.fit(model, x, y, batch_size=5, epochs=2, validation=(x, y), progress=progress, callbacks=memory)
    kept: dict[str, bytes] = {}

    def keep(path: Any, arrays: Any, texts: Any) -> None:
        kept[str(path)] = b"".join(arrayfile.encode(arrays, texts))

    write, arrayfile.write = arrayfile.write, keep
    try:
        model.save("model")
        checkpoint = training.Checkpoint.capture(model, progress, memory, "f00d")
        training.save_checkpoint("checkpoint", checkpoint)
    finally:
        arrayfile.write = write
    return kept["model"], kept["checkpoint"]


def damage_arrays(key: str, chance: random.Random, seed: Named, seeds: Sequence[Named]) -> Named:
    name, content = seed
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    body = content[8 + size :]
    match chance.randrange(5):
        case 0:
            return name, spoil(chance, content, [other for _, other in seeds])
        case 1:  # the header of the file itself
            values = ["F32", "F64", "BF16", "I64", "BOOL", "U8", "F8_E4M3", [0, 2**40], [2**38], [0, 0], [8, 4], 2**64]
            text = as_json(spoil_tree(chance, header, values)).encode()
            return name, struct.pack("<Q", chance.choice((len(text), len(text), len(text) + 1, 2**40))) + text + body
        case 2:  # what the description says, under a right checksum
            texts, arrays = _decoded(content)
            texts[key] = as_json(spoil_tree(chance, strict_json.loads(texts[key])))
        case 3:
            texts, arrays = _decoded(content)
            texts[key] = spoil_text(chance, texts[key], ['"class"', '"Conv2D"', '"units"', "1e400", "[[[]]]"])
        case _:
            texts, arrays = _decoded(content)
            with warnings.catch_warnings(action="ignore"):
                arrays = _other_arrays(chance, arrays)
    with warnings.catch_warnings(action="ignore"):
        return name, b"".join(arrayfile.encode(arrays, {key: str(text) for key, text in texts.items()}))


@functools.cache
def _decode(content: bytes) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    size = int.from_bytes(content[:8], "little")
    texts = json.loads(content[8 : 8 + size])["__metadata__"]
    return texts, load(content)


def _decoded(content: bytes) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    texts, arrays = _decode(content)
    return dict(texts), dict(arrays)


def _other_arrays(chance: random.Random, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    for _ in range(chance.randint(1, 3)):
        name = chance.choice(list(arrays)) if arrays else "w"
        array = arrays.get(name, np.zeros(3))
        match chance.randrange(7):
            case 0:
                arrays.pop(name, None)
            case 1:
                arrays[chance.choice((f"{name}/x", "", "params/", "slots/mean/conv9", "../../x", "callbacks/x/y"))] = (
                    array
                )
            case 2:
                arrays[name] = array.reshape(-1)
            case 3:
                arrays[name] = array[None]
            case 4:
                arrays[name] = array.astype(chance.choice(("f8", "f2", "i8", "u1", "?", "f4")))
            case 5:
                arrays[name] = np.full_like(array, chance.choice((np.nan, np.inf, -np.inf, 1e38)))
            case _:
                arrays[name] = np.zeros(chance.choice(((), (0,), (1, 0), (1,) * 30)), array.dtype)
    return arrays


def read_checkpoint(path: Path) -> None:
    checkpoint = training.load_checkpoint(path)
    checkpoint.check_data("f00d" if checkpoint.data is None else checkpoint.data)
    model, first = _fresh()
    try:
        training.restore(checkpoint, model, callbacks(path.parent))
    except pellucid.PellucidError:
        assert all(np.array_equal(first[name], array) for name, array in model.params.items())
        raise
    finally:
        model.load_weights(first)
        model.optimizer.load_slots({}, 0)


@functools.cache
def _fresh() -> tuple[pellucid.Sequential, dict[str, np.ndarray]]:
    """A network, and its weights as they were drawn."""
    model = network()
    return model, {name: array.copy() for name, array in (model.params | model.state).items()}
