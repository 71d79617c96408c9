"""A short selection of ``python -m tests.fuzz``, and that it would find what it is looking for."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pellucid.errors import DataError

from .harness import fuzz
from .mutate import as_json, spoil_tree
from .readers import READERS, Reader

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits and alarms of POSIX")
EXAMPLES = int(os.environ.get("PELLUCID_EXAMPLES", "150"))


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused_in_words(name, tmp_path, capfd):
    report = fuzz(READERS[name], EXAMPLES, seed=2026, folder=tmp_path)
    assert report.bugs == []
    assert report.tried == EXAMPLES
    assert report.accepted < EXAMPLES or name == "record"  # which takes a damaged record for none


@pytest.mark.parametrize("name", READERS)
def test_sound_files_are_read(name, tmp_path):
    reader = READERS[name]
    for file, content in reader.beside.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(content)
    refused = 0
    for file, content in reader.seeds():
        (tmp_path / file).write_bytes(content)
        try:
            reader.read(tmp_path / file)
        except DataError:
            refused += 1
    allowed = {"mat": 2, "tar": 3, "idx": 2}.get(name, 0)  # of another kind on purpose, or not packed yet
    assert refused == allowed


def planted(read) -> Reader:
    def damage(chance, seed, seeds):
        return seed[0], chance.randbytes(3)

    return Reader(lambda: [("file", b"sound")], damage, read)


def raises_a_bug(path):
    return {}[path]


def writes(path):
    path.with_name("other").write_text("x")


def runs(path):
    subprocess.run(["true"])


def hangs(path):
    while True:
        time.sleep(0.01)


def works_without_end(path):
    while True:
        pass


def takes_memory(path):
    np.ones(3 << 27)


def talks_too_much(path):
    raise DataError("x" * 3)


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (raises_a_bug, "KeyError"),
        (writes, "opened for writing"),
        (runs, "subprocess.Popen"),
        (hangs, "not ready after 0.5 seconds"),
        (works_without_end, "not ready after 0.2 seconds of work"),
        (takes_memory, "MemoryError"),
        (talks_too_much, "an error of 3 letters"),
    ],
)
def test_what_is_looked_for_is_found(read, words, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.fuzz.harness.SECONDS", 0.2)
    monkeypatch.setattr("tests.fuzz.harness.PATIENCE", 0.5 if read is hangs else 300)
    sound = [True]

    def read_damaged(path):
        if sound:
            return sound.pop()  # the sound file, which is read first
        return read(path)

    report = fuzz(planted(read_damaged), 5, seed=0, folder=tmp_path)
    assert len(report.bugs) >= 1
    assert words in report.bugs[0]


GROWING = """
import sys
from pathlib import Path
import numpy as np
from tests.fuzz import harness
from tests.fuzz.test_fuzz import planted
harness.GROWTH = 50 << 20
kept = []
harness.fuzz(planted(lambda path: kept.append(np.ones(1 << 22))), 5, seed=0, folder=Path(sys.argv[1]))
"""


def test_memory_that_grows_is_found(tmp_path):
    """In a process of its own: only what exceeds the most that a process ever had is seen to grow."""
    command = [sys.executable, "-c", GROWING, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120)
    assert "BugError: the memory grew by" in done.stderr


def test_a_case_comes_back_by_its_number(tmp_path):
    seen = []
    reader = READERS["config"]._replace(read=lambda path: seen.append(path.read_bytes()))
    fuzz(reader, 5, seed=7, folder=tmp_path)
    fuzz(reader, 1, seed=7, folder=tmp_path, first=3)
    assert seen[-1] == seen[1 + 3]


def test_values_can_be_buried_deeper_than_python_would():
    texts = {as_json(spoil_tree(random.Random(n), {"a": [1, {"b": 'q"\\'}]})) for n in range(3000)}
    assert any("[" * 1500 in text for text in texts)
    assert not any("BURIED" in text for text in texts)
