"""``pellucid train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..errors import PellucidError
from .options import with_settings


@with_settings()
def train(
    data: Annotated[str | None, Parameter(show_default=False)] = None,
    /,
    *,
    out: Annotated[Path | None, Parameter(metavar="FOLDER", show_default=False)] = None,
    preset: Annotated[str | None, Parameter(metavar="NAME", show_default=False)] = None,
    print_config: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    dry_run: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    report: bool = True,
    **overrides: Any,
) -> int:
    """Train a network on images.

    A new folder keeps all settings (config.toml), metrics.jsonl, checkpoints
    to resume from, and the best model (model.safetensors).

    Every setting can be given here, by its short name or with its section
    (--training.epochs 3), or in a TOML file (epochs = 3 under [training]),
    or both: the command line wins.

    Examples:

      pellucid train digits

      pellucid train cifar10 --preset 5min

      pellucid train cifar10 --data-dir data --model cnn2 --epochs 5

      pellucid train photos/ --size 64 64 --model net.toml --early-stopping 5

      pellucid train runs/digits-cnn1_avg-20250131-120000/config.toml --seed 1

    Parameters
    ----------
    data
        A data set by name (see `pellucid data list`), a folder of class folders, an .npz or .csv file; or a .toml of settings.
    out
        The run folder; a new one in runs/ if none is named. A folder that exists is never written over.
    preset
        Settings found by measuring, for a data set and a time: 1min, 5min, 15min, 30min or 1h for
        cifar10, 15s or best for mnist.
    print_config
        Print all settings as a config.toml, and do nothing.
    dry_run
        Do everything on two batches, write nothing, and say what would happen.
    report
        Write a page about the run at its end, as `pellucid report` does.
    """
    from .. import presets
    from ..config import complete, make, read
    from ..run import train as run
    from .report import at_the_end

    overrides = model_file(overrides)
    if data is not None:
        _not_a_run(data)
    if preset is not None:
        if data is None or data.lower().endswith(".toml"):
            raise PellucidError(
                "--preset wants a data set by name before it, for example: pellucid train cifar10 --preset 5min"
            )
        settings = read(presets.path(data, preset), overrides)
    elif data is not None and data.lower().endswith(".toml"):
        settings = read(data, overrides)
    else:
        settings = make(({"data.source": data} if data is not None else {}) | overrides)
    if print_config:
        print(complete(settings).to_toml(), end="")
        return 0
    result = run(settings, out=out, dry_run=dry_run)
    if report and result.exit_status == 0:
        at_the_end(result.folder)
    return result.exit_status


def model_file(overrides: dict[str, Any]) -> dict[str, Any]:
    """``--model net.toml`` names a file, ``--model cnn2`` a network of the zoo."""
    name = overrides.get("model.name")
    if isinstance(name, str) and name.lower().endswith(".toml"):
        return {key: value for key, value in overrides.items() if key != "model.name"} | {"model.file": name}
    return overrides


def _not_a_run(data: str) -> None:
    from ..data import SOURCES

    folder = Path(data)
    named = data.lower().replace("-", "_") in SOURCES  # a name wins over a folder of the same name
    if not named and (folder / "config.toml").is_file() and (folder / "checkpoints").is_dir():
        raise PellucidError(
            f"{data} is the folder of a run. To go on with it: pellucid resume {data}; "
            f"to train it anew: pellucid train {folder / 'config.toml'}"
        )
