"""Torture: trainings that are killed, interrupted, stopped, cut off and starved of disk at random, and have to end equal.

    python -m tests.training.torture --minutes 10 --seed 0

Each round takes a network, an optimizer and a precision, ruins the training again and again until it has come to its
end, and compares weights, optimizer and metrics with the uninterrupted training, bit for bit.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .models import lines, timeless
from .test_faults import start

OPTIMIZERS = ("sgd", "adam", "lookahead", "accumulated", "plateau", "muon")
KINDS = [["--optimizer", o, "--dtype", d] for o in OPTIMIZERS for d in ("float32", "float64")]
FAULTS = (
    "SIGKILL",
    "SIGKILL",
    "SIGKILL",
    "SIGTERM",
    "SIGINT",
    "SIGINT twice",
    "suspend",
    "full disk",
    "truncate",
    "garbage",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    deadline, chance = time.monotonic() + 60 * options.minutes, random.Random(options.seed)
    done: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        references = {}
        while time.monotonic() < deadline:
            kind = chance.choice(KINDS)
            name = "-".join(kind[1::2])
            if name not in references:
                references[name] = run_to_the_end(Path(place) / "whole" / name, kind)
            folder = Path(place) / "ruined" / f"{name}-{sum(done.values())}"
            while not Path(f"{folder}.result").exists():
                fault = chance.choice(FAULTS)
                done[fault] += 1
                suffer(folder, kind, fault, chance)
            if run_to_the_end(folder, kind) != references[name]:
                sys.exit(f"{folder} differs from the uninterrupted training after {dict(done)}")
            print(f"{name}: equal, after {sum(done.values())} faults so far: {dict(done)}", flush=True)


def run_to_the_end(folder: Path, kind: list[str]) -> tuple[bytes, list]:
    """Train without interruption, if there is anything left to train; returns all that has to be equal."""
    folder.parent.mkdir(exist_ok=True)
    with start(folder, *kind) as process:
        _, err = process.communicate()
    if process.returncode:
        sys.exit(f"{folder} could not be resumed:\n{err}")
    return Path(f"{folder}.result").read_bytes(), timeless(lines(folder / "metrics.jsonl"))


def suffer(folder: Path, kind: list[str], fault: str, chance: random.Random) -> None:
    """Go on with a training and let one fault happen to it."""
    folder.parent.mkdir(exist_ok=True)
    if fault in ("truncate", "garbage"):
        damage(folder, fault, chance)
        return
    extra = ["--fsize", str(chance.choice([1000, 5000]))] if fault == "full disk" else ["--slow", "0.01"]
    with start(folder, *kind, *extra, stdout=subprocess.DEVNULL) as process:
        time.sleep(chance.uniform(0.5, 3.0))  # the start takes about a second, the training another
        if fault == "suspend":
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.3)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.2)
        for _ in range(2 if fault.endswith("twice") else 1):
            process.send_signal(getattr(signal, fault.split()[0], signal.SIGKILL))
            time.sleep(chance.uniform(0, 0.01))
        process.communicate()
    if fault == "full disk":
        Path(f"{folder}.result").unlink(missing_ok=True)


def damage(folder: Path, fault: str, chance: random.Random) -> None:
    """Cut off or overwrite the newest checkpoint, if there is one before it."""
    files = sorted((folder / "checkpoints").glob("step-*.safetensors"))
    if len(files) < 2:
        return
    size = files[-1].stat().st_size
    if fault == "truncate":
        os.truncate(files[-1], chance.randrange(size))
    else:
        with open(files[-1], "rb+") as file:
            file.seek(chance.randrange(size - 64))
            file.write(os.urandom(64))


if __name__ == "__main__":
    main()
