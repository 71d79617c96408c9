"""The command ``pellucid``: one small file per verb, loaded when its verb is asked for.

Nothing heavy is imported here or at the top of a verb's file, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App
from cyclopts.exceptions import CycloptsError, UnusedCliTokensError

from ..errors import PellucidError
from .helptext import ShortNames

USAGE = 2  # exit status for a mistake in what was asked; 1 says that the answer is bad, 130 that Ctrl-C was pressed

_VERBS = {
    "train": "Train a network on images.",
    "resume": "Go on with a training that was interrupted, or train longer.",
    "evaluate": "Loss and accuracy of a trained model on images it never saw.",
    "predict": "Ask a trained model what is on pictures.",
    "summary": "The layers of a network: shapes, parameters, multiply-adds.",
    "data": "List, fetch and examine data sets.",
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
        app.command(f"pellucid.cli.{name}:{name}", name=name, help=None if name == verb else text, sort_key=order)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    debug = os.environ.get("PELLUCID_DEBUG", "") not in ("", "0")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app = application(arguments[0] if arguments else "")
        status = app(
            arguments,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `pellucid data list | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (CycloptsError, PellucidError, OSError, MemoryError) as error:
        if debug:
            raise
        print(_text(error), file=sys.stderr)
        return USAGE


def _text(error: Exception) -> str:
    if isinstance(error, CycloptsError):
        error.verbose = False
        if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
            return f"One argument too many: {' '.join(error.unused_tokens)}. See --help for what this verb takes."
        verb = " ".join(error.command_chain or ())
        return f"{str(error).strip()} See `pellucid{f' {verb}' if verb else ''} --help`."
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}. Check the path, its permissions and the space on the disk."
    if isinstance(error, MemoryError):
        return f"There is not enough memory ({error}). Take a smaller --batch-size, --data.size or network."
    return str(error)


def _version() -> str:
    from importlib.metadata import version

    return version("pellucid")
