"""The same work as functions without arguments: one for pellucid, one for each way PyTorch can do it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch_modules
import torch_twin

OURS = "pellucid"
Contenders = dict[str, Callable[[], object]]


def training(model: Any, x: np.ndarray, y: np.ndarray, *, bfloat16: bool = False, compiled: bool = False) -> Contenders:
    """A training step on one batch. The twins have weights of their own."""
    output = torch_twin.describe(model).output
    labels = torch_modules.targets(torch.from_numpy(y), model.output_shape(model.input_shape)[-1], output)
    rate = model.optimizer.learning_rate
    contenders: Contenders = {OURS: lambda: model.train_on_batch(x, y)}
    for name, module, images in _twins(model, x, bfloat16):
        module.train()
        parameters = [p for p in module.parameters() if p.requires_grad]
        ways = {name: module} | ({f"{name} compiled": torch.compile(module)} if compiled else {})
        for way, network in ways.items():
            contenders[way] = torch_modules.training_step(
                network, parameters, output, images, labels, learning_rate=rate, bfloat16=bfloat16
            )
    return contenders


def prediction(
    model: Any, x: np.ndarray, batch_size: int, *, bfloat16: bool = False, compiled: bool = False
) -> Contenders:
    """Probabilities for all images of x."""
    output = torch_twin.describe(model).output
    contenders: Contenders = {OURS: lambda: model.predict(x, batch_size=batch_size)}
    for name, module, images in _twins(model, x, bfloat16):
        module.eval()
        ways = {name: module} | ({f"{name} compiled": torch.compile(module)} if compiled else {})
        for way, network in ways.items():
            contenders[way] = torch_modules.predictor(network, output, images, batch_size, bfloat16=bfloat16)
    return contenders


def _twins(model: Any, x: np.ndarray, bfloat16: bool) -> list[tuple[str, torch.nn.Module, torch.Tensor]]:
    """The twin and the images in both memory formats."""
    module = torch_twin.twin(model)
    images = torch.from_numpy(x).permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W), not moved in memory
    precision = " bfloat16" if bfloat16 else ""
    return [
        (
            f"PyTorch{precision} {name}",
            copy.deepcopy(module).to(memory_format=layout),
            images.clone(memory_format=layout),
        )
        for name, layout in torch_modules.FORMATS.items()
    ]
