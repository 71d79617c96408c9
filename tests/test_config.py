"""The settings of a run: one place, three ways in, one way out."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pellucid import config
from pellucid.config.sections import RunConfig
from pellucid.errors import FileFormatError, PellucidError


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.smoke
def test_defaults_depend_on_the_data():
    digits = config.complete(config.make({"data.source": "digits"}))
    assert (digits.model.name, digits.training.epochs, digits.training.batch_size) == ("cnn1_avg", 30, 32)
    other = config.complete(config.make({"data.source": "photos"}))
    assert (other.model.name, other.training.epochs, other.training.batch_size) == ("cnn2", 10, 64)
    assert (other.optimizer.learning_rate, other.training.label_smoothing) == (0.001, 0)
    assert config.complete(config.make({"data.source": "MNIST"})).training.label_smoothing == 0.1
    assert (
        config.complete(config.make({"data.source": "mnist", "training.label_smoothing": 0})).training.label_smoothing
        == 0
    )


def test_completing_leaves_what_was_asked_for():
    asked = config.make(
        {"data.source": "digits", "training.epochs": 2, "optimizer.name": "sgd", "optimizer.momentum": 0.9}
    )
    found = config.complete(asked)
    assert found.training.epochs == 2
    assert (found.optimizer.momentum, found.optimizer.learning_rate, found.optimizer.nesterov) == (0.9, 0.01, False)
    assert asked.training.batch_size is None  # a copy was completed


@given(
    epochs=st.none() | st.integers(1, 10**6),
    rate=st.none() | st.floats(1e-12, 1e12),
    minutes=st.none() | st.floats(1e-3, 1e6),
    split=st.none() | st.integers(0, 10**6) | st.floats(0, 1),
    classes=st.none() | st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=2, max_size=4),
    size=st.none() | st.tuples(st.integers(1, 999), st.integers(1, 999)),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**63 - 1),
)
@settings(deadline=None)  # the first example loads the layers
def test_a_written_config_reads_back_as_itself(epochs, rate, minutes, split, classes, size, shuffle, seed):
    asked = {
        "training.epochs": epochs,
        "optimizer.learning_rate": rate,
        "training.max_time": minutes,
        "data.validation_split": split,
        "data.classes": classes,
        "data.size": size,
        "training.shuffle": shuffle,
        "seed": seed,
        "model.layers": [
            {"class": "Residual", "body": [{"class": "ReLU"}]},
            {"class": "Conv2D", "filters": 2, "kernel_size": [3, 1]},
        ],
    }
    made = config.make({name: value for name, value in asked.items() if value is not None} | {"data.source": "digits"})
    again = RunConfig.model_validate(tomllib.loads(made.to_toml()))
    assert again == made
    assert again.to_toml() == made.to_toml()


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90s", 1.5), ("10m", 10), ("1h", 60), ("1.5h", 90), ("2", 2), (2, 2), (0.5, 0.5), (" 5 M", 5)],
)
def test_times_have_units(text, minutes):
    assert config.make({"training.max_time": text}).training.max_time == minutes


@pytest.mark.parametrize("text", ["", "s", "10d", "-1m", "0", "nan", "inf", "ten minutes"])
def test_other_times_are_refused(text):
    with pytest.raises(PellucidError, match=r"training\.max_time was"):
        config.make({"training.max_time": text})


def test_the_command_line_wins_over_the_file(tmp_path):
    path = write(tmp_path / "run.toml", '[data]\nsource = "digits"\n[training]\nepochs = 3\nbatch_size = 7\n')
    found = config.read(path, {"training.epochs": "9"})
    assert (found.training.epochs, found.training.batch_size, found.data.source) == (9, 7, "digits")


def test_another_network_replaces_the_layers_of_the_file(tmp_path):
    path = write(tmp_path / "run.toml", '[model]\nseed = 3\n[[model.layers]]\nclass = "Flatten"\n')
    found = config.read(path, {"model.name": "cnn2"}).model
    assert (found.name, found.layers, found.seed) == ("cnn2", None, 3)


def test_another_optimizer_drops_the_settings_of_the_first(tmp_path):
    path = write(tmp_path / "run.toml", '[optimizer]\nname = "adam"\nlearning_rate = 0.1\nbeta_1 = 0.5\n')
    assert config.read(path, {"optimizer.name": "sgd"}).optimizer.learning_rate is None
    assert config.read(path, {"optimizer.name": "adam"}).optimizer.beta_1 == 0.5


def test_paths_in_a_file_are_relative_to_it(tmp_path):
    (tmp_path / "nets").mkdir()
    write(tmp_path / "nets/tiny.toml", 'name = "small"\n[[layers]]\nclass = "Flatten"\n')
    text = '[data]\nsource = "../photos"\ndata_dir = "files"\n[model]\nfile = "tiny.toml"\n'
    found = config.read(write(tmp_path / "nets/run.toml", text))
    assert found.data.source == str(tmp_path / "nets/../photos")
    assert found.data.data_dir == str(tmp_path / "nets/files")
    assert found.model.name == "small"
    assert found.model.layers == [{"class": "Flatten"}]


def test_the_network_of_another_run_can_be_named(tmp_path):
    path = write(tmp_path / "config.toml", '[data]\nsource = "digits"\n[model]\nname = "cnn3"\n')
    assert config.make({"model.file": str(path)}).model.name == "cnn3"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"training.epochs": "x"},
            "training.epochs was 'x'; wanted a whole number. Write epochs = 20 under [training] in a file",
        ),
        ({"training.epochs": 1.5}, "wanted a whole number"),
        ({"optimizer.momentum": 1}, "wanted less than 1"),
        ({"optimizer.learning_rate": "inf"}, "wanted a finite number"),
        ({"data.channels": "2"}, "wanted 1 or 3"),
        ({"data.on_bad_image": "skpi"}, "Did you mean 'skip'?"),
        ({"data.size": ("32",)}, "wanted one more entry"),
        ({"data.validation_split": "half"}, "wanted a whole number or a number"),
        ({"training.shuffle": "perhaps"}, "wanted true or false"),
        ({"seed": -1}, "seed was -1; wanted at least 0"),
        ({"model.layers": "[{"}, "JSON"),
        ({"model.layers": [{"class": "Dense", "units": 0}]}, "layer 1: Dense got units=0"),
        ({"training.epoch": 3}, "There is no setting training.epoch. Did you mean 'epochs'?"),
        ({"train.epochs": 3}, "There is no setting train. Did you mean 'training'?"),
    ],
)
def test_errors_say_what_was_given_what_is_wanted_and_how_to_write_it(given, words):
    with pytest.raises(PellucidError) as caught:
        config.make(given)
    assert words in str(caught.value)


def test_an_error_names_the_file_it_comes_from(tmp_path):
    path = write(tmp_path / "run.toml", "[training]\nepochs = 0\nbatch_size = 0\n")
    with pytest.raises(PellucidError) as caught:
        config.read(path, {"training.batch_size": "-3"})
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{path}: training.epochs was 0")
    assert second.startswith("training.batch_size was '-3'")


@pytest.mark.parametrize("content", [b"[training", b"a = 1\n" * 200_000, b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_config_is_refused(tmp_path, content):
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"run\.toml"):
        config.read(path)


def test_assignments_are_checked_too():
    made = config.make({})
    with pytest.raises(ValidationError):
        made.training.epochs = 0


def test_every_setting_has_a_description():
    for setting in config.settings():
        assert setting.field.description, setting.name
