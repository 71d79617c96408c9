"""Layers made of layers: a chain, a residual connection, branches side by side."""

from __future__ import annotations

import copy
import math
from collections.abc import Container, Iterable
from typing import Any

from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError, ShapeError, nearest
from ..randomness import Randomness
from ..tape import Entry, Tape
from .base import EVERYTHING, Field, Gradients, Layer, Shape


class _Container(Layer):
    """What all containers share: weights live in the children, under their names."""

    def _parallel_forward(self, x: NDArray, training: bool, rng: Randomness | None) -> Tape:
        """Run every child on the same input."""
        tape = Tape()
        for name, child in self.children():
            y, cache = child.forward(x, training=training, rng=rng and rng.child(name))
            tape.append(Entry(name, y, cache))
        return tape

    def _child(self, path: str) -> tuple[str, str]:
        """A path's first name, which must be a child's, and the rest."""
        head, _, rest = path.partition("/")
        names = [name for name, _ in self.children()]
        if head not in names:
            raise PellucidError(
                f"{type(self).__name__} {self.name or ''} has no layer {head!r}. {nearest(head, names)}"
            )
        return head, rest


def child_backward(layer: Layer, dy: NDArray, entry: Entry, input_gradient: bool, until: str) -> tuple[Any, Gradients]:
    """``layer.backward``, its gradients under its name; ``until`` goes down into containers."""
    if until and not layer.children():
        raise PellucidError(f"{layer.name!r} has no layers inside, so there is no {layer.name}/{until}.")
    options: dict[str, Any] = {"until": until} if until else {}
    dx, gradients = layer.backward(dy, entry.cache, input_gradient=input_gradient, **options)
    return dx, {f"{entry.name}/{key}": value for key, value in gradients.items()}


class Chain(_Container):
    """Layers one after another. ``pellucid.Sequential`` is a chain that can be trained.

    Layers without a name get one: their kind and a number, ``conv1``, ``conv2``, ``dense1``.

    >>> from pellucid.layers import Conv2D, Flatten
    >>> Chain([Conv2D(8, 3), Conv2D(8, 3), Flatten()]).layers[1].name
    'conv2'
    """

    prefix = "chain"

    def __init__(self, layers: Iterable[Layer] = (), *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.layers: list[Layer] = []
        for layer in layers:
            self.add(layer)

    def add(self, layer: Layer) -> None:
        """Append a layer."""
        if not isinstance(layer, Layer):
            raise PellucidError(f"A model is made of layers, but got {layer!r}. Write for example Conv2D(32, 3).")
        if any(layer is other for other in self.layers):
            raise PellucidError(f"{layer!r} stands in the model twice; make a second layer, weights are not shared.")
        names = {other.name for other in self.layers}
        if layer.name is None:
            numbers = (f"{layer.prefix}{n}" for n in range(1, len(self.layers) + 2))
            layer.name = next(name for name in numbers if name not in names)
        if layer.name in names or "/" in layer.name:
            raise PellucidError(f"The layer name {layer.name!r} is taken or contains a slash; choose another.")
        self.layers.append(layer)
        self._params = None

    def children(self) -> list[tuple[str, Layer]]:
        return [(str(layer.name), layer) for layer in self.layers]

    def shapes(self, input_shape: Shape) -> list[Shape]:
        """The shape in front of every layer, and at last behind all; an error names the layer that does not fit."""
        shapes = [tuple(input_shape)]
        for layer in self.layers:
            try:
                shapes.append(tuple(layer.output_shape(shapes[-1])))
            except PellucidError as error:
                raise ShapeError(f"Layer {layer.name!r}, {layer!r}, cannot take {shapes[-1]}: {error}") from None
        return shapes

    def parts(self, input_shape: Shape) -> list[tuple[str, Layer, Shape]]:
        return [(*child, shape) for child, shape in zip(self.children(), self.shapes(input_shape), strict=False)]

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.shapes(input_shape)[-1]

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Tape]:
        tape = Tape()
        for layer in self.layers:
            x, cache = layer.forward(x, training=training, rng=rng and rng.child(str(layer.name)))
            tape.append(Entry(str(layer.name), x, cache))
        return x, tape

    def __call__(self, x: NDArray) -> NDArray:
        for layer in self.layers:
            x = layer(x)  # nothing is kept: memory does not grow with depth
        return x

    def adapt(self, x: NDArray) -> None:
        last = max((n for n, layer in enumerate(self.layers) if layer.needs_data), default=-1)
        for layer in self.layers[: last + 1]:
            layer.adapt(x)
            x = layer(x) if layer is not self.layers[last] else x

    def backward(
        self,
        dy: NDArray,
        cache: Tape,
        *,
        input_gradient: bool = True,
        until: str | None = None,
        without: Container[str] = (),
    ) -> tuple[NDArray | None, Gradients]:
        """The gradients by the input and by all parameters; those by parameters ``without`` which one can do may be left out.

        ``until="conv5"`` stops behind that layer and returns the gradient by its output instead; a path such as
        ``"residual1/body/conv2"`` reaches into containers.
        """
        stop, inside = self._child(until) if until else ("", "")
        gradients: Gradients = {}
        wanted = (
            position
            for position, layer in enumerate(self.layers)
            if any(f"{layer.name}/{path}" not in without for path in layer.trainable_params)
        )
        first = 0 if input_gradient or until else next(wanted, 0)
        dx: NDArray | None = dy
        for position in range(len(self.layers) - 1, first - 1, -1):
            layer, entry = self.layers[position], cache.take(position)
            here = layer.name == stop
            if here and not inside:
                return dx, gradients
            further = input_gradient or bool(until) or position > first
            dx, more = child_backward(layer, dx, entry, further, inside if here else "")  # type: ignore[arg-type]
            gradients |= more
            if here:
                return dx, gradients
        return dx if input_gradient else None, gradients

    def receptive_field(self, field: Field, input_shape: Shape) -> Field:
        for _, layer, shape in self.parts(input_shape):
            field = layer.receptive_field(field, shape)
        return field

    @property
    def final_activation(self) -> str | None:
        return self.layers[-1].final_activation if self.layers else None

    def without_activation(self) -> Chain:
        twin = copy.copy(self)
        twin.layers = [*self.layers[:-1], self.layers[-1].without_activation()]
        return twin


