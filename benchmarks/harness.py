"""What all benchmarks share: a fair environment, interleaved timing, statistics, and results with their receipt.

Import it before PyTorch: ``prepare`` sets variables that are read when PyTorch is loaded.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"

# glibc returns every block above 32 MB to the system and fetches it anew, zeroed page by zeroed page, in every step. With these
# it keeps them. Hardly anybody sets them, but a comparison should say what PyTorch could do.
TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "1000000000",
}
FAMILIES = {"_mnist": (28, 28, 1)}  # networks made for other images than CIFAR-10's


def parser(description: str | None, *, networks: list[str] | None = None, runs: int = 15) -> argparse.ArgumentParser:
    """The options that all benchmarks have; ``networks`` None means every network of the zoo."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    shown = "every network of the zoo" if networks is None else " ".join(networks)
    options.add_argument("--networks", nargs="+", default=networks, metavar="NAME", help=f"default: {shown}")
    options.add_argument("--runs", type=_positive, default=runs, metavar="N", help=f"rounds; default: {runs}")
    options.add_argument("--threads", type=_positive, default=None, metavar="N", help="of both; default: all cores")
    options.add_argument(
        "--output", type=Path, default=None, metavar="FILE", help="default: a file in benchmarks/results"
    )
    return options


def add_torch_options(options: argparse.ArgumentParser) -> None:
    """How PyTorch takes part."""
    options.add_argument("--compiled", action="store_true", help="PyTorch through torch.compile too")
    options.add_argument("--bfloat16", action="store_true", help="PyTorch in bfloat16 (autocast) against our float32")
    options.add_argument("--malloc", choices=("default", "tuned"), default="default", help="the C library's settings")


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; wanted a whole number of at least 1")
    return int(text)


def prepare(options: argparse.Namespace) -> None:
    """Set what has to be set before PyTorch is loaded, and the threads of both libraries."""
    if "torch" in sys.modules:
        raise RuntimeError("PyTorch is loaded already; harness.prepare comes first.")
    if getattr(options, "malloc", "default") == "tuned" and any(
        os.environ.get(k) != v for k, v in TUNED_MALLOC.items()
    ):
        # The C library reads them when a process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | TUNED_MALLOC)
    # Otherwise PyTorch's idle worker spins on the core that our second thread needs.
    os.environ["OMP_WAIT_POLICY"] = "passive"
    from pellucid import backend

    options.threads = options.threads or backend.get_num_threads()
    set_threads(options.threads)


def set_threads(count: int) -> None:
    """The number of threads of both libraries."""
    import torch

    from pellucid import backend

    backend.set_num_threads(count)
    torch.set_num_threads(count)


# Networks ------------------------------------------------------------------------------------------------------------


def network_names(chosen: list[str] | None) -> list[str]:
    """The chosen networks, or all; an unknown name ends the script with what there is."""
    from pellucid import PellucidError, zoo

    try:
        for name in chosen or []:
            zoo.describe(name)
    except PellucidError as error:
        raise SystemExit(str(error)) from None
    return chosen or zoo.names()


def make_network(name: str, learning_rate: float = 1e-3) -> Any:
    """A network of the zoo for the images it is made for, ready to train with SGD. No metrics: PyTorch computes none either."""
    from pellucid import zoo

    shape = next((shape for ending, shape in FAMILIES.items() if name.endswith(ending)), (32, 32, 3))
    model = zoo.build(name, shape, 10)
    loss = "binary_crossentropy" if model.final_activation == "sigmoid" else "categorical_crossentropy"
    model.compile("sgd", loss, learning_rate=learning_rate, metrics=())
    return model


