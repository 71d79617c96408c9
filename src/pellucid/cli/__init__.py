"""The command ``pellucid``: one small file per verb, loaded when its verb is asked for.

Nothing heavy is imported here or at the top of a verb's file, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

MISTAKE = 2  # exit status for a mistake in what was asked; 1 says that the answer is bad, 130 that Ctrl-C was pressed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks a sign shows another
            stream.reconfigure(errors="replace")
    try:
        return _run(list(arguments))
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    # Imported here, so that Ctrl-C is as quiet in the first tenths of a second as later.
    from cyclopts.exceptions import CycloptsError

    from ..errors import PellucidError
    from .application import application

    try:
        app = application(arguments[0] if arguments else "")
        status = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except BrokenPipeError:  # `pellucid data list | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (CycloptsError, PellucidError, OSError, MemoryError) as error:
        if os.environ.get("PELLUCID_DEBUG", "") not in ("", "0"):
            raise
        print(_text(error), file=sys.stderr)
        return MISTAKE


def _text(error: Exception) -> str:
    from cyclopts.exceptions import CycloptsError, UnusedCliTokensError

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
        return f"There is not enough memory ({error}). Take a smaller --batch-size, --size or network."
    return str(error)