def _as_layer(layers: Layer | Iterable[Layer], name: str) -> Layer:
    layer = layers if isinstance(layers, Layer) else Chain(layers)
    layer.name = name
    return layer


def _widest(fields: list[Field]) -> Field:
    """The field that holds them all, as long as they move alike."""
    if any(math.inf in field.size for field in fields):
        return EVERYTHING
    start = tuple(min(field.start[axis] for field in fields) for axis in (0, 1))
    end = [max(field.start[axis] + field.size[axis] for field in fields) for axis in (0, 1)]
    step = tuple(max(field.step[axis] for field in fields) for axis in (0, 1))
    return Field((end[0] - start[0], end[1] - start[1]), step, start)  # type: ignore[arg-type]


def _sum(x: NDArray, other: NDArray) -> NDArray:
    return backend.forward("add", x, other)[0]


class Residual(_Container):
    """y = body(x) + shortcut(x); the shortcut is the identity where None. Bodies may be layers or lists of layers.

    Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", arXiv:1512.03385.

    >>> from pellucid.layers import Conv2D
    >>> block = Residual([Conv2D(16, 3, padding="same"), Conv2D(16, 3, padding="same")])
    >>> block.output_shape((8, 8, 16))
    (8, 8, 16)
    """

    prefix = "residual"
    sum_activation: str | None = None  # a plan lets the sum and what follows it be one op

    def __init__(
        self, body: Layer | Iterable[Layer], shortcut: Layer | Iterable[Layer] | None = None, *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.body = _as_layer(body, "body")
        self.shortcut = None if shortcut is None else _as_layer(shortcut, "shortcut")

    def children(self) -> list[tuple[str, Layer]]:
        return [("body", self.body)] + ([("shortcut", self.shortcut)] if self.shortcut else [])

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = self.body.output_shape(input_shape)
        other = self.shortcut.output_shape(input_shape) if self.shortcut else tuple(input_shape)
        if shape != other:
            raise ShapeError(
                f"Residual adds a body of shape {shape} to a shortcut of shape {other}. Give it a shortcut that changes the "
                f"shape too, for example shortcut=Conv2D({shape[-1]}, 1, strides=…)."
            )
        return shape

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Tape]:
        tape = self._parallel_forward(x, training, rng)
        other = tape[1].output if self.shortcut else x
        y, tape.own = backend.forward("add", tape[0].output, other, activation=self.sum_activation)
        return y, tape

    def backward(
        self, dy: NDArray, cache: Tape, *, input_gradient: bool = True, until: str | None = None
    ) -> tuple[NDArray | None, Gradients]:
        """The gradient reaches body and shortcut alike, and their input gradients add up; ``until`` as in ``Chain``."""
        dbody, dshortcut = backend.backward(dy, cache.own)
        del dy  # nothing holds what is not needed any more
        dparts = {"body": dbody, "shortcut": dshortcut}
        if until:
            head, rest = self._child(until)
            if not rest:
                return dparts[head], {}
            position = [entry.name for entry in cache].index(head)
            return child_backward(self.children()[position][1], dparts[head], cache[position], True, rest)
        dx: NDArray | None = None if self.shortcut else dshortcut
        gradients: Gradients = {}
        for position, (name, child) in enumerate(self.children()):
            dpart, more = child_backward(child, dparts[name], cache.take(position), input_gradient, "")
            gradients |= more
            if input_gradient:
                dx = dpart if dx is None else _sum(dx, dpart)
        return dx if input_gradient else None, gradients

    def receptive_field(self, field: Field, input_shape: Shape) -> Field:
        # The identity reaches no further than any body does.
        return _widest([child.receptive_field(field, input_shape) for _, child in self.children()])


