"""Torture: runs that are killed, interrupted, suspended, starved of disk and cut off at random, and have to end equal.

    python -m tests.torture --minutes 10 --seed 0

Each round takes a network, an optimizer and what else a run may have, trains it once in peace, and then again while one
fault after another happens to it: real processes of the ``pellucid`` command, resumed on any number of threads. In the end
every bit of weights, moving statistics, optimizer, history and best model has to be that of the run in peace.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from pellucid import arrayfile
from pellucid.training import Checkpoint, checkpoints, latest, load_checkpoint

_CONV = '[[model.layers]]\nclass = "Conv2D"\nfilters = 8\nkernel_size = 3\npadding = "same"\nactivation = "relu"\n'
_POOL = '[[model.layers]]\nclass = "MaxPooling2D"\n'
_DROP = '[[model.layers]]\nclass = "Dropout"\nrate = 0.3\n'
_HEAD = '[[model.layers]]\nclass = "Flatten"\n[[model.layers]]\nclass = "Dense"\nunits = 10\nactivation = "softmax"\n'
_NORM = '{ class = "BatchNormalization", momentum = 0.9 }, { class = "ReLU" }'
_BODY = f'{{ class = "Conv2D", filters = 8, kernel_size = 3, padding = "same" }}, {_NORM}'
_RESIDUAL = f'[[model.layers]]\nclass = "Residual"\nbody = {{ class = "Chain", layers = [{_BODY}] }}\n'
PLAIN = _CONV + _POOL + _CONV + _POOL + _DROP + _HEAD  # cnn2, smaller
DEEP = _CONV + _RESIDUAL + _POOL + _DROP + _RESIDUAL + _HEAD

# The options of a run beside its network. "deep-rollback" diverges at first and has to find its way back.
KINDS: dict[str, tuple[str, list[str]]] = {
    "plain-adam": (PLAIN, ["--optimizer", "adam", "--learning-rate", "0.002"]),
    "plain-numpy": (PLAIN, ["--optimizer", "sgd", "--momentum", "0.9", "--backend", "numpy"]),
    "deep-nesterov": (DEEP, ["--optimizer", "sgd", "--momentum", "0.9", "--nesterov", "--early-stopping", "50"]),
    "deep-cosine": (DEEP, ["--optimizer", "adam", "--schedule", "cosine", "--learning-rate", "0.01"]),
    "deep-averages": (
        DEEP,
        ["--optimizer", "adamw", "--averages", "ema", "--accumulate", "2", "--label-smoothing", "0.1"],
    ),
    "plain-augmented": (PLAIN, ["--optimizer", "rmsprop", "--augment", "flip,shift", "--global-clipnorm", "1"]),
    "deep-rollback": (DEEP, ["--optimizer", "sgd", "--learning-rate", "1e25", "--rollback", "1e-9"]),
    "deep-muon": (DEEP, ["--optimizer", "muon", "--schedule", "linear", "--freeze", "conv1"]),
    "plain-lookahead": (
        PLAIN,
        ["--optimizer", "sgd", "--schedule", "cosine", "--warmup", "0.2", "--averages", "lookahead"],
    ),
    "plain-plateau": (PLAIN, ["--optimizer", "rmsprop", "--schedule", "plateau:patience=0", "--views", "mirror"]),
    "deep-one-cycle": (DEEP, ["--optimizer", "adamw", "--schedule", "one_cycle", "--accumulate", "3"]),
    "plain-no-shuffle": (PLAIN, ["--optimizer", "adagrad", "--no-shuffle", "--limit-batches", "5"]),
    "deep-float64": (DEEP, ["--optimizer", "adam", "--schedule", "cosine", "--averages", "ema"]),
}
EPOCHS = 40
PATIENCE = 1800  # seconds for a run to end, on a machine that may be busy with other things

FAULTS = {
    "SIGKILL": 12, "SIGTERM": 2, "SIGINT": 2, "SIGINT twice": 2, "SIGHUP": 1, "suspend": 2, "full disk": 3, "truncate": 2,
    "garbage": 2, "checkpoint lost": 1, "second process": 1,
}  # fmt: skip
KILLS = ("SIGKILL", "suspend", "full disk")  # those that end in SIGKILL


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kills", type=int, help="stop after so many SIGKILLs, the round finished")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, action="append")
    options = parser.parse_args(arguments)
    deadline, chance, done = time.monotonic() + 60 * options.minutes, random.Random(options.seed), Counter()
    with tempfile.TemporaryDirectory() as place:
        torture = Torture(Path(place), chance)
        kinds = options.kind or list(KINDS)
        while time.monotonic() < deadline and (options.kills is None or torture.kills < options.kills):
            kind = kinds[sum(done.values()) % len(kinds)]
            difference = torture.round(kind)
            done[kind] += 1
            print(f"{kind}: {difference or 'equal'}; so far {torture.kills} kills, {dict(torture.faults)}", flush=True)
            if difference:
                kept = shutil.copytree(torture.folder, tempfile.mkdtemp(prefix="torture-"), dirs_exist_ok=True)
                print(f"The folder is kept in {kept}.", flush=True)
                return 1
    print(
        f"{sum(done.values())} rounds, {torture.kills} kills ({dict(torture.moments)}), every run equal to the one in peace."
    )
    return 0


class Torture:
    """``faults`` and ``kills`` count what has happened, ``moments`` where the kills hit; ``folder`` is the run in hand."""

    def __init__(self, place: Path, chance: random.Random) -> None:
        self.place, self.chance = place, chance
        self.faults: Counter[str] = Counter()
        self.moments: Counter[str] = Counter()
        self.kills = 0
        self.peaceful: dict[str, dict[str, Any]] = {}
        digits = load_digits()
        x, y = digits.images[:360].astype(np.uint8)[..., None] * 15, digits.target[:360]
        np.savez(place / "digits.npz", x=x[:280], y=y[:280], x_test=x[280:], y_test=y[280:])

    def round(self, kind: str) -> str | None:
        """Ruin one run until it has come to its end; what is different then, None if nothing is."""
        if kind not in self.peaceful:
            folder = self.place / "peace" / kind
            self.finish(self.start(folder, kind))
            self.peaceful[kind] = what_counts(folder)
        self.folder = self.place / "war" / f"{kind}-{sum(self.faults.values())}"
        while not concluded(self.folder):
            fault = self.chance.choices(list(FAULTS), list(FAULTS.values()))[0]
            self.faults[fault] += 1
            self.suffer(kind, fault)
            if self.folder.exists() and (self.folder / "config.toml").exists():
                latest(self.folder / "checkpoints", lambda text: None)  # raises if the folder cannot be read
        found = different(self.peaceful[kind], what_counts(self.folder))
        if found is None:
            shutil.rmtree(self.folder)
        return found

    def start(self, folder: Path, kind: str) -> subprocess.Popen[str]:
        """Begin a run, or go on with it, on any number of threads."""
        threads = ["--threads", str(self.chance.choice((1, 2, 3))), "--no-report"]
        if (folder / "config.toml").exists():
            arguments = ["resume", str(folder), *threads]
        else:
            shutil.rmtree(folder, ignore_errors=True)  # killed before there was anything to resume
            folder.parent.mkdir(exist_ok=True)
            network, options = KINDS[kind]
            settings = folder.with_suffix(".toml")
            settings.write_text(f'[data]\nsource = "{self.place}/digits.npz"\n[model]\nname = "own"\n{network}')
            every = ["--checkpoint.every-steps", "3", "--batch-size", "32", "--epochs", str(EPOCHS), "--seed", "7"]
            arguments = ["train", str(settings), *options, *every, *threads, "--out", str(folder)]
        program = [str(Path(__file__).with_name("double.py"))] if kind.endswith("float64") else ["-m", "pellucid"]
        command = [sys.executable, *program, *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, **pipes, preexec_fn=_as_in_a_shell)  # type: ignore[call-overload]

    def finish(self, process: subprocess.Popen[str], *, status: int | None = 0) -> None:
        """Wait for the end of a process, which must not complain."""
        out, _ = process.communicate(timeout=PATIENCE)
        if (status is not None and process.returncode != status) or "Traceback" in out:
            raise SystemExit(f"{' '.join(process.args)} ended with {process.returncode}:\n{out}")  # type: ignore[arg-type]

    def suffer(self, kind: str, fault: str) -> None:
        """Go on with the run and let one fault happen to it."""
        if fault in ("truncate", "garbage", "checkpoint lost"):
            damage(self.folder, fault, self.chance)
            return
        process = self.start(self.folder, kind)
        self.wait_for_some_moment(process)
        if process.poll() is not None:  # it was faster
            self.finish(process)
            return
        if fault == "second process":
            other = self.start(self.folder, kind)
            self.finish(other, status=2 if process.poll() is None else None)
            process.kill()
        elif fault == "full disk":
            limit = self.chance.choice((0, 1000, 20_000))
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
            time.sleep(self.chance.uniform(0, 0.5))
        elif fault == "suspend":
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.2)
            process.send_signal(signal.SIGCONT)
            time.sleep(self.chance.uniform(0, 0.1))
        for _ in range(2 if fault.endswith("twice") else 1):
            number = getattr(signal, fault.split()[0], signal.SIGKILL)
            process.send_signal(number)
            time.sleep(self.chance.uniform(0, 0.01))
        if fault in KILLS:
            process.communicate()
            if process.returncode == -signal.SIGKILL:
                self.kills += 1
                self.moments[moment(self.folder)] += 1
        else:
            expected = {"SIGTERM": (0, 143), "SIGINT": (0, 130), "SIGHUP": (0, 129)}.get(fault)
            out, _ = process.communicate(timeout=PATIENCE)
            if "Traceback" in out or (expected and process.returncode not in (*expected, -getattr(signal, fault))):
                raise SystemExit(f"{fault}: the run ended with {process.returncode}:\n{out}")

    def wait_for_some_moment(self, process: subprocess.Popen[str]) -> None:
        """While the program starts, or after some checkpoints, in the middle of whatever comes then."""
        if self.chance.random() < 0.15:
            time.sleep(self.chance.uniform(0, 2.0))
            return
        folder = self.folder / "checkpoints"
        first, some = newest(folder), self.chance.choice((1, 1, 2, 5, 10, 30))
        while process.poll() is None and newest(folder) < first + 3 * some:
            time.sleep(0.001)
        time.sleep(self.chance.choice((0, self.chance.uniform(0, 0.02))))


def _as_in_a_shell() -> None:
    """Signals that are ignored where the torture itself runs in the background are not here."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)


