"""What all optimizers share: schedules, weight decay, clipping, accumulation, groups, averages."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pellucid import PellucidError, optimizers
from pellucid.errors import FileFormatError
from pellucid.optimizers import EMA, OPTIMIZERS, SGD, Adam, Lookahead, Muon
from pellucid.schedules import Cosine, Horizon, Linear, Plateau, Step, WarmUp

Arrays = dict[str, np.ndarray]
SHAPES = {"conv1/kernel": (2, 2, 3, 4), "conv1/bias": (4,), "dense1/kernel": (6, 3), "dense1/bias": (3,)}


def draw(seed: int, dtype: Any = np.float64, scale: float = 1.0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {path: scale * rng.standard_normal(shape).astype(dtype) for path, shape in SHAPES.items()}


def copy(arrays: Arrays) -> Arrays:
    return {path: array.copy() for path, array in arrays.items()}


def torch_run(make: Any, steps: int, before: Any = None, after: Any = None) -> Arrays:
    """The weights after so many steps of a PyTorch optimizer on the gradients ``draw(1)``, ``draw(2)``, …"""
    torch = pytest.importorskip("torch")
    leaves = {path: torch.nn.Parameter(torch.tensor(array)) for path, array in draw(0).items()}
    optimizer = make(torch, leaves)
    for step in range(1, steps + 1):
        for path, gradient in draw(step).items():
            leaves[path].grad = torch.tensor(gradient)
        if before is not None:
            before(torch, leaves)
        optimizer.step()
        if after is not None:
            after(torch, leaves)
    return {path: leaf.detach().numpy() for path, leaf in leaves.items()}


def run(optimizer: optimizers.Optimizer, steps: int) -> Arrays:
    params = draw(0)
    for step in range(1, steps + 1):
        optimizer.apply(params, draw(step))
    return params


def assert_close(one: Arrays, two: Arrays, rtol: float = 1e-12) -> None:
    assert one.keys() == two.keys()
    for path in one:
        np.testing.assert_allclose(one[path], two[path], rtol=rtol, atol=1e-14, err_msg=path)


# Schedules -----------------------------------------------------------------------------------------------------------


def test_a_schedule_gives_every_step_its_rate():
    schedule = Cosine(0.1, 20, final=0.1)
    expected = draw(0)
    for step in range(1, 31):
        for path, gradient in draw(step).items():
            expected[path] -= schedule(step - 1) * gradient
    optimizer = SGD(schedule)
    assert_close(run(optimizer, 30), expected)
    assert optimizer.rate == schedule(29)


def test_lengths_in_epochs_and_parts_want_to_know_how_long_the_training_is():
    optimizer = SGD(WarmUp(Linear(0.1), "1 epoch"))
    with pytest.raises(PellucidError, match="nobody knows how long"):
        run(optimizer, 1)
    optimizer = SGD(WarmUp(Linear(0.1), "1 epoch"))
    optimizer.expect(Horizon(steps=30, steps_per_epoch=10))
    rates = []
    params = draw(0)
    for step in range(30):
        optimizer.apply(params, draw(step))
        rates.append(optimizer.rate)
    assert rates[0] == 0
    assert rates[10] == max(rates) == 0.1
    assert rates[29] == pytest.approx(0.1 / 20)


def test_a_rate_can_be_made_smaller_under_way():
    optimizer = SGD(Linear(0.1, 100))
    optimizer.learning_rate *= 0.5
    assert optimizer.rate == 0.05
    muon = Muon(Linear(0.1, 100), sgd_learning_rate=0.01)
    muon.learning_rate *= 0.5
    params = draw(0)
    muon.apply(params, draw(1))
    gradient = draw(1)["dense1/bias"]
    np.testing.assert_allclose(params["dense1/bias"], draw(0)["dense1/bias"] - 0.005 * 1.85 * gradient)


def test_a_plateau_hears_of_the_epochs():
    optimizer = SGD(Plateau(0.1, drop=0.5, patience=1))
    for loss in (1.0, 1.0, 1.0):
        optimizer.observe({"val_loss": loss})
    assert optimizer.rate == 0.025
    SGD(0.1).observe({"val_loss": 1.0})  # does nothing


# Weight decay --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "muon"])
@pytest.mark.parametrize("dialect", ["keras", "torch"])
def test_coupled_decay_is_a_part_of_the_gradient_and_decoupled_decay_is_not(name, dialect):
    def made(**settings: Any) -> optimizers.Optimizer:
        return optimizers.get(name, learning_rate=0.05, dialect=dialect, **settings)

    params, by_hand, gradient = draw(0), draw(0), draw(1)
    made(weight_decay=0.1, decoupled=False).apply(params, gradient)
    made(weight_decay=0.0).apply(by_hand, {path: g + 0.1 * by_hand[path] for path, g in gradient.items()})
    assert_close(params, by_hand)

    params, by_hand = draw(0), draw(0)
    made(weight_decay=0.1, decoupled=True).apply(params, gradient)
    before = {path: w * (1 - 0.05 * 0.1) for path, w in by_hand.items()}
    made(weight_decay=0.0).apply(before, gradient)
    assert_close(params, before)

    default = draw(0)
    made(weight_decay=0.1).apply(default, gradient)
    decoupled = dialect == "keras" or name in ("adamw", "sgd")  # without momentum both are the same
    assert np.allclose(default["conv1/bias"], params["conv1/bias"], rtol=1e-12) == decoupled


# Clipping ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "clip"),
    [
        ({"clipvalue": 0.5}, lambda nn, leaves: nn.utils.clip_grad_value_(leaves.values(), 0.5)),
        ({"clipnorm": 2.0}, lambda nn, leaves: [nn.utils.clip_grad_norm_([leaf], 2.0) for leaf in leaves.values()]),
        ({"global_clipnorm": 3.0}, lambda nn, leaves: nn.utils.clip_grad_norm_(leaves.values(), 3.0)),
        ({"global_clipnorm": 300.0}, lambda nn, leaves: nn.utils.clip_grad_norm_(leaves.values(), 300.0)),
    ],
    ids=["value", "norm", "global norm", "long enough"],
)
def test_clipping_is_pytorchs(settings, clip):
    expected = torch_run(
        lambda torch, leaves: torch.optim.SGD(leaves.values(), lr=0.1, momentum=0.9),
        50,
        before=lambda torch, leaves: clip(torch.nn, leaves),
    )
    assert_close(run(SGD(0.1, 0.9, dialect="torch", **settings), 50), expected)


def test_clipping_by_norm_is_keras_formula():
    gradient = {"w": np.array([3.0, 4.0]), "b": np.array([12.0])}
    for settings, factors in (({"clipnorm": 10.0}, (1, 10 / 12)), ({"global_clipnorm": 6.5}, (0.5, 0.5))):
        params = {"w": np.zeros(2), "b": np.zeros(1)}
        SGD(1.0, **settings).apply(params, gradient)
        np.testing.assert_allclose(params["w"], -factors[0] * gradient["w"], rtol=1e-15)
        np.testing.assert_allclose(params["b"], -factors[1] * gradient["b"], rtol=1e-15)


# Accumulation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"clipvalue": 0.3}, {"clipnorm": 1.0}, {"global_clipnorm": 1.0}])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_accumulated_batches_are_one_large_batch(name, settings):
    whole = optimizers.get(name, weight_decay=0.01, **settings)
    parts = optimizers.get(name, weight_decay=0.01, accumulate=3, **settings)
    expected, params = draw(0), draw(0)
    for step in range(10):
        batches = [draw(100 + 3 * step + i) for i in range(3)]
        whole.apply(expected, {path: sum(batch[path] for batch in batches) / 3 for path in SHAPES})
        for i, batch in enumerate(batches):
            before = copy(params)
            parts.apply(params, batch)
            assert all((params[path] == before[path]).all() for path in SHAPES) == (i < 2)
    assert_close(params, expected, rtol=1e-9)
    assert (parts.iterations, parts.updates, whole.updates) == (30, 10, 10)


def test_a_schedule_counts_batches_when_they_are_accumulated():
    optimizer, params = SGD(Step(1.0, every=4, drop=0.5), accumulate=2), {"w": np.zeros(1)}
    rates = []
    for _ in range(12):
        optimizer.apply(params, {"w": np.ones(1)})
        rates.append(optimizer.rate)
    assert rates[1::2] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert params["w"][0] == -3.5


def test_half_accumulated_gradients_continue_bit_for_bit():
    whole, first, params, expected = (
        Adam(accumulate=3),
        Adam(accumulate=3),
        draw(0, np.float32),
        draw(0, np.float32),
    )
    for step in range(8):
        whole.apply(expected, draw(step, np.float32))
        first.apply(params, draw(step, np.float32))
        if step == 4:
            second = Adam(accumulate=3)
            second.load_slots(first.slots, first.iterations)
            first = second
    for path in SHAPES:
        assert params[path].tobytes() == expected[path].tobytes()


# Groups --------------------------------------------------------------------------------------------------------------


def test_groups_are_pytorchs_parameter_groups():
    groups = {"*/bias": {"rate_multiplier": 64, "weight_decay": 0}, "dense1/*": {"rate_multiplier": 0.5}}

    def made(torch: Any, leaves: Any) -> Any:
        rates = {"conv1/kernel": 1, "conv1/bias": 64, "dense1/kernel": 0.5, "dense1/bias": 0.5}  # the last pattern wins
        parts = [
            {"params": [leaf], "lr": 0.01 * rates[path], "weight_decay": 0 if "bias" in path else 0.1}
            for path, leaf in leaves.items()
        ]
        return torch.optim.SGD(parts, momentum=0.9, nesterov=True)

    expected = torch_run(made, 50)
    optimizer = SGD(0.01, 0.9, nesterov=True, dialect="torch", weight_decay=0.1, groups=groups)
    assert_close(run(optimizer, 50), expected)


def test_a_parameter_with_multiplier_zero_stays_and_has_no_slots():
    optimizer = SGD(0.1, 0.9, groups={"conv1/*": {"rate_multiplier": 0}})
    params = run(optimizer, 3)
    np.testing.assert_array_equal(params["conv1/kernel"], draw(0)["conv1/kernel"])
    assert set(optimizer.slots) == {"velocity/dense1/kernel", "velocity/dense1/bias"}


def test_a_group_can_be_trained_for_a_while_only():
    optimizer, params = SGD(0.1, groups={"conv1/bias": {"until": "2 epochs"}}), draw(0)
    optimizer.expect(Horizon(steps=20, steps_per_epoch=2))
    seen = []
    for step in range(6):
        before = copy(params)
        optimizer.apply(params, draw(step))
        seen.append((before["conv1/bias"] != params["conv1/bias"]).all())
        assert (before["conv1/kernel"] != params["conv1/kernel"]).all()
    assert seen == [True] * 4 + [False] * 2


def test_patterns_are_looked_up_among_all_parameters():
    optimizer, params = SGD(0.1, groups={"conv1/*": {"rate_multiplier": 2}}), draw(0)
    optimizer.apply(params, {"dense1/bias": np.ones(3)})  # the others are frozen
    np.testing.assert_allclose(params["dense1/bias"], draw(0)["dense1/bias"] - 0.1)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SGD(groups={"conv9/*": {}}).check(SHAPES), "'conv9/\\*' fits no parameter.*conv1/kernel, conv1/bias"),
        (
            lambda: Muon(kernels="*/bias").check(SHAPES),
            "'\\*/bias' fits no kernel.*are conv1/kernel, dense1/kernel",
        ),
        (lambda: SGD(groups={"*": {"weigth_decay": 0}}), "has no setting 'weigth_decay'. Did you mean 'weight_decay'"),
        (lambda: SGD(groups={"*": {"rate_multiplier": -1}}), "rate_multiplier of a group was -1"),
        (lambda: SGD(groups={"*": 3}), r"group '\*' was 3; wanted a table of rate_multiplier"),
        (lambda: SGD(groups=["*"]), "wanted settings by pattern"),
        (lambda: SGD(groups={"*": {"until": -1}}), "until was -1"),
        (lambda: SGD(weight_decay=-1), "weight_decay was -1"),
        (lambda: SGD(clipvalue=1, clipnorm=1), "clipvalue and clipnorm are given. Choose one"),
        (lambda: SGD(clipnorm=0), "clipnorm was 0; wanted a positive number"),
        (lambda: SGD(accumulate=0), "accumulate was 0"),
        (lambda: SGD(averages="emma"), "There are no averages 'emma'. Did you mean 'ema'"),
        (lambda: SGD(averages=0.9), "averages was 0.9; wanted EMA"),
        (lambda: SGD(averages=EMA(1.0)), "decay was 1.0; wanted a number from 0 up to, but not, 1"),
        (lambda: EMA(every=0), "every was 0"),
        (lambda: Muon(newton_schulz=0), "newton_schulz=0"),
        (lambda: Muon(sgd_learning_rate=0), "sgd_learning_rate was 0"),
        (lambda: optimizers.Adagrad(initial_accumulator_value=-1), "initial_accumulator_value=-1"),
        (lambda: optimizers.RMSprop(rho=1), "RMSprop got rho=1"),
    ],
)
def test_wrong_settings_are_explained(make, text):
    with pytest.raises(PellucidError, match=text):
        make()


def test_settings_that_do_not_fit_are_named():
    with pytest.raises(FileFormatError, match=r"settings of averages 'ema' do not fit.*'alpha'"):
        SGD(averages="ema:alpha=0.5")
    with pytest.raises(FileFormatError, match=r"settings of optimizer 'adam' do not fit.*'weight_dekay'"):
        optimizers.get("adam", weight_dekay=0.1)


# Averages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 4])
def test_moving_averages_are_pytorchs(every):
    torch = pytest.importorskip("torch")
    leaves = torch.nn.ParameterDict({path.replace("/", "_"): torch.tensor(w) for path, w in draw(0).items()})
    average = torch.optim.swa_utils.AveragedModel(leaves, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    optimizer, params = SGD(0.1, averages=EMA(0.9, every)), draw(0)
    theirs = torch.optim.SGD(leaves.values(), lr=0.1)
    for step in range(1, 51):
        optimizer.apply(params, draw(step))
        for path, gradient in draw(step).items():
            leaves[path.replace("/", "_")].grad = torch.tensor(gradient)
        theirs.step()
        if step % every == 0:
            average.update_parameters(leaves)
    found = optimizer.averaged(params)
    for path in SHAPES:
        expected = average.module[path.replace("/", "_")].detach().numpy()
        np.testing.assert_allclose(found[path], expected, rtol=1e-12)
        assert np.abs(found[path] - params[path]).max() > 1e-3


def test_lookahead_goes_on_from_its_slow_weights():
    optimizer, params = SGD(0.1, averages=Lookahead(decay=0.4, every=5)), draw(0)
    slow, fast = draw(0), draw(0)
    for step in range(1, 51):
        optimizer.apply(params, draw(step))
        for path, gradient in draw(step).items():
            fast[path] -= 0.1 * gradient
            if step % 5 == 0:
                slow[path] += 0.6 * (fast[path] - slow[path])
                fast[path] = slow[path].copy()
        assert_close(params, fast)
        assert_close(optimizer.averaged(params), slow)


def test_a_growing_decay_follows_the_training():
    optimizer, params = SGD(0.1, averages=Lookahead(decay=0.8, every=2, growth=3)), draw(0)
    optimizer.expect(Horizon(steps=10, steps_per_epoch=5))
    slow, fast = draw(0), draw(0)
    for step in range(1, 11):
        optimizer.apply(params, draw(step))
        for path, gradient in draw(step).items():
            fast[path] -= 0.1 * gradient
            if step % 2 == 0:
                slow[path] += (1 - 0.8 * (step / 10) ** 3) * (fast[path] - slow[path])
                fast[path] = slow[path].copy()
    assert_close(params, fast)


def test_statistics_are_averaged_like_weights():
    optimizer, params, state = SGD(0.1, averages=EMA(0.5)), draw(0), {"norm/moving_mean": np.zeros(2)}
    expected = None
    for step in range(1, 6):
        state["norm/moving_mean"] += step
        optimizer.apply(params, draw(step), state)
        seen = state["norm/moving_mean"]
        expected = seen.copy() if expected is None else expected + 0.5 * (seen - expected)
    np.testing.assert_allclose(optimizer.averaged(params | state)["norm/moving_mean"], expected)


@pytest.mark.parametrize("averages", [EMA(0.9, 2), Lookahead(0.5, 3, growth=1)])
def test_averages_continue_bit_for_bit(averages):
    def made() -> SGD:
        optimizer = SGD(0.1, 0.9, averages=averages)
        optimizer.expect(Horizon(20, 5))
        return optimizer

    whole, parts = made(), made()
    expected, params = draw(0, np.float32), draw(0, np.float32)
    for step in range(20):
        whole.apply(expected, draw(step, np.float32))
        parts.apply(params, draw(step, np.float32))
        again = made()
        again.load_slots(parts.slots, parts.iterations)
        parts = again
    for one, two in ((params, expected), (parts.averaged(params), whole.averaged(expected))):
        assert all(one[path].tobytes() == two[path].tobytes() for path in SHAPES)


def test_there_are_no_averages_before_the_first_step_nor_without_being_asked_for():
    params = draw(0)
    assert SGD(0.1).averaged(params) is None
    optimizer = SGD(0.1, averages="ema")
    assert optimizer.averaged(params) is None
    optimizer.apply(params, draw(1))
    assert optimizer.averaged(params) is not None
    optimizer.forget_averages()
    assert optimizer.averaged(params) is None


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_shared_settings_travel_in_the_config(name):
    shared = {
        "weight_decay": 0.01,
        "decoupled": False,
        "global_clipnorm": 1.0,
        "accumulate": 2,
        "averages": Lookahead(0.3),
        "groups": {"*/bias": {"rate_multiplier": 2, "until": "3 epochs"}},
    }
    optimizer = optimizers.get(name, learning_rate=WarmUp(Cosine(0.1), 10), **shared)
    config = json.loads(json.dumps(optimizer.config()))
    again = optimizers.get(config)
    assert again.config() == config
    assert repr(again) == repr(optimizer)
    assert shared.keys() < config.keys()
    assert not (shared.keys() - {"weight_decay"}) & optimizers.get(name).config().keys()  # only what is set


def test_every_setting_is_known_by_name():
    assert list(SGD.settings())[:4] == ["learning_rate", "momentum", "nesterov", "dialect"]
    assert SGD.settings()["accumulate"] == 1
    assert "beta_1" in Adam.settings()
