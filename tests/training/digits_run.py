"""A program that trains on the digits in a run folder and goes on where it was: what the tests of faults kill.

python digits_run.py FOLDER DATA RESULT [--slow SECONDS] [--fsize BYTES] [--die-in-write STEP] [--optimizer NAME]
    [--dtype TYPE] [--learning-rate RATE]
"""

import argparse
import os
import signal
import time

import numpy as np
import safetensors.numpy

from pellucid import arrayfile, optimizers, training
from pellucid.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from pellucid.model import Sequential
from pellucid.optimizers import EMA, SGD, AdamW, Lookahead, Muon, RMSprop
from pellucid.schedules import Cosine, Linear, OneCycle, Plateau, WarmUp

EPOCHS, BATCH, SEED = 4, 32, 1  # 7 batches an epoch


OPTIMIZERS = {  # with much to remember
    "lookahead": lambda: SGD(WarmUp(Cosine(0.05), 0.2), 0.9, averages=Lookahead(0.7, every=3, growth=2)),
    "accumulated": lambda: AdamW(OneCycle(0.01), accumulate=3, averages=EMA(0.8)),
    "plateau": lambda: RMSprop(Plateau(0.01, 0.5, patience=0), momentum=0.5, centered=True),
    "muon": lambda: Muon(Linear(0.1), sgd_learning_rate=0.01),
}


class Sleep(training.Callback):
    """Says each step once it is saved, and leaves time to send a signal."""

    order = 10

    def __init__(self, seconds):
        self.seconds = seconds

    def on_batch_end(self, run, scores):
        print(f"step {run.progress.step}", flush=True)
        time.sleep(self.seconds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("data")  # a file, because loading scikit-learn takes longer than the training
    parser.add_argument("result")
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--fsize", type=int)
    parser.add_argument("--die-in-write", type=int)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--optimizer", default="adam")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    # As in a shell, also where the tests themselves run in the background, which has its signals ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

    with np.load(options.data) as digits:
        x, y = digits["x"], digits["y"]
    layers = [Conv2D(4, 3, activation="relu"), BatchNormalization(), MaxPooling2D(2), Dropout(0.3)]
    model = Sequential([*layers, Flatten(), Dense(10, activation="softmax")])
    if options.optimizer in OPTIMIZERS:
        optimizer = OPTIMIZERS[options.optimizer]()
    else:
        optimizer = optimizers.get(options.optimizer, learning_rate=options.learning_rate)
    model.compile(optimizer, "cce", input_shape=(8, 8, 1), seed=SEED)
    model.astype(options.dtype)

    if not os.path.exists(options.folder):
        training.RunFolder.create(options.folder, "")
    folder = training.RunFolder.open(options.folder)
    if options.fsize:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (options.fsize, options.fsize))
    if options.die_in_write:
        die_in_write(options.die_in_write)
    with folder.locked():
        callbacks = [
            training.StopOnSignal(f"pellucid resume {options.folder}"),
            training.Checkpointer(folder.checkpoints, every_steps=1, data=training.data_fingerprint(x, y)),
            training.MetricsFile(folder.metrics),
            training.BestModel(folder.model),
            training.EarlyStopping(patience=50),
        ]
        checkpoint = training.latest(folder.checkpoints)
        progress = training.restore(checkpoint, model, callbacks) if checkpoint else None
        history = training.fit(
            model,
            x[:200],
            y[:200],
            batch_size=BATCH,
            epochs=EPOCHS,
            seed=SEED,
            validation=(x[200:], y[200:]),
            callbacks=[*callbacks, Sleep(options.slow)],
            progress=progress,
        )
    if history.stop_reason is None and not options.fsize:
        arrays = model.params | model.state | {f"slots/{path}": slot for path, slot in model.optimizer.slots.items()}
        safetensors.numpy.save_file(
            {path: np.asarray(array, order="C") for path, array in arrays.items()}, options.result
        )


def die_in_write(step):
    """SIGKILL itself between the two halves of the checkpoint of a step."""
    write = arrayfile.write_atomically

    def half(path, fill):
        def fill_half(temporary):
            fill(temporary)
            if path == training.checkpoint_path(path.parent, step):
                os.truncate(temporary, temporary.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        write(path, fill_half)

    arrayfile.write_atomically = half


if __name__ == "__main__":
    main()
