"""From settings to everything a training needs: images, a network with its first weights, an optimizer, a loss."""

from __future__ import annotations

from dataclasses import dataclass

from .. import backend, data, losses
from ..config import RunConfig, complete, make_optimizer
from ..data import Dataset, Part
from ..model import Sequential
from ..preprocessing import Preprocessing
from .networks import build

BY_UNIT = {  # what a training in bfloat16 gains on this CPU
    "amx": "Convolutions with stride 1 and at least 16 channels use this CPU's tiles for such numbers (AMX).",
    "avx512": "Convolutions with stride 1 that are no 3x3 ones use this CPU's products of such numbers (AVX512_BF16).",
    "": "The products themselves run in float32: this shows what half the bits do to a training, and saves no time.",
}


@dataclass(frozen=True)
class Prepared:
    """A training before its first step. ``config`` is complete; ``remarks`` are what a person should know beside any figure."""

    config: RunConfig
    dataset: Dataset
    train: Part
    validation: Part | None
    model: Sequential
    remarks: tuple[str, ...]


def prepare(config: RunConfig) -> Prepared:
    """Load the data, fit the preprocessing on the training part, build and compile the network."""
    config = complete(config)
    choose_engine(config)
    config.backend = backend.get_backend()  # type: ignore[assignment]  # PELLUCID_BACKEND may have chosen it
    config.precision = backend.get_precision()  # type: ignore[assignment]
    dataset = load_data(config)
    train, validation, remarks = dataset.train, dataset.validation, list(dataset.notes)
    if config.training.overfit is not None:
        count = min(config.training.overfit, len(train))
        train = train.take(range(count))
        validation = train
        remarks.append(
            f"overfit: trained and validated on the same first {count:,} images, a test of the network only."
        )
    if config.precision == "bfloat16":
        remarks.append(
            "bfloat16: what convolutions and dense layers multiply is rounded to 8 significant bits. "
            + BY_UNIT[backend.bfloat16_unit()]
        )
    model = build(config.model, dataset.input_shape, dataset.num_classes, seed=config.seed)
    model.preprocessing = Preprocessing.fit(train.x)
    model.class_names = dataset.class_names
    model.adapt_to(train.x)
    model.views = config.training.views or "none"
    model.freeze(config.training.freeze or ())
    compile_model(model, config)
    model.augmenter(config.training.augment)  # refuses what does not fit the images
    return Prepared(config, dataset, train, validation, model, tuple(remarks))


def choose_engine(config: RunConfig) -> None:
    """Backend, threads and precision, where the settings name them."""
    if config.backend is not None:
        backend.set_backend(config.backend)
    if config.threads is not None:
        backend.set_num_threads(config.threads)
    if config.precision is not None:
        backend.set_precision(config.precision)


def load_data(config: RunConfig) -> Dataset:
    """The data set of a run, split as the run was."""
    section = config.data
    return data.load(
        section.source,
        data_dir=section.data_dir,
        verify=section.verify,
        download=section.download,
        validation_split=section.validation_split,
        test_part=section.test_part,
        seed=config.seed if section.seed is None else section.seed,
        size=section.size,
        channels=section.channels,
        on_bad_image=section.on_bad_image,
        classes=section.classes,
    )


def compile_model(model: Sequential, config: RunConfig) -> None:
    """Optimizer, loss and metrics as the settings say; without a loss, the one that suits the last activation."""
    section = config.training
    name = section.loss or (
        "binary_crossentropy" if model.final_activation == "sigmoid" else "categorical_crossentropy"
    )
    section.loss = name  # so that config.toml is complete
    model.compile(
        optimizer=make_optimizer(config.optimizer),
        regularizers=section.regularizers,
        loss=losses.get(name, label_smoothing=section.label_smoothing or 0.0),
        metrics=["accuracy"],
    )
