"""``Sequential``: a chain of layers that can be trained, evaluated, asked and saved."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import backend, border, losses, modelfile, nonfinite, optimizers
from . import metrics as scores
from . import regularizers as penalties_of
from .arrayfile import memory
from .augmentation import Augmentation, Augmenter
from .augmentation import get as get_augmentation
from .augmentation import views as views_of
from .augmentation.augmenter import normalised
from .differentiation import CheckedGradient, gradient_errors
from .errors import PellucidError
from .layers.base import Layer, Shape, arrays_of
from .layers.merge import Chain
from .patterns import matching
from .plan import MANY, planned
from .preprocessing import Preprocessing
from .randomness import Randomness
from .repeats import Repeats, Way, eager
from .replies import Replies
from .schedules import Schedule
from .summary import summarize

if TYPE_CHECKING:
    from .training.loop import History
    from .training.ratefinder import RateTest

Validation = tuple[NDArray, NDArray]


class _Learner(NamedTuple):
    """The loss, the op that computes it, and the layers it wants: without the last activation where the op takes it in."""

    loss: losses.Loss
    op: str
    network: Chain


class Sequential(Chain):
    """Layers one after another, with Keras's ``compile``, ``fit``, ``evaluate`` and ``predict``.

    Images are (N, H, W, C). ``preprocessing`` (None for none) turns raw pixels 0 … 255 into what the layers see, and
    travels with the model; so do ``class_names``, ``views`` and ``training_summary``.

    >>> from pellucid.layers import Conv2D, Dense, Flatten
    >>> model = Sequential([Conv2D(4, 3, activation="relu"), Flatten(), Dense(2, activation="softmax")])
    >>> model.compile(optimizer="sgd", loss="cce", learning_rate=0.1, input_shape=(8, 8, 1))
    >>> x = np.zeros((4, 8, 8, 1), np.float32)
    >>> model.predict(x).shape
    (4, 2)
    """

    prefix = "sequential"

    def __init__(self, layers: Iterable[Layer] = (), *, name: str | None = None) -> None:
        super().__init__(layers, name=name)
        self.seed = 0
        self.data_format = "channels_last"
        self.preprocessing: Preprocessing | None = None
        self.class_names: tuple[str, ...] = ()
        self.training_summary: dict[str, Any] = {}
        self.views = "none"  # what an answer is the mean over: see ``predict``
        self.epochs_seen = 0  # by fit: a second fit goes on with new orders and new dropout
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: losses.Loss | None = None
        self.metrics: dict[str, scores.Metric] = {}
        self.penalties: dict[str, penalties_of.L1L2] = {}  # by parameter
        self._plans: dict[tuple[Any, ...], Chain] = {}
        self._replies = Replies()
        self._repeats = Repeats()

    # Build and compile -----------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: str | optimizers.Optimizer = "sgd",
        loss: str | losses.Loss = "sparse_categorical_crossentropy",
        *,
        learning_rate: float | Schedule | None = None,
        regularizers: Mapping[str, Any] | None = None,
        metrics: Sequence[str] | None = None,
        input_shape: Sequence[int] | None = None,
        data_format: str | None = None,
        seed: int | None = None,
    ) -> None:
        """Say how the model learns, and build its weights if it has none.

        ``learning_rate`` (a number or a schedule) sets that of an optimizer given by name. ``regularizers`` are penalties on
        weights by pattern, ``{"*/kernel": L2(1e-4)}``. ``metrics`` defaults to accuracy, and to nothing for the mean squared
        error. ``input_shape`` is (H, W, C), or (C, H, W) with ``data_format="channels_first"``; inputs in that
        format are converted at the border. A shape such as (1, 32, 32) or (3, 32, 32), whose first axis alone can be a number of
        channels, is taken as channels first by itself. ``seed`` decides the first weights, the order of the images and dropout; a
        model that has its weights keeps them.

        Softmax followed by categorical cross-entropy, and sigmoid followed by binary cross-entropy, are computed together.
        """
        chosen = losses.get(loss)
        chosen.takes(self.final_activation)  # refuses softmax applied twice
        if isinstance(optimizer, optimizers.Optimizer) and learning_rate is not None:
            raise PellucidError("compile got an optimizer object and a learning_rate; give the rate to the optimizer.")
        settings = {} if learning_rate is None else {"learning_rate": learning_rate}
        default = () if chosen.name == "mean_squared_error" else ("accuracy",)
        learner = optimizers.get(optimizer, **settings), chosen, scores.get(default if metrics is None else metrics)

        shape, data_format = self._shape_to_build(input_shape, data_format)
        shapes = {path: weight.shape for path, weight in self.declared(shape).items() if weight.trained}
        learner[0].check(shapes)
        penalties = penalties_of.resolve(penalties_of.get(regularizers), shapes)
        if not self.built or shape != self.input_shape:
            self.build(shape, seed=self.seed if seed is None else seed)
        self.seed = self.seed if seed is None else seed
        self.data_format = data_format
        self.penalties = penalties
        self.optimizer, self.loss, self.metrics = learner  # a compile that was refused has changed nothing

    def _shape_to_build(self, given: Any, data_format: str | None) -> tuple[Shape, str]:
        if given is not None:
            return border.channels_last(given, data_format)
        if self.input_shape is None or not self.built:
            raise PellucidError("compile got no input_shape and the model is not built; pass input_shape=(H, W, C).")
        if data_format is not None:
            raise PellucidError("compile got a data_format without input_shape; pass both, or neither.")
        return self.input_shape, self.data_format

    def build(self, input_shape: Shape, *, seed: int = 0, path: str = "", dtype: Any = np.float32) -> None:
        """Draw the weights for images of ``input_shape``; each depends on the seed and its own path only."""
        if not self.layers:
            raise PellucidError("The model has no layers. Add some: Sequential([Conv2D(…), Flatten(), Dense(…)]).")
        weights = self.declared(input_shape)  # raises before anything has changed if the layers cannot take it
        count = sum(math.prod(weight.shape) for weight in weights.values())
        if count * np.dtype(dtype).itemsize > 0.8 * memory():
            raise PellucidError(
                f"The network has {count:,} weights for images of shape {tuple(input_shape)}, more than the memory of this "
                "computer holds. Take fewer filters or units, or pool before Flatten."
            )
        self.seed = seed
        super().build(input_shape, seed=seed, path=path, dtype=dtype)
        self._plans, self._replies, self._repeats, self.epochs_seen = {}, Replies(), Repeats(), 0

    def _plan(self, network: Chain, *, training: bool, images: int = MANY) -> Chain:
        """The plan of this model, or of this model without its last activation; made once for each backend and list of layers,
        and for about so many images.
        """
        images = min(MANY, 1 << max(images, 1).bit_length() - 1)
        key = (backend.get_backend(), training, images, network.final_activation, *self.layers)
        if key not in self._plans:
            if training:
                backend.expect_training()
            self._plans[key] = planned(network, training=training, images=images)  # type: ignore[assignment]
        return self._plans[key]

    # Border: from what the user has to what the layers see ------------------------------------------------------------

    def check_input(self, x: NDArray) -> NDArray:
        """``x`` as an array whose shape fits this model, or a ``ShapeError`` that says what to change. Nothing is copied."""
        if not self.built:
            raise PellucidError(
                "The model has no weights yet: call compile with its input_shape, or load it from a file."
            )
        shape = self.input_shape or ()
        first = self.data_format == "channels_first" and len(shape) == 3
        return border.images(x, (shape[-1], *shape[:-1]) if first else shape)

    def check_targets(
        self, x: NDArray, y: NDArray, sample_weight: NDArray | None = None
    ) -> tuple[NDArray, NDArray | None]:
        """``y`` and ``sample_weight`` as arrays that fit the images and the loss, or an error that says what is wrong."""
        counted = self.loss is not None and self.loss.logits_op is not None  # the loss takes labels as classes
        classes = max(self.output_shape(self.input_shape or ())[-1], 2) if counted else None
        return border.targets(x, y, sample_weight, classes=classes)

    def to_input(self, x: NDArray) -> NDArray:
        """A batch as the first layer sees it: channels last, preprocessed, in the precision of the weights."""
        if self.data_format == "channels_first" and x.ndim == 4:
            x = x.transpose(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
        if self.preprocessing is not None:
            x = normalised(x, self.preprocessing)
        return np.ascontiguousarray(x, self._dtype)

    @property
    def _first_weight(self) -> NDArray | None:
        return next((array for layer in self.walk() for array in (layer._params or {}).values()), None)

    @property
    def _dtype(self) -> np.dtype:
        first = self._first_weight
        return np.dtype(np.float32) if first is None else first.dtype

    def _batches(self, x: NDArray, batch_size: int) -> Iterator[tuple[slice, NDArray]]:
        x = self.check_input(x)
        if batch_size < 1:
            raise PellucidError(f"batch_size was {batch_size}; wanted at least 1.")
        for start in range(0, len(x), batch_size):
            part = slice(start, start + batch_size)
            yield part, self.to_input(x[part])

    def freeze(self, patterns: str | Iterable[str]) -> None:
        """Freeze the layers whose path fits a pattern, such as ``"conv*"`` or ``"residual1/*"``: see ``Layer.trainable``."""
        layers = dict(_leaves(self))
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            for path in matching(pattern, layers, "layer"):
                layers[path].trainable = False

    def make_read_only(self) -> None:
        """Let nobody change the weights any more: NumPy refuses to, and training raises ``PellucidError``.

        Single images are answered quicker then: ``predict`` need not look whether weights have changed since it prepared them.

        >>> from pellucid.layers import Dense
        >>> model = Sequential([Dense(2)])
        >>> model.compile(input_shape=(3,))
        >>> model.make_read_only()
        >>> model.params["dense1/bias"][0] = 1
        Traceback (most recent call last):
            ...
        ValueError: assignment destination is read-only
        """
        for array in arrays_of(self.walk()):
            array.flags.writeable = False
        self._replies = Replies()

    def _check_writeable(self) -> None:
        first = self._first_weight
        if first is not None and not first.flags.writeable:
            raise PellucidError(
                "The weights of this model are read-only. To change them load the model without read_only, or train a "
                "copy.deepcopy of it."
            )

    # Learning --------------------------------------------------------------------------------------------------------

    def adapt_to(self, x: NDArray, images: int = 5000) -> None:
        """Compute the weights that are not learned but follow from the data, such as a whitening kernel, if there are any.

        ``fit`` and ``train_on_batch`` do it when they see their first images. The first ``images`` of ``x`` are looked at.
        """
        if self.needs_data:
            self._check_writeable()
            self.adapt(self.to_input(self.check_input(x)[:images]))

    def _learner(self, *, planned: bool = False) -> _Learner:
        """What learns; ``planned``: its layers grouped for training."""
        if self.loss is None:
            raise PellucidError("The model does not know its loss: call compile(optimizer=…, loss=…) first.")
        if planned:
            self._check_writeable()
        op, leaves_activation = self.loss.takes(self.final_activation)
        network = self.without_activation() if leaves_activation else self
        return _Learner(self.loss, op, self._plan(network, training=True) if planned else network)

    def gradients(
        self,
        x: NDArray,
        y: NDArray,
        *,
        sample_weight: NDArray | None = None,
        epoch: int = 0,
        indices: NDArray | None = None,
        prepared: bool = False,
        without: Collection[str] = (),
    ) -> tuple[dict[str, float], dict[str, NDArray]]:
        """Loss and metrics of one batch in training mode, and the gradient of the loss by every parameter, by path.

        Frozen parameters have none: see ``Layer.trainable``. Regularizers add the gradients of their penalties, whose sum is
        reported as ``penalty``. ``prepared=True`` says that ``x`` is already as the layers see it. Parameters ``without`` which
        one can do are left out, and so is the work for them alone.
        """
        rng = Randomness.for_batch(self.seed, epoch, np.arange(len(x)) if indices is None else indices)
        learner = self._learner(planned=True)
        self._repeats.rest()
        way = functools.partial(eager, learner.network, without)
        return self._gradients(learner, way, x if prepared else self.to_input(x), y, sample_weight, rng)

    def _gradients(
        self,
        learner: _Learner,
        way: Way,
        x: NDArray,
        y: NDArray,
        sample_weight: NDArray | None,
        rng: Randomness,
    ) -> tuple[dict[str, float], dict[str, NDArray]]:
        """The same, by this way through the network."""
        loss, op, _ = learner
        outputs, back = way(x, rng)
        value, saved = loss.forward(op, outputs, y, sample_weight)
        logs = {"loss": float(value)} | self._scores(outputs, y, op)
        gradients = back(backend.backward(1.0, saved))
        if self.penalties:
            params = self.params
            logs["penalty"] = float(self._penalty(gradients))
            for path in self.penalties.keys() & gradients.keys():
                gradients[path] = gradients[path] + self.penalties[path].gradient(params[path])
        return logs, gradients

    def _penalty(self, paths: Iterable[str]) -> Any:
        params = self.params
        return sum(self.penalties[path].penalty(params[path]) for path in paths if path in self.penalties)

    def train_step(
        self,
        x: NDArray,
        y: NDArray,
        *,
        sample_weight: NDArray | None = None,
        epoch: int = 0,
        indices: NDArray | None = None,
        prepared: bool = False,
    ) -> dict[str, float]:
        """One step of learning on one batch; returns its loss and metrics (before the step).

        ``indices`` are the images' places in the data set; with ``epoch`` they decide what is random, such as dropout.
        A loss that is NaN or infinite leaves the weights as they are; so does a gradient, which is not returned, and so
        raises ``FloatingPointError``.
        """
        params = self.params
        resting = self.optimizer.resting(params) if self.optimizer is not None else ()
        rng = Randomness.for_batch(self.seed, epoch, np.arange(len(x)) if indices is None else indices)
        learner = self._learner(planned=True)
        x = x if prepared else self.to_input(x)
        with self._repeats.way(self, learner.network, resting) as way:
            logs, gradients = self._gradients(learner, way, x, y, sample_weight, rng)
            if not math.isfinite(logs["loss"]):
                return logs
            if gradients and not math.isfinite(
                next(reversed(gradients.values())).sum()
            ):  # what went wrong on the way ends here
                raise FloatingPointError(f"The gradient of {next(reversed(gradients))} became NaN or infinite")
            self.optimizer.apply(params, gradients, self.state if self.optimizer.averages else None)  # type: ignore[union-attr]
            return logs

    def first_non_finite(
        self,
        x: NDArray,
        y: NDArray,
        *,
        sample_weight: NDArray | None = None,
        epoch: int = 0,
        indices: NDArray | None = None,
        prepared: bool = False,
    ) -> str | None:
        """What is the first in a step to be NaN or infinite, in words; None if nothing is. The arguments of ``train_step``."""
        loss, op, network = self._learner()
        self._repeats.rest()

        def loss_of(outputs: NDArray) -> tuple[Any, Any]:
            value, saved = loss.forward(op, outputs, y, sample_weight)
            return value, lambda: backend.backward(1.0, saved)

        rng = Randomness.for_batch(self.seed, epoch, np.arange(len(x)) if indices is None else indices)
        return nonfinite.first_in_step(network, x if prepared else self.to_input(x), loss_of, rng)

    def augmenter(self, augmentation: str | Augmentation | None) -> Augmenter | None:
        """What makes augmented batches for this model, ready for ``train_step(…, prepared=True)``; None for no augmentation."""
        chosen = get_augmentation(augmentation)
        shape = self.input_shape or ()
        if not chosen:
            return None
        return Augmenter(
            chosen,
            shape=shape,
            seed=self.seed,
            preprocessing=self.preprocessing,
            classes=self.output_shape(shape)[-1],
            channels_first=self.data_format == "channels_first",
            dtype=self._dtype,
        )

    def train_on_batch(self, x: NDArray, y: NDArray, sample_weight: NDArray | None = None) -> float:
        """One step of learning on one batch; returns its loss (before the step)."""
        x = self.check_input(x)
        self._learner()
        y, sample_weight = self.check_targets(x, y, sample_weight)
        self.adapt_to(x)
        epoch = self.optimizer.iterations if self.optimizer else 0  # dropout differs from call to call
        return self.train_step(x, y, sample_weight=sample_weight, epoch=epoch)["loss"]

    def fit(
        self,
        x: NDArray,
        y: NDArray,
        batch_size: int = 32,
        epochs: int = 1,
        *,
        validation_split: float = 0.0,
        validation_data: Validation | None = None,
        callbacks: Sequence[Any] = (),
        shuffle: bool = True,
        sample_weight: NDArray | None = None,
        class_weight: dict[int, float] | None = None,
        augmentation: str | Augmentation | None = None,
        verbose: int = 1,
    ) -> History:
        """Train for ``epochs`` passes over (x, y); returns the history of losses and metrics. A second call goes on.

        ``validation_split`` holds out the last part of the data, before any shuffling, as Keras does. ``class_weight`` multiplies
        the weight of samples by class. ``augmentation`` changes the training images, anew in every epoch, for example
        ``"flip,crop:4"``; see ``pellucid.augmentation``. ``verbose=0`` is silent.
        """
        from .training import loop  # asking a model loads nothing of this
        from .training.display import Display

        self._learner()
        x = self.check_input(x)
        y, sample_weight = self.check_targets(x, y, sample_weight)
        if not 0 <= validation_split < 1:
            raise PellucidError(f"validation_split was {validation_split}; wanted a part from 0 up to, but not, 1.")
        if validation_split and validation_data is None:
            cut = len(x) - int(len(x) * validation_split)
            if cut == len(x):
                raise PellucidError(
                    f"validation_split was {validation_split}, which leaves no image for validation of {len(x)}."
                )
            validation_data, x, y = (x[cut:], y[cut:]), x[:cut], y[:cut]
            sample_weight = None if sample_weight is None else sample_weight[:cut]
        if validation_data is not None:
            seen = self.check_input(validation_data[0])
            validation_data = (seen, self.check_targets(seen, validation_data[1])[0])
        if class_weight is not None:
            weights = losses.class_weights(y, class_weight)
            sample_weight = weights if sample_weight is None else weights * sample_weight
        augment = self.augmenter(augmentation)
        self.adapt_to(x)
        progress = loop.Progress(epoch=self.epochs_seen)
        try:
            return loop.fit(
                self,
                x,
                y,
                sample_weight=sample_weight,
                batch_size=batch_size,
                epochs=self.epochs_seen + epochs,
                seed=self.seed,
                shuffle=shuffle,
                validation=validation_data,
                callbacks=[*callbacks, *([Display()] if verbose else [])],
                progress=progress,
                augment=augment,
            )
        finally:
            self.epochs_seen = progress.epoch + bool(progress.batch)

    def find_learning_rate(
        self,
        x: NDArray,
        y: NDArray,
        batch_size: int = 32,
        *,
        lowest: float = 1e-6,
        highest: float = 10.0,
        steps: int = 100,
        augmentation: str | Augmentation | None = None,
    ) -> RateTest:
        """Which learning rate suits the model, its optimizer and the data: a range test, see ``training.ratefinder.find``.

        Returns rates, losses, a suggestion and the reason for it, and draws a ``figure()``. The model stays as it is.
        """
        from .training import ratefinder

        self._learner()
        x = self.check_input(x)
        y, _ = self.check_targets(x, y)
        rates: dict[str, Any] = {"lowest": lowest, "highest": highest, "steps": steps}
        with ratefinder.unchanged(self):
            self.adapt_to(x)
            return ratefinder.find(
                self, x, y, batch_size=batch_size, seed=self.seed, augment=self.augmenter(augmentation), **rates
            )

    # Asking ----------------------------------------------------------------------------------------------------------

    def _scores(self, outputs: NDArray, y: NDArray, op: str) -> dict[str, float]:
        logits = self.loss is not None and op == self.loss.logits_op
        threshold = 0.0 if logits else 0.5  # a logit of 0 is a probability of 1/2
        return {name: float(score(outputs, y, threshold).mean()) for name, score in self.metrics.items()}

    def evaluate(
        self,
        x: NDArray,
        y: NDArray,
        batch_size: int = 256,
        sample_weight: NDArray | None = None,
        *,
        views: str | None = None,
    ) -> dict[str, float]:
        """The mean loss and metrics over (x, y) at inference; ``views`` as for ``predict``."""
        shown = self.averaged()
        loss, op, network = shown._learner()
        x = self.check_input(x)
        y, weights = self.check_targets(x, y, sample_weight)
        summed = dataclasses.replace(loss, reduction="sum")  # sums of batches add up, their means may not
        totals = dict.fromkeys(("loss", *self.metrics), 0.0)
        network = shown._plan(network, training=False, images=min(len(x), batch_size))
        self._repeats.rest()
        for part, batch in self._batches(x, batch_size):
            outputs = views_of.ask(network, batch, views or self.views)
            value, _ = summed.forward(op, outputs, y[part], None if weights is None else weights[part])
            totals["loss"] += float(value)
            for name, mean in self._scores(outputs, y[part], op).items():
                totals[name] += mean * len(batch)
        means = {name: total / len(x) for name, total in totals.items()}
        return means | {"loss": totals["loss"] / loss.divisor(len(x), weights)}

    def predict(self, x: NDArray, batch_size: int = 256, *, views: str | None = None) -> NDArray:
        """The outputs, probabilities where the model ends in softmax or sigmoid: (N, H, W, C) -> (N, K).

        ``x`` is worked through in batches and stays as it is (uint8, or on disk as a memory map) until its batch. ``views`` is
        "none", "mirror" or "mirror+shifts": the logits are the mean over several views of each image, a little better and 2 or 6
        times slower; without it the model's own ``views``.
        """
        x = self.check_input(x)
        shown, views = self.averaged(), views or self.views
        images = min(len(x), batch_size)
        at_once = self._replies.at_once(self, images) if views == "none" and shown is self else None
        network = shown._plan(shown, training=False, images=images if at_once is None else MANY)
        if at_once is not None:
            batch_size, ask = min(batch_size, at_once), functools.partial(self._replies.reply, self, network)
        else:
            self._repeats.rest()
            ask = functools.partial(views_of.ask, network, views=views)
        return np.concatenate([ask(batch) for _, batch in self._batches(x, batch_size)])

    def summary(self) -> None:
        """Print layers, shapes, parameters, multiply-adds, memory and receptive fields."""
        from rich.console import Console

        if self.input_shape is None:
            raise PellucidError("The model has no shapes yet: compile it with its input_shape first.")
        Console().print(summarize(self, self.input_shape, name=self.name or "model"))

    def gradient_check(
        self,
        x: NDArray | None = None,
        y: NDArray | None = None,
        *,
        samples: int = 20,
        directions: int = 3,
        seed: int = 0,
        method: str = "complex",
    ) -> list[CheckedGradient]:
        """Compare the gradient of every parameter with numerical derivatives, in float64 on the NumPy reference.

        Without ``x`` and ``y`` (as the layers see them) two random images are used. Returns a row per trained parameter; see
        ``pellucid.differentiation.gradient_errors`` for the two methods and what the error is relative to.
        """
        self._learner()
        rng = np.random.default_rng(seed)
        if x is None or y is None:
            shape = self.input_shape or ()
            x = rng.standard_normal((2, *shape))
            y = rng.integers(max(self.output_shape(shape)[-1], 2), size=2)
        twin = self.twin(np.float64)
        probe = self.twin(np.complex128 if method == "complex" else np.float64)
        loss, op, network = probe._learner()
        random = Randomness.for_batch(self.seed, 0, np.arange(len(x)))

        def loss_of(params: dict[str, NDArray]) -> Any:
            for path, array in probe.trainable_params.items():
                array[...] = params[path]
            outputs, _ = Chain.forward(network, probe.to_input(x), training=True, rng=random)
            return loss.forward(op, outputs, y)[0] + probe._penalty(probe.trainable_params)

        with backend.using("numpy"):
            _, gradients = twin.gradients(x, y)
            return gradient_errors(
                loss_of,
                gradients,
                twin.trainable_params,
                samples=samples,
                directions=directions,
                seed=seed,
                method=method,
            )

    def twin(self, dtype: Any) -> Sequential:
        """A copy of layers, weights and loss in another precision; it takes inputs as the layers see them, not raw pixels."""
        twin = Sequential([layer.clone() for layer in self.layers], name=self.name)
        twin.build(self.input_shape or (), seed=self.seed)
        twin.astype(dtype).load_weights(self.params | self.state)
        twin.optimizer, twin.loss, twin.metrics = self.optimizer, self.loss, self.metrics
        twin.penalties = self.penalties
        return twin

    # Averages ----------------------------------------------------------------------------------------------------------

    def averaged(self) -> Sequential:
        """This model with the averages of its weights, sharing them with the optimizer; the model itself where there are none.

        ``evaluate``, ``predict`` and ``save`` ask this one.
        """
        arrays = self.params | self.state if self.optimizer is not None and self.optimizer.averages else {}
        averages = self.optimizer.averaged(arrays) if self.optimizer is not None and arrays else None
        if averages is None:
            return self
        shared = {id(array): averages[path] for path, array in arrays.items()}
        twin = copy.copy(self)
        twin.layers = copy.deepcopy(self.layers, shared)  # a copy in which every weight is its average
        twin.optimizer, twin._plans, twin._replies, twin._repeats = None, {}, Replies(), Repeats()
        return twin

    def adopt_averages(self) -> None:
        """Let the weights be their averages, which then begin anew."""
        twin = self.averaged()
        if twin is not self:
            self.load_weights(twin.params | twin.state)

    def load_weights(self, arrays: dict[str, NDArray]) -> None:
        """Copy ``arrays``, by path, into params and state. Averages of the weights of before are forgotten."""
        self._check_writeable()
        super().load_weights(arrays)
        if self.optimizer is not None and self.optimizer.averages:
            self.optimizer.forget_averages()

    # Files -----------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write architecture, weights, preprocessing, class names and training summary to one safetensors file, atomically.

        The weights are their averages, where the optimizer keeps such.
        """
        if not self.built:
            raise PellucidError("The model has no weights to save: compile it with its input_shape first.")
        about = {
            "architecture": self.config(),
            "input_shape": list(self.input_shape or ()),
            "data_format": self.data_format,
            "seed": self.seed,
            "preprocessing": None if self.preprocessing is None else self.preprocessing.to_dict(),
            "views": views_of.known(self.views),
            "class_names": list(self.class_names),
            "training": self.training_summary,
            "loss": None if self.loss is None else self.loss.config(),
            "metrics": list(self.metrics),
        }
        shown = self.averaged()
        modelfile.write(path, shown.params | shown.state, about)


