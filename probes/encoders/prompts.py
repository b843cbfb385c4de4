"""The prompts of a sentence-transformers folder. A prompt is put before every text."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.storage import UserError
from probes.encoders.sentence_modules import read_json

SETTINGS = "config_sentence_transformers.json"


@dataclass(frozen=True)
class Prompts:
    """The prompts of a folder, by name. Empty prompts are left out."""

    named: Mapping[str, str]
    default: str | None
    """The name of the default prompt. The folder's authors put it before every text."""


def read_prompts(folder: Path, ref: str) -> Prompts:
    """The prompts of a folder. None for other folders. Raises UserError for a damaged file."""
    path = folder / SETTINGS
    settings = read_json(path, ref) if path.exists() else {}
    if not isinstance(settings, dict):
        raise UserError(f"encoder {ref}: {path} is damaged (no object); download it again")
    prompts, default = settings.get("prompts"), settings.get("default_prompt_name")
    named = prompts if isinstance(prompts, dict) else {}
    return Prompts(
        {str(name): text for name, text in named.items() if isinstance(text, str) and text},
        default if isinstance(default, str) and default else None,
    )


def choose_prompt(prompts: Prompts, asked: str | None, ref: str) -> tuple[str, tuple[str, ...]]:
    """(the text that is put before every text, notes for the user). The text is empty where there
    is no prompt. `asked` is the name of a prompt, or a text. None means the folder's default.
    Raises UserError for a name that is most likely misspelt."""
    if asked is None:
        return _by_default(prompts, ref)
    if not asked:
        return "", ()
    if asked in prompts.named:
        return _put(ref, prompts.named[asked], f"its prompt {asked}")
    near = difflib.get_close_matches(asked, prompts.named, n=1, cutoff=0.75)
    if near and asked.isidentifier():
        raise UserError(
            f"encoder {ref}: has no prompt '{asked}'; did you mean {near[0]}? (a text of your own"
            " is taken as it is: end it with a space)"
        )
    return _put(ref, asked, "the prompt that was asked for")


def _by_default(prompts: Prompts, ref: str) -> tuple[str, tuple[str, ...]]:
    if prompts.default is not None and prompts.default in prompts.named:
        text = prompts.named[prompts.default]
        return _put(ref, text, f"its default prompt {prompts.default}; #prompt= puts none")
    if not prompts.named:
        return "", ()
    known = ", ".join(f"{name} ({text!r})" for name, text in prompts.named.items())
    first = next(iter(prompts.named))
    return "", (
        f"{ref}: nothing is put before the texts, and the model has the prompts {known}: set one"
        f" with --prompt {first}, or #prompt={first} at the end of the reference",
    )


def _put(ref: str, text: str, why: str) -> tuple[str, tuple[str, ...]]:
    return text, (f"{ref}: {text!r} is put before every text ({why})",)
