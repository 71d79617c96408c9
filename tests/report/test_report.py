"""The page about a run: true, whole, self-contained, harmless, and honest about what is not there."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from pellucid import load
from pellucid.config import make
from pellucid.errors import PellucidError
from pellucid.metrics import evaluation
from pellucid.report import collect, write_report
from pellucid.report.answers import Answers
from pellucid.report.confusion import LARGEST_TABLE, confusion
from pellucid.report.pixels import embedded, overlay, sheet
from pellucid.run import evaluate, train

from .conftest import HOSTILE, quiet

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """The tags of a page with their attributes, its text, and its embedded data."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.data = None
        self.open: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes what was not opened"

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.data = json.loads(data) if data.startswith("{") else self.data
        elif self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_page_holds_everything_it_shows(page):
    found = Page(page)
    assert found.open == []
    assert page.stat().st_size < 1_000_000
    sources = [value for _, attributes in found.tags for name, value in attributes.items() if name in ("src", "srcset")]
    assert len(sources) > 100
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(attributes["href"].startswith(("#", "data:,")) for tag in ("a", "link") for attributes in found.all(tag))
    assert "url(" not in found.source
    assert "@import" not in found.source
    anchors = {attributes["href"][1:] for attributes in found.all("a")}
    assert anchors == {attributes["id"] for attributes in found.all("section")}


def test_its_scores_are_those_of_evaluate(page, digits):
    scores, found = evaluate(digits), Page(page)
    low, high = scores.interval
    text = flat(found.text)
    assert f"{100 * scores.accuracy:.2f} % 95 % interval {100 * low:.2f} … {100 * high:.2f} %" in text
    matrix = np.zeros((10, 10), int)
    for key, (words, _) in found.data["cells"].items():
        matrix[tuple(map(int, key.split("-")))] = int(words.split(": ")[1].split(" image")[0])
    np.testing.assert_array_equal(matrix, scores.details.confusion)
    assert f"{load(digits / 'model.safetensors').count_params():,} weights learned from 1,294 images" in text


def test_the_images_of_a_cell_are_of_that_class_and_answer(digits):
    report = collect.collect(digits, images=0)
    answers, shown = report.answers, report.confusion
    assert answers is not None
    assert shown is not None
    assert any(not cell.right for cell in shown.cells)
    for cell in shown.cells:
        label, predicted = map(int, cell.key.split("-"))
        places = shown.images[cell.key]
        assert len(places) == min(cell.size, 12)
        assert set(answers.y[places]) == {label}
        assert set(answers.predicted[places]) == {predicted}
        if not cell.right:
            assert list(answers.confidence[places]) == sorted(answers.confidence[places], reverse=True)
    assert not report.explained


def test_mistakes_come_with_the_surest_first_and_half_of_the_explanations(digits):
    report = collect.collect(digits, images=4)
    assert [each.picture.right for each in report.explained] == [True, True, False, False]
    assert len({each.picture.label for each in report.explained[:2]}) == 2
    sure = [mistake.confidence for mistake in report.mistakes]
    assert sure == sorted(sure, reverse=True)
    assert report.explained[2].picture == report.mistakes[0]
    assert not any(mistake.right for mistake in report.mistakes)
    assert all(right.right for right in report.right)