class Concatenate(_Container):
    """The outputs of several branches, all fed with the same input, one behind the other along the channels.

    Source: Szegedy et al., "Going deeper with convolutions", arXiv:1409.4842.

    >>> from pellucid.layers import Conv2D
    >>> Concatenate([Conv2D(8, 1), Conv2D(16, 3, padding="same")]).output_shape((8, 8, 3))
    (8, 8, 24)
    """

    prefix = "concatenate"

    def __init__(self, branches: Iterable[Layer | Iterable[Layer]], *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.branches = [_as_layer(branch, f"branch{n}") for n, branch in enumerate(branches, 1)]
        if not self.branches:
            raise PellucidError("Concatenate got no branches; wanted a list of layers or of lists of layers.")

    def children(self) -> list[tuple[str, Layer]]:
        return [(str(branch.name), branch) for branch in self.branches]

    def output_shape(self, input_shape: Shape) -> Shape:
        shapes = [branch.output_shape(input_shape) for branch in self.branches]
        if len({shape[:-1] for shape in shapes}) > 1:
            raise ShapeError(f"Concatenate got branches of shapes {shapes}; they may differ in their last axis only.")
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Tape]:
        tape = self._parallel_forward(x, training, rng)
        y, tape.own = backend.forward("concatenate", *(entry.output for entry in tape))
        return y, tape

    def backward(
        self, dy: NDArray, cache: Tape, *, input_gradient: bool = True, until: str | None = None
    ) -> tuple[NDArray | None, Gradients]:
        """Each branch gets its own channels of the gradient, and their input gradients add up; ``until`` as in ``Chain``."""
        head, rest = self._child(until) if until else ("", "")
        dx: NDArray | None = None
        gradients: Gradients = {}
        dparts = backend.backward(dy, cache.own)
        for position, branch in enumerate(self.branches):
            dpart, entry = dparts[position], cache.take(position)
            if until and entry.name == head:
                return child_backward(branch, dpart, entry, True, rest) if rest else (dpart, {})
            if not until:
                dbranch, more = child_backward(branch, dpart, entry, input_gradient, "")
                gradients |= more
                if input_gradient:
                    dx = dbranch if dx is None else _sum(dx, dbranch)
        return dx, gradients

    def receptive_field(self, field: Field, input_shape: Shape) -> Field:
        return _widest([branch.receptive_field(field, input_shape) for branch in self.branches])
