"""Losses as objects: which op they choose, and the numbers PyTorch gets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pellucid import PellucidError, Sequential, backend, losses
from pellucid.errors import ShapeError
from pellucid.layers import Dense
from pellucid.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)

RNG = np.random.default_rng(0)
N, K = 6, 4
LOGITS = RNG.normal(size=(N, K)) * 2
LABELS = np.array([0, 3, 1, 1, 2, 0])
ONE_HOT = np.eye(K)[LABELS]
SOFT = RNG.dirichlet(np.ones(K), N)
WEIGHTS = RNG.uniform(0.2, 3, N)
CLASS_WEIGHTS = {0: 0.5, 2: 3.0, 3: 0.0}


def softmax(z):
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def run(loss: Loss, outputs, targets, weights=None, final: str | None = None):
    """Loss and gradient, as a model that ends in ``final`` computes them from what it hands over."""
    op, _ = loss.takes(final)
    value, saved = loss.forward(op, outputs, targets, weights)
    return float(value), backend.backward(1.0, saved)


# Which op --------------------------------------------------------------------------------------------------------------

TOGETHER, LOGITS_GIVEN, PROBABILITIES = "together", "logits given", "probabilities"


def chosen(loss: Loss, final: str | None) -> str:
    op, leaves_activation = loss.takes(final)
    return TOGETHER if leaves_activation else LOGITS_GIVEN if op == loss.logits_op else PROBABILITIES


@pytest.mark.parametrize(
    ("kind", "own", "other"),
    [
        (CategoricalCrossentropy, "softmax", "sigmoid"),
        (SparseCategoricalCrossentropy, "softmax", "relu"),
        (BinaryCrossentropy, "sigmoid", "softmax"),
    ],
)
def test_the_last_activation_decides_what_is_computed(kind, own, other):
    assert chosen(kind(), own) == TOGETHER
    assert chosen(kind(from_logits=False), own) == TOGETHER  # the same number, without rounding a probability to 0
    assert chosen(kind(), None) == LOGITS_GIVEN
    assert chosen(kind(from_logits=True), None) == LOGITS_GIVEN
    assert chosen(kind(from_logits=True), other) == LOGITS_GIVEN
    assert chosen(kind(from_logits=False), None) == PROBABILITIES
    assert chosen(kind(), other) == PROBABILITIES


@pytest.mark.parametrize(("kind", "own"), [(CategoricalCrossentropy, "softmax"), (BinaryCrossentropy, "sigmoid")])
def test_an_activation_applied_twice_is_refused(kind, own):
    with pytest.raises(
        PellucidError, match=rf"{own} would be applied twice. Leave from_logits out, or make the last layer"
    ):
        kind(from_logits=True).takes(own)


def test_the_squared_error_takes_outputs_as_they_are():
    for final, from_logits in itertools.product([None, "softmax", "sigmoid"], [None, True, False]):
        assert MeanSquaredError(from_logits=from_logits).takes(final) == ("mean_squared_error", False)


@pytest.mark.smoke
@pytest.mark.parametrize("loss", ["cce", "bce"])
def test_a_model_gets_the_same_loss_and_gradients_whichever_way_it_is_written(loss):
    activation = {"cce": "softmax", "bce": "sigmoid"}[loss]
    x = RNG.normal(size=(N, 5))
    found = []
    for last, from_logits in [(activation, None), (activation, False), (None, None), (None, True)]:
        model = Sequential([Dense(K, last)])
        model.compile(loss=losses.get(loss, from_logits=from_logits), input_shape=(5,), seed=3)
        with backend.using("numpy"):
            found.append(model.astype(np.float64).gradients(x, LABELS))
    logs, gradients = found[0]
    for other_logs, other in found[1:]:
        assert other_logs["loss"] == pytest.approx(logs["loss"], rel=1e-12)
        for path, gradient in gradients.items():
            np.testing.assert_allclose(other[path], gradient, rtol=1e-10, atol=1e-14)


def test_together_is_stable_where_probabilities_are_not():
    z = np.array([[1000.0, 0.0, -1000.0, 0.0]])
    for label, expected in [(0, 0.0), (1, 1000.0), (2, 2000.0)]:
        value, gradient = run(CategoricalCrossentropy(), z, np.array([label]), final="softmax")
        assert value == expected
        assert np.isfinite(gradient).all()
    value, gradient = run(BinaryCrossentropy(), z, np.array([[1, 1, 1, 0]]), final="sigmoid")
    assert value == pytest.approx((0 + np.log(2) + 1000 + np.log(2)) / 4)
    assert np.isfinite(gradient).all()


# Targets and weights ---------------------------------------------------------------------------------------------------

EVERY = [CategoricalCrossentropy, SparseCategoricalCrossentropy, BinaryCrossentropy, MeanSquaredError]


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_and_one_hot_rows_are_the_same(kind, smoothing):
    loss = kind(label_smoothing=smoothing)
    value, gradient = run(loss, LOGITS, ONE_HOT)
    for targets in (LABELS, LABELS[:, None], LABELS.astype(np.uint8), ONE_HOT.astype(np.uint8)):
        other_value, other = run(loss, LOGITS, targets)
        assert other_value == value
        np.testing.assert_array_equal(other, gradient)


@pytest.mark.parametrize("kind", EVERY)
def test_a_weight_of_two_counts_a_sample_twice(kind):
    counts = np.array([2, 1, 0, 3, 1, 1])
    value, gradient = run(kind(reduction="sum"), LOGITS, LABELS, counts.astype(float))
    repeated = np.repeat(np.arange(N), counts)
    other_value, other = run(kind(reduction="sum"), LOGITS[repeated], LABELS[repeated])
    assert other_value == pytest.approx(value)
    summed = np.stack([other[repeated == n].sum(0) for n in range(N)])
    np.testing.assert_allclose(summed, gradient, atol=1e-14)


def test_reductions_divide_by_the_number_of_samples_by_the_weights_or_by_nothing():
    total = run(CategoricalCrossentropy(reduction="sum"), LOGITS, LABELS, WEIGHTS)[0]
    assert run(CategoricalCrossentropy(), LOGITS, LABELS, WEIGHTS)[0] == pytest.approx(total / N)
    weighted = CategoricalCrossentropy(reduction="weighted_mean")
    assert run(weighted, LOGITS, LABELS, WEIGHTS)[0] == pytest.approx(total / WEIGHTS.sum())


def test_class_weights_become_weights_of_samples():
    expected = [0.5, 0, 1, 1, 3, 0.5]
    for labels in (LABELS, LABELS[:, None], ONE_HOT):
        np.testing.assert_array_equal(losses.class_weights(labels, CLASS_WEIGHTS), expected)
    np.testing.assert_array_equal(losses.class_weights(LABELS, {7: 2.0}), np.ones(N))
    np.testing.assert_array_equal(losses.class_weights(LABELS, {}), np.ones(N))


@pytest.mark.parametrize("weights", [{-1: 2.0}, {1: -2.0}, {0: float("nan")}, {"cat": 2.0}])
def test_class_weights_that_make_no_sense_are_refused(weights):
    with pytest.raises(PellucidError, match="class_weight"):
        losses.class_weights(LABELS, weights)


# Against PyTorch -------------------------------------------------------------------------------------------------------


def _torch_cases():
    """(name, loss object, what it is given, last activation, weights, the loss in PyTorch as a function of the same)."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    labels, one_hot, soft = torch.tensor(LABELS), torch.tensor(ONE_HOT), torch.tensor(SOFT)
    w = torch.tensor(WEIGHTS)
    per_class = torch.tensor([0.5, 1.0, 3.0, 0.0], dtype=torch.float64)
    of_class = losses.class_weights(LABELS, CLASS_WEIGHTS).astype(float)
    cce, bce, mse = CategoricalCrossentropy, BinaryCrossentropy, MeanSquaredError
    p, q = softmax(LOGITS), sigmoid(LOGITS)

    def each(z):
        return F.cross_entropy(z, labels, reduction="none")

    return {
        "cce": (cce(), LOGITS, LABELS, None, "softmax", lambda z: F.cross_entropy(z, labels)),
        "sparse": (SparseCategoricalCrossentropy(), LOGITS, LABELS, None, None, lambda z: F.cross_entropy(z, labels)),
        "smoothed": (cce(None, 0.1), LOGITS, LABELS, None, None, lambda z: F.cross_entropy(z, labels, label_smoothing=0.1)),
        "soft targets": (cce(), LOGITS, SOFT, None, None, lambda z: F.cross_entropy(z, soft)),
        "summed": (cce(reduction="sum"), LOGITS, LABELS, None, None, lambda z: F.cross_entropy(z, labels, reduction="sum")),
        "sample weights": (cce(), LOGITS, LABELS, WEIGHTS, None, lambda z: (w * each(z)).mean()),
        "class weights": (
            cce(reduction="weighted_mean"), LOGITS, LABELS, of_class, None,
            lambda z: F.cross_entropy(z, labels, weight=per_class),
        ),
        "cce of probabilities": (cce(False), p, LABELS, None, None, lambda p: F.nll_loss(p.log(), labels)),
        "bce": (bce(), LOGITS, ONE_HOT, None, "sigmoid", lambda z: F.binary_cross_entropy_with_logits(z, one_hot)),
        "weighted bce": (
            bce(), LOGITS, SOFT, WEIGHTS, None,
            lambda z: F.binary_cross_entropy_with_logits(z, soft, weight=w[:, None]),
        ),
        "smoothed bce": (
            bce(None, 0.2), LOGITS, LABELS, None, None,
            lambda z: F.binary_cross_entropy_with_logits(z, 0.8 * one_hot + 0.1),
        ),
        "bce of probabilities": (bce(False), q, SOFT, None, None, lambda q: F.binary_cross_entropy(q, soft)),
        "mse": (mse(), LOGITS, SOFT, None, None, lambda y: F.mse_loss(y, soft)),
        "mse of labels": (mse(), LOGITS, LABELS, None, "softmax", lambda y: F.mse_loss(y, one_hot)),
        "weighted mse": (mse(), LOGITS, SOFT, WEIGHTS, None, lambda y: (w[:, None] * (y - soft) ** 2).mean()),
        "summed mse": (
            mse(reduction="sum"), LOGITS, SOFT, None, None, lambda y: F.mse_loss(y, soft, reduction="sum") / K,
        ),
    }  # fmt: skip


