"""Messages in the words of who called: they are written with the options of the command line, and
reach a Python caller with arguments, the reader of a task reference with what may stand behind
`#`."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cluster.storage import UserError

PYTHON: dict[str, str] = {
    "--train": "train",
    "--eval": "evaluation",
    "--eval-labels": "eval_labels=True",
    "--encoder": "encoders=",
    "--metric": "metric=",
    "--target": "target=",
    "--metamodel": "metamodel=",
    "--text-column": "text_column=",
    "--pair-column": "pair_column=",
    "--label-column": "label_column=",
    "--group-column": "group_column=",
    "--time-column": "time_column=",
    "--keep-case": "keep_case=True",
    "--keep-label": "keep_labels=",
    "--trust-remote-code": "trust_remote_code=True",
    "--prompt": "prompt=",
}
"""Options of `neoberta characterize` and the arguments of `characterize`."""
REFERENCE: dict[str, str] = {
    "--text-column": "#text_column=NAME behind the reference",
    "--pair-column": "#pair_column=NAME behind the reference",
    "--label-column": "#label_column=NAME behind the reference",
    "--keep-case": "#keep_case=yes behind the reference",
    "--keep-label": "#keep_label=",
}
_GIVEN = re.compile(r"^(--[a-z][a-z-]*[a-z])(?: ([^:;]+))?:")
"""A message begins with an option, and perhaps with the value that was given for it."""
_KEPT = re.compile(r"--keep-label=(\S+)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z](?![\w-])")


def in_words_of(words: Mapping[str, str], message: str) -> str:
    """The message with the options that `words` has replaced by its words for them."""
    label = "['{}']" if words is PYTHON else "{} behind the reference"
    kept = message
    given = _GIVEN.match(message)
    if given and words.get(given[1], "").endswith("="):
        argument = words[given[1]] + given[2] if given[2] else words[given[1]][:-1]
        kept = f"{argument}:{message[given.end() :]}"
    if "--keep-label" in words:
        kept = _KEPT.sub(lambda found: words["--keep-label"] + label.format(found[1]), kept)
    return _OPTION.sub(lambda found: words.get(found[0], found[0]), kept)


@contextmanager
def speaking(words: Mapping[str, str]) -> Iterator[None]:
    """A UserError that passes is in these words."""
    try:
        yield
    except UserError as error:
        message = in_words_of(words, str(error))
        if message == str(error):
            raise
        raise UserError(message) from error
