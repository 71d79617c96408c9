"""Is the PyTorch network that is timed beside ours the same network?

Two comparisons. In float64, the NumPy reference and the twin must agree in outputs, loss and all gradients to a few units of
rounding: that shows that both compute the same function. In float32, on the batch that is timed, what ``train_on_batch``
subtracts from the weights and what PyTorch computes in both memory formats are held against PyTorch's float64: ours may be
off by as much as float32 explains, for which PyTorch's own error is the measure.

Errors are norms of differences divided by norms. Single numbers cannot be compared: where a sum in front of ReLU is 0 up to
rounding, its sign is a matter of luck, and with it a whole path of the gradient. A million such sums are enough for an error
of 1e-2 in either library; so an error is held against bad luck only if it comes again with other images.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from ... import backend
from ...errors import PellucidError
from . import modules, twin

EXACT = 1e-9  # in float64
ROUNDING, FACTOR, WRONG = 1e-4, 10.0, 5e-2  # in float32: always allowed; times PyTorch's error; never allowed
DRAWS = 4
Arrays = dict[str, np.ndarray]


class DiffersError(PellucidError):
    """The twin is not the same network, or one of the two computes it wrongly."""


def check(model: Any, x: np.ndarray, y: np.ndarray, *, few: int = 4) -> dict[str, float]:
    """Compare a compiled model with its twins and return the largest errors, or raise; the model is left as it was."""
    errors = {"float64": _check_exactly(model, x[:few], y[:few])}
    for draw in range(DRAWS):
        errors |= _rounding(model, x, y)
        allowed = min(WRONG, max(ROUNDING, FACTOR * errors["PyTorch"]))
        if errors["pellucid"] <= allowed:  # NaN is not
            return errors
        x = np.random.default_rng(draw).permutation(x.reshape(-1)).reshape(x.shape)
    raise DiffersError(f"our float32 is off by {errors['pellucid']:.1e}, PyTorch's by {errors['PyTorch']:.1e}")


def _check_exactly(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    exact = _without_dropout(model.twin(np.float64))
    x = x.astype(np.float64)
    network = twin.describe(exact)
    module = twin.twin(exact)
    with backend.using("numpy"):
        inside = exact.without_activation() if network.output else exact
        pairs = [("inference", inside(x), _forward(module.train(False), x))]
        logs, gradients = exact.gradients(x, y)
    loss, wanted = _torch_gradients(module, exact, network.output, x, y)
    pairs.append(("loss", np.array(logs["loss"]), np.array(loss)))
    worst = max(_error(ours, theirs) for _, ours, theirs in pairs)
    worst = max(worst, _worst(gradients, wanted))
    if not worst <= EXACT:
        detail = {name: _error(ours, theirs) for name, ours, theirs in pairs} | _each(gradients, wanted)
        name = max(detail, key=lambda key: np.nan_to_num(detail[key], nan=np.inf))
        raise DiffersError(f"in float64 the twin differs, most in {name!r}: {detail[name]:.1e}")
    return worst


def _rounding(model: Any, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The errors of both libraries in float32 on the whole batch, against PyTorch's float64."""
    exact = _without_dropout(model.twin(np.float64))
    output = twin.describe(exact).output
    _, wanted = _torch_gradients(twin.twin(exact), exact, output, x.astype(np.float64), y)
    plain = _without_dropout(model.twin(np.float32))
    module = twin.twin(plain)
    theirs = 0.0
    for layout in modules.FORMATS.values():
        copied = copy.deepcopy(module).to(memory_format=layout)
        _, found = _torch_gradients(copied, plain, output, x, y, memory_format=layout)
        theirs = max(theirs, _worst(found, wanted))
    # The step itself, as it is timed: with a rate of 1 it subtracts the gradient.
    plain.compile("sgd", model.loss, learning_rate=1.0, metrics=())
    before = {path: array.copy() for path, array in plain.trainable_params.items()}
    plain.train_on_batch(x, y)
    updates = {path: before[path].astype(np.float64) - array for path, array in plain.trainable_params.items()}
    return {"pellucid": _worst(updates, wanted), "PyTorch": theirs}


def _forward(module: Any, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return module(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()


def _torch_gradients(
    module: Any, model: Any, output: str, x: np.ndarray, y: np.ndarray, memory_format: Any = None
) -> tuple[float, Arrays]:
    images = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=memory_format or torch.contiguous_format)
    classes = model.output_shape(model.input_shape)[-1]
    labels = modules.targets(torch.from_numpy(y), classes, output)
    labels = labels.to(images.dtype) if output == "sigmoid" else labels
    module.train()
    module.zero_grad()
    loss = modules.loss_function(output)(module(images), labels)
    loss.backward()
    return loss.item(), twin.gradients(module, model)


def _without_dropout(model: Any) -> Any:
    """The two libraries draw different numbers, so the comparison is made without."""
    for layer in model.walk():
        if hasattr(layer, "rate"):
            layer.rate = 0
    return model


def _error(a: np.ndarray, wanted: np.ndarray, floor: float = 0.0) -> float:
    a, wanted = a.astype(np.float64), wanted.astype(np.float64)
    scale = max(float(np.linalg.norm(wanted)), floor, 1e-300)
    return float(np.linalg.norm(a - wanted)) / scale


def _each(found: Arrays, wanted: Arrays) -> dict[str, float]:
    # A gradient that cancels to almost nothing, as a bias in front of batch normalisation, is measured by the others.
    floor = 1e-2 * float(np.sqrt(sum(np.linalg.norm(a) ** 2 for a in wanted.values())))
    if found.keys() != wanted.keys():
        raise DiffersError(f"the parameters differ: {sorted(found.keys() ^ wanted.keys())}")
    return {path: _error(found[path], wanted[path], floor) for path in wanted}


def _worst(found: Arrays, wanted: Arrays) -> float:
    errors = list(_each(found, wanted).values())
    return float("nan") if any(np.isnan(errors)) else max(errors, default=0.0)