def _leaves(layer: Layer, path: str = "") -> Iterator[tuple[str, Layer]]:
    """All layers that hold no others, by path."""
    for name, child in layer.children():
        inside = f"{path}/{name}" if path else name
        yield from _leaves(child, inside) if child.children() else [(inside, child)]


def load(path: str | os.PathLike[str], *, read_only: bool = False) -> Sequential:
    """Read a model written by ``save``. It can predict and evaluate; to go on training, compile it again.

    ``read_only`` is for models that are only asked, as in a server: see ``Sequential.make_read_only``.

    Raises
    ------
    FileFormatError
        if the file is not a pellucid model, is damaged, of a newer version, or its arrays do not fit its architecture.
    """
    about, arrays = modelfile.read(path)
    with modelfile.explained(path):
        model = Layer.from_config(about["architecture"])
        if not isinstance(model, Sequential):
            raise PellucidError("its architecture is not a Sequential")
        shape = tuple(int(n) for n in about["input_shape"])
        modelfile.check_shapes({key: weight.shape for key, weight in model.declared(shape).items()}, arrays)
        model.build(shape, seed=int(about.get("seed", 0)), dtype=np.result_type(np.float32, *arrays.values()))
        model.load_weights(arrays)
        _, model.data_format = border.channels_last(shape, about.get("data_format", "channels_last"))
        model.preprocessing = Preprocessing.from_dict(about["preprocessing"]) if about.get("preprocessing") else None
        model.views = views_of.known(about.get("views", "none"))
        model.class_names = tuple(str(name) for name in about.get("class_names", ()))
        outputs = model.output_shape(shape)[-1]
        if model.class_names and len(model.class_names) != max(outputs, 2):
            raise PellucidError(f"it has {len(model.class_names)} class names for {outputs} outputs")
        model.training_summary = dict(about.get("training") or {})
        if about.get("loss"):
            model.loss = losses.get(about["loss"])
        model.metrics = scores.get(about.get("metrics", ()))
    if read_only:
        model.make_read_only()
    return model
