"""Each op in PyTorch, under the same name and with the same arguments: the second opinion.

Layouts and dialects are translated here, with arithmetic of its own wherever PyTorch has no such setting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip(
    "torch", reason="PyTorch is optional: pip install pellucid[torch] runs these comparisons too"
)
F = torch.nn.functional
torch.set_num_threads(1)  # the arrays are tiny


def compare(
    forward: Callable, backward: Callable, arrays: list[Any], count: int, rtol: float = 1e-10, **settings: Any
) -> None:
    """Assert that an op and its counterpart agree in y and in the gradients by the first ``count`` arrays."""
    y, cache = forward(*[None if a is None else a.copy(order="K") for a in arrays], **settings)
    dy = np.asarray(np.random.default_rng(3).standard_normal(np.shape(y)))
    found = backward(dy, cache)
    found = found if isinstance(found, tuple) else (found,)
    tensors = [None if a is None else torch.from_numpy(np.array(a)) for a in arrays]
    wanted = [t.requires_grad_() for t in tensors[:count] if t is not None]
    expected = COUNTERPARTS[forward.__name__](*tensors, **settings)
    gradients = torch.autograd.grad(expected, wanted, torch.from_numpy(dy).reshape(expected.shape))
    _close(y, expected.detach().numpy(), rtol, "y")
    for n, (g, t) in enumerate(zip([g for g in found[:count] if g is not None], gradients, strict=True)):
        _close(g, t.numpy(), rtol, f"gradient {n}")


def _close(a: NDArray, b: NDArray, rtol: float, what: str) -> None:
    assert a.shape == b.shape
    finite = np.abs(b[np.isfinite(b)])
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * finite.max(initial=1.0) * 1e-2, err_msg=what)


def _sides(x: Any, window: Any, strides: Any, padding: Any, dilation: Any = 1) -> list[int]:
    """Padding as ``F.pad`` wants it for (N, C, H, W): left, right, top, bottom."""
    sides = []
    for axis in (3, 2):
        n, k, s, d = (v if isinstance(v, int) else v[axis - 2] for v in (x.shape[axis], window, strides, dilation))
        if padding == "valid":
            sides += [0, 0]
        elif padding == "same":
            covered = (k - 1) * d + 1 if n % s == 0 else 0
            total = max((k - 1) * d + 1 - (s if covered else n % s), 0)  # TensorFlow's own formula, by remainders
            sides += [total // 2, total - total // 2]
        else:
            side = padding if isinstance(padding, int) else padding[axis - 2]
            sides += [side, side] if isinstance(side, int) else list(side)
    return sides


def conv2d(
    x: Any, kernel: Any, bias: Any, *, strides: Any = 1, padding: Any = "valid", dilation: Any = 1, groups: int = 1
) -> Any:
    x = x.permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)
    x = F.pad(x, _sides(x, tuple(kernel.shape[:2]), strides, padding, dilation))
    y = F.conv2d(x, kernel.permute(3, 2, 0, 1).contiguous(), bias, stride=strides, dilation=dilation, groups=groups)
    return y.permute(0, 2, 3, 1)


def max_pool2d(x: Any, *, pool_size: Any = 2, strides: Any = None, padding: Any = "valid") -> Any:
    x = x.permute(0, 3, 1, 2)
    strides = pool_size if strides is None else strides
    x = F.pad(x, _sides(x, pool_size, strides, padding), value=-torch.inf)
    return F.max_pool2d(x, pool_size, strides).permute(0, 2, 3, 1)


def average_pool2d(
    x: Any, *, pool_size: Any = 2, strides: Any = None, padding: Any = "valid", count_padding: bool = False
) -> Any:
    x = x.permute(0, 3, 1, 2)
    strides = pool_size if strides is None else strides
    sides = _sides(x, pool_size, strides, padding)
    y = F.avg_pool2d(F.pad(x, sides), pool_size, strides)
    if not count_padding:
        y = y / F.avg_pool2d(F.pad(torch.ones_like(x), sides), pool_size, strides)
    return y.permute(0, 2, 3, 1)


def batch_norm(
    x: Any,
    gamma: Any,
    beta: Any,
    moving_mean: Any,
    moving_variance: Any,
    *,
    training: bool,
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    unbiased: bool = True,
) -> Any:
    x = x.movedim(-1, 1)
    return F.batch_norm(x, moving_mean, moving_variance, gamma, beta, training, 1 - momentum, epsilon).movedim(1, -1)


def group_norm(x: Any, gamma: Any, beta: Any, *, groups: int, epsilon: float = 1e-3) -> Any:
    if gamma is None and beta is not None:
        gamma = torch.ones_like(beta)  # with a bias alone, PyTorch's backward fails
    return F.group_norm(x.movedim(-1, 1), groups, gamma, beta, epsilon).movedim(1, -1)


_POOL_NAMES = {"pool_size": "pool_size", "pool_strides": "strides", "pool_padding": "padding"}


def _tail(y: Any, activation: str | None = None, pool: str | None = None, **settings: Any) -> Any:
    y = y if activation is None else COUNTERPARTS[activation](y)
    return (
        y if pool is None else COUNTERPARTS[pool](y, **{_POOL_NAMES[name]: value for name, value in settings.items()})
    )


def conv2d_block(x: Any, kernel: Any, bias: Any, **settings: Any) -> Any:
    own = {name: settings.pop(name) for name in ("strides", "padding", "dilation", "groups") if name in settings}
    return _tail(conv2d(x, kernel, bias, **own), **settings)


def batch_norm_block(*arrays: Any, **settings: Any) -> Any:
    own = {name: settings.pop(name) for name in ("training", "momentum", "epsilon", "unbiased") if name in settings}
    return _tail(batch_norm(*arrays, **own), **settings)


def dropout(x: Any, *, rate: float, rng: Any) -> Any:
    kept = torch.from_numpy(rng.uniform(tuple(x.shape[1:])) >= rate)
    return torch.where(kept, x / (1 - rate), 0.0)


def spatial_dropout(x: Any, *, rate: float, rng: Any) -> Any:
    kept = torch.from_numpy(rng.uniform((x.shape[-1],)) >= rate)[:, None, None]
    return torch.where(kept, x / (1 - rate), 0.0)


def flatten(x: Any, *, data_format: str = "channels_last") -> Any:
    return torch.flatten(x.permute(0, 3, 1, 2) if data_format == "channels_first" else x, 1)


def softmax_cross_entropy(
    logits: Any, targets: Any, weights: Any = None, *, label_smoothing: float = 0.0, **rest: Any
) -> Any:
    targets = targets.squeeze(1) if targets.dtype == torch.int64 and targets.ndim == 2 else targets
    each = F.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="none")
    return _reduce(each, weights, **rest)


def categorical_cross_entropy(
    probabilities: Any, targets: Any, weights: Any = None, *, label_smoothing: float = 0.0, **rest: Any
) -> Any:
    targets = _smooth(_rows(targets, probabilities), label_smoothing, probabilities.shape[1])
    return _reduce(-(targets * probabilities.clamp(1e-7).log()).sum(1), weights, **rest)


def sigmoid_cross_entropy(
    logits: Any, targets: Any, weights: Any = None, *, label_smoothing: float = 0.0, **rest: Any
) -> Any:
    targets = _smooth(_rows(targets, logits), label_smoothing, 2)
    each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return _reduce(each.mean(1), weights, **rest)


def binary_cross_entropy(
    probabilities: Any, targets: Any, weights: Any = None, *, label_smoothing: float = 0.0, **rest: Any
) -> Any:
    targets = _smooth(_rows(targets, probabilities), label_smoothing, 2)
    if ((probabilities >= 1e-7) & (probabilities <= 1 - 1e-7)).all():
        each = F.binary_cross_entropy(probabilities, targets, reduction="none")
    else:  # PyTorch clips the logarithms at -100 instead
        log_p, log_q = probabilities.clamp(1e-7).log(), (1 - probabilities).clamp(1e-7).log()
        each = -(targets * log_p + (1 - targets) * log_q)
    return _reduce(each.mean(1), weights, **rest)


def mean_squared_error(
    predictions: Any, targets: Any, weights: Any = None, *, label_smoothing: float = 0.0, **rest: Any
) -> Any:
    targets = _smooth(_rows(targets, predictions), label_smoothing, predictions.shape[1])
    return _reduce(F.mse_loss(predictions, targets, reduction="none").mean(1), weights, **rest)


def _rows(targets: Any, predictions: Any) -> Any:
    if targets.shape == predictions.shape:
        return targets.to(predictions.dtype)
    if predictions.shape[1] == 1:
        return targets[:, None].to(predictions.dtype)
    return F.one_hot(targets.reshape(-1), predictions.shape[1]).to(predictions.dtype)


def _smooth(targets: Any, label_smoothing: float, classes: int) -> Any:
    return targets * (1 - label_smoothing) + label_smoothing / classes


def _reduce(each: Any, weights: Any, reduction: str = "mean") -> Any:
    weights = torch.ones_like(each) if weights is None else weights
    total = (weights * each).sum()
    return {"sum": total, "mean": total / len(each), "weighted_mean": total / weights.sum()}[reduction]


COUNTERPARTS: dict[str, Callable[..., Any]] = {
    "conv2d": conv2d,
    "add": lambda x, other, activation=None: F.relu(x + other) if activation else x + other,
    "rescale": lambda x, scale, offset: x * scale + offset,
    "concatenate": lambda *arrays: torch.cat(arrays, dim=-1),
    "max_pool2d": max_pool2d,
    "average_pool2d": average_pool2d,
    "global_average_pool2d": lambda x: x.mean((1, 2)),
    "global_max_pool2d": lambda x: x.flatten(1, 2).max(1).values,
    "dense": lambda x, kernel, bias: F.linear(x, kernel.T, bias),
    "flatten": flatten,
    "batch_norm": batch_norm,
    "conv2d_block": conv2d_block,
    "batch_norm_block": batch_norm_block,
    "group_norm": group_norm,
    "layer_norm": lambda x, gamma, beta, epsilon=1e-3: F.layer_norm(x, x.shape[-1:], gamma, beta, epsilon),
    "dropout": dropout,
    "spatial_dropout": spatial_dropout,
    "relu": F.relu,
    "leaky_relu": lambda x, negative_slope=0.3: F.leaky_relu(x, negative_slope),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "elu": lambda x, alpha=1.0: F.elu(x, alpha),
    "silu": F.silu,
    "gelu": lambda x, approximate=False: F.gelu(x, approximate="tanh" if approximate else "none"),
    "softmax": lambda x: F.softmax(x, dim=-1),
    "log_softmax": lambda x: F.log_softmax(x, dim=-1),
    "softmax_cross_entropy": softmax_cross_entropy,
    "categorical_cross_entropy": categorical_cross_entropy,
    "sigmoid_cross_entropy": sigmoid_cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "mean_squared_error": mean_squared_error,
}
