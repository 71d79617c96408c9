"""Ways to damage bytes, texts and trees of plain values, from a single bit to a header that claims the moon."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

Named = tuple[str, bytes]  # a file: its name and its content
INTEGERS = [
    *(0, 1, 2, 7, 127, 128, 255, 256, 32767, 32768, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1),
    *(2**40, 2**63 - 1, 2**64 - 1),
]
WORDS = [
    "", " ", "0", "-1", "1e999", "-1e-999", "nan", "inf", "-inf", "NaN", "Infinity", "true", "null", "None", "9" * 400,
    "0x10", "1_000", "1.5", "../../etc/passwd", "/etc/passwd", "~root", "\0", "\x1b[31m", "\ufeff", "\u202e", "\ud7ff",
    "ü", "😀", "'", '"', "\\", "[", "]", "{", "}", "=", ",", ";", "\t", "\r\n", "[" * 3000, "{" * 3000, '{"a":' * 2000,
    "a." * 2000, "x" * 20000, "%s%n", "__class__", "${HOME}", "$(touch evil)", "; touch evil", "import os",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**400), 0.5, 1e308, 1e-320, "", "x", "NaN", "Infinity", "relu",
    "../../x", "\0", [], {}, [[]], [None], [1, 2], [0, 0], [10**9, 10**9], [3, 3, 3, 3], {"class": "Dense"}, {"a": 1},
    ["x"] * 50, "y" * 5000, {"class": "Sequential", "name": None, "layers": []},
]  # fmt: skip


def spoil(chance: random.Random, data: bytes, others: Sequence[bytes] = (), most: int = 4) -> bytes:
    """A handful of random damages to some bytes; ``others`` may lend pieces."""
    for _ in range(chance.randint(1, most)):
        data = chance.choice(_DAMAGES)(chance, data, others)
    return data


def _place(chance: random.Random, data: bytes) -> int:
    # Headers are where the decisions are made.
    end = len(data) if chance.random() < 0.5 else min(len(data), 200)
    return chance.randrange(end) if end else 0


def _flip(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    if not data:
        return b"\0"
    at = _place(chance, data)
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _byte(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at = _place(chance, data)
    return data[:at] + bytes([chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))]) + data[at + 1 :]


def _integer(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at, size = _place(chance, data), chance.choice((2, 4, 4, 8))
    value = chance.choice(INTEGERS) % 256**size
    return data[:at] + value.to_bytes(size, chance.choice(("little", "big"))) + data[at + size :]


def _cut(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: _place(chance, data)]


def _remove(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at = _place(chance, data)
    return data[:at] + data[at + chance.choice((1, 2, 4, 8, 100)) :]


def _insert(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at = _place(chance, data)
    new = chance.choice((b"\0" * 8, b"\xff" * 4, chance.randbytes(chance.choice((1, 3, 16))), b"A" * 300))
    return data[:at] + new + data[at:]


def _repeat(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at, size = _place(chance, data), chance.choice((1, 8, 64, 512))
    return data[: at + size] + data[at : at + size] * chance.choice((1, 1, 20)) + data[at + size :]


def _splice(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others) if others else data
    return data[: _place(chance, data)] + other[_place(chance, other) :]


_DAMAGES: list[Callable[[random.Random, bytes, Sequence[bytes]], bytes]] = [
    _flip, _flip, _byte, _byte, _integer, _integer, _integer, _cut, _remove, _insert, _repeat, _splice,
]  # fmt: skip


def spoil_text(chance: random.Random, text: str, words: Sequence[str] = ()) -> str:
    """Damages that leave most of a text a text: other numbers and words, lines that go, come twice or change places."""
    for _ in range(chance.randint(1, 4)):
        lines = text.split("\n")
        at = chance.randrange(len(lines))
        match chance.randrange(7):
            case 0:
                del lines[at]
            case 1:
                lines.insert(chance.randrange(len(lines)), lines[at])
            case 2:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
            case 3:
                spot = chance.randrange(len(lines[at]) + 1)
                lines[at] = lines[at][:spot] + chance.choice(WORDS) + lines[at][spot:]
            case _:
                found = list(re.finditer(r"[\w.+-]+", lines[at]))
                if found:
                    piece, new = chance.choice(found), chance.choice([*words, *WORDS])
                    lines[at] = lines[at][: piece.start()] + new + lines[at][piece.end() :]
        text = "\n".join(lines)
    return text


def spoil_tree(chance: random.Random, tree: Any, values: Sequence[Any] = ()) -> Any:
    """A copy of plain nested values with a few of them replaced, removed, renamed, doubled or buried."""
    for _ in range(chance.randint(1, 3)):
        tree = _changed(chance, tree, [*VALUES, *values], depth=0)
    return tree


def _changed(chance: random.Random, tree: Any, values: Sequence[Any], depth: int) -> Any:
    inner = isinstance(tree, dict | list) and len(tree) > 0
    if not inner or chance.random() < 0.1 + 0.02 * depth:
        if chance.random() < 0.02:
            return _buried(tree, chance.choice((10, 300, 1500)))
        if isinstance(tree, int) and not isinstance(tree, bool) and chance.random() < 0.5:
            return chance.choice(
                (tree + 1, tree - 1, -tree, tree * 1000, tree / 2 if abs(tree) < 2**60 else 0, f"{tree:x}")
            )
        return chance.choice(values)
    if isinstance(tree, list):
        at = chance.randrange(len(tree))
        match chance.randrange(8):
            case 0:
                return tree[:at] + tree[at + 1 :]
            case 1:
                return tree[: at + 1] + tree[at:]
            case _:
                return [*tree[:at], _changed(chance, tree[at], values, depth + 1), *tree[at + 1 :]]
    key = chance.choice(list(tree))
    match chance.randrange(10):
        case 0:
            return {k: v for k, v in tree.items() if k != key}
        case 1:
            return {(chance.choice(WORDS[:40]) if k == key else k): v for k, v in tree.items()}
        case 2:
            return {**tree, key: chance.choice(list(tree.values()))}
        case _:
            return {**tree, key: _changed(chance, tree[key], values, depth + 1)}


def _buried(value: Any, depth: int) -> Any:
    """Deeper than Python's own encoder goes: see ``as_json``."""
    return f"BURIED {depth} {json.dumps(value, default=str).replace('BURIED', '')}"


def as_json(tree: Any) -> str:
    """JSON of a spoilt tree."""

    def dig(found: re.Match[str]) -> str:
        depth = int(found[1])
        return "[" * depth + json.loads(f'"{found[2]}"') + "]" * depth

    return re.sub(r'"BURIED (\d+) ((?:[^"\\]|\\.)*)"', dig, json.dumps(tree))
