"""What a person sees: a table on a terminal, lines elsewhere, nothing where nobody looks."""

import io
import os
import re
import subprocess
import sys

import pytest
from rich.console import Console

from pellucid.errors import PellucidError
from pellucid.training import Callback, Display, EarlyStopping, Progress, StopOnSignal, TimeLimit, fit, livetable
from pellucid.training.display import SafeStream, duration

from .models import StopAt, Stub, points


def run(*callbacks, epochs=3, model=None, **settings):
    x, y = points()
    model = Stub() if model is None else model
    return fit(model, x, y, batch_size=5, epochs=epochs, **({"validation": (x, y)} | settings), callbacks=callbacks)


class Say(Callback):
    def on_epoch_end(self, run, row):
        if row["epoch"] == 2:
            run.say("[bold]disk[/bold] of /a/b nearly full")


def test_lines_on_anything_but_a_terminal():
    out = io.StringIO()
    run(Display(stream=out), Say())
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    number = r"\d+\.\d{4}"
    assert re.fullmatch(
        rf"epoch 1/3  loss {number}  accuracy {number}  validation loss {number}  validation accuracy {number}"
        r"  [\d,]+ images/s  \d+:\d\d left",
        lines[0],
    )
    assert lines[2] == "[bold]disk[/bold] of /a/b nearly full"
    assert "\x1b" not in out.getvalue()


def test_a_line_every_few_seconds_within_an_epoch():
    out = io.StringIO()
    run(Display(stream=out, interval=0), epochs=1)
    lines = out.getvalue().splitlines()
    assert len(lines) == 6
    assert re.fullmatch(r"epoch 1/1  batch 3/5  loss \S+  accuracy \S+  \S+ images/s  \S+ left", lines[2])
    out = io.StringIO()
    run(Display(verbose=2, stream=out, interval=0), epochs=1)
    assert len(out.getvalue().splitlines()) == 1


def test_verbose_0_is_silent_but_trouble_is_still_told(capfd):
    run(Display(verbose=0), Say())
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == "[bold]disk[/bold] of /a/b nearly full\n"
    with pytest.raises(PellucidError, match="verbose was 3"):
        Display(verbose=3)


def test_why_it_stopped_is_said():
    out = io.StringIO()
    run(Display(stream=out), TimeLimit(1e-9))
    assert out.getvalue() == "Stopped early: the time limit of 1e-09 seconds.\n"


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 100 columns and 12 lines; every refresh is drawn."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=12, color_system=None, legacy_windows=False)
    monkeypatch.setattr(livetable, "REFRESH", 0)
    monkeypatch.setattr(livetable, "Console", lambda file: console)
    monkeypatch.setattr(out, "isatty", lambda: True)
    return out


def final(out):
    """The last thing drawn, without control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue().rpartition("┏")[2])


def test_a_table_with_a_row_per_epoch_on_a_terminal(terminal):
    history = run(Display(stream=terminal), Say(), epochs=15)
    text = final(terminal)
    for title in ("epoch", "loss", "accuracy", "validation loss", "validation accuracy", "images/s", "time"):
        assert title in text
    for row in history.rows:
        assert f"{row['epoch']}/15 │ {row['train_loss']:.4f}" in text
    assert "3/5" in terminal.getvalue()  # the bar
    assert "0:00 left" in terminal.getvalue()
    assert terminal.getvalue().count("[bold]disk[/bold] of /a/b nearly full") == 1
    assert terminal.getvalue().endswith("\x1b[?25h")  # the cursor is visible again


def test_while_live_the_table_is_no_higher_than_the_terminal(terminal):
    class Height(Callback):
        def on_epoch_end(self, run, row):
            tables.append(terminal.getvalue().rpartition("┏")[2].count("\n"))

    tables = []
    run(Display(stream=terminal), Height(), epochs=15, validation=None)
    assert max(tables) <= 12


def test_the_table_of_a_resumed_training_shows_the_earlier_epochs(terminal):
    progress, model = Progress(), Stub()
    run(StopAt(12), model=model, progress=progress)
    run(Display(stream=terminal), StopAt(13), model=model, progress=progress)
    assert [f"{i}/3 │" in final(terminal) for i in (1, 2, 3)] == [True, True, True]
    assert final(terminal).count("/3 │") == 3


def test_an_error_gives_the_terminal_back(terminal):
    class Fail(Callback):
        def on_batch_end(self, run, scores):
            raise RuntimeError

    stdout = sys.stdout
    with pytest.raises(RuntimeError):
        run(Display(stream=terminal), Fail())
    assert sys.stdout is stdout
    assert terminal.getvalue().endswith("\x1b[?25h")


# Nobody there --------------------------------------------------------------------------------------------------------


class Broken(io.StringIO):
    """A pipe whose reader has gone, or a terminal that was closed, after some output."""

    def __init__(self, error, terminal):
        super().__init__()
        self.error, self.terminal, self.refused = error, terminal, 0

    def isatty(self):
        return self.terminal

    def flush(self):
        if len(self.getvalue()) > 150:
            self.refused += 1
            raise self.error


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(5, "Input/output error"), ValueError("closed file")])
def test_a_stream_that_breaks_away_does_not_end_the_training(error, terminal, monkeypatch, capfd):
    monkeypatch.setattr(livetable, "REFRESH", 0)
    broken = Broken(error, terminal)
    assert len(run(Display(stream=broken, interval=0), Say()).rows) == 3
    assert broken.refused == 1
    assert "nearly full" in capfd.readouterr().err  # trouble looks for another way


def test_without_any_streams(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert len(run(Display(), Say(), StopOnSignal()).rows) == 3


def test_an_encoding_that_cannot_say_it():
    raw = io.BytesIO()
    stream = SafeStream(io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    stream.write("Größe\n")
    assert raw.getvalue() == b"Gr??e\n"


PROGRAM = """
import sys
from tests.training.test_display import run, Display
history = run(Display(interval=0), epochs=200)
print(len(history.rows), file=sys.stderr)
"""


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_a_closed_pipe(tmp_path):
    """As in ``pellucid train … | head -1``: no traceback, not even when Python exits."""
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout.readline().startswith("epoch 1/200")
        process.stdout.close()
        assert process.stderr.read() == "200\n"
    assert process.returncode == 0


def test_durations():
    assert [duration(s) for s in (0, 59.6, 3600, 100000)] == ["0:00", "1:00", "1:00:00", "27:46:40"]


def test_early_stopping_speaks_through_the_display(terminal):
    class Stuck(Stub):
        def evaluate(self, x, y, batch_size=256):
            return {"loss": 1.0}

    run(Display(stream=terminal), EarlyStopping(patience=1), model=Stuck())
    assert "Stopped early: no better val_loss for 1 epochs." in terminal.getvalue()
