"""The house stands as the map says: who imports whom, and what is loaded when."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pellucid

SOURCE = Path(pellucid.__file__).parent
ROOT = SOURCE.parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = PYPROJECT["tool"]["importlinter"]["contracts"]
LAYERS = next(contract for contract in CONTRACTS if contract["type"] == "layers")

HEAVY = (
    "numba",
    "scipy",
    "PIL",
    "sklearn",
    "rich",
    "matplotlib",
    "pydantic",
    "cyclopts",
    "pooch",
    "safetensors",
    "torch",
)


def loaded_by(code: str) -> tuple[set[str], float]:
    """The modules that a fresh interpreter has loaded after running this, and the seconds of CPU it took on top."""
    report = f"""
import json, sys, time
start = time.process_time()
{code}
print(json.dumps([time.process_time() - start, sorted(sys.modules)]))
"""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PELLUCID_")}
    found = subprocess.run([sys.executable, "-c", report], env=environment, capture_output=True, text=True, check=True)
    seconds, modules = json.loads(found.stdout.splitlines()[-1])
    return set(modules), seconds


def test_imports_point_one_way():
    pytest.importorskip("importlinter")
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_module_has_its_place_among_the_layers():
    """import-linter fails by itself for a module without a place; this holds that nobody asks it not to."""
    assert LAYERS["exhaustive"] is True
    assert LAYERS["exhaustive_ignores"] == ["__main__"]
    listed = {name for line in LAYERS["layers"] for name in re.findall(r"\w+", line)}
    modules = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert modules - {"__init__", "__main__"} == listed


def test_the_map_and_the_linter_agree():
    """The table of docs/design.md has the modules of pyproject.toml, and nothing above what may import it."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in text.splitlines() if re.match(r"\| `", line)]
    row_of = {name: row for row, names in enumerate(table) for name in names}
    layers = [re.findall(r"\w+", line) for line in reversed(LAYERS["layers"])]  # from the bottom up
    different = set(row_of) ^ {name for names in layers for name in names}
    assert not different, f"docs/design.md and pyproject.toml do not both have {sorted(different)}"
    rows = [[row_of[name] for name in names] for names in layers]
    assert all(max(below) <= min(above) for below, above in itertools.pairwise(rows)), table


def imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(f"{'.' * node.level}{node.module or ''}")
            found |= {f".{alias.name}" for alias in node.names if node.level}  # from . import kernels
    return found


@pytest.mark.parametrize("path", sorted((SOURCE / "ops").glob("*.py")), ids=lambda path: path.stem)
def test_the_textbook_needs_numpy_and_nothing_else(path):
    roots = {name.split(".")[0] for name in imports_of(path) if not name.startswith(".")}
    assert roots <= {"__future__", "collections", "functools", "itertools", "math", "typing", "numpy", "scipy"}
    assert not any("kernels" in name or "backend" in name for name in imports_of(path))


@pytest.mark.parametrize("module", [*pellucid._MODULES, "model"])
def test_only_the_backend_and_the_command_line_know_the_kernels(module):
    places = [SOURCE / f"{module}.py", *(SOURCE / module).rglob("*.py")]
    if module != "backend":
        assert not any("kernels" in name for path in places if path.exists() for name in imports_of(path))


@pytest.mark.smoke
def test_importing_pellucid_is_quick_and_loads_nothing_heavy():
    modules, seconds = loaded_by("import pellucid")
    assert not modules & set(HEAVY)
    assert "numpy" not in modules
    assert seconds < 0.3


def test_building_and_asking_a_network_on_numpy_loads_neither_numba_nor_pictures():
    code = """
import numpy, pellucid
pellucid.set_backend("numpy")
model = pellucid.zoo.build("lenet5", (32, 32, 1))
model.predict(numpy.zeros((1, 32, 32, 1), numpy.float32))
"""
    modules, _ = loaded_by(code)
    assert not modules & (set(HEAVY) - {"scipy"})


def test_importing_everything_loads_neither_numba_nor_matplotlib():
    modules, _ = loaded_by("from pellucid import *")
    assert not modules & {"numba", "matplotlib", "sklearn", "PIL", "rich", "torch"}


FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "cupy", "autograd", "onnxruntime"}
COMPARED = SOURCE / "benchmark" / "pytorch"  # where PyTorch is what pellucid is measured against


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_deep_learning_frameworks_are_only_compared_with(path):
    allowed = {"torch"} if COMPARED in path.parents else set()
    assert {name.split(".")[0] for name in imports_of(path)} & FRAMEWORKS <= allowed
