"""Orthogonal steps for kernels, Nesterov's for everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError
from ..ops.steps import Steps
from ..patterns import matching
from ..schedules import Schedule
from .base import Lists, Optimizer, fraction


class Muon(Optimizer):
    """Kernels take the orthogonal matrix nearest to their gradient as step; all other parameters are trained by SGD.

        v ← momentum · v + g,      w ← w - rate · √max(1, N/M) · orthogonalize(g + momentum · v)

    with a kernel (KH, KW, CI, CO) as matrix (M, N) = (KH·KW·CI, CO) and ``orthogonalize`` by ``newton_schulz`` iterations in the
    precision of the weights, see ``pellucid.ops.muon``. So all directions of a kernel learn at the same pace. ``normalize`` first
    gives the kernel the length √CO, which suits kernels in front of batch normalisation.

    ``kernels`` are patterns of paths; without them these are all convolutions (4 axes). Parameters with one axis never are
    kernels, and the kernel of the last layer should not be one. The others' SGD has Nesterov momentum ``sgd_momentum`` in
    PyTorch's form and the rate ``sgd_learning_rate``, which follows the schedule and all changes of ``learning_rate`` in
    proportion; their weight decay too is decoupled unless ``decoupled=False``. ``shared`` are the settings of every
    ``Optimizer``.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", kellerjordan.github.io/posts/muon, 2024; the
    defaults are those of airbench94_muon.py for batches of 2000 images, except that 5 iterations are usual elsewhere.

    >>> import numpy as np
    >>> w = {"conv1/kernel": np.zeros((1, 1, 2, 2)), "dense1/bias": np.zeros(1)}
    >>> gradients = {"conv1/kernel": np.diag([5.0, 1.0]).reshape(1, 1, 2, 2), "dense1/bias": np.ones(1)}
    >>> Muon(0.1, normalize=False).apply(w, gradients)
    >>> w["conv1/kernel"].diagonal(axis1=2, axis2=3).round(2)        # the small singular value takes as large a step
    array([[[-0.07, -0.08]]])
    >>> w["dense1/bias"].round(4)
    array([-0.0925])
    """

    slot_names = ("velocity",)

    def __init__(
        self,
        learning_rate: float | Schedule = 0.24,
        momentum: float = 0.6,
        nesterov: bool = True,
        newton_schulz: int = 3,
        normalize: bool = True,
        kernels: str | Sequence[str] | None = None,
        sgd_learning_rate: float = 0.05,
        sgd_momentum: float = 0.85,
        **shared: Any,
    ) -> None:
        super().__init__(learning_rate, **shared)
        self.momentum, self.nesterov = fraction(momentum, "momentum", "Muon"), nesterov
        if not isinstance(newton_schulz, int) or newton_schulz < 1:
            raise PellucidError(
                f"Muon got newton_schulz={newton_schulz!r}; wanted a number of iterations such as 3 or 5."
            )
        self.newton_schulz, self.normalize = newton_schulz, normalize
        self.kernels = [kernels] if isinstance(kernels, str) else None if kernels is None else list(kernels)
        if not isinstance(sgd_learning_rate, int | float) or not sgd_learning_rate > 0:
            raise PellucidError(
                f"sgd_learning_rate was {sgd_learning_rate!r}; wanted a positive number, for example 0.05."
            )
        self.sgd_learning_rate = sgd_learning_rate
        whole = self.learning_rate
        self._sgd_ratio = sgd_learning_rate / (whole.learning_rate if isinstance(whole, Schedule) else whole)
        self.sgd_momentum = fraction(sgd_momentum, "sgd_momentum", "Muon")

    def is_kernel(self, path: str, param: NDArray) -> bool:
        """Whether a parameter takes orthogonal steps."""
        if self.kernels is None:
            return param.ndim == 4
        return param.ndim >= 2 and any(fnmatchcase(path, pattern) for pattern in self.kernels)

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().check(shapes)
        for pattern in self.kernels or ():
            matching(pattern, [path for path, shape in shapes.items() if len(shape) >= 2], "kernel")

    def rate_multiplier(self, path: str, param: NDArray) -> float:
        return 1.0 if self.is_kernel(path, param) else self._sgd_ratio

    def update(self, paths: list[str], params: Lists, gradients: Lists, slots: list[Lists], steps: Steps) -> None:
        orthogonal = [self.is_kernel(path, param) for path, param in zip(paths, params, strict=True)]
        for kernels in (True, False):
            chosen = [i for i, kernel in enumerate(orthogonal) if kernel == kernels]
            if not chosen:
                continue
            lists = [[arrays[i] for i in chosen] for arrays in (params, gradients, *slots)]
            part = Steps(*(numbers[chosen] for numbers in steps))
            if kernels:
                settings = {"iterations": self.newton_schulz, "normalize": self.normalize}
                backend.update("muon", *lists, part, momentum=self.momentum, nesterov=self.nesterov, **settings)
            else:
                backend.update("momentum", *lists, part, momentum=self.sgd_momentum, nesterov=True, dialect="torch")
