"""``train`` and ``resume``: from settings to a run folder with a tested model in it."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import RunConfig, complete, read
from ..doctor import Watch
from ..errors import DataError, PellucidError
from ..files import write_text
from ..model import Sequential, load
from ..training import (
    BestModel,
    Callback,
    Checkpointer,
    EarlyStopping,
    Evidence,
    History,
    KeepFolder,
    MetricsFile,
    NonFiniteLossError,
    Progress,
    Rollback,
    RunFolder,
    StopOnSignal,
    TimeLimit,
    fit,
    latest,
    read_written,
    restore,
)
from ..training.callbacks import reason
from ..training.display import Display
from .prepare import Prepared, prepare
from .record import record_data, with_absolute_paths
from .rehearse import rehearse
from .scoring import Evaluation, score
from .words import Say, conclude, introduce, say_aloud

_EXIT_STATUS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}  # what a shell reports of a process ended by the signal


@dataclass(frozen=True)
class Result:
    """What a run came to. ``model`` is the best one, ``test`` its score where there is a test part; a dry run has no folder."""

    model: Sequential
    history: History
    folder: Path | None = None
    test: Evaluation | None = None

    @property
    def exit_status(self) -> int:
        """0, or what a shell expects of a process that a signal has stopped."""
        return _EXIT_STATUS.get(self.history.stop_reason or "", 0)


def train(
    config: RunConfig, out: str | os.PathLike[str] | None = None, *, dry_run: bool = False, say: Say = say_aloud
) -> Result:
    """Train a network as ``config`` says, in a new run folder ``out``; see ``pellucid.training.RunFolder`` for what is in it.

    Raises
    ------
    PellucidError
        for settings or data that make no sense, and for a folder that is there already.
    """
    path = Path(out) if out is not None else default_folder(complete(config))
    if out is not None and path.exists() and (not path.is_dir() or any(path.iterdir())):
        RunFolder.create(path, "")  # refuses in its own words, before the data are loaded
    prepared = prepare(with_absolute_paths(config))
    introduce(prepared, say)
    if dry_run:
        history = rehearse(prepared, path, say)
        return Result(prepared.model, history)
    folder = RunFolder.create(path, prepared.config.to_toml())
    with folder.locked():
        record_data(folder, prepared)
        return _run(prepared, folder, None, _callbacks(prepared, folder), say)


def resume(
    path: str | os.PathLike[str],
    overrides: Mapping[str, Any] | None = None,
    *,
    accept_other_data: bool = False,
    say: Say = say_aloud,
) -> Result:
    """Go on with the run in the folder ``path`` from its last checkpoint; ``overrides`` by dotted names, such as more epochs.

    Raises
    ------
    PellucidError
        if it is no run, nothing is left to do, or the data are not those of the run.
    """
    folder = RunFolder.open(path)
    with folder.locked():
        config = read(folder.config, overrides)
        checkpoint = latest(folder.checkpoints, say)
        done = checkpoint.progress if checkpoint is not None else Progress()
        if done.epoch >= (config.training.epochs or 0) and read_written(folder).concluded:
            raise PellucidError(
                f"{folder.path} has finished all of its {done.epoch} epochs. To train longer name their total: "
                f"pellucid resume {shlex.quote(str(folder.path))} --epochs {2 * done.epoch}"
            )
        if done.finished and not overrides:
            raise PellucidError(
                f"{folder.path} has come to its end: {done.stop_reason}. To train longer all the same, be more patient: "
                f"pellucid resume {shlex.quote(str(folder.path))} --early-stopping {2 * (config.training.early_stopping or 5)}"
            )
        prepared = prepare(config)
        callbacks = _callbacks(prepared, folder)
        progress = None
        if checkpoint is not None:
            if not accept_other_data:
                try:
                    checkpoint.check_data(prepared.dataset.fingerprint)
                except DataError as error:
                    raise DataError(f"{error} The flag for that is --accept-other-data.") from None
            progress = restore(checkpoint, prepared.model, callbacks)
            progress.finished = False
            if accept_other_data:
                progress.accept(len(prepared.train))
        introduce(prepared, say)
        if progress is not None and progress.epoch < (config.training.epochs or 0):
            say(f"Going on in epoch {progress.epoch + 1} of {config.training.epochs}, after step {progress.step:,}.")
        if overrides:
            write_text(folder.config, prepared.config.to_toml())
        record_data(folder, prepared)
        return _run(prepared, folder, progress, callbacks, say)


def default_folder(config: RunConfig) -> Path:
    """``runs/<data>-<network>-<date>-<time>``, with a number behind it where that is taken."""
    source = Path(config.data.source).expanduser()
    name = f"{source.stem or source.resolve().name}-{config.model.name}"
    plain = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    path = Path("runs") / f"{plain}-{time.strftime('%Y%m%d-%H%M%S')}"
    number = 2
    while path.exists():
        path = path.with_name(f"{path.name.partition('+')[0]}+{number}")
        number += 1
    return path


def _run(
    prepared: Prepared, folder: RunFolder, progress: Progress | None, callbacks: list[Callback], say: Say
) -> Result:
    """Train, then test the best model and say what has come of it."""
    training, model, validation = prepared.config.training, prepared.model, prepared.validation
    try:
        history = fit(
            model,
            prepared.train.x,
            prepared.train.y,
            batch_size=training.batch_size or 64,
            epochs=training.epochs or 1,
            seed=prepared.config.seed,
            shuffle=training.shuffle,
            validation=None if validation is None else (validation.x, validation.y),
            callbacks=callbacks,
            progress=progress,
            limit_batches=training.limit_batches,
            augment=model.augmenter(training.augment),
        )
    except NonFiniteLossError:
        path = shlex.quote(str(folder.path))
        say(f"To go on from the last good checkpoint with a tenth of the rate: pellucid resume {path} --rollback 0.1")
        raise
    if history.stop_reason in _EXIT_STATUS:  # somebody is waiting for the prompt; the resume command has been printed
        return Result(model, history, folder.path)
    best = load(folder.model) if folder.model.is_file() else model
    test = None
    if prepared.dataset.test is not None and training.overfit is None:
        test = score(best, prepared.dataset.test, prepared.dataset, "test")
        row = {"best_epoch": best.training_summary.get("epoch"), "test_loss": test.loss, "test_accuracy": test.accuracy}
        low, high = test.interval
        row |= {"test_images": test.images, "test_accuracy_low": low, "test_accuracy_high": high}
        metrics = next(callback for callback in callbacks if isinstance(callback, MetricsFile))
        try:
            metrics.append(row)
        except OSError as error:
            say(f"The line of the test could not be written to {metrics.path} ({reason(error)}).")
    conclude(best, test, folder, prepared, history, say)
    return Result(best, history, folder.path, test)


def _callbacks(prepared: Prepared, folder: RunFolder) -> list[Callback]:
    config = prepared.config
    training, checkpoint = config.training, config.checkpoint
    monitor = training.monitor or ("val_loss" if prepared.validation is not None else "train_loss")
    checkpointer = Checkpointer(
        folder.checkpoints,
        every_steps=checkpoint.every_steps,
        every_seconds=checkpoint.every_seconds,
        keep=checkpoint.keep,
        background=True,
        data=prepared.dataset.fingerprint,
    )
    callbacks: list[Callback] = [
        StopOnSignal(f"pellucid resume {shlex.quote(str(folder.path))}"),
        KeepFolder(folder, "data.json"),
        MetricsFile(folder.metrics),
        BestModel(folder.model, monitor=monitor),
        Evidence(folder.failures),
        checkpointer,
        Display(),
    ]
    if training.doctor:
        validation = prepared.validation if training.overfit is None else None  # there it is the training part
        names = prepared.dataset.class_names
        callbacks.append(Watch(prepared.train, validation, prepared.dataset.test, class_names=names))
    if training.rollback is not None:
        callbacks.append(Rollback(checkpointer, training.rollback))
    if training.early_stopping is not None:
        callbacks.append(EarlyStopping(monitor, patience=training.early_stopping))
    if training.max_time is not None:
        callbacks.append(TimeLimit(60 * training.max_time))
    return callbacks
