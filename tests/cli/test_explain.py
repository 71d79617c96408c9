"""``pellucid explain``: every method, pictures and images of the data, and mistakes answered before anything is computed."""

import numpy as np
import pytest
from PIL import Image

from pellucid import explain, load
from pellucid.cli import main
from pellucid.run.explaining import METHODS

from .conftest import good


@pytest.fixture
def here(tmp_path, monkeypatch, short_run):
    """An empty folder to work in; the run that is explained."""
    monkeypatch.chdir(tmp_path)
    return str(short_run[0])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_draws_a_figure_and_says_what_it_found(here, method, tmp_path, capsys):
    assert main(["explain", here, "test:3", "--method", method, "--images", "20"]) == 0
    said = capsys.readouterr().out
    assert said.endswith(f"Written: {method}.png\n")
    assert len(said.splitlines()) > 1
    assert (tmp_path / f"{method}.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_gives_what_the_function_gives(here, small_images, tmp_path):
    with np.load(small_images) as file:
        x = file["x_test"][5:6]
    Image.fromarray(x[0]).save("five.png")
    asked = ("--method", "integrated", "--class", "south", "--out", "numbers.npz")
    said = good("explain", here, "five.png", *asked, cwd=tmp_path).out
    expected = explain.integrated_gradients(load(f"{here}/model.safetensors"), x, "south")
    with np.load("numbers.npz") as found:
        np.testing.assert_allclose(found["values"], expected.values[0], atol=1e-6)
    assert f"Integrated gradients for south: logit {expected.scores[0]:.3f} (before softmax)." in said


def test_grad_cam_names_its_layer(here, capsys):
    assert main(["explain", here]) == 0
    assert "Grad-CAM at conv1, maps of 12x12, for " in capsys.readouterr().out


def test_arithmetic_is_worked_out_at_the_place_asked_for(here, capsys):
    main(["explain", here, "test:0", "--method", "arithmetic", "--at", "2", "3", "--filter", "7", "--out", "a.svg"])
    said = capsys.readouterr().out
    assert said.startswith("conv1, filter 7, output at row 2, column 3: convolution over 3x3 numbers of 3 channels")
    assert "kernel (the terminal)" in said


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--method", "grad-cam"], "There is no method 'grad-cam'. Did you mean 'gradcam'"),
        (["--layer", "conv2"], "has no layer 'conv2'. Did you mean 'conv1'"),
        (["--layer", "dense1"], "'dense1' has no maps"),
        (["--class", "suoth"], "There is no class 'suoth'. Did you mean 'south'"),
        (["--class", "4"], "no class 4; the model has the classes 0 … 3"),
        (["--out", "figure.bmp"], "cannot be written to 'figure.bmp'"),
        (["--out", "missing/figure.png"], "missing"),
        (["--method", "arithmetic", "--at", "12", "0"], "row 12 is none of them"),
        (["--method", "receptive", "--at", "1", "1"], "name that layer"),
        (["--method", "pca", "--images", "2"], "at least 3"),
        (["--of", "odds"], "--of"),
    ],
)
def test_mistakes_are_answered_with_what_would_be_right(here, arguments, answer, capsys):
    assert main(["explain", here, "test:0", *arguments]) == 2
    assert answer in capsys.readouterr().err


@pytest.mark.parametrize(
    ("image", "answer"), [("test:20", "has 20 images"), ("tset:1", "not a file"), ("no.png", "not a file")]
)
def test_images_that_are_not_there(here, image, answer, capsys):
    assert main(["explain", here, image]) == 2
    assert answer in capsys.readouterr().err
