"""What all explanations need: the layers of a network by path, its score for a class, images in batches.

Explanations run the network as its layers stand, never its plan: in a plan, what lies between the members of a fused group is
never written to memory. They read the tape of a forward pass and call ``backward``; nothing is hung on a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError, nearest
from ..layers import Chain, Layer
from ..layers.base import Shape
from ..model import Sequential
from ..tape import Tape

Classes = int | str | Sequence[int] | Sequence[str] | NDArray | None
"""What to explain: a class by number or name, one for each image, or None for what the network predicts."""

_PROBABILITY = ("softmax", "sigmoid")


class Place(NamedTuple):
    """A layer and where it stands: its path, what it is fed and what it puts out, both without the batch axis."""

    path: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape

    @property
    def spatial(self) -> bool:
        """Whether it puts out maps (H, W, C) of more than one pixel."""
        return len(self.output_shape) == 3 and self.output_shape[0] * self.output_shape[1] > 1


def places(network: Layer, input_shape: Shape, prefix: str = "") -> Iterator[Place]:
    """All layers in order, each container before the layers inside it.

    >>> from pellucid import zoo
    >>> [place.path for place in places(zoo.build("cnn2"), (32, 32, 3))][:3]
    ['conv1', 'max_pool1', 'conv2']
    """
    for name, layer, shape in network.parts(input_shape):
        path = f"{prefix}{name}"
        yield Place(path, layer, tuple(shape), tuple(layer.output_shape(shape)))
        yield from places(layer, shape, f"{path}/")


def layers_of(model: Sequential) -> dict[str, Place]:
    """All layers of a built model by path."""
    if not model.built or model.input_shape is None:
        raise PellucidError("The model has no weights yet: call compile with its input_shape, or load it from a file.")
    return {place.path: place for place in places(model, model.input_shape)}


def find_layer(model: Sequential, path: str, wanted: Callable[[Place], bool] | None = None, kind: str = "") -> Place:
    """A layer by its path; ``wanted`` restricts the choice to layers of some ``kind``, which the error names.

    >>> from pellucid import zoo
    >>> find_layer(zoo.build("cnn2"), "conv_2")
    Traceback (most recent call last):
    pellucid.errors.PellucidError: The network has no layer 'conv_2'. Did you mean 'conv2'? Known: conv1, max_pool1, ...
    """
    known = layers_of(model)
    fitting = [p.path for p in known.values() if wanted is None or wanted(p)]
    if path not in known:
        raise PellucidError(f"The network has no layer {path!r}. {nearest(str(path), fitting)}")
    if path not in fitting:
        hint = f"These do: {', '.join(fitting)}." if fitting else "No layer of this network does."
        raise PellucidError(f"The layer {path!r} has no {kind}. {hint}")
    return known[path]


def input_of(model: Sequential, x: NDArray, tape: Tape, path: str) -> NDArray:
    """What the layer at ``path`` was fed in the forward pass of ``x`` that left ``tape``."""
    container: Layer = model
    names = path.split("/")
    for depth, name in enumerate(names):
        position = [child for child, _ in container.children()].index(name)
        if isinstance(container, Chain) and position:  # elsewhere all children are fed alike
            x = tape[position - 1].output
        if depth + 1 < len(names):
            container, tape = container.children()[position][1], tape[position].cache
    return x


def batches(model: Sequential, x: NDArray, batch_size: int) -> Iterator[tuple[slice, NDArray]]:
    """Raw images as the first layer sees them, batch by batch, each with its place."""
    x = model.check_input(x)
    if batch_size < 1:
        raise PellucidError(f"batch_size was {batch_size}; wanted at least 1.")
    for start in range(0, len(x), batch_size):
        part = slice(start, min(start + batch_size, len(x)))
        yield part, model.to_input(x[part])


# The score of a class --------------------------------------------------------------------------------------------------


class Scores(NamedTuple):
    """A network that puts out the scores to be explained, and what they are, in words."""

    network: Chain
    words: str


def scores_of(model: Sequential, of: str = "logit") -> Scores:
    """The network up to the scores: without its last softmax or sigmoid for ``of="logit"``, whole for ``of="probability"``.

    The logit is the better choice: the gradient of a probability near 1 is near 0, and it rises too when another class falls.
    A network that ends without softmax or sigmoid puts out logits already.
    """
    layers_of(model)  # raises for a model without weights
    last = model.final_activation
    if of == "probability":
        if last not in _PROBABILITY:
            raise PellucidError(
                f"The network ends in {last or 'a linear layer'}, so it has no probabilities; explain its logits: of='logit'."
            )
        return Scores(model, "probability")
    if of != "logit":
        raise PellucidError(f"of was {of!r}. {nearest(str(of), ('logit', 'probability'))}")
    if last in (*_PROBABILITY, "log_softmax"):
        return Scores(model.without_activation(), f"logit, before {last}")
    return Scores(model, "logit")


def number_of_classes(model: Sequential) -> int:
    """How many classes the outputs stand for; a single output stands for two."""
    return max(model.output_shape(model.input_shape or ())[-1], 2)


def class_name(model: Sequential, number: int) -> str:
    """The name of a class, for use in a sentence: "cat", or "class 3" where its name is a number or it has none."""
    name = model.class_names[number] if model.class_names else str(number)
    return f"class {name}" if name.isdigit() else name


def class_numbers(model: Sequential, classes: Classes, images: int) -> NDArray[np.int64] | None:
    """``classes`` as one number for each image; None stays None."""
    if classes is None:
        return None
    single = isinstance(classes, str | int | np.integer)
    given: list[Any] = [classes] if single else list(classes)  # type: ignore[list-item, arg-type]
    numbers = np.array([_class_number(model, value) for value in given], np.int64)
    if not single and len(numbers) != images:
        raise PellucidError(f"There are {len(numbers)} classes for {images} images; give one for all, or one for each.")
    return np.resize(numbers, images)


def _class_number(model: Sequential, value: Any) -> int:
    count, names = number_of_classes(model), model.class_names
    if isinstance(value, str):
        if value in names:
            return names.index(value)
        if not value.isdigit():
            known = names or tuple(map(str, range(count)))
            raise PellucidError(f"There is no class {value!r}. {nearest(value, known)}")
    if int(value) != float(value) or not 0 <= int(value) < count:
        raise PellucidError(f"There is no class {value}; the model has the classes 0 … {count - 1}.")
    return int(value)


def predicted(outputs: NDArray) -> NDArray[np.int64]:
    """The class with the largest score: (N, K) -> (N,). The sign of a single logit decides between two."""
    return (outputs[:, 0] > 0).astype(np.int64) if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def direction(outputs: NDArray, classes: NDArray) -> NDArray:
    """The gradient of each image's score by the outputs (N, K): one at its class; of a single logit, minus one for class 0."""
    if outputs.shape[1] == 1:
        return np.where(classes == 1, 1, -1).astype(outputs.dtype)[:, None]
    return np.eye(outputs.shape[1], dtype=outputs.dtype)[classes]
