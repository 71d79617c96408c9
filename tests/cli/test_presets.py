"""Presets: settings like any others, printed, repeated, changed from the command line."""

import os
import tomllib

import pytest

from pellucid import presets
from pellucid.config import complete, make_optimizer, read
from pellucid.zoo import build

from .conftest import good

DATA = os.environ.get("PELLUCID_DATA")
EVERY = [(source, name) for source in ("cifar10", "mnist") for name in presets.names(source)]


@pytest.mark.parametrize(("source", "name"), EVERY)
def test_every_preset_makes_sense_for_its_network(source, name):
    settings = complete(read(presets.path(source, name)))
    assert settings.data.source == source
    model = build(settings.model.name, (32, 32, 3))
    optimizer = make_optimizer(settings.optimizer)
    model.compile(optimizer)
    if settings.optimizer.name == "muon":
        assert all(optimizer.is_kernel(path, param) for path, param in model.params.items() if path.startswith("conv"))


def test_a_printed_preset_is_a_file_that_says_the_same(command, tmp_path):
    printed = command("train", "cifar10", "--preset", "5min", "--seed", 3, "--print-config")
    assert printed.status == 0
    assert list(tmp_path.iterdir()) == [], "nothing is done"
    (tmp_path / "own.toml").write_text(printed.out)
    assert command("train", "own.toml", "--print-config").out == printed.out
    settings = tomllib.loads(printed.out)
    assert settings["seed"] == 3
    assert settings["model"]["name"] == complete(read(presets.path("cifar10", "5min"))).model.name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cifar10", "--preset", "5mins"), "cifar10 has no preset '5mins'. Did you mean '5min'?"),
        (("digits", "--preset", "5min"), "There are no presets for 'digits'"),
        (("--preset", "5min"), "--preset wants a data set by name"),
        (("own.toml", "--preset", "5min"), "--preset wants a data set by name"),
    ],
)
def test_a_preset_that_is_not_there_is_refused(command, tmp_path, arguments, words):
    answer = command("train", *arguments)
    assert answer.status == 2
    assert words in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(DATA is None, reason="PELLUCID_DATA does not say where the real CIFAR-10 is")
def test_a_preset_trains_on_real_images(tmp_path):
    short = ("--limit-batches", 2, "--epochs", 1, "--batch-size", 100)
    arguments = ("--data-dir", DATA, "--no-verify", "--out", "run", *short)
    good("train", "cifar10", "--preset", "1min", *arguments, cwd=tmp_path, backend="native")
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert (config["model"]["name"], config["training"]["batch_size"]) == ("speed_small", 100)
