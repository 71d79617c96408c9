"""What a network is made of: shapes, parameters, multiply-adds, memory, receptive field."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from .layers.base import Field, Layer, Shape


class Row(NamedTuple):
    """One layer; ``depth`` says how many containers it lies in."""

    path: str
    depth: int
    layer: str
    settings: str
    output_shape: Shape
    parameters: int
    multiply_adds: int
    activations: int  # numbers the layer puts out for one image
    receptive_field: str  # pixels of the input that one output sees, vertical x horizontal


@dataclass(frozen=True)
class Summary:
    """Rows for all layers and the totals; prints itself as a table (``rich`` renders it, ``str`` gives plain text)."""

    name: str
    input_shape: Shape
    rows: list[Row]
    parameters: int
    state: int
    multiply_adds: int
    activations: int

    def totals(self) -> str:
        """The closing lines of the table."""
        return (
            f"Parameters {self.parameters:,} ({_bytes(4 * self.parameters)}), not trained {self.state:,} · "
            f"multiply-adds {self.multiply_adds:,} an image · activations {_bytes(4 * self.activations)} an image"
        )

    def __rich__(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table

        table = Table(
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            title=f"{self.name}, input {_shape(self.input_shape)}",
            title_justify="left",
        )
        table.add_column("layer", no_wrap=True)
        table.add_column("settings")
        for heading in ("output", "parameters", "mult-adds", "sees"):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in self.rows:
            name = "  " * row.depth + row.path.rpartition("/")[2]
            numbers = [f"{n:,}" if n else "·" for n in (row.parameters, row.multiply_adds)]
            table.add_row(name, row.settings, _shape(row.output_shape), *numbers, row.receptive_field)
        return Group(table, self.totals())

    def __str__(self) -> str:
        import io

        from rich.console import Console

        console = Console(file=io.StringIO(), width=120, force_terminal=False)
        console.print(self)
        return console.file.getvalue()  # type: ignore[attr-defined]


def summarize(network: Layer, input_shape: Shape, *, name: str = "network") -> Summary:
    """Describe a network for inputs of ``input_shape``, without allocating its weights.

    Multiply-adds are counted as everybody counts them: those of convolutions and dense layers, biases left out. Memory
    counts 4 bytes a number.

    >>> from pellucid.layers import Chain, Conv2D, Flatten, Dense
    >>> summary = summarize(Chain([Conv2D(8, 3), Flatten(), Dense(10)]), (6, 6, 1))
    >>> summary.parameters, summary.multiply_adds, [row.receptive_field for row in summary.rows]
    (1370, 2432, ['3x3', '3x3', 'all'])
    """
    rows: list[Row] = []
    start = Field((1, 1), (1, 1))
    _describe(network, tuple(input_shape), start, "", 0, rows)
    declared = network.declared(input_shape).values()
    return Summary(
        name=name,
        input_shape=tuple(input_shape),
        rows=rows,
        parameters=sum(math.prod(weight.shape) for weight in declared if weight.trained),
        state=sum(math.prod(weight.shape) for weight in declared if not weight.trained),
        multiply_adds=network.multiply_adds(input_shape),
        activations=sum(row.activations for row in rows),
    )


def _describe(network: Layer, input_shape: Shape, field: Field, prefix: str, depth: int, rows: list[Row]) -> None:
    one_after_another = hasattr(network, "layers")
    for name, layer, shape in network.parts(input_shape):
        behind = layer.receptive_field(field, shape)
        weights = layer.weights(shape).values()
        own = sum(math.prod(weight.shape) for weight in weights if weight.trained)
        output_shape = tuple(layer.output_shape(shape))
        inside = bool(layer.children())
        rows.append(
            Row(
                path=f"{prefix}{name}",
                depth=depth,
                layer=type(layer).__name__,
                settings="" if inside else _settings(layer),
                output_shape=output_shape,
                parameters=own,
                multiply_adds=0 if inside else layer.multiply_adds(shape),
                activations=math.prod(output_shape),
                receptive_field=_size(behind),
            )
        )
        _describe(layer, shape, field, f"{prefix}{name}/", depth + 1, rows)
        if one_after_another:
            field = behind


def _settings(layer: Layer) -> str:
    """What distinguishes a layer at a glance: no initial values, no small print."""
    config = {name: value for name, value in layer.config().items() if name not in ("class", "name", "trainable")}
    defaults = inspect.signature(type(layer)).parameters
    small_print = ("initializer", "momentum", "epsilon", "use_bias")
    shown = [
        _setting(name, value)
        for name, value in config.items()
        if value != defaults[name].default and not name.endswith(small_print)
    ]
    return " ".join(shown if layer.trainable else [*shown, "frozen"])


def _setting(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return _shape(tuple(value)) if isinstance(value, list) else str(value)


def _size(field: Field) -> str:
    return "all" if math.inf in field.size else "x".join(str(int(n)) for n in field.size)


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _bytes(n: int) -> str:
    return f"{n / 1e6:.1f} MB" if n >= 1e5 else f"{n / 1e3:.1f} kB"
