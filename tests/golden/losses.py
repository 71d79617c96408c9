"""Ten losses of one small training, which no change may move unnoticed. This file computes and, run as a program, writes them:

python tests/golden/losses.py        # in an environment with pellucid; look at the difference before you commit it
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from pellucid import Sequential, backend, zoo
from pellucid.optimizers import SGD
from pellucid.randomness import permutation

FILE = Path(__file__).with_name("digits_cnn1_avg.json")
STEPS, BATCH_SIZE, LEARNING_RATE, MOMENTUM = 10, 32, 0.05, 0.9
COMMAND = "python tests/golden/losses.py"


def data() -> tuple[NDArray, NDArray]:
    """The first 320 handwritten digits of scikit-learn, 8x8, scaled to 0 … 1."""
    x, y = load_digits(return_X_y=True)
    n = STEPS * BATCH_SIZE
    return x[:n].reshape(n, 8, 8, 1) / 16, y[:n]


def batches() -> list[NDArray]:
    """Which images make up each of the ten batches: the first epoch of a training with seed 0."""
    return np.split(permutation(0, 0, STEPS * BATCH_SIZE), STEPS)


def network(dtype: type) -> Sequential:
    """One convolution with average pooling and two dense layers, from seed 0."""
    model = zoo.build("cnn1_avg", input_shape=(8, 8, 1), num_classes=10, seed=0).astype(dtype)
    model.compile(SGD(LEARNING_RATE, MOMENTUM), "categorical_crossentropy")
    return model


def losses(name: str = "numpy", dtype: type = np.float64) -> list[float]:
    """The training on this backend and in this precision."""
    (x, y), model = data(), network(dtype)
    with backend.using(name):
        return [model.train_step(x[batch], y[batch], indices=batch)["loss"] for batch in batches()]


def main() -> None:
    about = f"losses of {STEPS} steps in float64 on the NumPy reference; made by: {COMMAND}"
    FILE.write_text(json.dumps({"about": about, "losses": losses()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
