"""What a figure needs to be believed and repeated; nothing that tells whose machine it was."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import backend

LIBRARIES = ("pellucid", "torch", "numpy", "numba", "llvmlite")
Result = dict[str, Any]


def receipt(benchmark: str, command: Sequence[str], **settings: Any) -> Result:
    """The head of a result: command, date, commit, machine, versions, settings.

    >>> receipt("training", ["python", "benchmarks/training.py", "--output", "/home/me/a.json"], batch=64)["command"]
    'python benchmarks/training.py --output a.json'
    """
    return {
        "benchmark": benchmark,
        "command": " ".join([*command[:2], *map(_last_part, command[2:])]),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": {
            "cpu": cpu_name(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            # Other work on the machine makes any figure worthless.
            "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        },
        "versions": {"python": platform.python_version(), **_versions()},
        "settings": {"threads": backend.get_num_threads(), **settings},
    }


def headline(result: Result) -> str:
    """The machine and the settings in one line, as a caption."""
    machine, settings = result["machine"], result["settings"]
    return (
        f"{machine['cpu']}, {settings['threads']} threads, PyTorch {result['versions'].get('torch')}, "
        f"{settings['runs']} rounds, {result['date']}, load at start {machine['load_at_start']}"
    )


def save(result: Any, path: Path) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def cpu_name() -> str:
    """The processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _last_part(argument: str) -> str:
    return Path(argument).name if "/" in argument or "\\" in argument else argument


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """The commit measured, None outside of pellucid's own repository; a plus sign says that the package was changed since."""
    package = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=package, capture_output=True, text=True, check=True, timeout=10
        )  # fmt: skip
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # installed within a repository of something else, it is not
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None
