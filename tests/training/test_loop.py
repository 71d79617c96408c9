"""The loop: every image once per epoch, in an order drawn for the epoch; means over images; errors that help."""

import math

import numpy as np
import pytest

from pellucid import training
from pellucid.errors import DataError, PellucidError
from pellucid.randomness import permutation
from pellucid.training import Callback, NonFiniteLossError, Progress, fit

from .models import StopAt, Stub, points

KEYS = ["epoch", "step", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate"]
KEYS += ["images_per_second", "seconds"]


def test_every_image_once_per_epoch_in_the_order_of_seed_and_epoch():
    x, y = points(22)
    model = Stub()
    fit(model, x, y, batch_size=5, epochs=3, seed=7)
    assert [len(indices) for _, indices in model.seen] == [5, 5, 5, 5, 2] * 3
    for epoch in range(3):
        order = [i for e, indices in model.seen if e == epoch for i in indices]
        assert order == permutation(7, epoch, 22).tolist()


def test_without_shuffling_the_order_is_that_of_the_data():
    x, y = points(7)
    model = Stub()
    fit(model, x, y, batch_size=4, epochs=2, shuffle=False)
    assert model.seen == [(0, [0, 1, 2, 3]), (0, [4, 5, 6]), (1, [0, 1, 2, 3]), (1, [4, 5, 6])]


def test_rows_have_the_promised_keys_and_means_are_over_images_not_batches():
    x, y = points(22)

    class Fixed(Stub):
        def train_step(self, x, y, **settings):
            return {"loss": float(len(x)), "accuracy": 0.5}

    history = fit(Fixed(), x, y, batch_size=20, epochs=2, validation=(x, y))
    assert [list(row) for row in history.rows] == [KEYS, KEYS]
    assert history.rows[0]["train_loss"] == (20 * 20 + 2 * 2) / 22
    assert [row["epoch"] for row in history.rows] == [1, 2]
    assert [row["step"] for row in history.rows] == [2, 4]
    assert history.rows[1]["seconds"] >= history.rows[0]["seconds"] >= 0


def test_history_is_a_dict_of_lists_as_in_keras():
    x, y = points()
    history = fit(Stub(), x, y, epochs=3, validation=(x, y))
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.history["val_loss"] == [row["val_loss"] for row in history.rows]
    assert history.epoch == [0, 1, 2]
    assert history.stop_reason is None
    assert list(fit(Stub(), x, y).history) == ["loss", "accuracy"]


def test_limit_batches_and_sample_weights():
    x, y = points(22)
    model = Stub()
    fit(model, x, y, batch_size=5, epochs=2, limit_batches=2)
    assert len(model.seen) == 4
    weighted, plain = Stub(), Stub()
    fit(weighted, x, y, sample_weight=np.zeros(22))
    fit(plain, x, y, sample_weight=np.ones(22))
    assert not weighted.params["line/w"].any()
    assert plain.params["line/w"].any()


def test_training_learns():
    x, y = points(200)
    history = fit(Stub(width=0), x, y, epochs=20, batch_size=10)
    assert history.rows[-1]["train_loss"] < 1e-3 < 1 < history.rows[0]["train_loss"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"y": np.zeros(21)}, "22 images but 21 targets"),
        ({"sample_weight": np.zeros(3)}, "3 sample weights"),
        ({"batch_size": 0}, "batch_size was 0"),
        ({"limit_batches": 0}, "limit_batches was 0"),
        ({"x": np.zeros((0, 3)), "y": np.zeros(0)}, "no images"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    x, y = points(22)
    with pytest.raises(PellucidError, match=words):
        fit(Stub(), **({"x": x, "y": y} | settings))


def test_a_loss_that_is_not_finite_ends_the_training_with_advice():
    x, y = points(20)
    with pytest.raises(NonFiniteLossError, match=r"epoch \d+, batch \d of 4 \(step \d+\).*try 1e\+200") as caught:
        fit(Stub(learning_rate=1e201), x, y, batch_size=5, epochs=50)
    error = caught.value
    assert not math.isfinite(error.loss)
    assert error.epoch >= 1
    assert len(error.indices) == 5


def test_a_bad_image_is_named():
    x, y = points(20)
    x[13, 1] = np.nan
    with pytest.raises(NonFiniteLossError, match=r"images 13\. Clean them first"):
        fit(Stub(), x, y, batch_size=5)


def test_a_training_cannot_go_on_with_other_settings_or_data():
    x, y = points(20)
    progress = Progress()
    fit(Stub(), x, y, batch_size=5, epochs=2, progress=progress, callbacks=[StopAt(3)])
    with pytest.raises(PellucidError, match="batch_size was 5 and is 4; seed was 0 and is 1"):
        fit(Stub(), x, y, batch_size=4, seed=1, epochs=2, progress=progress)
    with pytest.raises(PellucidError, match="images was 20 and is 19"):
        fit(Stub(), x[1:], y[1:], batch_size=5, epochs=2, progress=progress)


def test_callbacks_end_in_reverse_order_even_after_an_error_and_in_the_beginning():
    told = []

    class Witness(Callback):
        def __init__(self, name, order=0, fail=""):
            self.name, self.order, self.fail = name, order, fail  # type: ignore[misc]

        def on_train_begin(self, run):
            told.append(f"{self.name} begins")
            if self.fail == "begin":
                raise RuntimeError

        def on_train_end(self, run):
            told.append(f"{self.name} ends{' in error' if run.error else ''}")
            if self.fail == "end":
                raise RuntimeError

    x, y = points()
    fit(Stub(), x, y, callbacks=[Witness("b", 1), Witness("a", 0)])
    assert told == ["a begins", "b begins", "b ends", "a ends"]
    told.clear()
    with pytest.raises(RuntimeError):
        fit(Stub(), x, y, callbacks=[Witness("a"), Witness("b", fail="begin"), Witness("c")])
    assert told == ["a begins", "b begins", "a ends in error"]
    told.clear()
    with pytest.raises(RuntimeError):
        fit(Stub(), x, y, callbacks=[Witness("a"), Witness("b", fail="end")])
    assert told == ["a begins", "b begins", "b ends", "a ends"]


def test_a_jump_of_the_clock_does_not_matter(monkeypatch):
    import time

    monkeypatch.setattr(time, "time", lambda: pytest.fail("the clock on the wall was asked"))
    x, y = points()
    assert 0 <= fit(Stub(), x, y).rows[0]["seconds"] < 60


def test_lengths_differ_is_a_data_error():
    with pytest.raises(DataError):
        training.fit(Stub(), *points()[:1], np.zeros(1))
