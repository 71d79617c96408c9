"""The settings of a run, each written once: name, default, limits, description, example.

Files, command-line options (``--training.epochs 3``), help texts and error messages are derived from these tables.
"""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from ..errors import PellucidError, nearest
from .learning import AveragesTable, GroupTables, LengthSetting, PenaltyTables, ScheduleTable
from .text import to_toml, too_deep


def _count_or_part(value: Any) -> Any:
    """From the command line everything is text: "1000" means a number of images, "0.1" a part."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return int(value)
    return value


def _minutes(value: Any) -> Any:
    """Minutes from a number or from text such as "90s", "10m", "1.5h".

    >>> _minutes("90s"), _minutes("1h"), _minutes("5")
    (1.5, 60.0, 5.0)
    """
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    unit = {"s": 1 / 60, "m": 1.0, "h": 60.0}.get(text[-1:])
    try:
        return float(text if unit is None else text[:-1]) * (unit or 1.0)
    except ValueError:
        raise ValueError("wanted minutes, or a time such as 90s, 10m or 1h") from None


def _layer_tables(value: Any) -> Any:
    """Layers as tables; text is read as JSON, so that even they can be given on the command line."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"wanted a JSON list of layers, but {error}") from None
        if too_deep(value):
            raise ValueError("wanted a list of layers, not one nested so deeply")
    if isinstance(value, list):
        for number, table in enumerate(value, 1):
            try:
                _check_layer(table)
            except (ValueError, TypeError, OverflowError, AttributeError) as error:
                raise ValueError(f"layer {number}: {error}") from None
    return value


def _check_layer(table: Any) -> None:
    from ..layers import Layer  # loads NumPy, which the help of the command line does without

    if isinstance(table, dict) and table.get("class") in Layer.classes:
        known = inspect.signature(Layer.classes[table["class"]]).parameters
        for name in table.keys() - known - {"class", "trainable"}:
            raise PellucidError(f"{table['class']} has no setting {name!r}. {nearest(name, known)}")
    Layer.from_config(table)


def _augmentation(value: Any) -> Any:
    """Augmentation in its canonical text; a list of words is taken too.

    >>> _augmentation(["crop", "flip"])
    'flip,crop:4'
    """
    if value is None:
        return None
    from ..augmentation import get  # loads NumPy, which the help of the command line does without

    try:
        return str(get(value))
    except (PellucidError, TypeError) as error:
        raise ValueError(str(error)) from None