def newest(folder: Path) -> int:
    """The step of the newest checkpoint, 0 without any."""
    return max((step for step, _ in checkpoints(folder)), default=0)


def moment(folder: Path) -> str:
    """Where a kill has hit, as far as one can see."""
    if any(folder.rglob(".*.tmp")):
        return "in the middle of a write"
    return "in training" if checkpoints(folder / "checkpoints") else "before the first checkpoint"


def damage(folder: Path, fault: str, chance: random.Random) -> None:
    """Cut off, overwrite or remove the newest checkpoint, if there is one before it."""
    files = [path for _, path in checkpoints(folder / "checkpoints")]
    if len(files) < 2:
        return
    size = files[-1].stat().st_size
    if fault == "truncate":
        os.truncate(files[-1], chance.randrange(size))
    elif fault == "checkpoint lost":
        files[-1].unlink()
    else:
        with open(files[-1], "rb+") as file:
            file.seek(chance.randrange(size - 64))
            file.write(os.urandom(64))


def rows(folder: Path) -> list[dict[str, Any]]:
    """The lines of the metrics, without what a clock decides."""
    try:
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    except OSError:
        return []
    return [{key: value for key, value in row.items() if key not in ("seconds", "images_per_second")} for row in lines]


def concluded(folder: Path) -> bool:
    """Whether the test has been made, which is the last thing a run does."""
    return any("test_accuracy" in row for row in rows(folder)[-1:])


def what_counts(folder: Path) -> dict[str, Any]:
    """All that has to be equal, by name."""
    last: Checkpoint = load_checkpoint(checkpoints(folder / "checkpoints")[-1][1])
    found: dict[str, Any] = {f"row {n}": row for n, row in enumerate(rows(folder), 1)}
    for kind in ("params", "state", "slots"):
        found |= {f"{kind}/{path}": array.tobytes() for path, array in getattr(last, kind).items()}
    found |= {"iterations": last.iterations, "optimizer": last.optimizer, "callbacks": repr(last.callbacks)}
    progress = last.progress
    found |= {"position": (progress.epoch, progress.step), "rollbacks": progress.rollbacks}
    _, arrays = arrayfile.read(folder / "model.safetensors", checked=True)
    return found | {f"model {path}": array.tobytes() for path, array in arrays.items()}


def different(one: dict[str, Any], other: dict[str, Any]) -> str | None:
    """What differs, None if nothing does."""
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return f"{', '.join(names[:8])} of {len(names)} differ" if names else None


if __name__ == "__main__":
    sys.exit(main())
