"""The command and its verbs."""

from __future__ import annotations

from cyclopts import App

from .helptext import ShortNames

_VERBS = {
    "train": "Train a network on images.",
    "resume": "Go on with a training that was interrupted, or train longer.",
    "evaluate": "Loss and accuracy of a trained model on images it never saw.",
    "predict": "Ask a trained model what is on pictures.",
    "explain": "Show what a trained model looks at, and how it comes to its answer.",
    "doctor": "Say why a network does not learn, or learns what it should not.",
    "report": "Write a page about a run: curves, scores, mistakes, what the network sees.",
    "summary": "The layers of a network: shapes, parameters, multiply-adds.",
    "data": "List, fetch and examine data sets.",
    "lr-find": "Find a learning rate: train with ever larger ones, and see.",
    "check": "Compare the gradients of a network with numerical derivatives.",
    "bench": "Measure training and prediction in images per second.",
}

_INTRODUCTION = """Convolutional neural networks from scratch: readable as NumPy, fast on the CPU.

Start with:  pellucid train digits"""


def application(verb: str = "") -> App:
    """The command and its verbs. The file of a verb is imported when the verb is used.

    The one-line help of ``verb`` is left out: it would take the place of the long one, which stands in its file.
    """
    app = App(
        name="pellucid",
        help=_INTRODUCTION,
        help_format="plaintext",
        help_formatter=ShortNames(),
        version=_version,
        suppress_keyboard_interrupt=False,
    )
    for order, (name, text) in enumerate(_VERBS.items()):
        function = name.replace("-", "_")
        app.command(
            f"pellucid.cli.{function}:{function}", name=name, help=None if name == verb else text, sort_key=order
        )
    return app


def _version() -> str:
    from importlib.metadata import version

    return version("pellucid")
