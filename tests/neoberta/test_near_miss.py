"""The known word, or the file, that a mistyped one is nearest to."""

from pathlib import Path

from neoberta.near_miss import did_you_mean, did_you_mean_file, nearest


def test_the_nearest_word_whatever_its_case():
    known = ("accuracy", "macro_f1", "auroc")
    assert nearest("acuracy", known) == "accuracy"
    assert nearest("AUROC", known) == "auroc"
    assert nearest("rmse", known) is None
    assert did_you_mean("macro-f1", known) == "; did you mean macro_f1?"
    assert did_you_mean("rmse", known) == ""


def test_the_nearest_file_beside_one_that_is_not_there(tmp_path: Path):
    (tmp_path / "reviews.tsv").touch()
    there = tmp_path / "reviews.tsv"
    assert did_you_mean_file(tmp_path / "reveiws.csv") == f"; did you mean {there}?"
    (tmp_path / "reviews.md").touch()
    (tmp_path / "reviews.csv").touch()
    assert did_you_mean_file(tmp_path / "reviws.csv") == f"; did you mean {tmp_path}/reviews.csv?"
    assert did_you_mean_file(tmp_path / "a.csv") == "", "an ending alone is no likeness"
    assert did_you_mean_file(there) == ""
    assert did_you_mean_file(tmp_path / "r*.tsv") == ""
    assert did_you_mean_file(tmp_path / "nowhere" / "reviews.tsv") == ""
