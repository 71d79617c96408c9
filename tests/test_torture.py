"""A short piece of ``python -m tests.torture``, and that it would see a difference."""

from __future__ import annotations

import os
import random
import shutil

import pytest

from pellucid import arrayfile

torture = pytest.importorskip("tests.torture") if os.name == "posix" else pytest.skip("POSIX", allow_module_level=True)


def test_a_run_that_is_killed_twice_is_the_run_in_peace(tmp_path, monkeypatch):
    monkeypatch.setattr(torture, "EPOCHS", 2)
    monkeypatch.setenv("PELLUCID_BACKEND", "numpy")
    ordeal = torture.Torture(tmp_path, random.Random(3))
    monkeypatch.setattr(torture, "FAULTS", {"SIGKILL": 1})
    kind = "deep-averages"
    process = ordeal.start(tmp_path / "peace" / kind, kind)
    ordeal.finish(process)
    whole = torture.what_counts(tmp_path / "peace" / kind)
    assert {"row 2", "position", "iterations"} <= whole.keys()
    ordeal.peaceful[kind] = whole
    assert ordeal.round(kind) is None
    assert ordeal.kills + ordeal.faults["SIGKILL"] >= 1

    folder = tmp_path / "other"
    shutil.copytree(tmp_path / "peace" / kind, folder)
    texts, arrays = arrayfile.read(folder / "model.safetensors")
    arrays["dense1/bias"][3] += 1e-7
    arrayfile.write(folder / "model.safetensors", arrays, texts)
    assert torture.different(whole, torture.what_counts(folder)) == "model dense1/bias of 1 differ"
    (folder / "metrics.jsonl").write_text("")
    assert "row 1" in torture.different(whole, torture.what_counts(folder))
