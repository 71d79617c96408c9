"""What a run writes down about its data."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..config import RunConfig
from ..data import SOURCES
from ..data.dataset import parts_of
from ..files import write_text
from ..training import RunFolder
from .prepare import Prepared


def record_data(folder: RunFolder, prepared: Prepared) -> None:
    """``data.json``: the files with their checksums, the split and the fingerprint; and what the model file says of its data."""
    dataset, config = prepared.dataset, prepared.config
    parts = {name: len(part) for name, part in parts_of(dataset)}
    if config.training.overfit is not None:  # a test of the network alone
        parts = {"train": len(prepared.train)}
    record = {
        "data": repr(dataset).strip("<>"),
        "parts": parts,
        "notes": dataset.notes,
        "fingerprint": dataset.fingerprint,
        **dataset.provenance,
    }
    write_text(folder.path / "data.json", json.dumps(record, indent=1, default=str))
    prepared.model.training_summary.update(
        network=config.model.name,
        data=config.data.model_dump(mode="json", exclude_none=True),
        seed=config.seed,
        fingerprint=dataset.fingerprint,
        optimizer=config.optimizer.model_dump(mode="json", exclude_none=True),
        batch_size=config.training.batch_size,
        augmentation=config.training.augment or "",
    )


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """Paths that hold from everywhere, so that the run's config.toml can be used from any folder."""
    config = config.model_copy(deep=True)
    source = Path(config.data.source).expanduser()
    if config.data.source.lower().replace("-", "_") not in SOURCES and source.exists():
        config.data.source = os.path.abspath(source)
    if config.data.data_dir is not None:
        config.data.data_dir = os.path.abspath(Path(config.data.data_dir).expanduser())
    return config
