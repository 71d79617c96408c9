"""Everything about many predictions: equal to scikit-learn's figures, and to counting by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import calibration as sk_calibration
from sklearn import metrics as sk

from pellucid import PellucidError
from pellucid.metrics import evaluation, figures, wilson_interval
from pellucid.metrics.table import table

RNG = np.random.default_rng(0)
NAMES = ("cat", "dog", "emu", "fox")


def predictions(n: int = 300, k: int = 4, sure: float = 1.5):
    """Labels and probabilities that are right more often than not."""
    y = RNG.integers(k, size=n)
    logits = RNG.normal(size=(n, k)) + sure * np.eye(k)[y] * RNG.random((n, 1))
    p = np.exp(logits)
    return y, p / p.sum(axis=1, keepdims=True)


Y, P = predictions()
FOUND = evaluation(Y, P, NAMES)


def test_scores_are_those_of_scikit_learn():
    predicted = P.argmax(axis=1)
    assert FOUND.accuracy == pytest.approx(sk.accuracy_score(Y, predicted))
    assert FOUND.log_loss == pytest.approx(sk.log_loss(Y, P))
    np.testing.assert_array_equal(FOUND.confusion, sk.confusion_matrix(Y, predicted))
    assert FOUND.top_k == pytest.approx({k: sk.top_k_accuracy_score(Y, P, k=k) for k in (2, 3)})
    report = sk.classification_report(Y, predicted, target_names=NAMES, output_dict=True)
    for score in FOUND.classes:
        expected = report[score.name]
        assert (score.precision, score.recall) == pytest.approx((expected["precision"], expected["recall"]))
        assert (score.f1, score.images) == pytest.approx((expected["f1-score"], expected["support"]))
    for mean, name in ((FOUND.macro, "macro avg"), (FOUND.weighted, "weighted avg")):
        assert mean[:3] == pytest.approx([report[name][key] for key in ("precision", "recall", "f1-score")])


def test_roc_curves_and_their_areas_are_those_of_scikit_learn():
    for k, score in enumerate(FOUND.classes):
        of_class = np.equal(Y, k)
        assert score.auc == pytest.approx(sk.roc_auc_score(of_class, P[:, k]))
        for mine, theirs in zip(score.roc, sk.roc_curve(of_class, P[:, k]), strict=True):
            np.testing.assert_allclose(mine, theirs)
    for mean, average in ((FOUND.macro, "macro"), (FOUND.weighted, "weighted")):
        assert mean.auc == pytest.approx(sk.roc_auc_score(Y, P, multi_class="ovr", average=average))


def test_the_reliability_diagram_is_that_of_scikit_learn():
    found = evaluation(Y, P, NAMES, bins=10).calibration
    right, confidence = sk_calibration.calibration_curve(P.argmax(axis=1) == Y, P.max(axis=1), n_bins=10)
    there = found.count > 0
    np.testing.assert_allclose(found.accuracy[there], right)
    np.testing.assert_allclose(found.confidence[there], confidence)
    assert found.count.sum() == len(Y)
    by_hand = sum(n * abs(a - c) for n, a, c in zip(found.count[there], right, confidence, strict=True)) / len(Y)
    assert found.expected_error == pytest.approx(by_hand)


def test_a_network_that_knows_what_it_knows_is_calibrated_and_a_boaster_is_not():
    y = (RNG.random(20_000) < 0.8).astype(int)
    honest = evaluation(y, np.tile([0.2, 0.8], (len(y), 1))).calibration
    boaster = evaluation(y, np.tile([0.01, 0.99], (len(y), 1))).calibration
    assert honest.expected_error < 0.01
    assert boaster.overconfidence == pytest.approx(0.19, abs=0.01)
    assert boaster.expected_error == pytest.approx(boaster.largest_error)


def test_the_surest_mistakes_come_first():
    y, p = np.array([0, 1, 1, 0]), np.array([[0.4, 0.6], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    found = evaluation(y, p, ["cat", "dog"], mistakes=2)
    assert [m.image for m in found.mistakes] == [1, 3]
    assert found.mistakes[0] == (1, "dog", "cat", 0.9, pytest.approx(0.1))


@pytest.mark.parametrize(
    ("y", "p"),
    [
        (np.eye(4)[Y], P),
        (Y[:, None], P.astype(np.float32)),
        (Y.astype(np.uint8).tolist(), P.tolist()),
        (Y, 3 * P),
    ],
    ids=["one-hot", "column, float32", "lists", "rows that sum to 3"],
)
def test_labels_and_probabilities_in_other_forms_give_the_same_scores(y, p):
    found = evaluation(y, p, NAMES)
    assert found.to_dict()["classes"][0]["auc"] == pytest.approx(FOUND.classes[0].auc)
    assert found.log_loss == pytest.approx(FOUND.log_loss, rel=1e-5)


def test_two_classes_of_one_output():
    y, p = np.array([0, 1, 1, 0]), np.array([0.2, 0.9, 0.4, 0.3])
    found = evaluation(y, p[:, None], ["no", "yes"])
    assert found.confusion.tolist() == [[2, 0], [1, 1]]
    assert found.classes[1].auc == sk.roc_auc_score(y, p)


def test_a_class_without_images_has_no_area_and_counts_in_no_mean():
    y = np.array([0, 1, 1, 0])
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1]])
    found = evaluation(y, p)
    assert (found.classes[2].auc, found.classes[2].roc, found.classes[2].images) == (None, None, 0)
    assert found.macro.recall == 0.75
    assert evaluation([1, 1], p[:2]).macro.auc is None  # nothing but one class: no curve
    assert "·" in str(found)


def test_everything_is_plain_json():
    y, p = predictions(2000)
    found = json.loads(json.dumps(evaluation(y, p, NAMES).to_dict(), allow_nan=False))
    assert found["class_names"] == list(NAMES)
    assert np.sum(found["confusion"]) == 2000
    assert len(found["classes"][0]["roc"]["true_positive_rate"]) <= 201
    assert sum(row["images"] for row in found["calibration"]["bins"]) == 2000


def test_the_table_says_what_the_figures_say():
    text = str(FOUND)
    assert f"Accuracy {100 * FOUND.accuracy:.2f} %" in text
    assert all(name in text for name in NAMES)
    assert f"{FOUND.classes[2].f1:.3f}" in text
    assert len(table(FOUND).renderables) - 1 == len(table(FOUND, headline=False).renderables)


def test_figures_are_written_and_need_images_for_the_mistakes_only(tmp_path):
    images = RNG.integers(0, 256, (len(Y), 6, 6, 3)).astype(np.uint8)
    assert {path.name for path in figures.write(FOUND, tmp_path / "without")} == {
        "confusion-matrix.png", "class-scores.png", "roc-curves.png", "reliability.png",
    }  # fmt: skip
    with_images = figures.write(FOUND, tmp_path, images)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in with_images)
    assert "surest-mistakes.png" in {path.name for path in with_images}


def test_figures_hold_the_numbers():
    axes = figures.confusion_matrix(FOUND).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), FOUND.confusion / FOUND.confusion.sum(axis=1, keepdims=True))
    lines = figures.roc_curves(FOUND).axes[0].lines
    assert [line.get_label() for line in lines[:4]] == [f"{s.name} {s.auc:.3f}" for s in FOUND.classes]


def test_perfect_predictions_make_no_trouble(tmp_path):
    found = evaluation([0, 1, 2], np.eye(3))
    assert (found.accuracy, found.macro.auc, found.mistakes) == (1.0, 1.0, ())
    assert "mistakes" not in str(found)
    figures.write(found, tmp_path, np.zeros((3, 4, 4, 1), np.uint8))


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], "1 of 2 rows are no probabilities .the first is 1"),
        ([0, 1], [[2.0, -1.0], [0.5, 0.5]], "not logits"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "whole numbers from 0 to 1"),
        ([0, 0.5], [[0.5, 0.5], [0.5, 0.5]], "whole numbers"),
        ([0, 1, 1], [[0.5, 0.5], [0.5, 0.5]], r"Labels have the shape \(3,\) for 2 rows"),
        ([], np.zeros((0, 3)), "at least one"),
    ],
)
def test_what_makes_no_sense_is_refused(y, p, message):
    with pytest.raises(PellucidError, match=message):
        evaluation(y, p)
    with pytest.raises(PellucidError, match="1 class names for 2 columns"):
        evaluation([0], [[0.5, 0.5]], ["cat"])


def test_wilson_interval_is_asymmetric_near_the_border():
    low, high = wilson_interval(0.99, 100)
    assert 0.99 - low > high - 0.99 > 0
