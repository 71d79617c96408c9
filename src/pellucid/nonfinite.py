"""Where a step of training stops being finite: the step is done again, layer by layer, and the first bad number is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .layers.merge import Chain
from .randomness import Randomness
from .tape import Tape

LossOf = Callable[[NDArray], tuple[Any, Callable[[], NDArray]]]


def first_in_step(network: Chain, x: NDArray, loss_of: LossOf, rng: Randomness | None = None) -> str | None:
    """The first thing in a training step that holds NaN or infinity, in words; None if all of it is finite.

    Looked at in this order: the weights, the input ``x``, what every layer puts out, the loss, the gradients on their way
    back. ``network`` has to be the plain one, whose tape has an entry for every layer (see ``pellucid.plan``).
    ``loss_of(outputs)`` gives the loss and a function for its gradient. The network's moving statistics stay as they are.

    >>> from pellucid.layers import Dense
    >>> network = Chain([Dense(4, name="narrow"), Dense(4, name="wide")])
    >>> network.build((2,))
    >>> network.params["narrow/kernel"][:], network.params["wide/kernel"][:] = 1, 3e38
    >>> x = np.ones((1, 2), np.float32)
    >>> with np.errstate(over="ignore", invalid="ignore"):
    ...     first_in_step(network, x, lambda y: (y.sum(), lambda: np.ones_like(y)))
    'the output of wide: 4 of 4 numbers; what goes into it is finite'
    """
    bad = [path for path, array in network.params.items() if not np.isfinite(array).all()]
    if bad:  # a bad gradient spoils every layer it passes on its way back, so the last of them was the first
        return f"{_count('the weights ' + bad[-1], network.params[bad[-1]])}; the step before spoilt them"
    if not np.isfinite(x).all():
        return _count("the images, as the first layer sees them", x)
    statistics = {path: array.copy() for path, array in network.state.items()}
    try:
        outputs, tape = Chain.forward(network, x, training=True, rng=rng)
    finally:
        for path, array in network.state.items():
            array[...] = statistics[path]
    for name, output in _in_order(tape):
        if not np.isfinite(output).all():
            return f"{_count('the output of ' + name, output)}; what goes into it is finite"
    loss, gradient_of_loss = loss_of(outputs)
    if not np.isfinite(loss):
        return f"the loss itself; the outputs of the network are finite, the largest is {np.abs(outputs).max():.3g}"
    dy = gradient_of_loss()
    if not np.isfinite(dy).all():
        return _count("the gradient of the loss by the outputs of the network", dy)
    _, gradients = Chain.backward(network, dy, tape, input_gradient=False)  # from the last layer to the first
    bad_gradient = first_of(gradients)
    if bad_gradient is None:
        return None
    return f"{_count('the gradient of ' + bad_gradient, gradients[bad_gradient])}; the loss is finite"


def first_of(arrays: Mapping[str, NDArray]) -> str | None:
    """The path of the first array that holds NaN or infinity, None if all are fine."""
    return next((path for path, array in arrays.items() if not np.isfinite(array).all()), None)


def _in_order(tape: Tape, prefix: str = "") -> Iterator[tuple[str, NDArray]]:
    """Paths and outputs in the order in which they were computed: the layers inside a container before the container."""
    for entry in tape:
        if isinstance(entry.cache, Tape):
            yield from _in_order(entry.cache, f"{prefix}{entry.name}/")
        if entry.output is not None:
            yield f"{prefix}{entry.name}", entry.output


def _count(what: str, array: NDArray) -> str:
    return f"{what}: {np.count_nonzero(~np.isfinite(array)):,} of {array.size:,} numbers"
