"""Damaged files of official data sets: IDX, pickles, archives, MATLAB."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from collections.abc import Sequence

import numpy as np

from ..data.conftest import idx_bytes, python2_pickle, python3_pickle
from .mutate import INTEGERS, Named, spoil


def idx_seeds() -> list[Named]:
    images, labels = np.random.default_rng(0).integers(0, 256, (5, 4, 4), np.uint8), np.arange(5, dtype=np.uint8)
    plain = [("images3", idx_bytes(images)), ("labels1", idx_bytes(labels))]
    return plain + [(f"{name}.gz", content) for name, content in plain]  # packed when they are damaged


def damage_idx(chance: random.Random, seed: Named, seeds: Sequence[Named]) -> Named:
    name, content = seed
    content = spoil(chance, content) if chance.random() < 0.8 else content
    if not name.endswith(".gz"):
        return name, content
    content = gzip.compress(content, 1, mtime=0)
    return name, spoil(chance, content) if chance.random() < 0.5 else content


def cifar_seeds() -> list[Named]:
    x = np.random.default_rng(0).integers(0, 256, (1, 3072), np.uint8)
    batches = [
        {b"batch_label": b"a batch", b"labels": [3], b"data": x, b"filenames": [b"a.png"]},
        {b"fine_labels": [3], b"coarse_labels": [1], b"data": x, b"batch_label": b"x"},
    ]
    return [("data_batch_1", write(batch)) for batch in batches for write in (python2_pickle, python3_pickle)]


_OPCODES = [
    b"cos\nsystem\n", b"cbuiltins\neval\n", b"c__main__\nx\n", b"\x8c\x02os\x8c\x06system\x93", b"R", b"o", b"i",
    b"b", b"\x81", b"(", b"t", b"2", b"0", b"1", b"l", b"d", b"}", b"]", b"e", b"u", b"a", b"s", b".", b"N", b"\x88",
    b"K\x05", b"M\xff\xff", b"J\xff\xff\xff\xff", b"\x8a\xff", b"\x8b\xff\xff\xff\x7f", b"T\xff\xff\xff\x7f",
    b"X\xff\xff\xff\x7f", b"B\xff\xff\xff\xff", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", b"U\x04abcd", b"q\x00",
    b"r\xff\xff\xff\x7f", b"h\x00", b"j\xff\xff\xff\x7f", b"p9999999999\n", b"g0\n", b"I999999999999\n", b"L99L\n",
    b"F1e999\n", b"P1\n", b"Q", b"\x82\x01", b"\x83\x01\x01", b"\x84\x01\x00\x00\x00", b"\x92", b"\x94",
    b"\x95" + b"\xff" * 8, b"\x96" + b"\xff" * 8, b"\x97", b"\x98", b"\x80\x05", b"\x80\xff", b"cnumpy\ndtype\n",
    b"cnumpy.core.multiarray\n_reconstruct\n", b"c_codecs\nencode\n",
]  # fmt: skip


def damage_pickle(chance: random.Random, seed: Named, seeds: Sequence[Named]) -> Named:
    name, content = seed
    for _ in range(chance.randint(1, 4)):
        if chance.random() < 0.5:
            content = spoil(chance, content, [other for _, other in seeds], most=1)
        else:
            at = chance.choice(
                (chance.randrange(len(content) + 1), chance.randrange(min(len(content), 250) + 1), 2, len(content))
            )
            content = content[:at] + b"".join(chance.choices(_OPCODES, k=chance.randint(1, 4))) + content[at:]
    return name, content


_FOLDER = "cifar-10-batches-py"
WANTED = [f"{_FOLDER}/data_batch_1", f"{_FOLDER}/test_batch"]


def tar_seeds() -> list[Named]:
    seeds = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as tar:
            for name in (*WANTED, f"{_FOLDER}/{'readme' * (10 if form == tarfile.USTAR_FORMAT else 30)}.html"):
                info = tarfile.TarInfo(name)
                info.size = 20
                tar.addfile(info, io.BytesIO(b"x" * 20))
        seeds.append(("a.tar.gz", file.getvalue()))  # packed when it is damaged
    return seeds


def damage_tar(chance: random.Random, seed: Named, seeds: Sequence[Named]) -> Named:
    name, content = seed
    if chance.random() < 0.5:
        file = io.BytesIO()
        form = chance.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
        with tarfile.open(fileobj=file, mode="w", format=form) as tar:
            for _ in range(chance.randint(0, 5)):
                path = chance.choice(
                    (*WANTED, *WANTED, "../evil", "/tmp/evil", "a" * 90, f"{_FOLDER}/../{WANTED[0]}", ".", "ü")
                )
                info = tarfile.TarInfo(path)
                info.type = chance.choice((tarfile.REGTYPE, tarfile.REGTYPE, *b"0123456789LKxgSV".split(), *_TYPES))
                info.linkname = chance.choice(("", "/etc/passwd", "../..", WANTED[0]))
                info.size = chance.choice((0, 5, 20, 512, 5000))
                if form == tarfile.PAX_FORMAT and chance.random() < 0.3:
                    key = chance.choice(
                        ("size", "path", "linkpath", "GNU.sparse.map", "GNU.sparse.realsize", "mtime", "hdrcharset")
                    )
                    info.pax_headers = {
                        key: chance.choice(("-1", "99999999999999", "0,1,2", "../x", "nan", "BINARY", "ü"))
                    }
                try:
                    tar.addfile(info, io.BytesIO(bytes(info.size)) if info.isreg() else None)
                except (ValueError, UnicodeError, OverflowError):
                    continue
        content = file.getvalue()
    if chance.random() < 0.6:
        content = _with_checksums(spoil(chance, content, [other for _, other in seeds]), chance)
    content = gzip.compress(content, 1, mtime=0)
    return name, spoil(chance, content, most=2) if chance.random() < 0.2 else content


_TYPES = [bytes([kind]) for kind in b"01234567LKxgS\0Z"]


def _with_checksums(content: bytes, chance: random.Random) -> bytes:
    """Every block that looks like a header of tar gets the checksum its fields want, so that they are believed."""
    blocks = bytearray(content)
    for start in range(0, len(blocks) - 511, 512):
        header = blocks[start : start + 512]
        if header[257:262] == b"ustar" and chance.random() < 0.9:
            header[148:156] = b" " * 8
            blocks[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    return bytes(blocks)


def mat_seeds() -> list[Named]:
    from scipy.io import savemat

    rng, seeds = np.random.default_rng(0), []
    x, y = rng.integers(0, 256, (32, 32, 3, 1), np.uint8), np.array([[10]], np.uint8)
    for variables in ({"X": x, "y": y}, {"X": x, "y": y, "s": {"a": 1}}, {"X": np.array([[1, "a"]], object), "y": y}):
        for packed in (False, True):
            file = io.BytesIO()
            savemat(file, variables, do_compression=packed)
            seeds.append(("train_32x32.mat", file.getvalue()))
    return seeds


def damage_mat(chance: random.Random, seed: Named, seeds: Sequence[Named]) -> Named:
    name, content = seed
    if chance.random() < 0.5:  # the tags in front of the values, which lie at multiples of eight
        for _ in range(chance.randint(1, 3)):
            at = 128 + 4 * chance.randrange(min(len(content) - 128, 200) // 4)
            content = content[:at] + (chance.choice(INTEGERS) % 2**32).to_bytes(4, "little") + content[at + 4 :]
        return name, content
    return name, spoil(chance, content, [other for _, other in seeds])