def make_images(model: Any, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random images (N, H, W, C), as a network sees them, and labels."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, *model.input_shape), np.float32)
    return x, rng.integers(model.output_shape(model.input_shape)[-1], size=count)


def run_process(engine: str, model: Any, *, threads: int, variables: dict[str, str] | None = None, **task: Any) -> Any:
    """Train in a fresh process that holds one library only: "pellucid", or a memory format of PyTorch. See ``process.py``."""
    import torch_twin

    task |= {"network": model.name, "threads": threads, **torch_twin.describe(model)._asdict()}
    counts = dict.fromkeys(("PELLUCID_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    # Alone in its process, PyTorch runs as its users run it: without our wait policy.
    alone = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, HERE / "process.py", engine],
        input=json.dumps(task), env=alone | counts | (variables or {}), capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{engine} could not train {model.name}: {done.stderr.strip()[-2000:]}")
    report = json.loads(done.stdout)
    if report["torch_loaded"] == (engine == "pellucid") or report["numba_loaded"] == (engine != "pellucid"):
        raise RuntimeError(f"The process of {engine} did not hold its own library only: {report}")
    return report


# Timing --------------------------------------------------------------------------------------------------------------


def interleave(
    contenders: dict[str, Callable[[], object]], runs: int, *, seconds: float = 0.1
) -> tuple[dict[str, list[float]], int]:
    """Seconds per call in each round, and how many calls a round has of each contender.

    All take part in every round, one after another and in turned order every other round, so that what else happens on the
    machine hits all of them. A round has as many calls as fit into ``seconds`` for the quickest, the same for all. What the
    first calls compile or lay out is not counted.
    """
    quickest = math.inf
    for run in contenders.values():
        run()
        start = time.perf_counter()
        run()
        quickest = min(quickest, time.perf_counter() - start)
    calls = max(1, min(1000, round(seconds / quickest)))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(runs):
        for name in list(contenders) if number % 2 == 0 else reversed(contenders):
            run = contenders[name]
            start = time.perf_counter()
            for _ in range(calls):
                run()
            times[name].append((time.perf_counter() - start) / calls)
    return times, calls


def spread(values: Any) -> dict[str, Any]:
    """Median and quartiles.

    >>> spread([3, 1, 2])
    {'median': 2.0, 'quartiles': [1.5, 2.5]}
    """
    low, median, high = (float(f"{q:.4g}") for q in np.quantile(values, (0.25, 0.5, 0.75)))
    return {"median": median, "quartiles": [low, high]}


def compare(times: dict[str, list[float]], ours: str = "pellucid") -> dict[str, Any]:
    """Medians of all contenders, and the paired ratios (theirs over ours, round by round) of all others.

    ``best`` is the other contender with the smallest median time; ``ratio`` and ``quartiles`` are those against it.
    """
    mine = np.array(times[ours])
    ratios = {name: spread(np.array(values) / mine) for name, values in times.items() if name != ours}
    best = min(ratios, key=lambda name: float(np.median(times[name])))
    return {
        "milliseconds": {name: spread(1e3 * np.array(values)) for name, values in times.items()},
        "ratios": ratios,
        "best": best,
        "ratio": ratios[best]["median"],
        "quartiles": ratios[best]["quartiles"],
    }


def share(amounts: dict[str, list[float]], ours: str = "pellucid") -> dict[str, Any]:
    """The same for amounts of which little is good: ours over the smallest of the others, run by run, as ``ratio``."""
    best = min((name for name in amounts if name != ours), key=lambda name: float(np.median(amounts[name])))
    part = spread(np.array(amounts[ours]) / np.array(amounts[best]))
    return {"best": best, "ratio": part["median"], "quartiles": part["quartiles"]}


# Results -------------------------------------------------------------------------------------------------------------


def receipt(benchmark: str, options: argparse.Namespace, **settings: Any) -> dict[str, Any]:
    """What a figure needs to be believed and repeated; nothing that tells whose machine it was."""
    from pellucid.run.measure import cpu_name

    names = ("pellucid", "torch", "numpy", "numba", "llvmlite")
    versions = {name: importlib.metadata.version(name) for name in names}
    return {
        "benchmark": benchmark,
        "command": _command(options),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": {
            "cpu": cpu_name(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            # Other work on the machine makes any figure worthless.
            "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        },
        "versions": {"python": platform.python_version(), **versions},
        "settings": {"threads": options.threads, "runs": options.runs, **settings},
    }


def _command(options: argparse.Namespace) -> str:
    arguments = [Path(argument).name if "/" in argument or "\\" in argument else argument for argument in sys.argv[1:]]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments])


def _commit() -> str | None:
    """The commit measured; a plus sign says that the package was changed since."""
    try:
        run = {"cwd": HERE, "capture_output": True, "text": True, "check": True, "timeout": 10}
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], **run).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--", "../src"], **run).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")


def save(result: dict[str, Any], options: argparse.Namespace, name: str) -> Path:
    """Write a result as JSON to ``--output``, or under this name to the folder of results."""
    path = options.output or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return path


def variant(name: str, options: argparse.Namespace) -> str:
    """The name of a result: a variant does not overwrite the plain one."""
    parts = [name]
    parts += ["bfloat16"] if getattr(options, "bfloat16", False) else []
    parts += ["tuned-malloc"] if getattr(options, "malloc", "default") == "tuned" else []
    return "-".join(parts)


def headline(result: dict[str, Any]) -> str:
    """The machine and the settings in one line, as a caption."""
    machine, versions, settings = result["machine"], result["versions"], result["settings"]
    return (
        f"{machine['cpu']}, {settings['threads']} threads, PyTorch {versions['torch']}, {settings['runs']} rounds, "
        f"{result['date']}, load at start {machine['load_at_start']}"
    )


def times_x(row: dict[str, Any]) -> str:
    """A ratio with its quartiles: 2.41x (2.35-2.47)."""
    low, high = row["quartiles"]
    return f"{row.get('ratio', row.get('median')):.2f}x ({low:.2f}-{high:.2f})"


def console() -> Any:
    """Where tables go; as wide as they need to be when that is a file."""
    from rich.console import Console

    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=140)
