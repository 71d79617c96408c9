"""The settings of a run: one pydantic model, TOML in, TOML out.

>>> config = make({"data.source": "digits", "training.epochs": 3})
>>> config.training.epochs, config.optimizer.name
(3, 'adam')
>>> make({"data.source": "digits", "training.epoch": 3})
Traceback (most recent call last):
pellucid.errors.PellucidError: There is no setting training.epoch. Did you mean 'epochs'? Known: epochs, batch_size, ...
"""

from .build import complete, make, read
from .learning import make_optimizer
from .sections import RunConfig, Setting, settings

__all__ = ["RunConfig", "Setting", "complete", "make", "make_optimizer", "read", "settings"]
