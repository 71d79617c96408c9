"""``pellucid report``, and the page that a training ends with."""

from __future__ import annotations

from .conftest import good, run


def test_the_first_training_of_a_newcomer_ends_with_its_page(digits_run):
    folder, answer = digits_run
    assert (folder / "report" / "report.html").is_file()
    assert answer.out.rstrip().endswith(f"Report:   runs/{folder.name}/report/report.html")


def test_a_page_is_written_where_it_is_wanted(short_run, tmp_path):
    folder, _ = short_run
    answer = good("report", folder, "--out", "page.html", "--images", 2, cwd=tmp_path)
    assert answer.out == "Report:   page.html\n"
    page = (tmp_path / "page.html").read_text()
    assert page.count("<article") == 2
    assert "north" in page


def test_mistakes_are_answered(short_run, tmp_path):
    folder, _ = short_run
    assert "is not the folder of a run" in run("report", tmp_path, cwd=tmp_path).err
    assert "name a file, such as" in run("report", folder, "--out", tmp_path, cwd=tmp_path).err
    assert "--images was -2" in run("report", folder, "--images=-2", cwd=tmp_path).err


def test_a_training_can_do_without_and_survives_one_that_cannot_be_written(small_images, tmp_path):
    settings = ("train", small_images, "--epochs", 1, "--limit-batches", 2)
    assert "Report:" not in good(*settings, "--no-report", "--out", "without", cwd=tmp_path).out
    good(*settings, "--no-report", "--out", "blocked", cwd=tmp_path)
    (tmp_path / "blocked" / "report").write_text("in the way")
    answer = good("resume", "blocked", "--epochs", 2, cwd=tmp_path)
    assert "The report could not be written: " in answer.out
