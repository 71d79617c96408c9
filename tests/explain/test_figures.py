"""Every explanation can be drawn, in the common style, and nothing that is written covers anything else or leaves the figure."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

from pellucid import PellucidError, Sequential, explain, figures
from pellucid.explain import figures as draw
from pellucid.layers import Conv2D, Dense, Flatten
from pellucid.metrics import evaluation
from pellucid.metrics import figures as scores

from .models import MODELS, NAMES, images

X, Y = images(12), np.arange(12) % 5


def grey():
    model = Sequential([Conv2D(3, 3, activation="relu"), Flatten(), Dense(2)])
    model.build((7, 7, 1), seed=1)
    return model


P = np.random.default_rng(0).dirichlet(np.ones(5), 12)

FIGURES = {
    "saliency": lambda m: draw.attribution(m, X[:2], explain.saliency(m, X[:2])),
    "grad_cam": lambda m: draw.attribution(m, X[:1], explain.grad_cam(m, X[:1], "cow")),
    "integrated gradients": lambda m: draw.attribution(m, X[:1], explain.integrated_gradients(m, X[:1], steps=3)),
    "filters": lambda m: draw.filters(m),
    "filters by channel": lambda m: draw.filters(m, "conv2"),
    "activations": lambda m: draw.activation_maps(m, X[:1]),
    "favourites": lambda m: draw.favourites(m, X, explain.maximally_activating(m, X, "conv1", top=4)),
    "favourites of units": lambda m: draw.favourites(m, X, explain.maximally_activating(m, X, "dense1", top=3), [2]),
    "statistics": lambda m: draw.filter_statistics(explain.filter_statistics(m, X)),
    "gradient_flow": lambda m: draw.gradient_flow(explain.gradient_flow(m, X, Y)),
    "ablation": lambda m: draw.ablation(explain.ablation(m, X, Y, "conv1"), NAMES),
    "clusters": lambda m: draw.clusters(m, X[:1], explain.cluster_filters(m, X, "conv1", clusters=3)),
    "receptive_fields": lambda m: draw.receptive_fields(m, X[:1]),
    "one receptive field": lambda m: draw.receptive_fields(m, X[:1], ["conv2"], row=0, column=1),
    "feature_map": lambda m: draw.feature_map(explain.feature_map(m, X), Y, NAMES, m.predict(X).argmax(axis=1), "pca"),
    "arithmetic": lambda m: draw.arithmetic(explain.arithmetic(m, X[:1], "conv1")),
    "arithmetic in the padding": lambda m: draw.arithmetic(explain.arithmetic(m, X[:1], "conv2", row=0, column=0)),
    "arithmetic of one channel": lambda m: draw.arithmetic(explain.arithmetic(grey(), X[:1, :, :, :1], "conv1")),
    "confusion": lambda m: scores.confusion_matrix(evaluation(Y, P, NAMES)),
    "class scores": lambda m: scores.class_scores(evaluation(Y, P, NAMES)),
    "roc": lambda m: scores.roc_curves(evaluation(Y, P, NAMES)),
    "reliability": lambda m: scores.reliability_diagram(evaluation(Y, P, NAMES)),
    "mistakes": lambda m: scores.mistakes(evaluation(Y, P, NAMES), X, 5),
}


def headings(figure):
    """What is written above and below the parts of a figure, with the boxes it takes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    parts = [figure, *figure.subfigs]
    texts = [text for part in parts for text in part.texts]
    texts += [label for part in parts for label in (part._suptitle, part._supxlabel) if label is not None]
    texts += [text for axes in figure.axes for text in (axes.title, axes.xaxis.label) if axes.get_visible()]
    texts += [text for part in parts for legend in part.legends for text in legend.get_texts()]
    texts += [text for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
    seen = {
        text.get_text(): text.get_window_extent(renderer) for text in texts if text.get_text() and text.get_visible()
    }
    return seen, figure.bbox


CASES = [(name, "plain" if name.startswith("arithmetic") else "tangled") for name in FIGURES] + [
    ("arithmetic", "tangled")
]


@pytest.mark.parametrize(("name", "model"), CASES)
def test_figures_are_drawn_and_nothing_written_overlaps(name, model):
    figure = FIGURES[name](MODELS[model]())
    seen, whole = headings(figure)
    assert seen
    for text, box in seen.items():
        inside = box.x0 >= whole.x0 - 1 and box.x1 <= whole.x1 + 1 and box.y0 >= whole.y0 - 1 and box.y1 <= whole.y1 + 1
        assert inside, f"{text!r} leaves the figure"
    for (one, a), (other, b) in itertools.combinations(seen.items(), 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
        assert not overlap, f"{one!r} and {other!r} cover each other"
    assert figure.get_facecolor() == (1, 1, 1, 1)


def test_figures_keep_to_their_style_and_leave_the_users_alone():
    import matplotlib

    with matplotlib.rc_context({"font.size": 33, "axes.facecolor": "black"}):
        figure = FIGURES["ablation"](MODELS["plain"]())
        assert matplotlib.rcParams["font.size"] == 33
    assert figure.axes[0].get_facecolor() == (1, 1, 1, 1)
    assert figure.axes[0].title.get_fontsize() == 9


def test_heat_is_drawn_as_it_was_computed():
    model = MODELS["plain"]()
    found = explain.saliency(model, X[:1], 2)
    figure = draw.attribution(model, X[:1], found)
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), found.heat[0])
    assert "cow" in figure.axes[1].get_title()
    assert "logit, before softmax" in figure.get_suptitle()


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_figures_are_written_in_many_formats(ending, tmp_path):
    path = figures.save(FIGURES["statistics"](MODELS["plain"]()), tmp_path / f"figure{ending}")
    assert path.stat().st_size > 3000
    with pytest.raises(PellucidError, match=r"Did you mean '.png'"):
        figures.save(FIGURES["statistics"](MODELS["plain"]()), tmp_path / "figure.pgn")


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (np.array([0, 51, 255], np.uint8), [0, 0.2, 1]),
        (np.array([0.0, 0.2, 1.0]), [0, 0.2, 1]),
        (np.array([0.0, 51.0, 255.0]), [0, 0.2, 1]),
        (np.array([-2.0, -1.0, 2.0]), [0, 0.25, 1]),
    ],
    ids=["bytes", "shares", "whole numbers", "standardised"],
)
def test_images_of_any_kind_become_displayable(x, expected):
    np.testing.assert_allclose(figures.displayable(x.reshape(1, 1, 3, 1)).ravel(), expected, rtol=1e-6)
    assert figures.displayable(np.zeros((2, 4, 4, 5))).shape == (2, 4, 4, 1)


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", ["feature_map", "ablation", "class scores", "confusion", "roc", "mistakes"])
def test_names_of_any_kind_are_written_as_they_are_and_leave_room(name, tmp_path, monkeypatch):
    """Dollars begin no formula, what no font has is a box, and long names are cut."""
    names = (
        "$\\frac$",
        "a$b$",
        "🐈 犬",
        "a name so long that it would push everything else out of the figure",
        "100 %",
    )
    monkeypatch.setitem(globals(), "NAMES", names)
    figure = FIGURES[name](MODELS["plain"]())
    seen, _ = headings(figure)
    axes = figure.axes[-1 if name == "class scores" else 0]
    texts = [*seen, *(t.get_text() for axes in figure.axes for t in [*axes.get_yticklabels(), *axes.texts])]
    assert any("a name so long that it…" in text for text in texts)
    assert axes.get_position().width > 0.3 or name == "mistakes"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.save(figure, tmp_path / "figure.png")


def test_of_many_classes_those_that_change_most_are_shown():
    drops = np.zeros((3, 100))
    drops[1, 70:95] = np.linspace(0.1, 0.4, 25)
    found = explain.Ablation("conv1", 200, 1.0, 0.0, np.zeros(3), np.zeros(3), drops)
    lower = draw.ablation(found).axes[1]
    assert [label.get_text() for label in lower.get_yticklabels()] == [str(k) for k in range(75, 95)]
    x, y = np.random.default_rng(0).normal(size=(100, 2)), np.arange(100)
    assert draw.feature_map(x, y).axes[0].get_legend() is None


def test_figures_that_make_no_sense_are_refused():
    model = MODELS["plain"]()
    with pytest.raises(PellucidError, match="got 12 images; wanted one"):
        draw.activation_maps(model, X)
    with pytest.raises(PellucidError, match=r"maps \(H, W, C\), so there is nothing to draw"):
        draw.activation_maps(model, X[:1], ["dense1"])
    with pytest.raises(PellucidError, match="name that layer"):
        draw.receptive_fields(model, X[:1], row=1)
