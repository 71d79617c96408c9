"""Command-line options made from the settings of a run: whatever stands in ``pellucid.config`` is an option.

``training.batch_size`` becomes ``--batch-size`` and ``--training.batch-size``. Values stay text here; the config turns them
into numbers and complains in one voice, whether they come from the command line or from a file.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Container
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from cyclopts import Group, Parameter

from ..config import Setting, settings

_SECTIONS = ("", "data", "model", "optimizer", "training", "checkpoint")


def with_settings(only: Container[str] | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command whose last parameter is ``**overrides`` an option for every setting (or those named in ``only``).

    ``overrides`` then holds the settings that were given, by their dotted names.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        chosen = [setting for setting in settings() if only is None or setting.name in only]
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind != p.VAR_KEYWORD]

        def run(*arguments: Any, **given: Any) -> Any:
            names = {_identifier(setting): setting.name for setting in chosen}
            overrides = {names[key]: given.pop(key) for key in list(given) if key in names}
            return command(*arguments, **given, **overrides)

        parameters = [*own, *map(_parameter, chosen)]
        run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def short_names() -> dict[str, str]:
    """For every setting its short name: its own without the section, where only one has it; a section's for its ``name``.

    >>> short_names()["training.batch_size"], short_names()["model.name"], short_names()["data.seed"]
    ('batch-size', 'model', 'data.seed')
    """
    return dict(_short_names())


@cache
def _short_names() -> tuple[tuple[str, str], ...]:
    own = Counter(name.rpartition(".")[2] for name in (setting.name for setting in settings()))
    short = []
    for setting in settings():
        section, _, key = setting.name.rpartition(".")
        full = setting.name.replace("_", "-")
        if not section or section == "checkpoint":  # "keep" alone would say too little
            short.append((setting.name, full))
        elif key == "name":
            short.append((setting.name, section))
        else:
            short.append((setting.name, key.replace("_", "-") if own[key] == 1 else full))
    return tuple(short)


def _identifier(setting: Setting) -> str:
    return setting.name.replace(".", "__")


def _parameter(setting: Setting) -> inspect.Parameter:
    section = setting.name.rpartition(".")[0]
    kind, metavar = _kind(setting.field.annotation)
    default = setting.field.get_default(call_default_factory=True)
    words = ("yes" if default else "no") if isinstance(default, bool) else str(default)
    about = Parameter(
        name=tuple(dict.fromkeys((f"--{short_names()[setting.name]}", f"--{setting.name.replace('_', '-')}"))),
        help=setting.field.description,
        group=Group(section.capitalize() or "Run", sort_key=_SECTIONS.index(section)),
        metavar=metavar,
        show_default=False if default in (None, "") else lambda _: words,
        negative_iterable=(),
        negative_none=(),
        consume_multiple=True if get_origin(kind) is list else None,
    )
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(_identifier(setting), keyword, default=None, annotation=Annotated[kind | None, about])  # type: ignore[valid-type]


def _kind(annotation: Any) -> tuple[Any, str]:
    """The type the command line reads, and the word that stands for a value in the help."""
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType] if _is_union(annotation) else [annotation]
    kind = kinds[0]
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is bool:
        return bool, ""
    if get_origin(kind) is Literal:
        return str, "|".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return tuple[str, str], "N N"
    if get_origin(kind) is list:
        return (str, "JSON") if get_args(kind)[0] is not str else (list[str], "NAME...")
    if _is_union(kind) or kind is float:
        return str, "X"
    return str, {int: "N"}.get(kind, "TEXT")


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)
