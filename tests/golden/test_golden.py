"""The ten golden losses: the same numbers as when they were written down, on every backend, and in PyTorch."""

from __future__ import annotations

import json

import numpy as np
import pytest

from .losses import BATCH_SIZE, COMMAND, FILE, LEARNING_RATE, MOMENTUM, batches, data, losses, network

GOLDEN = json.loads(FILE.read_text())["losses"]


@pytest.mark.smoke
def test_float64_on_the_reference_gives_the_golden_losses():
    np.testing.assert_allclose(losses(), GOLDEN, rtol=1e-9, err_msg=f"if this is meant to be: {COMMAND}")


@pytest.mark.parametrize(("name", "dtype", "bound"), [("numpy", np.float32, 1e-5), ("native", np.float32, 1e-4)])
def test_float32_gives_the_golden_losses_on_every_backend(name, dtype, bound):
    np.testing.assert_allclose(losses(name, dtype), GOLDEN, rtol=bound)


def test_the_golden_losses_are_those_of_a_training_that_learns():
    assert len(GOLDEN) == 10
    assert GOLDEN[0] == pytest.approx(np.log(10), rel=0.15)  # ten classes, nothing known yet
    assert GOLDEN[-1] < 0.7 * GOLDEN[0]


def test_fit_gives_the_golden_losses():
    """The loop shuffles as the golden run does; the mean of its epoch is the mean of the ten."""
    (x, y), model = data(), network(np.float64)
    history = model.fit(x, y, batch_size=BATCH_SIZE, epochs=1, verbose=0)
    assert history.rows[0]["train_loss"] == pytest.approx(np.mean(GOLDEN), rel=1e-9)


def test_pytorch_gives_the_golden_losses():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    (x, y), start = data(), network(np.float64)
    w = {path: torch.nn.Parameter(torch.tensor(a)) for path, a in start.params.items()}
    optimizer = torch.optim.SGD(w.values(), LEARNING_RATE, MOMENTUM)
    found = []
    for batch in batches():
        images = torch.tensor(x[batch]).permute(0, 3, 1, 2)
        z = F.conv2d(images, w["conv1/kernel"].permute(3, 2, 0, 1), w["conv1/bias"], padding=1).relu()
        z = F.avg_pool2d(z, 2).permute(0, 2, 3, 1).flatten(1)
        z = (z @ w["dense1/kernel"] + w["dense1/bias"]).relu() @ w["dense2/kernel"] + w["dense2/bias"]
        loss = F.cross_entropy(z, torch.tensor(y[batch]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    np.testing.assert_allclose(found, GOLDEN, rtol=1e-9)
