"""What is public resolves, is documented, and shows how it is used."""

from __future__ import annotations

import doctest
import inspect

import numpy as np
import pytest

import pellucid
from pellucid import (
    augmentation,
    initializers,
    layers,
    losses,
    metrics,
    ops,
    optimizers,
    regularizers,
    schedules,
    testing,
    zoo,
)

MODULES = [augmentation, initializers, layers, losses, metrics, ops, optimizers, regularizers, schedules, testing, zoo]


def public(module) -> dict[str, object]:
    """The functions and classes of a module that are meant for everybody."""
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    found = {name: getattr(module, name) for name in names}
    here = module.__name__
    return {
        n: o for n, o in found.items() if inspect.isroutine(o) or inspect.isclass(o) if o.__module__.startswith(here)
    }


DOCUMENTED = {f"{module.__name__}.{name}": thing for module in MODULES for name, thing in public(module).items()}
METHODS = {
    f"{cls.__name__}.{name}": method
    for cls in (pellucid.Sequential, layers.Layer, optimizers.Optimizer, losses.Loss, pellucid.Preprocessing)
    for name, method in vars(cls).items()
    if not name.startswith("_")
    and (inspect.isfunction(method) or isinstance(method, property | classmethod | staticmethod))
}


def test_the_public_names_are_known():
    """Adding one is easy, taking one away breaks the programs of others: change this list with care."""
    assert set(pellucid.__all__) >= {
        "Activation", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D", "Dense", "DepthwiseConv2D",
        "Dropout", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "Layer", "LeakyReLU", "MaxPooling2D",
        "PellucidError", "Preprocessing", "ReLU", "Rescaling", "Residual", "Sequential", "Softmax",
        "get_backend", "get_num_threads", "get_precision", "load", "set_backend", "set_num_threads", "set_precision",
    }  # fmt: skip
    assert set(dir(pellucid)) - set(pellucid.__all__) == {
        "__version__", "augmentation", "backend", "data", "doctor", "explain", "initializers", "layers", "losses", "metrics",
        "ops", "optimizers", "regularizers", "schedules", "testing", "training", "zoo",
    }  # fmt: skip
    assert list(pellucid.__all__) == sorted(set(pellucid.__all__))


def test_a_star_import_hides_no_name_of_the_users_own():
    names: dict = {}
    exec("from pellucid import *", names)
    assert "Sequential" in names
    assert not {"data", "layers", "training", "testing"} & names.keys()


@pytest.mark.parametrize("name", [name for name in dir(pellucid) if name != "__version__"])
def test_every_public_name_resolves_and_is_documented(name):
    assert len(inspect.cleandoc(getattr(pellucid, name).__doc__ or "")) >= 10


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'pellucid' has no attribute 'Conv3D'"):
        pellucid.Conv3D  # noqa: B018


def test_names_are_the_same_objects_everywhere():
    for name in layers.__all__:
        if name in pellucid.__all__:
            assert getattr(pellucid, name) is getattr(layers, name)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_function_and_class_has_a_docstring_of_its_own(name):
    assert len(inspect.cleandoc(DOCUMENTED[name].__doc__ or "")) >= 10
    assert not inspect.isclass(DOCUMENTED[name]) or "__doc__" in vars(DOCUMENTED[name])


@pytest.mark.parametrize("name", METHODS)
def test_every_public_method_is_documented(name):
    method = name.partition(".")[2]
    inherited = [getattr(base, method, None) for base in (layers.Chain, layers.Layer)]
    assert METHODS[name].__doc__ or any(getattr(m, "__doc__", None) for m in inherited)


@pytest.mark.parametrize("name", [name for name in ops.__all__ if not name.endswith("_backward")])
def test_every_op_shows_how_it_is_used(name):
    assert doctest.DocTestParser().get_examples(getattr(ops, name).__doc__)


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_says_where_it_comes_from(name):
    assert zoo.BUILDERS[name].__name__ == name
    assert "\n" not in zoo.describe(name).split(". ")[0] or len(zoo.describe(name)) > 40


def test_the_example_of_the_package_runs():
    source = inspect.cleandoc(pellucid.__doc__).split("\n\n", 1)[1]
    names: dict = {}
    exec(source, names)
    assert names["model"].predict(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 10)


def test_everything_public_is_typed():
    """The arguments of public functions say their types."""
    untyped = [
        f"{name}({argument.name})"
        for name, thing in DOCUMENTED.items()
        if inspect.isfunction(thing)
        for argument in inspect.signature(thing).parameters.values()
        if argument.annotation is argument.empty
    ]
    assert not untyped
