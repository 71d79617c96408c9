"""The profile: every layer has its part, the parts make up the step, and the rule says what limits them."""

from __future__ import annotations

import functools
import io

import numpy as np
import pytest
from rich.console import Console

from pellucid import PellucidError, Sequential, backend, plan, zoo
from pellucid import profile as profiling
from pellucid.layers import Dense
from pellucid.profile import Peak, Row, measure_peak, profile

PEAK = Peak(gflops=100.0, gigabytes=10.0, threads=2)


def leaves(layer, prefix=""):
    """The paths of all layers that compute something, containers that only pass on left out."""
    for name, child in layer.children():
        yield from leaves(child, f"{prefix}{name}/")
        if type(child).__name__ != "Chain":
            yield f"{prefix}{name}"


@pytest.mark.parametrize("name", ["cnn3_sigmoid", "resnet8", "inception_small", "vgg_small"])
def test_rows_name_every_layer_and_make_up_the_step(name):
    model = zoo.build(name, (16, 16, 3))
    result = profile(model, batch_size=4, repeats=1, peak=PEAK)
    named: list[str] = []
    for row in result.rows[:-2]:  # a group is named by its first path and the names that follow there
        first, *more = row.path.split(" + ")
        folder = first.rpartition("/")[0]
        named += [first, *(f"{folder}/{part}".lstrip("/") for part in more)]
    assert sorted(named) == sorted(leaves(model))
    assert [row.path for row in result.rows[-2:]] == ["loss", "optimizer"]
    # With one repetition the rows are disjoint parts of the step; what is left is the loop from layer to layer.
    assert 0 < sum(row.ms for row in result.rows) <= result.measured_ms
    assert sum(row.ms for row in result.rows) > 0.3 * result.measured_ms


@pytest.mark.parametrize("name", ["cnn2", "resnet8"])
def test_operations_are_those_of_the_network(name):
    model = zoo.build(name, (16, 16, 3))
    result = profile(model, batch_size=2, repeats=1, peak=PEAK)
    first = model.layers[0].multiply_adds((16, 16, 3))  # whose input's gradient nobody needs
    wanted = 2 * (6 * model.multiply_adds((16, 16, 3)) - 2 * first)
    assert sum(row.gflop for row in result.rows) == pytest.approx(wanted / 1e9)


def test_bytes_are_the_least_possible():
    model = Sequential([Dense(5, activation="relu"), Dense(3, activation="softmax")])
    model.build((7,))
    rows = {row.path: row for row in profile(model, batch_size=2, repeats=1, peak=PEAK).rows}
    weights = 7 * 5 + 5
    first = (14 + weights + 10) + (10 + 14 + weights) + weights  # forward; read backward; gradients, none by the input
    assert rows["dense1"].gigabytes == pytest.approx(4e-9 * first)
    assert rows["optimizer"].gigabytes == pytest.approx(4e-9 * 3 * model.count_params())


def test_layers_that_run_as_one_have_one_row(monkeypatch):
    monkeypatch.setattr(profiling, "planned", functools.partial(plan.planned, accepts=lambda *a, **s: True))
    with backend.using("numpy"):
        result = profile(zoo.build("resnet8", (8, 8, 3)), batch_size=2, repeats=1, peak=PEAK)
    paths = [row.path for row in result.rows]
    assert paths[:3] == ["conv1", "batch_norm1 + relu1", "residual1/body/conv1"]
    assert "residual1/body/batch_norm1 + relu1" in paths
    assert all(row.forward_ms > 0 for row in result.rows[:-1])


def test_the_model_is_left_as_it_is():
    model = zoo.build("resnet8", (8, 8, 3))
    model.compile("adam", input_shape=(8, 8, 3))
    before = {path: array.copy() for path, array in (model.params | model.state).items()}
    profile(model, batch_size=2, repeats=1, peak=PEAK)
    for path, array in (model.params | model.state).items():
        assert np.array_equal(array, before[path]), path
    assert model.optimizer.iterations == 0
    assert not any("forward" in vars(layer) or "backward" in vars(layer) for layer in model.walk())


@pytest.mark.parametrize(
    ("ms", "gflop", "gigabytes", "limit", "share"),
    [
        (20.0, 1.0, 0.01, "arithmetic", 0.5),  # 10 ms of arithmetic, 1 ms of memory
        (20.0, 0.1, 0.1, "memory", 0.5),  # 1 ms and 10 ms
        (41.0, 1.0, 0.1, "overhead", 10 / 41),  # both far
        (8.0, 1.0, 0.0, "arithmetic", 1.25),  # fewer operations than counted
        (1.0, 0.0, 0.0, "", 0.0),  # nothing to do
    ],
)
def test_the_rule_of_limits(ms, gflop, gigabytes, limit, share):
    row = Row("layer", (1,), ms / 4, 3 * ms / 4, gflop, gigabytes, PEAK)
    assert row.limit == limit
    assert row.share == pytest.approx(share)
    assert row.gflops == pytest.approx(1e3 * gflop / ms)


def test_the_table_shows_all_and_fits_120_columns():
    result = profile(zoo.build("inception_small", (16, 16, 3)), batch_size=2, repeats=1, peak=PEAK)
    console = Console(file=io.StringIO(), width=120)
    console.print(result)
    text = console.file.getvalue()
    for row in result.rows:
        assert row.path in text
    assert "100 GFLOP/s, 10.0 GB/s" in text


def test_the_peak_is_measured_on_the_threads_in_use():
    peak = measure_peak(seconds=0.002, tries=2)
    assert peak.threads == backend.get_num_threads()
    assert peak.gflops > 0
    assert peak.gigabytes > 0


def test_what_cannot_be_profiled_is_refused():
    with pytest.raises(PellucidError, match="no weights yet"):
        profile(Sequential([Dense(3)]))
    with pytest.raises(PellucidError, match="repeats=0"):
        profile(zoo.build("lenet5"), repeats=0)
