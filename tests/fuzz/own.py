"""Damaged arrays, tables and pictures of one's own."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.preprocessing import image_info, read_image

from .mutate import INTEGERS, Named, spoil, spoil_text


def npz_seeds() -> list[Named]:
    rng, seeds = np.random.default_rng(0), []
    x, y = rng.integers(0, 256, (12, 4, 4, 3), np.uint8), np.arange(12) % 3
    for arrays in (
        {"x": x, "y": y},
        {"x": x[..., 0] / 255, "y": y[:, None].astype(float), "x_test": x[:3, ..., 0] / 255, "y_test": y[:3]},
        {"x": x, "y": np.array(list("abcabcabcabc")), "x_val": x[:4], "y_val": np.array(list("abca"))},
        {"x": x, "y": y, "class_names": np.array(["cat", "dog", "fox"])},
    ):
        for save in (np.savez, np.savez_compressed):
            file = io.BytesIO()
            save(file, **arrays)
            seeds.append(("data.npz", file.getvalue()))
    return seeds


def damage_npz(chance: random.Random, seed: Named, seeds: Sequence[Named]) -> Named:
    name, content = seed
    if chance.random() < 0.3:
        return name, spoil(chance, content, [other for _, other in seeds])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    victim = chance.choice(list(members))
    member = members[victim]
    match chance.randrange(6):
        case 0:
            members[victim] = spoil(chance, member)
        case 1:
            members[chance.choice(("../../x.npy", "/x.npy", "x.npy", "y", "x.npy/", "class_names.npy"))] = members.pop(
                victim
            )
        case _:
            end = 10 + int.from_bytes(member[8:10], "little")
            shapes = ["(1099511627776, 4, 4)", "(-1,)", "(0, 4, 4, 3)", "()", "(12, 48)", "(2, 2, 2, 2, 2)", "(True,)"]
            kinds = [
                "'|O'",
                "'<f8'",
                "'<M8[s]'",
                "'|V8'",
                "'<U9999999'",
                "'>i2'",
                "'<c16'",
                "[('a', '<i4')]",
                "'|S1'",
                "True",
            ]
            header = member[10:end].decode("latin1")
            if chance.random() < 0.6:
                piece = chance.choice(("descr", "shape"))
                start = header.index(f"'{piece}': ") + len(piece) + 4
                stop = header.index("), " if piece == "shape" else ", ", start) + (piece == "shape")
                header = header[:start] + chance.choice(shapes if piece == "shape" else kinds) + header[stop:]
            else:
                header = spoil_text(chance, header, [*shapes, *kinds])
            raw = header.encode("latin1", "replace")[:60000]
            members[victim] = member[:8] + struct.pack("<H", len(raw)) + raw + member[end:]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for key, value in members.items():
            archive.writestr(key, value)
    content = file.getvalue()
    if chance.random() < 0.3:  # what the list at the end of the archive says
        at = content.rindex(b"PK\x01\x02") + chance.randrange(46)
        content = content[:at] + chance.choice(INTEGERS[:15]).to_bytes(8, "little")[:4] + content[at + 4 :]
    return name, content


PICTURE = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU"
    b"\x00\x00\x00\nIDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82"
)


def csv_seeds() -> list[Named]:
    rows = [("a.png", "cat", ""), ("b.png", "dog", "train"), ("a.png", "dog", "val"), ("b.png", "cat", "test")]
    seeds = [
        "\n".join([separator.join(("path", "label", "split")), *map(separator.join, rows)]) for separator in ",;\t"
    ]
    return [("table.csv", text.encode()) for text in [*seeds, 'path,label\n"a.png","3"\nb.png,10\na.png,-1']]


def damage_csv(chance: random.Random, seed: Named, seeds: Sequence[Named]) -> Named:
    name, content = seed
    if chance.random() < 0.3:
        return name, spoil(chance, content, [other for _, other in seeds])
    words = ["path", "label", "a.png", "b.png", "./a.png", "../a.png", ".", "/dev/zero", "train", '"', '"a\nb"']
    return name, spoil_text(chance, content.decode(), words).encode("utf-8", "replace")


def image_seeds() -> list[Named]:
    from PIL import Image

    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (5, 6), np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = colour.quantize(8)
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (colour, "png", {}), (colour.convert("RGBA"), "png", {}), (palette, "png", {"transparency": 3}), (deep, "png", {}),
        (colour.convert("1"), "png", {}), (colour.convert("LA"), "png", {}), (colour, "jpg", {"exif": exif}),
        (colour, "jpg", {"progressive": True}), (colour.convert("CMYK"), "jpg", {}), (colour.convert("L"), "jpg", {}),
        (colour, "bmp", {}), (palette, "bmp", {}), (palette, "gif", {"save_all": True, "append_images": [palette]}),
        (colour, "tif", {}), (colour, "tif", {"compression": "tiff_lzw"}), (deep, "tif", {}),
        (colour, "tif", {"compression": "jpeg"}),         (colour.convert("L"), "tif", {"compression": "tiff_adobe_deflate"}),
        (colour, "webp", {}), (colour.convert("RGBA"), "webp", {"lossless": True}), (colour, "ppm", {}),
        (colour.convert("L"), "pgm", {}), (colour.convert("1"), "pbm", {}),
    ]  # fmt: skip
    seeds = []
    for image, kind, settings in kinds:
        file = io.BytesIO()
        image.save(file, {"jpg": "jpeg", "tif": "tiff", "pgm": "ppm", "pbm": "ppm"}.get(kind, kind), **settings)
        seeds.append((f"picture.{kind}", file.getvalue()))
    return [
        *seeds,
        ("picture.ppm", b"P3\n2 2\n255\n1 2 3 4 5 6 7 8 9 10 11 12\n"),
        ("picture.pgm", b"P2 2 1 65535 1 2"),
    ]


def damage_image(chance: random.Random, seed: Named, seeds: Sequence[Named]) -> Named:
    name, content = seed
    content = spoil(chance, content, [other for _, other in seeds])
    if name.endswith(".png") and chance.random() < 0.8:
        content = _with_crcs(content)
    return (chance.choice(seeds)[0] if chance.random() < 0.05 else name), content


def _with_crcs(content: bytes) -> bytes:
    """The chunks of a PNG with the checksums that their content wants, so that they are believed."""
    result, at = bytearray(content[:8]), 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunk = content[at + 4 : at + 8 + size]
        result += content[at : at + 4] + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        at += 12 + size
    return bytes(result)


def read_picture(path: Path) -> None:
    image_info(path)
    for size, channels in ((None, 3), ((6, 5), 1)):
        pixels = read_image(path, size=size, channels=channels)
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == channels
