"""Several views of an image, one answer: the mean of the logits, the same for evaluate, predict and a model file."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import PellucidError, Preprocessing, Sequential, backend, load
from pellucid.augmentation import VIEWS
from pellucid.augmentation.views import look
from pellucid.errors import FileFormatError, ShapeError
from pellucid.layers import Activation, Conv2D, Dense, Flatten, MaxPooling2D

RNG = np.random.default_rng(0)
X, Y = RNG.integers(256, size=(11, 9, 8, 3), dtype=np.uint8), np.arange(11) % 3


def network(last="softmax", outputs=3, loss="cce", separate=False) -> Sequential:
    end = [Dense(outputs), Activation(last)] if separate else [Dense(outputs, last)]
    model = Sequential([Conv2D(4, 3, activation="relu"), MaxPooling2D(2), Flatten(), *end])
    model.preprocessing = Preprocessing.fit(X)
    model.compile("sgd", loss, input_shape=(9, 8, 3), seed=2)
    return model


def by_hand(model, views):
    """airbench's own way: the logits of image and mirror image, of the image and of two crops of the padded one."""
    bare = model.without_activation() if model.final_activation in ("softmax", "sigmoid", "log_softmax") else model
    x = model.to_input(X)

    def mirrored(x):
        return 0.5 * bare(np.ascontiguousarray(x)) + 0.5 * bare(np.ascontiguousarray(x[:, :, ::-1]))

    if views == "mirror":
        return mirrored(x)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    return 0.5 * mirrored(x) + 0.25 * mirrored(padded[:, :-2, :-2]) + 0.25 * mirrored(padded[:, 2:, 2:])


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


FINISH = {
    "softmax": softmax,
    "log_softmax": lambda z: np.log(softmax(z)),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "linear": lambda z: z,
    "tanh": lambda z: z,  # no probabilities: the outputs themselves are averaged
}


@pytest.mark.parametrize("name", ["numpy", "native"])
@pytest.mark.parametrize("views", ["mirror", "mirror+shifts"])
@pytest.mark.parametrize("last", FINISH)
@pytest.mark.parametrize("separate", [False, True])
def test_the_answer_is_the_mean_of_the_logits_of_all_views(name, views, last, separate):
    with backend.using(name):
        model = network(
            last, loss="mse" if last in ("linear", "tanh") else "bce" if last == "sigmoid" else "cce", separate=separate
        )
        found = model.predict(X, batch_size=4, views=views)
        np.testing.assert_allclose(found, FINISH[last](by_hand(model, views)), rtol=2e-5, atol=2e-6)
        assert np.abs(found - model.predict(X)).max() > 1e-4


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize(("last", "loss"), [("softmax", "cce"), (None, "cce"), ("sigmoid", "bce"), ("softmax", "mse")])
def test_evaluate_scores_what_predict_answers(views, last, loss):
    model = network(last, loss=loss)
    scores = model.evaluate(X, Y, batch_size=4, views=views)
    p = model.predict(X, views=views)
    if "accuracy" in scores:
        assert scores["accuracy"] == pytest.approx((p.argmax(1) == Y).mean())
    rows = np.eye(3)[Y]
    p = softmax(p) if last is None else p
    wanted = {
        "cce": lambda: -np.log(p[np.arange(11), Y]).mean(),
        "bce": lambda: -(rows * np.log(p) + (1 - rows) * np.log(1 - p)).mean(),
        "mse": lambda: ((p - rows) ** 2).mean(),
    }[loss]()
    assert scores["loss"] == pytest.approx(wanted, rel=1e-5)


def test_a_model_remembers_its_views(tmp_path):
    model = network()
    assert model.views == "none"
    model.views = "mirror+shifts"
    wanted = model.predict(X, views="mirror+shifts")
    np.testing.assert_array_equal(model.predict(X), wanted)
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.views == "mirror+shifts"
    np.testing.assert_array_equal(again.predict(X), wanted)
    assert again.evaluate(X, Y) == again.evaluate(X, Y, views="mirror+shifts") != again.evaluate(X, Y, views="none")
    np.testing.assert_allclose(again.predict(X, views="none"), network().predict(X), rtol=1e-6)


@pytest.mark.parametrize("views", ["mirror", "mirror+shifts"])
def test_weights_of_views_add_up_and_mirrors_count_alike(views):
    assert sum(view.weight for view in VIEWS[views]) == 1
    model = network()
    np.testing.assert_allclose(
        model.predict(X[:, :, ::-1], views="mirror"), model.predict(X, views="mirror"), atol=1e-6
    )


def test_both_ways_to_look_give_the_same_pixels():
    x = RNG.standard_normal((3, 5, 4, 2)).astype(np.float32)
    for view in VIEWS["mirror+shifts"]:
        with backend.using("numpy"):
            wanted = look(x, view)
        np.testing.assert_array_equal(look(x, view), wanted)
        np.testing.assert_array_equal(look(x.astype(np.float64), view), wanted)


def test_wrong_views_are_explained(tmp_path):
    model = network()
    with pytest.raises(PellucidError, match=r"There are no views 'miror'\. Did you mean 'mirror'"):
        model.predict(X, views="miror")
    model.views = "sideways"
    with pytest.raises(PellucidError, match="There are no views 'sideways'"):
        model.save(tmp_path / "model.safetensors")
    vectors = Sequential([Dense(2, "softmax")])
    vectors.compile(input_shape=(5,))
    with pytest.raises(ShapeError, match=r"want images .* but get \(3, 5\)"):
        vectors.predict(np.zeros((3, 5), np.float32), views="mirror")


def test_a_model_file_with_unknown_views_is_refused(tmp_path, monkeypatch):
    model = network()
    monkeypatch.setattr("pellucid.augmentation.views.VIEWS", VIEWS | {"upside down": VIEWS["none"]})
    model.views = "upside down"
    model.save(tmp_path / "model.safetensors")
    monkeypatch.undo()
    with pytest.raises(FileFormatError, match="There are no views 'upside down'"):
        load(tmp_path / "model.safetensors")
