"""The doctor at the bedside: a callback that says once what is wrong, when it becomes so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import Part
from ..model import Sequential
from ..training import Callback
from .case import Case, as_part
from .causes import examine
from .finding import Finding
from .targets import initial_weights

if TYPE_CHECKING:
    from ..training.loop import Training
    from ..training.progress import Row

Images = Part | tuple[Any, Any]


class Watch(Callback):
    """Examine data and network before the first step, and the training after every epoch; say every finding once.

    ``train``, ``validation`` and ``test`` are parts of a data set or pairs (images, labels). An epoch costs a look at 128
    training images. Findings are kept in ``findings``; a cause that turns from a warning to a serious matter is told again.

    >>> from pellucid import Conv2D, Dense, Flatten, Sequential
    >>> x, y = np.full((8, 4, 4, 1), 200, np.uint8), np.arange(8) % 2
    >>> x[:, 0] = np.arange(32).reshape(8, 4, 1)
    >>> model = Sequential([Flatten(), Dense(2, activation="softmax")])
    >>> model.compile("sgd", input_shape=(4, 4, 1))
    >>> watch = Watch((x, y))
    >>> _ = model.fit(x, y, callbacks=[watch], verbose=0)
    >>> watch.findings[0].cause
    'inputs not scaled'
    """

    def __init__(
        self,
        train: Images,
        validation: Images | None = None,
        test: Images | None = None,
        *,
        class_names: tuple[str, ...] = (),
    ) -> None:
        self.train, self.class_names = as_part(train), class_names
        parts = {"validation": validation, "test": test}
        self.held_out: Mapping[str, Part] = {name: as_part(part) for name, part in parts.items() if part is not None}
        self.findings: list[Finding] = []
        self._told: list[list[str]] = []
        self._initial: dict[str, np.ndarray] = {}

    def on_train_begin(self, training: Training) -> None:
        model = training.model
        if not isinstance(model, Sequential):
            return
        if training.progress.step:  # a resumed run began long ago
            self._initial = initial_weights(model)
            return
        self._told, self.findings = [], []
        self._initial = {path: array.copy() for path, array in model.params.items()}
        self._tell(training, Case(model=model, train=self.train, held_out=self.held_out, class_names=self.class_names))

    def on_epoch_end(self, training: Training, row: Row) -> None:
        model = training.model
        if not isinstance(model, Sequential):
            return
        case = Case(
            rows=training.progress.history,
            model=model,
            initial=self._initial,
            train=self.train,
            held_out=self.held_out,
            class_names=self.class_names,
        )
        self._tell(training, case, about=("rows", "dead"))  # the rest has been looked at, and does not change

    def _tell(self, training: Training, case: Case, about: Sequence[str] | None = None) -> None:
        for finding in examine(case, about):
            key = [finding.cause, finding.severity]
            if key not in self._told:
                self._told.append(key)
                self.findings.append(finding)
                training.say(f"Doctor: {finding}")

    def state(self) -> dict[str, Any]:
        return {"told": self._told}

    def load_state(self, state: dict[str, Any]) -> None:
        self._told = [list(key) for key in state.get("told", [])]
