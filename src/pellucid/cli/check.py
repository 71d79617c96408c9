"""``pellucid check``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

LARGEST = 1e-6  # relative error in float64; right gradients stay below by orders of magnitude


def check(
    *,
    model: Annotated[str, Parameter(metavar="NAME")] = "lenet5",
    input_shape: Annotated[tuple[int, int, int], Parameter(metavar="H W C", negative_iterable=())] = (32, 32, 3),
    classes: Annotated[int, Parameter(metavar="N")] = 10,
    samples: Annotated[int, Parameter(metavar="N")] = 20,
    method: Literal["complex", "central"] = "complex",
    seed: Annotated[int, Parameter(metavar="N")] = 0,
) -> int:
    """Compare the gradients of a network with numerical derivatives.

    In float64 on the NumPy reference. The table shows the largest relative
    error for every parameter; the exit status is 1 if one is above 1e-6.

    Examples:

      pellucid check --model cnn2

      pellucid check --model net.toml --input-shape 28 28 1

    Parameters
    ----------
    model
        A network of the zoo, a TOML file of layers, a model file or a run folder.
    input_shape
        Height, width and channels of the images, for a network that is not trained yet.
    classes
        The number of classes, for a network of the zoo.
    samples
        How many elements of every parameter are checked one by one; random directions come on top.
    method
        Complex steps, exact to rounding, or central differences.
    seed
        Draws the images and the elements.
    """
    from rich.console import Console
    from rich.table import Table

    from ..run.networks import find

    network = find(model, input_shape, classes)
    if network.loss is None:
        sigmoid = network.final_activation == "sigmoid"
        network.compile(loss="binary_crossentropy" if sigmoid else "categorical_crossentropy")
    rows = network.gradient_check(samples=samples, seed=seed, method=method)
    against = "complex steps" if method == "complex" else "central differences"
    table = Table(title=f"Gradients of {network.name or model} against {against}", title_justify="left")
    table.add_column("parameter")
    for heading in ("shape", "checked", "largest relative error"):
        table.add_column(heading, justify="right")
    for row in rows:
        wrong = "" if row.error <= LARGEST else "  WRONG"
        table.add_row(row.path, "x".join(map(str, row.shape)), f"{row.checked:,}", f"{row.error:.1e}{wrong}")
    Console().print(table)
    worst = max(row.error for row in rows)
    right = worst <= LARGEST
    print(f"Largest relative error {worst:.1e}: {'right' if right else 'WRONG'} (limit {LARGEST:.0e}).")
    return 0 if right else 1
