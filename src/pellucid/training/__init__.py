"""Training: the loop, its callbacks, checkpoints, the run folder, the display.

``fit`` asks of its model only what ``Trainable`` names, so this package does not know ``pellucid.Sequential``.
"""

from .callbacks import BestModel, Callback, EarlyStopping, MetricsFile, TimeLimit
from .checkpoint import (
    Checkpoint,
    checkpoint_path,
    checkpoints,
    data_fingerprint,
    latest,
    load_checkpoint,
    save_checkpoint,
)
from .checkpointer import Checkpointer
from .display import Display
from .folder import KeepFolder, RunFolder
from .loop import Training, fit
from .nonfinite import Evidence, NonFiniteLossError
from .progress import History, Progress
from .restore import restore
from .rollback import Rollback
from .signals import StopOnSignal
from .trainable import Trainable
from .written import Written, read_written

__all__ = [
    "BestModel",
    "Callback",
    "Checkpoint",
    "Checkpointer",
    "Display",
    "EarlyStopping",
    "Evidence",
    "History",
    "KeepFolder",
    "MetricsFile",
    "NonFiniteLossError",
    "Progress",
    "Rollback",
    "RunFolder",
    "StopOnSignal",
    "TimeLimit",
    "Trainable",
    "Training",
    "Written",
    "checkpoint_path",
    "checkpoints",
    "data_fingerprint",
    "fit",
    "latest",
    "load_checkpoint",
    "read_written",
    "restore",
    "save_checkpoint",
]
