"""How a network learns, said in text or tables: what comes out is what the objects of the library are."""

from __future__ import annotations

import tomllib

import pytest

from pellucid import config
from pellucid.config import make_optimizer
from pellucid.config.sections import OptimizerSection, RunConfig
from pellucid.errors import PellucidError
from pellucid.optimizers import EMA, OPTIMIZERS, SGD, Lookahead, Muon
from pellucid.schedules import SCHEDULES, Constant, Cosine, Horizon, MultiStep, Plateau, Step, WarmUp


def optimizer(**settings: object):
    """Through everything a setting goes through: text, config, TOML and back."""
    given = {f"optimizer.{name}": value for name, value in settings.items()}
    made = config.complete(config.make({"data.source": "digits"} | given))
    again = config.complete(RunConfig.model_validate(tomllib.loads(made.to_toml())))
    assert again.to_toml() == made.to_toml()
    return make_optimizer(again.optimizer)


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("cosine", Cosine(0.01)),
        ("cosine:final=0.1,steps=0.5", Cosine(0.01, 0.5, 0.1)),
        ("step:every=5 epochs,drop=0.5", Step(0.01, "5 epochs", 0.5)),
        ('{"name": "multi_step", "milestones": ["2 epochs", 0.75]}', MultiStep(0.01, ["2 epochs", 0.75])),
        ({"name": "plateau", "patience": 3}, Plateau(0.01, patience=3)),
        ("plateau:monitor=val_accuracy", Plateau(0.01, monitor="val_accuracy")),
    ],
)
def test_schedules_are_text_or_tables(text, schedule):
    assert optimizer(name="sgd", learning_rate=0.01, schedule=text).learning_rate == schedule


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_every_schedule_can_be_asked_for(name):
    needed = {
        "step": ":every=10",
        "multi_step": ":milestones=[10]",
        "exponential": ":drop=0.9",
        "cosine_restarts": ":first=0.1",
        "warm_up": ":length=5,schedule=cosine",
    }.get(name, "")
    text = {"name": "piecewise", "points": [[0, 0.5], [1.0, 1]]} if name == "piecewise" else name + needed
    rate = optimizer(name="sgd", learning_rate=0.02, schedule=text).learning_rate
    assert isinstance(rate, SCHEDULES[name])
    assert 0 <= rate(5, Horizon(100, 10)) <= 0.02


@pytest.mark.parametrize(("text", "length"), [("0.1", 0.1), ("500", 500), ("5 epochs", "5 epochs"), (0.25, 0.25)])
def test_a_warm_up_goes_in_front_of_any_schedule(text, length):
    assert optimizer(learning_rate=0.01, warmup=text).learning_rate == WarmUp(Constant(0.01), length)
    assert optimizer(learning_rate=0.01, warmup=text, schedule="cosine").learning_rate == WarmUp(Cosine(0.01), length)


def test_averages_groups_and_limits():
    found = optimizer(
        name="sgd",
        learning_rate="0.1",
        averages="lookahead:decay=0.774,growth=3",
        groups='{"*/bias": {"rate_multiplier": 64, "weight_decay": 0, "until": "3 epochs"}}',
        weight_decay="5e-4",
        decoupled=False,
        global_clipnorm="1",
        accumulate="4",
    )
    expected = SGD(
        0.1,
        averages=Lookahead(0.774, growth=3),
        groups={"*/bias": {"rate_multiplier": 64, "weight_decay": 0, "until": "3 epochs"}},
        weight_decay=5e-4,
        decoupled=False,
        global_clipnorm=1.0,
        accumulate=4,
    )
    assert found.config() == expected.config()
    assert optimizer(averages={"name": "ema", "decay": 0.9}).averages == EMA(0.9)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_setting_of_every_optimizer_is_a_setting_of_a_run(name):
    known = set(OptimizerSection.model_fields)
    assert set(OPTIMIZERS[name].settings()) <= known
    assert optimizer(name=name).config() == OPTIMIZERS[name]().config()


def test_muon_has_patterns():
    assert optimizer(name="muon", kernels=["conv*/kernel"], sgd_learning_rate=0.1).kernels == ["conv*/kernel"]
    assert optimizer(name="muon").config() == Muon().config()


def test_the_learning_rate_of_a_run_stays_a_number_beside_its_schedule():
    made = config.complete(config.make({"data.source": "digits", "optimizer.schedule": "cosine"}))
    assert made.optimizer.learning_rate == 0.001
    assert made.optimizer.schedule == {"name": "cosine", "final": 0.0}


@pytest.mark.parametrize(
    ("setting", "value", "text"),
    [
        ("optimizer.schedule", "cosin", "There is no schedule 'cosin'. Did you mean 'cosine'"),
        ("optimizer.schedule", "step:evry=3", "it has no 'evry'. Did you mean 'every'"),
        ("optimizer.warmup", "long", "optimizer.warmup was 'long'; wanted a number of steps such as 500"),
        ("optimizer.averages", "ema:decay=2", "decay was 2; wanted a number from 0"),
        ("optimizer.groups", "nothing", "wanted JSON on the command line"),
        ("optimizer.groups", '{"*": {"decay": 0}}', "has no setting 'decay'"),
        ("optimizer.accumulate", "0", "optimizer.accumulate was '0'; wanted at least 1"),
        ("training.regularizers", '{"*": {"l2": -1}}', "l2 of a regularizer was -1"),
        ("optimizer.rho", "0.9", "adam has no such setting. It knows learning_rate, beta_1"),
    ],
)
def test_mistakes_are_answered_with_what_is_wanted(setting, value, text):
    with pytest.raises(PellucidError, match=text):
        config.complete(config.make({"data.source": "digits", setting: value}))
