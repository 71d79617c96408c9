"""The one base class of all layers."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError, PellucidError, ShapeError, nearest
from ..initializers import initialize
from ..ops.shape import Geometry
from ..randomness import Randomness, generator

Shape = tuple[int, ...]
Gradients = dict[str, NDArray]


class Weight(NamedTuple):
    """The declaration of one array of a layer. ``trained=False`` puts it into ``state``: kept and stored, never trained."""

    shape: Shape
    initializer: str | float
    fans: tuple[int, int] = (1, 1)
    trained: bool = True


class Field(NamedTuple):
    """A receptive field: how many input pixels (vertical, horizontal) one output sees, the step between outputs, and the pixel
    where the field of the first output starts (negative where it reaches into padding)."""

    size: tuple[float, float]
    step: tuple[float, float]
    start: tuple[float, float] = (0, 0)


class Layer:
    """Settings, parameters and state around one or more ops.

    A layer's settings are the arguments of its ``__init__``, stored under their own names and written nowhere else:
    ``config``, ``repr`` and ``clone`` read the signature. ``params`` (trained) and ``state`` (moving statistics) are dicts of
    arrays. Nothing that belongs to a batch is kept on a layer: ``forward`` returns it as a cache.

    A new layer overrides ``output_shape``, ``forward`` and ``backward``, and ``weights`` if it has any.
    """

    prefix: ClassVar[str] = "layer"  # automatic names are the prefix and a number
    classes: ClassVar[dict[str, type[Layer]]] = {}  # every layer class by its name, for reading model files

    name: str | None

    def __init_subclass__(cls) -> None:
        if not cls.__name__.startswith("_"):
            Layer.classes[cls.__name__] = cls

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name

    # What a layer is -------------------------------------------------------------------------------------------------

    def weights(self, input_shape: Shape) -> dict[str, Weight]:
        """The arrays this layer needs for inputs of ``input_shape`` (without the batch axis)."""
        return {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the output (without the batch axis). Raises ``ShapeError`` for an input that does not fit."""
        return input_shape

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        """The output for a batch, and whatever ``backward`` will need."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to compute its output")

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray | None, Gradients]:
        """The gradients by the input and by each parameter; ``input_gradient=False`` may leave the first one out."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to compute its gradients")

    def __call__(self, x: NDArray) -> NDArray:
        """The output for a batch at inference."""
        return self.forward(x)[0]

    def children(self) -> list[tuple[str, Layer]]:
        """The layers inside this one, by name."""
        return []

    def parts(self, input_shape: Shape) -> list[tuple[str, Layer, Shape]]:
        """The layers inside this one, each with the shape it is fed."""
        return [(name, child, tuple(input_shape)) for name, child in self.children()]

    def multiply_adds(self, input_shape: Shape) -> int:
        """Multiply-accumulate operations of one forward pass of one image."""
        return sum(child.multiply_adds(shape) for _, child, shape in self.parts(input_shape))

    def receptive_field(self, field: Field, input_shape: Shape) -> Field:
        """The receptive field behind this layer, given the one in front of it."""
        return field

    # Settings --------------------------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """The settings as plain Python types; ``from_config`` makes the same layer of them."""
        settings = {name: _plain(getattr(self, name)) for name in inspect.signature(type(self)).parameters}
        frozen = {} if self._trainable else {"trainable": False}
        return {"class": type(self).__name__, **settings, **frozen}

    @staticmethod
    def from_config(config: dict[str, Any]) -> Layer:
        """A new layer, with no weights yet, from the result of ``config``."""
        if not isinstance(config, dict) or not isinstance(config.get("class"), str):
            raise FileFormatError(f"A layer's config must be a table with its class, but was {config!r:.200}.")
        settings = {name: _revive(value) for name, value in config.items() if name not in ("class", "trainable")}
        name, trainable = config["class"], config.get("trainable", True)
        if not isinstance(trainable, bool):
            raise FileFormatError(f"trainable of {name} was {trainable!r}; wanted true or false.")
        if name not in Layer.classes:
            raise FileFormatError(f"There is no layer class {name!r}. {nearest(name, Layer.classes)}")
        try:
            layer = Layer.classes[name](**settings)
        except TypeError as error:
            raise FileFormatError(f"The settings of {name} do not fit: {error}.") from error
        if not trainable:
            layer.trainable = False
        return layer

    def clone(self) -> Layer:
        """A layer with the same settings and no weights."""
        return Layer.from_config(self.config())

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters.values()
        shown = [
            f"{p.name}={getattr(self, p.name)!r}"
            for p in parameters
            if getattr(self, p.name) != p.default and p.name != "name"
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    # Weights ---------------------------------------------------------------------------------------------------------

    _params: Gradients | None = None
    _state: Gradients | None = None
    input_shape: Shape | None = None

    def build(self, input_shape: Shape, *, seed: int = 0, path: str = "", dtype: Any = np.float32) -> None:
        """Allocate and draw the weights for inputs of ``input_shape``. Each depends on the seed and its own path only."""
        self.input_shape, self._params, self._state = tuple(input_shape), {}, {}
        for name, weight in self.weights(input_shape).items():
            rng = generator(seed, f"{path}{name}")
            value = initialize(weight.initializer, weight.shape, weight.fans, rng).astype(dtype)
            (self._params if weight.trained else self._state)[name] = value
        for name, child, shape in self.parts(input_shape):
            child.build(shape, seed=seed, path=f"{path}{name}/", dtype=dtype)

    def declared(self, input_shape: Shape) -> dict[str, Weight]:
        """All weights, by path, that ``build`` would allocate, without allocating them."""
        inside = {
            f"{name}/{key}": weight
            for name, child, shape in self.parts(input_shape)
            for key, weight in child.declared(shape).items()
        }
        return self.weights(input_shape) | inside

    @property
    def built(self) -> bool:
        """Whether the layer has its weights."""
        return self._params is not None

    @property
    def params(self) -> Gradients:
        """The trained arrays, not copies, by path: ``"kernel"`` or, in a container, ``"conv1/kernel"``."""
        return self._collect("_params")

    @property
    def state(self) -> Gradients:
        """The arrays that are kept but not trained: moving statistics, weights declared with ``trained=False``."""
        return self._collect("_state")

    @property
    def trainable_params(self) -> Gradients:
        """Those of ``params`` that training changes: all but the ones of frozen layers."""
        return self._collect("_unfrozen")

    @property
    def _unfrozen(self) -> Gradients | None:
        return self._params if self._trainable or self._params is None else {}

    _trainable = True

    @property
    def trainable(self) -> bool:
        """Whether training changes the layer. ``layer.trainable = False`` freezes it, and all layers inside it, as in Keras.

        The gradients of frozen parameters are left out of what an optimizer gets; a model file remembers what is frozen.

        >>> from pellucid.layers import Chain, Dense
        >>> chain = Chain([Dense(3), Dense(2)])
        >>> chain.build((4,))
        >>> chain.layers[0].trainable = False
        >>> sorted(chain.params), sorted(chain.trainable_params)
        (['dense1/bias', 'dense1/kernel', 'dense2/bias', 'dense2/kernel'], ['dense2/bias', 'dense2/kernel'])
        """
        children = self.children()
        return any(child.trainable for _, child in children) if children else self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise PellucidError(f"trainable was {value!r}; wanted True or False.")
        children = self.children()
        for _, child in children:
            child.trainable = value
        if not children:  # a container is what its layers are
            self._trainable = value

    def _collect(self, kind: str) -> Gradients:
        own = getattr(self, kind)
        if own is None:
            raise PellucidError(f"{self!r} has no weights yet: build or compile the model with its input_shape first.")
        children = self.children()
        if not children:
            return own
        inside = {f"{name}/{key}": value for name, child in children for key, value in child._collect(kind).items()}
        return own | inside

    def load_weights(self, arrays: dict[str, NDArray]) -> None:
        """Copy ``arrays``, by path, into params and state. All must be there, in their shapes; else nothing is changed."""
        mine = self.params | self.state
        missing, unknown = sorted(mine.keys() - arrays.keys()), sorted(arrays.keys() - mine.keys())
        if missing or unknown:
            raise FileFormatError(
                f"The weights are those of another network: missing {missing[:5] or 'none'}, unknown {unknown[:5] or 'none'}."
            )
        for path, array in arrays.items():
            if array.shape != mine[path].shape:
                raise FileFormatError(
                    f"{path} has shape {array.shape} in the file and {mine[path].shape} in this network: "
                    "the weights are those of another network."
                )
        for path, array in arrays.items():
            mine[path][...] = array

    @property
    def needs_data(self) -> bool:
        """Whether some of its weights are computed from images, and have not been yet: see ``adapt``."""
        return any(child.needs_data for _, child in self.children())

    def adapt(self, x: NDArray) -> None:
        """Compute the weights that depend on the data from inputs ``x`` of this layer; most layers have none."""
        for _, child in self.children():
            child.adapt(x)

    def astype(self, dtype: Any) -> Self:
        """Convert all weights to a precision (float32 or float64), in place; returns the layer."""
        for layer in self.walk():
            for arrays in (layer._params, layer._state):
                if arrays is not None:
                    arrays.update({name: array.astype(dtype) for name, array in arrays.items()})
        return self

    def walk(self) -> Iterator[Layer]:
        """This layer and all layers inside it."""
        yield self
        for _, child in self.children():
            yield from child.walk()

    def count_params(self) -> int:
        """How many trained numbers the layer has."""
        return sum(array.size for array in self.params.values())

    # The last activation, which a loss may want to take in itself ------------------------------------------------------

    activation: str | None = None

    @property
    def final_activation(self) -> str | None:
        """The activation that ends this layer, None where it is linear."""
        return None if self.activation == "linear" else self.activation

    def without_activation(self) -> Layer:
        """The same layer, sharing its weights, ending before its activation."""
        twin = copy.copy(self)
        twin.activation = None
        return twin


def wants_image(layer: Layer, input_shape: Shape) -> tuple[int, int, int]:
    """``input_shape`` as (H, W, C), or a ``ShapeError`` that says how to get there."""
    if len(input_shape) != 3:
        raise ShapeError(
            f"{type(layer).__name__} wants images (H, W, C) but gets {input_shape}. Place it before Flatten and global pooling; "
            "for greyscale images add the channel axis: x[..., None]."
        )
    return input_shape  # type: ignore[return-value]


def slide(field: Field, geo: Geometry) -> Field:
    """The receptive field behind a sliding window."""
    size, step, start = [], [], []
    for axis in (0, 1):
        size.append(field.size[axis] + (geo.window[axis] - 1) * geo.dilation[axis] * field.step[axis])
        step.append(field.step[axis] * geo.strides[axis])
        start.append(field.start[axis] - geo.padding[axis][0] * field.step[axis])
    return Field(tuple(size), tuple(step), tuple(start))  # type: ignore[arg-type]


EVERYTHING = Field((math.inf, math.inf), (math.inf, math.inf), (-math.inf, -math.inf))


def arrays_of(layers: Iterable[Layer]) -> list[NDArray]:
    """All arrays of these layers themselves, trained or not; not of layers inside them."""
    return [array for layer in layers for kind in (layer._params, layer._state) for array in (kind or {}).values()]


def _plain(value: Any) -> Any:
    """Settings as JSON knows them; layers inside settings as their configs."""
    if isinstance(value, Layer):
        return value.config()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _revive(value: Any) -> Any:
    """The inverse of ``_plain``; lists of numbers come back as tuples."""
    if isinstance(value, dict) and "class" in value:
        return Layer.from_config(value)
    if isinstance(value, list):
        items = [_revive(item) for item in value]
        return items if any(isinstance(item, Layer) for item in items) else tuple(items)
    return value
