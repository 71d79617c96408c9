"""What a model has to offer to be trained and saved. ``pellucid.Sequential`` does; anything else may."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from ..schedules import Horizon

Arrays = dict[str, NDArray]


class SteppingOptimizer(Protocol):
    """The part of an optimizer that a checkpoint keeps."""

    learning_rate: Any
    iterations: int
    slots: Arrays

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""

    def load_slots(self, slots: Arrays, iterations: int) -> None: ...

    def config(self) -> dict[str, Any]: ...

    def expect(self, horizon: Horizon) -> None:
        """Hear how long the training will be."""

    def observe(self, row: dict[str, Any]) -> None:
        """Hear how an epoch went."""


class Trainable(Protocol):
    """The part of a model that training uses."""

    optimizer: Any  # a SteppingOptimizer, None before compile
    training_summary: dict[str, Any]

    @property
    def params(self) -> Arrays:
        """The trained arrays, not copies, by path."""

    @property
    def state(self) -> Arrays:
        """The arrays that are kept but not trained, by path."""

    def train_step(
        self, x: NDArray, y: NDArray, *, sample_weight: NDArray | None = None, epoch: int = 0, indices: Any = None
    ) -> dict[str, float]:
        """Forward, backward and one optimizer step; the mean scores of the batch, ``"loss"`` among them.

        ``prepared=True``, passed with augmented images, says that ``x`` is already as the first layer sees it.
        If the loss is not finite, the weights should stay as they are; a gradient that is not may raise
        ``FloatingPointError``. A method ``first_non_finite`` with the same arguments, where there is one, is then asked
        what in the network was the first (text, or None).
        """

    def evaluate(self, x: NDArray, y: NDArray, batch_size: int = 256) -> dict[str, float]:
        """The mean scores of a data set, nothing learned."""

    def load_weights(self, arrays: Arrays) -> None:
        """Copy arrays into params and state."""

    def config(self) -> dict[str, Any]:
        """The architecture as plain Python types."""

    def save(self, path: Any) -> None:
        """Write the model file, atomically."""


def evaluated(model: Trainable) -> Trainable:
    """The model whose weights ``evaluate`` scores and ``save`` writes: with averaged weights, where it keeps averages."""
    return model.averaged() if hasattr(model, "averaged") else model
