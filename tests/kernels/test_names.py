"""Compiled functions have names of their own.

Machine code is kept by name, and code that was compiled in different processes meets in one: of two functions with one name, the
one that is loaded first would answer for both.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import pellucid.kernels
from pellucid.kernels.jit import Inline, Kernel


def python_function(thing: Any) -> FunctionType | None:
    """The Python function inside a kernel or a compiled function."""
    return getattr(thing, "function", None) if isinstance(thing, Kernel | Inline) else None


def contents(thing: Any) -> Iterator[Any]:
    """What a table of kernels holds."""
    if isinstance(thing, dict):
        for value in thing.values():
            yield from contents(value)
    elif isinstance(thing, list | tuple):
        for value in thing:
            yield from contents(value)
    else:
        yield thing


def compiled_functions() -> dict[int, FunctionType]:
    """Everything that kernels are made of, however deep it lies in closures."""
    names = [module.name for module in pkgutil.iter_modules(pellucid.kernels.__path__)]
    modules = [importlib.import_module(f"pellucid.kernels.{name}") for name in names]
    waiting = [thing for module in modules for value in vars(module).values() for thing in contents(value)]
    found: dict[int, FunctionType] = {}
    while waiting:
        function = python_function(waiting.pop())
        if function is None or id(function) in found:
            continue
        found[id(function)] = function
        inside = [cell.cell_contents for cell in function.__closure__ or ()]
        inside += [function.__globals__.get(name) for name in function.__code__.co_names]
        waiting += [thing for value in inside for thing in contents(value)]
    return found


def test_no_two_compiled_functions_share_a_name():
    functions = compiled_functions()
    assert len(functions) > 100
    by_name: dict[tuple[str, str], list[FunctionType]] = {}
    for function in functions.values():
        by_name.setdefault((function.__module__, function.__qualname__), []).append(function)
    shared = {name: len(several) for name, several in by_name.items() if len(several) > 1}
    assert not shared, f"give each a name with jit.named: {shared}"
