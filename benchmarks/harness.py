"""What the scripts in this folder share: their options, and processes that hold one library only.

What is measured and how it is timed is ``pellucid.benchmark``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pellucid import PellucidError, zoo
from pellucid.benchmark import against_torch
from pellucid.benchmark.pytorch import setup
from pellucid.benchmark.receipt import Result, receipt
from pellucid.benchmark.series import series

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"

# glibc returns every block above 32 MB to the system and fetches it anew, zeroed page by zeroed page, in every step. With these
# it keeps them. Hardly anybody sets them, but a comparison should say what PyTorch could do.
TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "1000000000",
}


def parser(description: str | None, *, networks: list[str] | None = None, runs: int = 15) -> argparse.ArgumentParser:
    """The options that all benchmarks have; ``networks`` None means every network of the zoo."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    shown = "every network of the zoo" if networks is None else f"{' '.join(networks)} (all: every network of the zoo)"
    options.add_argument("--networks", nargs="+", default=networks, metavar="NAME", help=f"default: {shown}")
    options.add_argument("--runs", type=positive, default=runs, metavar="N", help=f"rounds; default: {runs}")
    options.add_argument("--threads", type=positive, default=None, metavar="N", help="of both; default: all cores")
    options.add_argument(
        "--output", type=Path, default=None, metavar="FILE", help="default: a file in benchmarks/results"
    )
    return options


def add_torch_options(options: argparse.ArgumentParser) -> None:
    """How PyTorch takes part."""
    options.add_argument("--compiled", action="store_true", help="PyTorch through torch.compile too")
    options.add_argument(
        "--bfloat16",
        action="store_true",
        help="PyTorch in bfloat16 (autocast) against our float32; training steps against our bfloat16 too",
    )
    options.add_argument("--malloc", choices=("default", "tuned"), default="default", help="the C library's settings")


def positive(text: str) -> int:
    """A whole number of at least 1, from the command line."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; wanted a whole number of at least 1")
    return int(text)


def prepare(options: argparse.Namespace) -> None:
    """Set what has to be set before PyTorch is loaded, and the threads of both libraries."""
    tuned = getattr(options, "malloc", "default") == "tuned"
    if tuned and any(os.environ.get(k) != v for k, v in TUNED_MALLOC.items()):
        # The C library reads them when a process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | TUNED_MALLOC)
    try:
        setup.prepare(options.threads)
    except PellucidError as error:
        raise SystemExit(str(error)) from None


def command() -> list[str]:
    """What was typed."""
    return ["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]


def network_names(chosen: list[str] | None) -> list[str]:
    """The chosen networks, or all; an unknown name ends the script with what there is."""
    if chosen is None or chosen == ["all"]:
        return zoo.names()
    try:
        for name in chosen:
            zoo.describe(name)
    except PellucidError as error:
        raise SystemExit(str(error)) from None
    return chosen


def output(options: argparse.Namespace, name: str) -> Path:
    """Where the result goes; a variant does not overwrite the plain one."""
    parts = [name]
    parts += ["bfloat16"] if getattr(options, "bfloat16", False) else []
    parts += ["tuned-malloc"] if getattr(options, "malloc", "default") == "tuned" else []
    return options.output or RESULTS / f"{'-'.join(parts)}.json"


def compare(task: str, options: argparse.Namespace, settings: tuple[str, ...]) -> int:
    """Run a comparison of ``pellucid.benchmark``; 1 if a network was refused."""
    prepare(options)
    values = {name: getattr(options, name) for name in ("runs", *settings, "bfloat16", "compiled")}
    names, path = network_names(options.networks), output(options, task)
    _, status = against_torch.against_torch(task, names, command(), values, path=path, malloc=options.malloc)
    return status


def measure(
    benchmark: str,
    options: argparse.Namespace,
    settings: tuple[str, ...],
    row: Callable[[str, argparse.Namespace], dict[str, Any]],
    *,
    line: Callable[[dict[str, Any]], str],
    table: Callable[[Result], Any],
) -> int:
    """Run a benchmark of this folder, network after network; 1 if a network was refused."""
    result = receipt(benchmark, command(), **{name: getattr(options, name) for name in ("runs", *settings)})
    names = network_names(options.networks)
    path = output(options, benchmark)
    return series(result, names, lambda name: row(name, options), line=line, table=table, path=path)


def run_process(engine: str, model: Any, *, threads: int, variables: dict[str, str] | None = None, **task: Any) -> Any:
    """Train in a fresh process that holds one library only: "pellucid", or a memory format of PyTorch. See ``process.py``."""
    from pellucid.benchmark.pytorch import twin

    task |= {"network": model.name, "threads": threads, **twin.describe(model)._asdict()}
    counts = dict.fromkeys(("PELLUCID_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    done = subprocess.run(
        [sys.executable, HERE / "process.py", engine],
        input=json.dumps(task), env=os.environ | counts | (variables or {}), capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{engine} could not train {model.name}: {done.stderr.strip()[-2000:]}")
    report = json.loads(done.stdout)
    if report["torch_loaded"] == (engine == "pellucid") or report["kernels_loaded"] == (engine != "pellucid"):
        raise RuntimeError(f"The process of {engine} did not hold its own library only: {report}")
    return report
