"""The same work as functions without arguments: one for pellucid, one for each way PyTorch can do it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch

from ... import backend
from ...model import Sequential
from ..timing import OURS, OURS_IN_BFLOAT16
from . import modules, twin

Contenders = dict[str, Callable[[], object]]


def training(
    model: Sequential, x: np.ndarray, y: np.ndarray, *, bfloat16: bool = False, compiled: bool = False
) -> Contenders:
    """A step of SGD on one batch, at the rate of the model's optimizer. The twins have weights of their own.

    With ``bfloat16`` PyTorch computes in that; pellucid in float32, and once more in bfloat16.
    """
    network = twin.describe(model)
    labels = modules.targets(torch.from_numpy(y), network.classes, network.output)
    rate = float(model.optimizer.learning_rate)  # type: ignore[union-attr, arg-type]
    contenders: Contenders = {OURS: lambda: model.train_on_batch(x, y)}
    if bfloat16:
        other = copy.deepcopy(model)
        contenders[OURS_IN_BFLOAT16] = _in_bfloat16(lambda: other.train_on_batch(x, y))
    for name, module, images in _twins(model, x, bfloat16):
        module.train()
        parameters = [p for p in module.parameters() if p.requires_grad]
        ways = {name: module} | ({f"{name} compiled": torch.compile(module)} if compiled else {})
        for way, run in ways.items():
            contenders[way] = modules.training_step(
                run, parameters, network.output, images, labels, learning_rate=rate, bfloat16=bfloat16
            )
    return contenders


def prediction(
    model: Sequential, x: np.ndarray, batch_size: int, *, bfloat16: bool = False, compiled: bool = False
) -> Contenders:
    """Probabilities for all images of x."""
    output = twin.describe(model).output
    contenders: Contenders = {OURS: lambda: model.predict(x, batch_size=batch_size)}
    for name, module, images in _twins(model, x, bfloat16):
        module.train(False)
        ways = {name: module} | ({f"{name} compiled": torch.compile(module)} if compiled else {})
        for way, network in ways.items():
            contenders[way] = modules.predictor(network, output, images, batch_size, bfloat16=bfloat16)
    return contenders


def _in_bfloat16(run: Callable[[], object]) -> Callable[[], object]:
    def change_and_run() -> object:
        before = backend.get_precision()
        backend.set_precision("bfloat16")
        try:
            return run()
        finally:
            backend.set_precision(before)

    return change_and_run


def _twins(model: Sequential, x: np.ndarray, bfloat16: bool) -> list[tuple[str, torch.nn.Module, torch.Tensor]]:
    """The twin and the images in both memory formats."""
    module = twin.twin(model)
    images = torch.from_numpy(x).permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W), not moved in memory
    precision = " bfloat16" if bfloat16 else ""
    return [
        (
            f"PyTorch{precision} {name}",
            copy.deepcopy(module).to(memory_format=layout),
            images.clone(memory_format=layout),
        )
        for name, layout in modules.FORMATS.items()
    ]
