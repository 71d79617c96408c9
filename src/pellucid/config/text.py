"""How settings are read from and written to TOML, and how a wrong one is explained."""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ..errors import FileFormatError, nearest

LARGEST = 1_000_000  # bytes; a config of a thousand layers has a tenth of that


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a TOML file of at most a megabyte."""
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(
            f"There is no config file {os.fspath(path)!r}. Check the path; `pellucid train digits` needs none."
        )
    size = path.stat().st_size
    if size > LARGEST:
        raise FileFormatError(
            f"{path} has {size:,} bytes; a config of more than {LARGEST:,} is refused. Is it another file?"
        )
    try:
        content = tomllib.loads(path.read_bytes().decode("utf-8"))
        if too_deep(content):
            raise RecursionError("it is nested too deeply")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileFormatError(f"{path} is not a TOML file: {error}. Wanted lines such as: epochs = 10") from None
    if not _finite(content):
        raise FileFormatError(f"{path} has a setting that is nan or inf; wanted numbers.")
    return content


def too_deep(value: Any, most: int = 50) -> bool:
    """Whether plain values are nested deeper than any settings are.

    >>> too_deep([[[]]], most=3), too_deep({"a": [[1]]}, most=2)
    (False, True)
    """
    level = [value]
    for _ in range(most + 1):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
    return bool(level)


def _finite(value: Any) -> bool:
    if isinstance(value, dict | list):
        return all(map(_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def to_toml(content: dict[str, Any]) -> str:
    """Settings as the text of a TOML file that says what it is."""
    import tomli_w

    head = "# All settings of a run. `pellucid train` with this file repeats it; what is left out has its default.\n\n"
    return head + tomli_w.dumps(content)


def explain(error: ValidationError, model: type[BaseModel], origin: str, overrides: Mapping[str, Any]) -> str:
    """All complaints of pydantic in words: what was given, what is wanted, how to write it."""
    lines: dict[str, None] = {}  # a set that keeps the order: unions complain once per member
    seen: dict[str, list[str]] = {}
    for complaint in error.errors(include_url=False):
        name, field, section = _find(complaint["loc"], model)
        given_by = f"{origin}: " if origin and name not in overrides else ""
        if complaint["type"] == "extra_forbidden":
            known = list(section.model_fields)
            key = str(complaint["loc"][-1])
            lines[f"{given_by}There is no setting {name}. {nearest(key, known)}"] = None
            continue
        if (
            isinstance(complaint["input"], list) and complaint["type"] == "value_error"
        ):  # layers, which say which of them it is
            lines[f"{given_by}{name}, {complaint['ctx']['error']}"] = None
            continue
        wanted = seen.setdefault(f"{given_by}{name} was {_short(complaint['input'])}", [])
        for words in (_wanted(complaint), _how(name, field)):
            if words not in wanted:
                wanted.append(words)
    for given, wanted in seen.items():
        how = [words for words in wanted if words.startswith("Write ")]
        kinds = [words for words in wanted if not words.startswith("Write ") and words]
        end = "" if kinds and kinds[-1].endswith((".", "?")) else "."
        lines[f"{given}; {' or '.join(kinds).replace(' or wanted ', ' or ')}{end} {' '.join(how)}".strip()] = None
    return "\n".join(lines)


def _find(location: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, FieldInfo | None, type[BaseModel]]:
    """The dotted name a complaint is about, its field if there is one, and the section it lies in."""
    names: list[str] = []
    field = None
    for part in location:
        names.append(str(part))
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        if part is not location[-1]:
            model = inner
    return ".".join(names), field, model


def _wanted(complaint: Any) -> str:
    kind, context = complaint["type"], complaint.get("ctx", {})
    limits = {
        "greater_than_equal": "at least {ge}",
        "greater_than": "more than {gt}",
        "less_than_equal": "at most {le}",
        "less_than": "less than {lt}",
    }
    if kind in limits:
        return "wanted " + limits[kind].format(**context)
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        match = difflib.get_close_matches(str(complaint["input"]), choices, n=1, cutoff=0.5)
        return f"wanted {context['expected']}" + (f". Did you mean {match[0]!r}?" if match else "")
    if kind == "value_error":
        return str(context["error"])
    for start, words in {
        "int": "wanted a whole number",
        "float": "wanted a number",
        "finite": "wanted a finite number",
        "bool": "wanted true or false",
        "string": "wanted text",
        "list": "wanted a list",
        "tuple": "wanted a list",
        "too_": "wanted a list of another length",
        "missing": "wanted one more entry",
        "model": "wanted a table of settings",
        "dict": "wanted a table",
    }.items():
        if kind.startswith(start):
            return words
    return complaint["msg"][:1].lower() + complaint["msg"][1:]


def _how(name: str, field: FieldInfo | None) -> str:
    """An example of how to write a setting, in a file and on the command line."""
    import tomli_w

    if field is None or not (field.examples or _is_switch(field)):
        return ""
    example = True if _is_switch(field) else field.examples[0]  # type: ignore[index]
    section, _, key = name.rpartition(".")
    where = f" under [{section}]" if section else ""
    if isinstance(example, list) and isinstance(example[0], dict):
        return f"Write [[{name}]] tables in a file, or name a model file: --model net.toml."
    words = {True: ""}.get(example, str(example)) if not isinstance(example, list) else " ".join(map(str, example))
    line = " ".join(tomli_w.dumps({key: example}).split()).replace("[ ", "[").replace(", ]", "]")
    return f"Write {line}{where} in a file, or --{name.replace('_', '-')} {words}".rstrip() + "."


def _is_switch(field: FieldInfo) -> bool:
    return bool in (field.annotation, *get_args(field.annotation))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
