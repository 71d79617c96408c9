"""No complaints where there is nothing to complain about: the doctor who cries wolf is not asked again."""

from __future__ import annotations

import numpy as np
import pytest

import pellucid as pl
from pellucid import data, doctor, zoo
from pellucid.errors import DataError

from .planting import NETWORKS, digits, network, watched


@pytest.mark.parametrize("layers", NETWORKS)
@pytest.mark.parametrize(("optimizer", "rate", "epochs"), [("adam", 0.001, 8), ("sgd", 0.01, 8)])
def test_healthy_trainings_on_digits(layers, optimizer, rate, epochs):
    model = network(layers, optimizer=optimizer, rate=rate)
    assert watched(model, epochs=epochs) == {}
    case = doctor.Case(model=model, train=digits().train, held_out={"test": digits().test})
    assert doctor.examine(case) == []


def test_weights_that_went_far_without_harm():
    """Further than where a rate is called too high if there is damage as well."""
    model = network("shallow", optimizer=pl.optimizers.get("sgd", learning_rate=0.05, momentum=0.9), rate=None)
    initial = {path: array.copy() for path, array in model.params.items()}
    assert watched(model, epochs=20) == {}
    assert doctor.Case(model=model, initial=initial).moved > 2


def test_a_slice_of_cifar10():
    """The network our origins trained, on 4,000 photographs, as soon as it knows more than nothing."""
    try:
        photographs = data.load("cifar10", download=False, verify=False)
    except DataError:
        pytest.skip("CIFAR-10 is not on this machine")
    train = photographs.train.take(np.arange(4000))
    validation = photographs.validation.take(np.arange(1000))
    model = zoo.build("cnn2")
    model.compile("adam", "cce", learning_rate=0.001)
    model.preprocessing = pl.Preprocessing.fit(train.x)
    watch = doctor.Watch(train, validation)
    model.fit(train.x, train.y, 64, 3, validation_data=(validation.x, validation.y), callbacks=[watch], verbose=0)
    assert watch.findings == []


@pytest.mark.parametrize("name", data.names())
def test_official_data(name):
    try:
        dataset = data.load(name, download=False, verify=False)
    except DataError:
        pytest.skip(f"{name} is not on this machine")
    case = doctor.Case(train=dataset.train, class_names=dataset.class_names)
    agreement = case.neighbours()
    assert agreement is not None
    assert agreement.sigmas > 5  # well above the three from which labels are doubted
