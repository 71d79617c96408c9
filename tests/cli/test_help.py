"""Help: quick, complete, with an example for every verb."""

import subprocess
import sys

import pytest

from pellucid import config
from pellucid.cli import main
from pellucid.cli.options import short_names

VERBS = [
    "train",
    "resume",
    "evaluate",
    "predict",
    "explain",
    "doctor",
    "report",
    "summary",
    "check",
    "bench",
    "data list",
    "data get",
    "data check",
    "data show",
]
HEAVY = "numba", "llvmlite", "sklearn", "scipy", "PIL", "matplotlib", "numpy", "safetensors", "pooch"

LOADED = """
import contextlib, io, sys
from pellucid.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    status = main(sys.argv[1:])
print(status, *[name for name in {heavy!r} if name in sys.modules])
"""


@pytest.mark.smoke
@pytest.mark.parametrize("verb", ["", *VERBS[:2]])
def test_help_loads_nothing_heavy(verb):
    script = LOADED.format(heavy=HEAVY)
    answer = subprocess.run(
        [sys.executable, "-c", script, *verb.split(), "--help"], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["0"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb, capsys):
    assert main([*verb.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert f"  pellucid {verb}" in text.partition("Example")[2]
    assert "--empty-" not in text


def test_every_setting_is_an_option_of_train(capsys):
    main(["train", "--help"])
    text = capsys.readouterr().out
    for setting in config.settings():
        assert f"--{short_names()[setting.name]} " in text, setting.name


def test_no_two_settings_share_a_short_name():
    names = list(short_names().values())
    assert len(set(names)) == len(names)


@pytest.mark.smoke
def test_the_first_page_names_all_verbs(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(verb.split()[0] in text for verb in VERBS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out[0].isdigit()
