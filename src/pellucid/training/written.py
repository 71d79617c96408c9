"""What a run has written down about itself, read again. What is damaged is left out and said; nothing is taken on trust."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from . import strict_json
from .folder import RunFolder
from .progress import Row, is_number, is_row


class Written(NamedTuple):
    """``rows`` are the finished epochs, ``test`` the closing line of the metrics, ``data`` is ``data.json``, both empty where
    there is none; ``failures`` are what ``Evidence`` kept. ``damaged`` says in whole sentences what is left out.
    """

    rows: list[Row]
    test: Row
    data: dict[str, Any]
    failures: list[dict[str, Any]]
    damaged: list[str]

    @property
    def concluded(self) -> bool:
        """Whether nothing is left to do after the last epoch: the test has been made, or there is nothing to test on.

        A run killed between its last epoch and the test is not; resuming it makes up for that.
        """
        return bool(self.data) and ("test" not in self.data["parts"] or bool(self.test))


def read_written(folder: RunFolder) -> Written:
    """Read what a run has written down. Files that are not there count as empty."""
    damaged: list[str] = []
    rows, test = _metrics(folder.metrics, damaged)
    data = _read(folder.path / "data.json", _is_data)
    if not data:
        damaged.append("data.json is missing or damaged: what the run was trained on is known from its settings alone.")
    failures = []
    for path in sorted(folder.failures.glob("step-*.json")):
        failure = _read(path, _is_failure)
        if failure:
            failures.append(failure)
        else:
            damaged.append(f"{path.name} of the failures cannot be read and is left out.")
    return Written(rows, test, data, failures, damaged)


def _metrics(path: Path, damaged: list[str]) -> tuple[list[Row], Row]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return [], {}
    found = [_parsed(line) for line in lines if line.strip()]
    rows = [row for row in found if is_row(row)]
    test = found[-1] if found and _is_test(found[-1]) else {}
    if lost := len(found) - len(rows) - bool(test):
        lines_are = (
            "A line of metrics.jsonl cannot be read and is"
            if lost == 1
            else f"{lost} lines of metrics.jsonl cannot be read and are"
        )
        damaged.append(f"{lines_are} left out.")
    return rows, test


def _read(path: Path, right: Callable[[Any], bool]) -> dict[str, Any]:
    try:
        content = _parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return {}
    return content if right(content) else {}


def _parsed(text: str) -> Any:
    try:
        return strict_json.loads(text)
    except ValueError:
        return None


def _is_test(row: Any) -> bool:
    if not isinstance(row, dict) or "test_accuracy" not in row or not isinstance(row.get("best_epoch"), int | None):
        return False
    return not is_row(row) and all(is_number(value) for value in row.values() if value is not None)


def _is_data(data: Any) -> bool:
    if not isinstance(data, dict) or not isinstance(data.get("parts"), dict):
        return False
    texts = all(isinstance(data.get(name), str | None) for name in ("data", "fingerprint"))
    return texts and all(is_number(images) for images in data["parts"].values())


def _is_failure(failure: Any) -> bool:
    return isinstance(failure, dict) and isinstance(failure.get("step"), int) and isinstance(failure.get("error"), str)
