"""What it costs to lose nothing: training with checkpoints and without, with a look for NaN in every step and without.

    python benchmarks/checkpoints.py
    python benchmarks/checkpoints.py --networks cnn2 resnet9 --every 50 --folder /mnt/slow

Rounds with and without take turns, in the same process and with the same network, Adam and batch. A round with checkpoints
has one of them in its middle, written beside the steps that follow as in a run. A round is short (``--steps``), so that the
cost of a checkpoint stands out of the noise; it is given as a share of the ``--every`` steps that a run takes from one to
the next. The overhead is the median over rounds of (time with - time without in the same round), in percent of those steps,
given with its quartiles and with how sure the median is (95 %, by drawing the rounds again); ``held`` is how long the loop
itself waited for a checkpoint or a look.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np

from pellucid import Sequential, backend
from pellucid.benchmark import networks, timing
from pellucid.benchmark.receipt import Result
from pellucid.nonfinite import first_of
from pellucid.training import Callback, Checkpointer, Progress, Training
from pellucid.training.nonfinite import Batch

PRECAUTIONS = ("checkpoints", "looks")


class Timed(Checkpointer):
    """Knows how long it held up the training."""

    seconds, written = 0.0, 0

    def on_batch_end(self, training: Training, scores: dict[str, float]) -> None:
        start = time.perf_counter()
        super().on_batch_end(training, scores)
        self.seconds += time.perf_counter() - start
        self.written += training.progress.step % (self.every_steps or 1) == 0


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Time one network; a row of the result."""
    model = networks.network(name)
    model.compile("adam", model.loss, metrics=())
    x, y = networks.images(model, options.batch)
    batch = Batch(x, y, None, np.arange(options.batch))
    return {
        "checkpoints": _checkpoints(model, batch, options),
        "looks": _looks(model, batch, options),
    }


def _checkpoints(model: Sequential, batch: Batch, options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix=".checkpoints-", dir=options.folder) as folder:
        checkpointer = Timed(folder, every_steps=options.steps, every_seconds=None, background=True)
        watched, alone = _training(model, batch, options, [checkpointer]), _training(model, batch, options, [])
        with watched.watched():
            rounds = {"with": _steps(watched, batch, options.steps), "without": _steps(alone, batch, options.steps)}
            times, _ = timing.interleave(rounds, options.runs, seconds=0)
        size = max(path.stat().st_size for path in Path(folder).iterdir())
    held = 1e3 * checkpointer.seconds / max(checkpointer.written, 1)
    return _row(times, options.steps, options.every) | {"held_milliseconds": float(f"{held:.4g}"), "bytes": size}


def _looks(model: Sequential, batch: Batch, options: argparse.Namespace) -> dict[str, Any]:
    """The step of a training against the same without its look at loss and gradient, and the look at all weights alone."""
    which: dict[str, Any] = {"epoch": 0, "indices": batch.indices}
    trained = _training(model, batch, options, [])

    def blind() -> None:
        resting = model.optimizer.resting(model.params)  # type: ignore[union-attr]
        _, gradients = model.gradients(batch.x, batch.y, **which, without=resting)
        model.optimizer.apply(model.params, gradients, model.state)  # type: ignore[union-attr]

    rounds = {"with": lambda: trained.step(batch), "without": blind}
    times, calls = timing.interleave(rounds, options.runs, seconds=0.25)
    _, gradients = model.gradients(batch.x, batch.y, **which)
    last = next(reversed(gradients.values()))
    looks = {"step": lambda: last.sum(), "epoch": trained.check_weights}
    held, _ = timing.interleave(looks, options.runs, seconds=0.01)
    assert first_of(model.params) is None
    return _row(times, 1, 1) | {
        "steps_per_round": calls,
        "held_milliseconds": {name: timing.spread(1e3 * np.array(seconds)) for name, seconds in held.items()},
    }


def _training(model: Sequential, batch: Batch, options: argparse.Namespace, callbacks: list[Callback]) -> Training:
    progress = Progress(step=options.steps // 2)  # so that the checkpoint is due in the middle of a round
    progress.begin({"images": len(batch.x), "batch_size": len(batch.x), "limit_batches": None})
    return Training(model, progress, 1, callbacks, validated=False)


def _steps(training: Training, batch: Batch, count: int) -> Callable[[], None]:
    """The inner loop of ``pellucid.training.loop.fit``."""

    def run() -> None:
        for _ in range(count):
            scores = training.step(batch)
            training.progress.add(scores, len(batch.x), 0.0)
            training.tell("on_batch_end", scores)

    return run


def _row(times: dict[str, list[float]], steps: int, every: int) -> dict[str, Any]:
    """Rounds of so many steps, each with one precaution that a run takes once in ``every`` steps."""
    seconds = {way: np.array(values) for way, values in times.items()}
    lost = (seconds["with"] - seconds["without"]) / (seconds["without"] * every / steps)
    again = np.random.default_rng(0).choice(lost, (2000, len(lost)))
    return {
        "milliseconds_per_step": {way: timing.spread(1e3 * values / steps) for way, values in seconds.items()},
        "overhead_percent": timing.spread(100 * lost)
        | {"sure": [float(f"{100 * q:.3g}") for q in np.quantile(np.median(again, axis=1), (0.025, 0.975))]},
    }


def line(row: dict[str, Any]) -> str:
    """A row in a few words."""
    return ", ".join(f"{name} {_percent(row[name])}" for name in PRECAUTIONS)


def _percent(row: dict[str, Any]) -> str:
    low, high = row["overhead_percent"]["sure"]
    return f"{row['overhead_percent']['median']:+.2f} % ({low:+.2f} to {high:+.2f})"


def table(result: Result) -> Any:
    """The result as a table."""
    from rich.table import Table

    every = result["settings"]["every"]
    headings = ("network", "ms a step", f"a checkpoint every {every} steps", "held", "a look in every step", "held")
    shown = Table(*headings, title="Time of training that is spent on losing nothing")
    for row in result["networks"]:
        saving, looking = (row[name] for name in PRECAUTIONS)
        shown.add_row(
            row["network"],
            f"{saving['milliseconds_per_step']['without']['median']:.2f}",
            _percent(saving),
            f"{saving['held_milliseconds']:.2f} ms",
            _percent(looking),
            f"{1e3 * looking['held_milliseconds']['step']['median']:.1f} µs",
        )
    return shown


def main() -> int:
    """Measure, print, save."""
    parser = harness.parser(__doc__, networks=["cnn2"], runs=200)
    parser.add_argument("--batch", type=harness.positive, default=64, metavar="N", help="images a step; default: 64")
    parser.add_argument("--every", type=harness.positive, default=100, metavar="N", help="steps; default: 100")
    parser.add_argument("--steps", type=harness.positive, default=20, metavar="N", help="of a round; default: 20")
    parser.add_argument("--folder", type=Path, default=Path(), help="whose disk is written to; default: this one")
    options = parser.parse_args()
    if options.threads:
        backend.set_num_threads(options.threads)
    return harness.measure("checkpoints", options, ("batch", "every", "steps"), measure, line=line, table=table)


if __name__ == "__main__":
    raise SystemExit(main())