CASES = (
    "cce", "sparse", "smoothed", "soft targets", "summed", "sample weights", "class weights", "cce of probabilities", "bce",
    "weighted bce", "smoothed bce", "bce of probabilities", "mse", "mse of labels", "weighted mse", "summed mse",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_are_those_of_pytorch(case):
    torch = pytest.importorskip("torch")
    loss, outputs, targets, weights, final, in_torch = _torch_cases()[case]
    value, gradient = run(loss, outputs, targets, weights, final)
    leaf = torch.tensor(outputs, requires_grad=True)
    expected = in_torch(leaf)
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-10, atol=1e-14)


def test_every_torch_case_is_run():
    assert set(_torch_cases()) == set(CASES)


# Names and settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", losses.names())
def test_every_name_gives_a_loss_that_its_config_makes_again(name):
    loss = losses.get(name, label_smoothing=0.1, reduction="sum")
    assert losses.get(loss.config()) == loss
    assert losses.get(loss) is loss
    assert type(loss) in EVERY


def test_short_and_long_names_are_the_same():
    pairs = {"cce": CategoricalCrossentropy, "scce": SparseCategoricalCrossentropy, "bce": BinaryCrossentropy}
    for name, kind in (pairs | {"mse": MeanSquaredError}).items():
        assert losses.get(name) == kind() == losses.get(kind.name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("categorical_crossentropie", "Did you mean 'categorical_crossentropy'"),
        ({"name": "msee"}, "Did you mean 'mse'"),
        ("huber", "Known: "),
        (None, "Known: "),
        (["cce"], "Known: "),
        ({}, "Known: "),
    ],
)
def test_unknown_losses_are_answered_with_the_nearest_one(name, hint):
    with pytest.raises(PellucidError, match=rf"(?s)There is no loss .*{hint}"):
        losses.get(name)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"reduction": "average"}, "reduction was 'average'; wanted one of mean, weighted_mean, sum"),
        ({"label_smoothing": 1.5}, "label_smoothing was 1.5; wanted a number from 0 up to, but not, 1"),
        ({"smoothing": 0.1}, "The settings of loss 'cce' do not fit.*'smoothing'"),
    ],
)
def test_wrong_settings_are_explained_at_once(settings, text):
    with pytest.raises(PellucidError, match=text):
        losses.get("cce", **settings)


@pytest.mark.parametrize(
    ("targets", "error", "text"),
    [
        (LABELS + 1, PellucidError, r"Labels must lie in 0 … 3 for 4 outputs, but 1 do not, the first is 4"),
        (LABELS - 1, PellucidError, "Count the classes from 0"),
        (LABELS[:-1], ShapeError, r"predictions of shape \(6, 4\) and targets of shape \(5,\)"),
        (ONE_HOT[:, :3], ShapeError, r"targets of shape \(6, 3\)"),
        (LABELS.astype(float), ShapeError, r"float64.*wanted predictions \(N, K\) and integer labels"),
    ],
)
def test_targets_that_do_not_fit_are_explained(targets, error, text):
    with pytest.raises(error, match=text):
        run(CategoricalCrossentropy(), LOGITS, targets)


def test_weights_that_do_not_fit_are_explained():
    with pytest.raises(ShapeError, match=r"weights of shape \(2,\) for 6 samples; wanted \(6,\)"):
        run(CategoricalCrossentropy(), LOGITS, LABELS, np.ones(2))
