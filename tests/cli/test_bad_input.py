"""Whatever is wrong with what a person asked for: a sentence that says so and how to mend it, status 2, and nothing lost."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from pellucid import arrayfile, backend
from pellucid.cli import main

from .conftest import good

RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 256, (40, 8, 8, 1)).astype(np.uint8), np.arange(40) % 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Runs of two networks on the same images."""
    home = tmp_path_factory.mktemp("trained")
    np.savez(home / "good.npz", x=X, y=Y)
    for name in ("cnn1_avg", "cnn1_mnist"):
        good("train", "good.npz", "--model", name, "--epochs", 1, "--out", name, cwd=home)
    return home


@pytest.fixture
def here(tmp_path, monkeypatch, trained):
    """An empty folder to work in, with good images and a run in it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(trained / "good.npz", "good.npz")
    shutil.copytree(trained / "cnn1_avg", "run")
    shutil.copytree(trained / "cnn1_mnist", "other")
    before = backend.get_backend()
    backend.set_backend("numpy")
    yield tmp_path
    backend.set_backend(before)


def images(**changes):
    def make():
        np.savez("mine.npz", **({"x": X, "y": Y} | changes))

    return make


def text(name, content):
    return lambda: Path(name).write_text(content)


def layers(*tables):
    return text("net.toml", "".join(f"[[layers]]\n{table}\n" for table in tables))


def empty_folder():
    os.mkdir("empty")


def unreadable_picture():
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        path = Path("pictures", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(X[0, :, :, 0]).save(path)
    Path("pictures/a/1.png").write_bytes(b"\x89PNG, but not for long")


def one_class():
    Path("pictures/only").mkdir(parents=True)
    Image.fromarray(X[0, :, :, 0]).save("pictures/only/1.png")


def mnist_files(content):
    def make():
        os.mkdir("mnist")
        for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
            Path(f"mnist/{name}-ubyte.gz").write_bytes(content)

    return make


def model_file(change):
    """A model file damaged by ``change(bytes, arrays, metadata) -> bytes or None``."""

    def make():
        source = Path("run/model.safetensors")
        with safe_open(source, "numpy") as file:
            metadata = file.metadata()
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        content = change(source.read_bytes(), arrays, metadata)
        if content is not None:
            Path("model.safetensors").write_bytes(content)

    return make


def of_another_version(content, arrays, metadata):
    about = json.loads(metadata["pellucid"]) | {"format": 99}
    save_file(arrays, "model.safetensors", metadata={"pellucid": json.dumps(about)})


def of_wrong_shapes(content, arrays, metadata):
    arrayfile.write("model.safetensors", arrays | {"dense1/bias": np.zeros(3, np.float32)}, metadata)


def checkpoints_of_another_network():
    shutil.rmtree("run/checkpoints")
    shutil.copytree("other/checkpoints", "run/checkpoints")


def damaged_checkpoints():
    for path in Path("run/checkpoints").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-100])


MINE = "train mine.npz --epochs 1"
NET = "train good.npz --model net.toml"
TABLE = {
    # data
    "channels first": (images(x=X.transpose(0, 3, 1, 2)), MINE, "looks like channels first"),
    "labels below 0": (images(y=Y - 1), MINE, "labels run from -1"),
    "labels too high": (images(class_names=np.array(["a", "b"])), MINE, "labels run from 0 to 3; wanted 0 to 1"),
    "too few labels": (images(y=Y[:-1]), MINE, "39 labels for 40 images"),
    "NaN": (images(x=np.where(X[3, 2, 2, 0] == X, np.nan, X / 255)), MINE, "NaN or infinite"),
    "one class": (images(y=0 * Y), MINE, "one class only"),
    "not an npz": (text("mine.npz", "hello"), MINE, "mine.npz"),
    "an empty folder": (empty_folder, "train empty", "holds no class folders"),
    "one class folder": (one_class, "train pictures", "one class only (only)"),
    "an unreadable picture": (unreadable_picture, "train pictures", "on-bad-image skip"),
    "a truncated gz": (mnist_files(b"\x1f\x8b\x08\x00"), "train mnist --data-dir . --no-verify", "mnist"),
    "a web page as gz": (mnist_files(b"<!DOCTYPE html><html></html>"), "train mnist --data-dir .", "--no-verify"),
    "no such data set": (None, "train cfar10", "Did you mean 'cifar10'?"),
    "no such path": (None, "train ./photos", "does not exist"),
    "no data": (None, "train", "No data are named"),
    "a run as data": (None, "train run", "pellucid resume run"),
    # networks
    "no such network": (None, "train good.npz --model lenet", "Did you mean 'lenet5'?"),
    "no Flatten": (
        layers('class = "Conv2D"\nfilters = 2\nkernel_size = 3', 'class = "Dense"\nunits = 4'),
        NET,
        "Put Flatten() or GlobalAveragePooling2D() before it",
    ),
    "a kernel larger than the image": (layers('class = "Conv2D"\nfilters = 2\nkernel_size = 9'), NET, "9x9"),
    "as many outputs as classes": (layers('class = "Flatten"', 'class = "Dense"\nunits = 5'), NET, "units = 4"),
    "no such layer": (
        layers('class = "Conv2d"'),
        NET,
        "layer 1: There is no layer class 'Conv2d'. Did you mean 'Conv2D'?",
    ),
    "no such setting of a layer": (layers('class = "Dense"\nunit = 4'), NET, "Did you mean 'units'?"),
    "a file without layers": (text("net.toml", 'name = "x"'), NET, "[[layers]]"),
    "images too small": (None, "train good.npz --model lenet5", "cannot take images of 8x8x1"),
    # settings
    "no such verb": (None, "trian digits", 'Did you mean "train"?'),
    "no such option": (None, "train digits --epoch 3", "Did you mean --epochs?"),
    "not a number": (None, "train digits --epochs many", "training.epochs was 'many'; wanted a whole number"),
    "out of range": (None, "train digits --batch-size 0", "wanted at least 1"),
    "several at once": (None, "train digits --epochs x --seed y", "seed was 'y'"),
    "no such backend": (None, "train digits --backend nunpy", "Did you mean 'numpy'?"),
    "no such optimizer": (None, "train digits --optimizer adm", "Did you mean 'adam'?"),
    "a setting of another optimizer": (None, "train digits --momentum 0.9", "adam has no such setting"),
    "no such loss": (None, "train digits --loss crossentropy", "There is no loss"),
    "no such part": (None, "train digits --test-part data_batch_5", "official test part only"),
    "given twice": (None, "train digits --epochs 3 --training.epochs 4", "specified multiple times"),
    "one argument too many": (None, "train digits mnist", "One argument too many: mnist"),
    "no such setting in a file": (text("my.toml", "[training]\nepoch = 3"), "train my.toml", "Did you mean 'epochs'?"),
    "no such section": (text("my.toml", "[trainin]\nepochs = 3"), "train my.toml", "Did you mean 'training'?"),
    "a file that is not TOML": (text("my.toml", "[training"), "train my.toml", "is not a TOML file"),
    "a huge config": (text("my.toml", "#" * 1_100_000), "train my.toml", "is refused"),
    "no such config": (None, "train my.toml", "There is no config file"),
    "a learning rate that explodes": (
        None,
        "train good.npz --model cnn1_avg --optimizer sgd --learning-rate 1e30 --epochs 9 --out new",
        "learning rate",
    ),
    # runs and models
    "a run that exists": (None, "train digits --out run", "run exists already"),
    "a file in the place of a run": (text("taken", ""), "train digits --out taken", "taken exists already"),
    "a place that cannot be written": (None, "train good.npz --model cnn1_avg --out /dev/null/run", "cannot be made"),
    "no such run": (None, "resume nothing", "does not exist"),
    "a folder that is no run": (empty_folder, "resume empty", "has no config.toml"),
    "nothing left to do": (None, "resume run", "resume run --epochs 2"),
    "checkpoints of another network": (checkpoints_of_another_network, "resume run --epochs 2", "of another network"),
    "damaged checkpoints": (damaged_checkpoints, "resume run --epochs 2", "damaged"),
    "no such model": (None, "evaluate nothing.safetensors", "There is no model"),
    "a truncated model": (
        model_file(lambda b, *_: b[: len(b) // 2]),
        "evaluate model.safetensors",
        "cut off or damaged",
    ),
    "text as a model": (text("model.safetensors", "hello"), "predict model.safetensors x.png", "is not a model file"),
    "a model of another version": (model_file(of_another_version), "evaluate model.safetensors", "format 99"),
    "arrays of wrong shapes": (model_file(of_wrong_shapes), "evaluate model.safetensors", "dense1/bias"),
    "classes the model does not know": (None, "evaluate run digits", "does not know the class"),
    "no such part of the data": (None, "evaluate run --part test", "has no test part"),
    "a folder without pictures": (empty_folder, "predict run empty", "holds no pictures"),
    "no pictures": (None, "predict run", "PICTURES"),
    "no such data set to get": (None, "data get minst", "Did you mean 'mnist'?"),
    "no such network to check": (None, "check --model cnn", "There is no network"),
    "no such name to summarise": (None, "summary cnn22", "Did you mean 'cnn2'?"),
}


@pytest.mark.parametrize("case", TABLE)
def test_a_mistake_is_explained(case, here, capsys):
    prepare, line, words = TABLE[case]
    if prepare is not None:
        prepare()
    before = content(here)
    capsys.readouterr()
    status = main(line.split())
    answer = capsys.readouterr()
    assert status == 2, answer
    assert words in answer.err
    assert "Traceback" not in answer.err
    after = content(here)
    assert {path: after.get(path) for path in before} == before


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.smoke
def test_in_a_process_of_its_own_it_is_the_same(command):
    answer = command("train", "digit")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith("'digit' is neither")
    assert answer.err.count("\n") == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_run_is_refused_and_kept(here, capsys):
    os.chmod("run", 0o500)
    try:
        assert main(["resume", "run", "--epochs", "2"]) == 2
    finally:
        os.chmod("run", 0o700)
    assert "cannot be written" in capsys.readouterr().err


def test_debug_shows_the_traceback(here, monkeypatch):
    from pellucid import PellucidError

    monkeypatch.setenv("PELLUCID_DEBUG", "1")
    with pytest.raises(PellucidError, match="neither"):
        main(["train", "digit"])


def test_ctrl_c_is_quiet_everywhere(monkeypatch, capsys):
    from pellucid.run import networks

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(networks, "find", interrupted)
    assert main(["summary", "cnn2"]) == 130
    assert capsys.readouterr() == ("", "")
