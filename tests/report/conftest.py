"""Runs to report on: one that learned the digits, and one whose class names are an attack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pellucid.config import make
from pellucid.report import write_report
from pellucid.run import train

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "\"'} body {display: none",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft {{ 7 * 7 }}",
)


def quiet(text: str) -> None:
    """Nobody needs to hear it."""


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Path:
    """A run folder: two epochs on the digits, enough to be often right and sometimes wrong."""
    folder = tmp_path_factory.mktemp("digits") / "run"
    train(make({"data.source": "digits", "training.epochs": 2}), folder, say=quiet)
    return folder


@pytest.fixture(scope="session")
def page(digits) -> Path:
    """Its report."""
    return write_report(digits)


@pytest.fixture(scope="session")
def hostile_page(hostile) -> Path:
    """The report of the other one."""
    return write_report(hostile)


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """An .npz of 60 images 9x12x3 in 4 classes with hostile names; no test part."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 9, 12, 3)).astype(np.uint8), np.arange(60) % 4
    path = tmp_path_factory.mktemp("images") / "<b>images&.npz"
    np.savez(path, x=x, y=y, class_names=np.array(HOSTILE))
    return path


@pytest.fixture(scope="session")
def hostile(tmp_path_factory, images) -> Path:
    """A run folder on these, with a network that has maps of 12 columns and no more than dense layers behind them."""
    folder = tmp_path_factory.mktemp("hostile") / "<i>run"
    train(make({"data.source": str(images), "model.name": "cnn1_avg", "training.epochs": 1}), folder, say=quiet)
    return folder
