"""Every cause is recognised where it is planted, in real trainings, and named together with what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pellucid as pl
from pellucid import doctor, explain
from pellucid.data import Part
from pellucid.doctor.causes import name_of
from pellucid.doctor.units import dead_units
from pellucid.explain.dead import in_words
from pellucid.report.inside import layer_rows
from pellucid.summary import summarize
from pellucid.training import Evidence, NonFiniteLossError, RunFolder

from .planting import digits, network, watched


def test_every_cause_is_planted_somewhere_here():
    """One that is registered without a test fails, and so does one whose findings carry another name."""
    here = Path(__file__)
    text = here.read_text(encoding="utf-8") + (here.parents[1] / "cli" / "test_doctor.py").read_text(encoding="utf-8")
    assert [cause.__name__ for cause in doctor.CAUSES if f'"{name_of(cause)}"' not in text] == []


def causes(case):
    return {finding.cause: finding for finding in doctor.examine(case)}


def shuffled(part, seed=0):
    return Part(part.x, np.random.default_rng(seed).permutation(part.y))


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 1e-5), ("sgd", 1e-4)])
@pytest.mark.parametrize("layers", ["shallow", "deep", "normalised"])
def test_a_rate_a_hundred_times_too_low(layers, optimizer, rate):
    found = watched(network(layers, optimizer=optimizer, rate=rate))
    assert "rate too low" in found
    assert found["rate too low"].serious
    assert found["rate too low"].numbers["moved"] < 0.05
    assert set(found) <= {"rate too low", "stuck loss"}


@pytest.mark.parametrize(
    ("layers", "optimizer", "rate"), [("deep", "adam", 0.1), ("deep", "sgd", 1.0), ("normalised", "sgd", 1.0)]
)
def test_a_rate_a_hundred_times_too_high(layers, optimizer, rate):
    found = watched(network(layers, optimizer=optimizer, rate=rate))
    assert "rate too high" in found
    assert found["rate too high"].serious
    assert set(found) <= {"rate too high", "dead units", "stuck loss", "one answer"}


@pytest.mark.parametrize("layers", ["shallow", "deep"])
def test_pixels_that_are_not_scaled(layers):
    found = watched(network(layers, scaled=False), epochs=1)
    assert found["inputs not scaled"].serious
    assert found["inputs not scaled"].numbers["largest"] == 255


def test_pixels_divided_twice():
    model = network("shallow", scaled=False)
    train = Part((digits().train.x / 255**2).astype(np.float32), digits().train.y)
    assert causes(doctor.Case(model=model, train=train))["inputs not scaled"].numbers["rms"] < 0.01


def test_behind_a_normalisation_scale_matters_less_and_behind_rescaling_it_is_right():
    assert not watched(network("normalised", scaled=False), epochs=1)["inputs not scaled"].serious
    model = network([pl.Rescaling(1 / 255), pl.Flatten(), pl.Dense(10, activation="softmax")], scaled=False)
    assert "inputs not scaled" not in causes(doctor.Case(model=model, train=digits().train))


@pytest.mark.parametrize("layers", ["shallow", "deep", "normalised"])
def test_shuffled_labels(layers):
    found = watched(network(layers), train=shuffled(digits().train), validation=shuffled(digits().validation), epochs=8)
    assert "labels do not fit" in found
    assert found["labels do not fit"].serious  # a warning before the first step, and in the end
    assert found["labels do not fit"].numbers["sigmas"] < 3
    assert set(found) <= {"labels do not fit", "stuck loss"}


def test_labels_of_one_part_numbered_differently():
    """Training goes well, validation does not."""
    other = Part(digits().validation.x, (digits().validation.y + 3) % 10)
    found = watched(network("deep"), validation=other, epochs=4)
    assert found["labels do not fit"].serious
    assert "overfitting" not in found


def test_data_alone_tell_that_labels_do_not_fit():
    found = causes(doctor.Case(train=shuffled(digits().train)))
    assert set(found) == {"labels do not fit"}
    assert found["labels do not fit"].severity == "warning"  # it might be a hard task


def test_units_that_never_fire():
    model = network("deep")
    model.params["conv1/bias"][:] = -100
    found = watched(model)
    assert found["dead units"].numbers["layers"]["conv1"] == [16, 16]
    assert found["dead units"].serious
    assert found["stuck loss"].numbers["train_loss"] == pytest.approx(np.log(10), abs=0.01)
    assert found["one answer"].serious
    assert "rate too low" not in found  # the weights do not move, but not because of the rate


def test_a_tenth_of_a_layer_left_is_a_warning_and_a_quarter_nothing():
    model = network("deep")
    for count, severity in ((16, "serious"), (15, "warning"), (12, None)):
        model.params["conv1/bias"][:] = np.where(np.arange(16) < count, -100, 0)
        found = causes(doctor.Case(model=model, train=digits().train)).get("dead units")
        assert (found and found.severity) == severity


def test_doctor_statistics_and_report_mean_the_same_by_dead():
    """The same units, whoever counts; and none of them worries where another does not."""
    model, images = network("normalised"), digits().train.x[:100]
    model.params["batch_norm1/gamma"][:15], model.params["batch_norm1/beta"][:15] = 0, -1
    dead = explain.dead_units(model, images)
    assert {path: int(units.sum()) for path, units in dead.items()} == {"relu1": 15}
    statistics = explain.filter_statistics(model, images)
    assert {path for path, row in statistics.items() if row.rectified} == dead.keys()
    np.testing.assert_array_equal(statistics["relu1"].dead, dead["relu1"])
    case = doctor.Case(model=model, train=Part(images, digits().train.y[:100]))
    np.testing.assert_array_equal(case.dead["relu1"], dead["relu1"])
    rows = layer_rows(model, summarize(model, (8, 8, 1)), images)
    assert {row.name: (row.dead, row.worrying) for row in rows if row.dead} == {"relu1": (15, True)}
    assert "15 of 16 in relu1" in causes(case)["dead units"].evidence
    assert "Little comes through relu1: pellucid doctor" in in_words(dead, 100)
    harmless = {"relu1": np.arange(16) < 13}  # what the doctor does not mention is called harmless elsewhere
    assert "do without them" in in_words(harmless, 100)
    assert not [*dead_units(harmless, images)]


@pytest.mark.parametrize(
    ("last", "lowest"),
    [
        ([pl.Dense(10, activation="softmax"), pl.Softmax()], 1.461),
        ([pl.Dense(10, activation="softmax"), pl.Activation("softmax")], 1.461),
        ([pl.Dense(10, activation="softmax"), pl.Dense(10, activation="softmax")], 1.461),
        ([pl.Dense(10, activation="softmax"), pl.Dropout(0.1), pl.Dense(10, activation="sigmoid")], None),
    ],
    ids=["layer", "activation", "dense", "sigmoid"],
)
def test_softmax_twice(last, lowest):
    last = [layer.clone() for layer in last]
    model = network([pl.Flatten(), *last])
    finding = causes(doctor.Case(model=model))["softmax twice"]
    assert finding.serious
    assert finding.numbers["layers"][-1] == last[-1].name
    if lowest and len(last[1].params) == 0:
        assert finding.numbers["lowest_loss"] == pytest.approx(lowest, abs=1e-3)


def test_the_loss_behind_two_softmaxes_stays_above_its_bound():
    model = network([pl.Flatten(), pl.Dense(10, activation="softmax"), pl.Softmax()], rate=0.01)
    finding = watched(model, epochs=8)["softmax twice"]
    loss = model.evaluate(digits().train.x, digits().train.y)["loss"]
    assert finding.numbers["lowest_loss"] < loss < finding.numbers["lowest_loss"] + 0.1


def test_one_class_only():
    train = digits().train.take(np.flatnonzero(digits().train.y == 3))
    found = watched(network("shallow"), train=train, epochs=1)
    assert found["one class"].serious
    assert found["one class"].numbers == {"class": 3, "images": len(train)}


def test_images_of_the_test_part_that_were_trained_on():
    train, test = digits().train, digits().test
    mixed = Part(
        np.concatenate([train.x, test.x[[5, 17, 40, 300]]]), np.concatenate([train.y, test.y[[5, 17, 40, 300]]])
    )
    finding = causes(doctor.Case(train=mixed, held_out={"test": test}))["duplicates"]
    n = len(train)
    assert finding.numbers["pairs"] == [[5, n], [17, n + 1], [40, n + 2], [300, n + 3]]
    assert finding.serious  # 4 of 359 are more than a hundredth
    assert "4 of 359 images of the test part (1.1 %)" in finding.evidence
    few = doctor.Case(train=mixed.take(range(n + 1)), held_out={"test": test})
    assert causes(few)["duplicates"].severity == "warning"


def test_a_checksum_shared_by_different_images_is_no_duplicate(monkeypatch):
    monkeypatch.setattr("pellucid.doctor.twins._checksums", lambda x: np.zeros(len(x), np.uint64))
    parts = {"validation": digits().validation.take(range(20))}
    found = causes(doctor.Case(train=digits().train.take(range(100)), held_out=parts))
    assert not {"duplicates", "contradicting labels"} & set(found)


def test_the_same_image_under_two_labels():
    train = digits().train
    twins = Part(np.concatenate([train.x, train.x[:2]]), np.concatenate([train.y, (train.y[:2] + np.arange(2)) % 10]))
    assert causes(doctor.Case(train=twins))["contradicting labels"].numbers["pairs"] == [[1, len(train) + 1]]


def test_few_images_learned_by_heart():
    three = [place for k in range(10) for place in np.flatnonzero(digits().train.y == k)[:3]]
    found = watched(network("deep", rate=0.01), train=digits().train.take(three), epochs=60)
    assert set(found) == {"overfitting"}
    assert found["overfitting"].numbers["train_accuracy"] > 0.9


def test_classes_of_very_different_size():
    train = digits().train
    few = np.flatnonzero(train.y == 4)[:10]
    uneven = train.take(np.concatenate([np.flatnonzero(train.y != 4), few]))
    finding = causes(doctor.Case(train=uneven, class_names=digits().class_names))["class imbalance"]
    assert finding.numbers["counts"][4] == 10
    assert "4 10." in finding.evidence
    without = causes(doctor.Case(train=train.take(np.flatnonzero(train.y != 4)), class_names=digits().class_names))
    assert without["class imbalance"].numbers["counts"][4] == 0


def test_images_on_which_nothing_can_be_seen():
    x = digits().train.x.copy()
    x[[3, 800]] = 17
    found = causes(doctor.Case(train=Part(x, digits().train.y)))
    assert found["constant images"].numbers["images"] == {"train": [3, 800]}
    assert not found["constant images"].serious
    x[:200] = 0
    assert causes(doctor.Case(train=Part(x, digits().train.y)))["constant images"].serious


def test_a_step_that_was_not_finite(tmp_path):
    """What the training keeps of it is what the doctor reads."""
    folder = RunFolder.create(tmp_path / "run", '[data]\nsource = "digits"\n')
    model = network("shallow", optimizer="sgd", rate=1e25)
    with pytest.raises(NonFiniteLossError):
        model.fit(digits().train.x, digits().train.y, callbacks=[Evidence(folder.failures)], verbose=0)
    found = {finding.cause: finding for finding in doctor.examine_run(folder.path)}
    assert found["step not finite"].serious
    assert "The learning rate 1e+25 is probably too large" in found["step not finite"].evidence
    (record,) = folder.failures.glob("*.json")
    assert found["step not finite"].numbers["step"] == json.loads(record.read_text())["step"]


def test_a_failure_that_the_training_recovered_from_is_a_warning():
    row = {"epoch": 2, "step": 80, "train_loss": 1.0}
    failure = {"error": "The loss became nan.", "step": 50}
    assert causes(doctor.Case(rows=[row], failures=[failure]))["step not finite"].severity == "warning"
    assert causes(doctor.Case(failures=[failure]))["step not finite"].serious


def test_weights_and_losses_that_are_not_finite():
    model = network("shallow")
    model.params["dense1/kernel"][0, 3] = np.inf
    finding = causes(doctor.Case(model=model))["weights not finite"]
    assert finding.numbers == {"arrays": {"dense1/kernel": 1}}
    rows = [{"epoch": 1, "step": 9, "train_loss": 1.0, "val_loss": float("inf")}]
    assert causes(doctor.Case(rows=rows))["loss not finite"].numbers == {"epochs": [1]}
