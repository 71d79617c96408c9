"""What a run has written down is read again line by line; what makes no sense is left out and said."""

import json

import pytest

from pellucid.training import RunFolder, read_written

ROW = {"epoch": 1, "step": 5, "train_loss": 0.5, "images_per_second": 9.0, "seconds": 1.5}
TEST = {"best_epoch": 1, "test_loss": 0.5, "test_accuracy": 0.9, "test_images": 7}
DATA = {"data": "Dataset pets", "parts": {"train": 30, "test": 7}, "fingerprint": "f00d", "notes": []}
FAILURE = {"error": "The loss became nan.", "step": 5, "loss": "NaN", "epoch": 1, "place": None}


@pytest.fixture
def run(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "")
    folder.failures.mkdir()
    write(folder)
    return folder


def write(folder, lines=(ROW, TEST), data=DATA, failure=FAILURE):
    def text(value):
        return value if isinstance(value, str) else json.dumps(value)

    folder.metrics.write_text("".join(text(line) + "\n" for line in lines))
    (folder.path / "data.json").write_text(text(data))
    (folder.failures / "step-00000005.json").write_text(text(failure))


def test_what_was_written_is_read(run):
    written = read_written(run)
    assert (written.rows, written.test, written.data, written.damaged) == ([ROW], TEST, DATA, [])
    assert written.failures[0]["step"] == 5
    assert written.concluded


def test_a_run_is_concluded_when_it_was_tested_or_there_is_nothing_to_test_on(run):
    write(run, [ROW])
    assert not read_written(run).concluded
    write(run, [ROW], DATA | {"parts": {"train": 30}})
    assert read_written(run).concluded
    write(run, [ROW, TEST, ROW])  # trained on after the test
    assert not read_written(run).concluded
    write(run, data="")
    assert not read_written(run).concluded


@pytest.mark.parametrize(
    "line",
    [
        '{"epoch": 2, "st', "[]", "null", "[" * 3000, '"\ud800"'.encode("utf-8", "replace").decode(), "NaN", {},
        ROW | {"epoch": "2"}, ROW | {"step": None}, ROW | {"seconds": [1]}, ROW | {"train_loss": {}},
        ROW | {"epoch": 10**400}, ROW | {"step": -1}, ROW | {"seconds": "Infinity"}, ROW | {"images_per_second": "NaN"},
        TEST | {"best_epoch": [1]}, TEST | {"test_accuracy": "much"}, TEST | {"test_images": 10**400},
    ],
)  # fmt: skip
def test_a_line_that_makes_no_sense_is_left_out_and_said(run, line):
    write(run, [ROW, line])
    written = read_written(run)
    assert (written.rows, written.test) == ([ROW], {})
    assert written.damaged == ["A line of metrics.jsonl cannot be read and is left out."]
    write(run, [line, ROW, line])
    assert read_written(run).damaged == ["2 lines of metrics.jsonl cannot be read and are left out."]


def test_a_loss_that_is_not_finite_is_a_number(run):
    write(run, [ROW | {"train_loss": "NaN", "val_loss": "Infinity"}])
    assert read_written(run).rows[0]["val_loss"] == float("inf")


@pytest.mark.parametrize(
    "data", ["{", [], {}, {"parts": [1]}, {"parts": {"train": "all"}}, DATA | {"fingerprint": 3}, DATA | {"data": {}}]
)
def test_data_that_make_no_sense_count_as_missing(run, data):
    write(run, data=data)
    written = read_written(run)
    assert written.data == {}
    assert written.damaged[0].startswith("data.json is missing or damaged")


@pytest.mark.parametrize("failure", ["{", [], {}, FAILURE | {"step": "5"}, FAILURE | {"error": ["long"]}])
def test_a_failure_that_makes_no_sense_is_left_out_and_said(run, failure):
    write(run, failure=failure)
    written = read_written(run)
    assert written.failures == []
    assert written.damaged == ["step-00000005.json of the failures cannot be read and is left out."]


def test_of_an_empty_run_nothing_is_known(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "")
    written = read_written(folder)
    assert (written.rows, written.test, written.failures, written.concluded) == ([], {}, [], False)