def test_hostile_names_stay_text(hostile, images):
    found = Page(write_report(hostile))
    assert [sorted(attributes) for attributes in found.all("script")] == [["id", "type"], []]
    assert all(not name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert all(image["src"].startswith("data:") for image in found.all("img"))
    for name in HOSTILE:
        assert name in found.text
    assert images.name in found.text
    assert hostile.name in found.text
    assert any(HOSTILE[0] in words for words, _ in found.data["cells"].values())
    (policy,) = (tag["content"] for tag in found.all("meta") if tag.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "'sha256-" in policy.partition("script-src")[2]


@pytest.fixture
def copy(digits, tmp_path) -> Path:
    """A copy of the run to be damaged."""
    return Path(shutil.copytree(digits, tmp_path / "copy"))


def test_faults_are_told_with_what_to_do(digits, page, copy):
    assert "No fault found Looked for, as pellucid doctor does: " in flat(Page(page).text)
    rows = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    rows[1]["train_loss"] = "NaN"
    (copy / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = flat(Page(write_report(copy)).text)
    assert "What is wrong with it" in text
    assert "loss not finite serious" in text
    assert "The loss was NaN or infinite in epoch 2." in text


def test_a_run_without_a_test_part_is_scored_on_the_validation_part(hostile):
    text = flat(Page(write_report(hostile)).text)
    assert "There is no test part: all scores are of the validation part." in text
    assert "The best epoch was chosen by these images" in text
    assert "images of the validation part it recognises" in text


def test_an_interrupted_run_says_how_to_go_on(copy):
    lines = (copy / "metrics.jsonl").read_text().splitlines()
    (copy / "metrics.jsonl").write_text(lines[0] + '\n{"epoch": 2, "st')
    text = flat(Page(write_report(copy)).text)
    assert f"The training was interrupted: 1 of 2 epochs are finished. Go on with: pellucid resume {copy}" in text
    assert "A line of metrics.jsonl cannot be read and is left out." in text
    assert "it recognises" in text


def test_a_record_that_makes_no_sense_costs_no_more_than_itself(copy):
    lines = (copy / "metrics.jsonl").read_text().splitlines()
    bad = ['{"epoch": 3, "step": "nine", "seconds": 1}', json.dumps({"test_accuracy": 1, "best_epoch": [1]}), "[]"]
    (copy / "metrics.jsonl").write_text("\n".join([*bad, *lines]))
    (copy / "data.json").write_text('{"parts": [], "fingerprint": 7}')
    (copy / "failures").mkdir()
    (copy / "failures/step-00000001.json").write_text('["no table"]')
    text = flat(Page(write_report(copy)).text)
    assert "3 lines of metrics.jsonl cannot be read and are left out." in text
    assert "data.json is missing or damaged" in text
    assert "step-00000001.json of the failures cannot be read and is left out." in text
    assert "How it learned" in text


def test_a_run_without_a_single_epoch_has_a_page(copy):
    for name in ("metrics.jsonl", "model.safetensors", "data.json"):
        (copy / name).unlink()
    text = flat(Page(write_report(copy)).text)
    assert "No epoch is finished yet" in text
    assert "There is no model file" in text
    assert "data.json is missing or damaged" in text
    assert f"pellucid train {copy / 'config.toml'}" in text


def test_lost_data_cost_the_scores_and_nothing_else(hostile, images, tmp_path):
    moved = images.with_name("moved.npz")
    images.rename(moved)
    try:
        text = flat(Page(write_report(hostile, tmp_path / "page.html")).text)
    finally:
        moved.rename(images)
    assert "No scores: " in text
    assert "Learned filters" in text
    assert "layer by layer" in text


def test_a_damaged_model_costs_what_comes_from_it(copy):
    (copy / "model.safetensors").write_bytes(b"damaged")
    text = flat(Page(write_report(copy)).text)
    assert "The model cannot be read: " in text
    assert "How it learned" in text


def test_numbers_that_are_not_finite_interrupt_the_curve(copy):
    rows = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    rows[1]["train_loss"] = "NaN"
    (copy / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_report(copy)
    (loss, *_) = collect.collect(copy, images=0).charts
    assert [len(line.dots) for line in loss.lines] == [1, 2]


def test_curves_show_how_well_each_class_is_told_from_the_others(digits):
    report = collect.collect(digits, images=0)
    assert report.answers is not None
    assert report.roc is not None
    classes = report.answers.evaluation.classes
    areas = {f"{score.name}: area {score.auc:.4f}" for score in classes}
    assert {line.name for line in report.roc.lines} == areas
    hardest = min(classes, key=lambda score: score.auc or 0)
    (marked,) = (line for line in report.roc.lines if line.kind == "val")
    assert marked.name == f"{hardest.name}: area {hardest.auc:.4f}"
    assert report.roc.lines[-1] is marked  # above the others
    assert [kind for kind, _ in report.roc.legend] == ["val", "other"]


def test_a_rate_that_never_changes_needs_no_curve(digits, copy):
    charts = collect.collect(digits, images=0).charts
    assert [chart.title for chart in charts] == ["Loss", "Accuracy", "Speed of training"]
    assert charts[-1].y_ticks[0][1] == "0"  # what is a little faster looks a little faster
    rows = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    rows[1]["learning_rate"] /= 2
    (copy / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "Learning rate" in [chart.title for chart in collect.collect(copy, images=0).charts]


def test_a_network_without_maps_has_no_explanations_and_says_why(tmp_path):
    layers = [{"class": "Flatten"}, {"class": "Dense", "units": 10, "activation": "softmax"}]
    settings = {"data.source": "digits", "training.epochs": 1, "training.limit_batches": 5, "model.layers": layers}
    train(make(settings), tmp_path / "run", say=quiet)
    text = flat(Page(write_report(tmp_path / "run")).text)
    assert "No explanations: No layer of this network puts out maps" in text
    assert "No filters" not in text  # it has none, which is no failure
    assert "it recognises" in text


def test_a_single_output_is_two_classes(tmp_path):
    rng = np.random.default_rng(1)
    y = np.arange(40) % 2
    x = np.clip(rng.integers(0, 200, (40, 8, 8, 1)) + 50 * y.reshape(-1, 1, 1, 1), 0, 255).astype(np.uint8)
    np.savez(tmp_path / "two.npz", x=x, y=y, x_test=x, y_test=y, class_names=np.array(["dark", "bright"]))
    layers = [
        {"class": "Conv2D", "filters": 3, "kernel_size": 3, "activation": "relu"},
        {"class": "Flatten"},
        {"class": "Dense", "units": 1, "activation": "sigmoid"},
    ]
    settings = {"data.source": str(tmp_path / "two.npz"), "training.epochs": 1, "model.layers": layers}
    train(make(settings), tmp_path / "run", say=quiet)
    report = collect.collect(tmp_path / "run")
    assert report.confusion is not None
    assert report.confusion.names == ("dark", "bright")
    assert len(report.explained) == 6


def test_what_is_no_run_is_refused(tmp_path, digits):
    with pytest.raises(PellucidError, match="is not the folder of a run"):
        write_report(tmp_path)
    with pytest.raises(PellucidError, match="is a folder; name a file"):
        write_report(digits, tmp_path)
    with pytest.raises(PellucidError, match="--images was -1"):
        write_report(digits, images=-1)


def answers(images: int, classes: int, size: int) -> Answers:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(classes), images)
    y, x = rng.integers(0, classes, images), rng.integers(0, 256, (images, size, size, 3)).astype(np.uint8)
    names = [f"class {k}" for k in range(classes)]
    return Answers("test", "noise", x, y, p, evaluation(y, p, names), (), 1.0)


@pytest.mark.parametrize(("classes", "size"), [(10, 100), (26, 32), (40, 64)])
def test_pictures_of_the_worst_matrix_leave_room_for_the_page(classes, size):
    shown = confusion(answers(800, classes, size))
    assert sum(len(uri) for uri, _ in shown.thumbnails.values()) < 2_500_000  # noise cannot be compressed
    assert bool(shown.rows) == (classes <= LARGEST_TABLE)
    assert bool(shown.picture) == (classes > LARGEST_TABLE)
    assert all(shown.images[cell.key] for cell in shown.pairs)


def test_heat_covers_the_image_only_where_it_is_strong():
    image, heat = np.full((4, 4, 3), 0.5), np.zeros((4, 4))
    heat[0, 0] = 1
    laid = overlay(image, heat, signed=True)
    assert laid.shape == (120, 120, 3)
    np.testing.assert_allclose(laid[-1, -1], 0.5, atol=1e-6)
    assert laid[0, 0, 0] > laid[0, 0, 2]  # red speaks for
    assert overlay(image, -heat, signed=True)[0, 0, 2] > overlay(image, -heat, signed=True)[0, 0, 0]
    np.testing.assert_allclose(overlay(image, 0 * heat, signed=False), 0.5, atol=1e-6)  # no heat at all


def test_photographs_of_any_size_take_little_room():
    """Noise is the worst there is; as PNG it would have 50 kB a picture, and the page more than its 5 MB."""
    photograph = np.random.default_rng(0).random((224, 300, 3))
    uri = embedded(photograph, 128)
    assert uri.startswith("data:image/jpeg;base64,")
    assert len(uri) < 20_000


def test_small_pictures_keep_their_pixels():
    import base64
    import io

    from PIL import Image

    pixels = np.random.default_rng(0).random((5, 7, 3))
    read = np.asarray(Image.open(io.BytesIO(base64.b64decode(embedded(pixels).partition(",")[2]))))
    np.testing.assert_allclose(read / 255, pixels, atol=0.5 / 255 + 1e-6)
    tiles = sheet(np.ones((5, 3, 2, 3)), columns=3)
    assert tiles.shape == (7, 8, 4)
    assert tiles[..., 3].sum() == 5 * 6  # gaps and the missing sixth are transparent
