"""The answers as a value: it reads and writes `answers.json`, and shows itself as a page, as six
lines or as a table."""

from pathlib import Path

import pandas as pd

from cluster.storage import Storage, UserError
from meta.report.page import characterize_report
from meta.report.six_answers import six_answers
from meta.report.wording import names_apart
from meta.schema import AnswersContent

ANSWERS_FILE = "answers.json"


class Answers(AnswersContent):
    """All answers of one run of `characterize`."""

    def save(self, folder: str) -> str:
        """Write `answers.json` into a folder or URI, whole or not at all. Returns the URI of the
        file. Raises UserError where it cannot be written."""
        storage = Storage(folder)
        storage.write_json(ANSWERS_FILE, self.to_json())
        return f"{storage.uri}/{ANSWERS_FILE}"

    def report(self, path: str | Path) -> Path:
        """Write the report, one HTML page that needs no other file, and return its path. Raises
        UserError where it cannot be written."""
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(characterize_report(self), encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"{path}: cannot write there ({error.strerror or error}); choose another place"
            ) from error
        return path

    def __str__(self) -> str:
        """Six lines: each has a question and its answer."""
        names = names_apart(self.encoder_refs)
        return "\n".join(
            f"{i}. {each.question} {each.sentence}"
            for i, each in enumerate(six_answers(self, names), 1)
        )

    def to_frame(self) -> pd.DataFrame:
        """One row for each (embedding space, n_train) that has a forecast. Columns: encoder, layer,
        pooling, p_best, n_train, times, q05, q25, q50, q75, q95."""
        return pd.DataFrame(
            [
                {
                    "encoder": space.encoder,
                    **space.view.model_dump(),
                    "p_best": space.p_best,
                    **point.model_dump(),
                }
                for space in self.encoders
                for point in space.curve
            ]
        )


def load_answers(folder: str) -> Answers:
    """The answers in a folder or URI. Raises UserError where there are none, or where they have a
    schema that this version does not read."""
    storage = Storage(folder)
    try:
        value = storage.read_json(ANSWERS_FILE)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{storage.uri}: no {ANSWERS_FILE} there; give the folder that `neoberta characterize`"
            " wrote"
        ) from None
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != 1:
        raise UserError(
            f"{storage.uri}/{ANSWERS_FILE}: schema {schema}, this version reads 1; upgrade neoberta"
        )
    return Answers.model_validate(value)
