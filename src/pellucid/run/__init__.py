"""One run from its settings: ``train``, ``resume``, ``evaluate``, ``predict``. The command line is a thin layer over these."""

from .asking import Prediction, predict
from .finding import find_learning_rate
from .lifecycle import Result, resume, train
from .scoring import Evaluation, evaluate

__all__ = ["Evaluation", "Prediction", "Result", "evaluate", "find_learning_rate", "predict", "resume", "train"]