Minutes = Annotated[float, BeforeValidator(_minutes), Field(gt=0, allow_inf_nan=False)]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AtLeastZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Section(BaseModel):
    """A table of settings. Unknown names are refused; assignments are checked like files."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=())


class DataSection(Section):
    """Which images, and how they are split."""

    source: str = Field(
        "", description="a data set by name, a folder of class folders, an .npz or a .csv file", examples=["digits"]
    )
    data_dir: str | None = Field(None, description="where official files are looked for first", examples=["data"])
    verify: bool = Field(True, description="refuse official files whose checksum is not the published one")
    download: bool = Field(True, description="fetch official files that are found nowhere")
    validation_split: (
        Annotated[int | float, BeforeValidator(_count_or_part), Field(ge=0, allow_inf_nan=False)] | None
    ) = Field(
        None,
        description="a part (0.1) or a number (1000) of the training images held out for validation",
        examples=[0.1],
    )
    test_part: str = Field(
        "official", description="the official test images, or data_batch_5 of cifar10", examples=["official"]
    )
    size: tuple[Positive, Positive] | None = Field(
        None, description="height and width every image is given", examples=[[32, 32]]
    )
    channels: Literal[1, 3] | None = Field(None, description="1 for grey, 3 for colour", examples=[3])
    on_bad_image: Literal["error", "skip"] = Field(
        "error", description="what an unreadable image file does", examples=["skip"]
    )
    classes: list[str] | None = Field(
        None, description="only these classes, numbered in this order", examples=[["cat", "dog"]]
    )
    seed: Seed | None = Field(None, description="draws the validation images; without it, the run's seed", examples=[0])

    @model_validator(mode="before")
    @classmethod
    def _channels_from_text(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("channels") in ("1", "3"):
            return values | {"channels": int(values["channels"])}
        return values


class ModelSection(Section):
    """Which network."""

    name: str | None = Field(
        None, description="a network of the zoo, or the name of your own layers", examples=["cnn2"]
    )
    file: str | None = Field(
        None, description="a TOML file with [[layers]] tables, or the config.toml of a run", examples=["net.toml"]
    )
    layers: Annotated[list[dict[str, Any]], BeforeValidator(_layer_tables)] | None = Field(
        None,
        description="your own layers: a class and its settings each",
        examples=[[{"class": "Flatten"}, {"class": "Dense", "units": 10, "activation": "softmax"}]],
        min_length=1,
    )
    seed: Seed | None = Field(None, description="draws the first weights; without it, the run's seed", examples=[0])


class OptimizerSection(Section):
    """How gradients change the weights. What is left out has the default of the optimizer."""

    name: str = Field("adam", description="sgd, adam, adamw, rmsprop, adagrad or muon", examples=["sgd"])
    learning_rate: AboveZero | None = Field(None, description="the size of a step", examples=[0.01])
    schedule: ScheduleTable | None = Field(
        None,
        description="how the rate changes: cosine, linear, one_cycle, step:every=5 epochs,drop=0.5, plateau, …",
        examples=["cosine"],
    )
    warmup: LengthSetting | None = Field(
        None, description="rise to the rate first: a part of the training, steps, or epochs", examples=[0.1]
    )
    weight_decay: AtLeastZero | None = Field(
        None, description="how much of each weight decays in a step, times the rate", examples=[0.0005]
    )
    decoupled: bool | None = Field(
        None, description="whether weight decay leaves the gradient alone; without it, as the dialect has it"
    )
    momentum: Fraction | None = Field(
        None, description="how much of the last step is kept (sgd, rmsprop, muon)", examples=[0.9]
    )
    nesterov: bool | None = Field(None, description="look ahead along the last step (sgd, muon)")
    beta_1: Fraction | None = Field(None, description="memory of the mean gradient (adam, adamw)", examples=[0.9])
    beta_2: Fraction | None = Field(None, description="memory of the squared gradient (adam, adamw)", examples=[0.999])
    rho: Fraction | None = Field(None, description="memory of the squared gradient (rmsprop)", examples=[0.9])
    centered: bool | None = Field(None, description="divide by the variance, not by the square (rmsprop)")
    initial_accumulator_value: AtLeastZero | None = Field(
        None, description="what the sum of squares begins with (adagrad)", examples=[0.1]
    )
    epsilon: AboveZero | None = Field(None, description="keeps from dividing by 0 (all but sgd, muon)", examples=[1e-7])
    newton_schulz: Positive | None = Field(
        None, description="iterations that make a step orthogonal (muon)", examples=[5]
    )
    normalize: bool | None = Field(None, description="give every kernel its length before a step (muon)")
    kernels: list[str] | None = Field(
        None,
        description="patterns of what takes orthogonal steps; without it, all convolutions (muon)",
        examples=[["*/kernel"]],
    )
    sgd_learning_rate: AboveZero | None = Field(
        None, description="the rate of all other parameters (muon)", examples=[0.05]
    )
    sgd_momentum: Fraction | None = Field(None, description="the momentum of these (muon)", examples=[0.85])
    clipvalue: AboveZero | None = Field(None, description="the largest number in a gradient", examples=[0.5])
    clipnorm: AboveZero | None = Field(None, description="the greatest length of each gradient", examples=[1.0])
    global_clipnorm: AboveZero | None = Field(
        None, description="the greatest length of all gradients together", examples=[1.0]
    )
    accumulate: Positive | None = Field(None, description="so many batches make a step", examples=[4])
    averages: AveragesTable | None = Field(
        None, description="of the weights, used for every answer: ema:decay=0.999 or lookahead", examples=["ema"]
    )
    groups: GroupTables | None = Field(
        None,
        description="settings by pattern of parameters: rate_multiplier, weight_decay, until",
        examples=['{"*/bias": {"weight_decay": 0}}'],
    )
    dialect: Literal["keras", "torch"] | None = Field(
        None, description="where libraries differ, whose formula", examples=["keras"]
    )


class TrainingSection(Section):
    """How long, in which portions, and towards what."""

    epochs: Positive | None = Field(
        None, description="passes over the training images; without it 10, and 30 for digits", examples=[20]
    )
    batch_size: Positive | None = Field(
        None, description="images a step; without it 64, and 32 for digits and mnist", examples=[64]
    )
    loss: str | None = Field(
        None, description="without it, what suits the last layer", examples=["categorical_crossentropy"]
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="share of each label spread over all classes; without it 0, and 0.1 for mnist",
        examples=[0.1],
    )
    freeze: list[str] | None = Field(
        None, description="patterns of layers that are not trained", examples=[["conv1", "residual1/*"]]
    )
    regularizers: PenaltyTables | None = Field(
        None,
        description="penalties on weights by pattern of parameters: l1, l2",
        examples=['{"*/kernel": {"l2": 0.0001}}'],
    )
    shuffle: bool = Field(True, description="a new order of the images in every epoch")
    early_stopping: Positive | None = Field(
        None, description="stop after so many epochs without progress", examples=[5]
    )
    monitor: Literal["val_accuracy", "val_loss", "train_accuracy", "train_loss"] | None = Field(
        None,
        description="what progress is measured by; without it the best there is of val_loss and train_loss",
        examples=["val_loss"],
    )
    max_time: Minutes | None = Field(
        None, description="stop after so many minutes; also 90s, 10m, 1h", examples=["10m"]
    )
    limit_batches: Positive | None = Field(
        None, description="only so many batches of every epoch, to try things out", examples=[20]
    )
    rollback: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="if the loss is no longer finite, go back to the last checkpoint and on with the learning rate times this",
        examples=[0.5],
    )
    overfit: Positive | None = Field(
        None, description="train and validate on the first so many images: a test of the network", examples=[100]
    )
    doctor: bool = Field(True, description="say so when the training goes wrong in one of the usual ways")

    augment: Annotated[str, BeforeValidator(_augmentation)] | None = Field(
        None, description="how training images are changed, anew in every epoch", examples=["flip,crop:4"]
    )
    views: Literal["none", "mirror", "mirror+shifts"] | None = Field(
        None,
        description="answers of the model are the mean over so many views of an image, a little better and 2 or 6 times slower",
        examples=["mirror"],
    )


class CheckpointSection(Section):
    """How often a run is saved so that it can be resumed; it always is at the end of an epoch."""

    every_steps: Positive | None = Field(None, description="also every so many steps", examples=[500])
    every_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        10.0,
        description="also every so many seconds, or less often where that would cost more than 1 % of the time",
        examples=[10],
    )
    keep: Positive = Field(2, description="how many of the latest are kept", examples=[2])


class RunConfig(Section):
    """All settings of a run."""

    seed: Seed = Field(0, description="everything drawn at random follows from it", examples=[0])
    backend: Literal["native", "numpy"] | None = Field(
        None, description="compiled kernels, or NumPy alone", examples=["numpy"]
    )
    threads: Positive | None = Field(
        None, description="threads of the compiled kernels; without it, all cores", examples=[2]
    )
    precision: Literal["float32", "bfloat16"] | None = Field(
        None,
        description="what convolutions and dense layers multiply: float32, or numbers rounded to bfloat16",
        examples=["bfloat16"],
    )
    data: DataSection = Field(default_factory=DataSection)
    model: ModelSection = Field(default_factory=ModelSection)
    optimizer: OptimizerSection = Field(default_factory=OptimizerSection)
    training: TrainingSection = Field(default_factory=TrainingSection)
    checkpoint: CheckpointSection = Field(default_factory=CheckpointSection)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, without the settings that are not set."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_toml(self) -> str:
        """The text of a TOML file that ``read`` makes the same settings of."""
        return to_toml(self.to_dict())


class Setting(NamedTuple):
    """One setting: its dotted name and what pydantic knows of it."""

    name: str
    field: FieldInfo


def settings() -> Iterator[Setting]:
    """Every setting of a run, section by section.

    >>> [setting.name for setting in settings()][:5]
    ['seed', 'backend', 'threads', 'precision', 'data.source']
    """
    for name, field in RunConfig.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from (Setting(f"{name}.{inner}", leaf) for inner, leaf in field.annotation.model_fields.items())
        else:
            yield Setting(name, field)
