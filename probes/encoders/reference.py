"""Encoder references as text: `hf:all-MiniLM-L6-v2#layer=6,pooling=mean` is a family, a name and,
if given, one view; `prompt=...` may close it."""

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from cluster.storage import UserError
from probes.encoders.base import CROSS, EncoderInfo, View

FAMILIES = ("hf", "neoberta", "lsa", "random", "static")
PROMPTED = ("hf", "neoberta")
"""The families of encoders that can have a prompt."""
POOLINGS = ("cls", "mean", "max", "last")
"""The poolings of the tokens of one layer. See `View` and `probes.encoders.pooling`."""
SENTENCE = "sentence"
"""The pooling that a sentence-transformers folder brings along: its own tokens, dense layers and
normalisation."""
LAST_LAYER = -1
"""The layer of a view written `layer=last`, before it is resolved against an encoder
(`resolve_view`)."""
_COMBINATION = {"all": "all", "last4": "last4", "first+last": "ends"}
"""Average of layers as a reference writes it (`layer=...`) -> ending of the pooling's name."""
POOLING_FORMS = (
    f"{', '.join(POOLINGS)}, {SENTENCE}; for pairs read together"
    f" {CROSS}{f', {CROSS}'.join(POOLINGS)}"
)


def split_prompt(ref: str) -> tuple[str, str | None]:
    """The reference without `prompt=...`, which comes last behind the `#` and may hold anything,
    and what is asked for there (None where nothing is)."""
    base, _, suffix = ref.partition("#")
    found = re.search(r"(?:^|,)\s*prompt=", suffix)
    if found is None:
        return ref, None
    view = suffix[: found.start()]
    return f"{base}#{view}" if view else base, suffix[found.end() :]


def with_prompt(ref: str, prompt: str) -> str:
    """`ref` with this prompt. It is unchanged where it cannot have a prompt, or has one already."""
    if split_prompt(ref)[1] is not None or ref.partition(":")[0] not in PROMPTED:
        return ref
    return f"{ref}{',' if '#' in ref else '#'}prompt={prompt}"


def parse_ref(ref: str) -> tuple[str, View | None]:
    """The reference without its view and prompt, and the view that `#layer=6,pooling=mean` fixes
    (None where there is none).

    `layer=last` gives `LAST_LAYER`, as do the averages `layer=all`, `layer=last4` and
    `layer=first+last`; a part that is left out defaults to the last layer and to mean pooling.
    Raises UserError.
    """
    without, prompt = split_prompt(ref)
    base, mark, suffix = without.partition("#")
    family, _ = family_of(base)
    if prompt is not None and family not in PROMPTED:
        raise UserError(
            f"encoder {ref}: takes no prompt; {' and '.join(f'{f}:' for f in PROMPTED)} encoders do"
        )
    if not mark:
        return base, None
    layer, pooling, combination = LAST_LAYER, "mean", ""
    for part in suffix.split(","):
        key, _, value = part.strip().partition("=")
        if key == "layer" and value in _COMBINATION:
            combination = f"_{_COMBINATION[value]}"
        elif key == "layer" and (value == "last" or value.isdecimal()):
            layer = LAST_LAYER if value == "last" else int(value)
        elif key == "pooling" and _is_pooling(value):
            pooling = value
        else:
            raise UserError(
                f"encoder {ref}: cannot read '{part}' in the view; write #layer=6,pooling=mean"
                f" (layer: a number, last, {', '.join(_COMBINATION)}; pooling: {POOLING_FORMS};"
                " prompt=... comes last)"
            )
    return base, View(layer, pooling + combination)


def _is_pooling(value: str) -> bool:
    tokens, _, combination = value.removeprefix(CROSS).partition("_")
    return value == SENTENCE or (tokens in POOLINGS and combination in ("", *_COMBINATION.values()))


def family_of(base: str) -> tuple[str, str]:
    """The family and the name of a reference without view. Raises UserError."""
    family, colon, name = base.partition(":")
    if colon and family in FAMILIES and name:
        return family, name
    if family in FAMILIES:
        raise UserError(
            f"encoder {base}: what follows {family}: is missing, for example {_EXAMPLES[family]}"
        )
    near = difflib.get_close_matches(family, FAMILIES, n=1) if colon else []
    meant = f"{near[0]}:{name}" if near else _without_family(base)
    hint = f"did you mean {meant}?" if meant else "no such file or folder, and no hub id"
    starts = "" if near else f" (a reference starts with {', '.join(f'{f}:' for f in FAMILIES)})"
    raise UserError(f"encoder {base}: unknown family; {hint}{starts}")


def _without_family(base: str) -> str | None:
    """A hint about a reference without a family: the file or folder that it may mean, or a hub
    id."""
    path = Path(os.path.expanduser(base))
    if path.is_dir():
        return f"{'lsa' if (path / 'lsa.safetensors').exists() else 'hf'}:{base}"
    if path.is_file():
        return f"static:{base}"
    lsa = re.fullmatch(r"(?i)lsa[-_ ]?(\d+)", base)
    if lsa:
        return f"lsa:{lsa[1]}"
    page = re.match(r"https?://(?:www\.)?huggingface\.co/([\w.-]+/[\w.-]+)", base)
    if page:
        return f"hf:{page[1]}"
    is_hub_id = re.fullmatch(r"[\w.-]+(/[\w.-]+)?(@[\w.-]+)?", base) and base[0] not in "./"
    return f"hf:{base}" if is_hub_id else None


def in_full(ref: str) -> str:
    """`ref` with a full path where it names an existing file or folder. A worker may have another
    working folder."""
    base, mark, suffix = ref.partition("#")
    family, name = family_of(base)
    path = Path(os.path.expanduser(name))
    return f"{family}:{path.absolute()}{mark}{suffix}" if path.exists() else ref


def resolve_view(info: EncoderInfo, view: View) -> View:
    """`view` with `LAST_LAYER` replaced by the encoder's last. Raises UserError when the encoder
    does not offer it."""
    found = View(info.n_layers if view.layer == LAST_LAYER else view.layer, view.pooling)
    if found not in info.views:
        layers = sorted({offered.layer for offered in info.views})
        here = [offered.pooling for offered in info.views if offered.layer == found.layer]
        poolings = dict.fromkeys(here or [offered.pooling for offered in info.views])
        raise UserError(
            f"encoder {info.ref}: has no view {found}; layers {layers[0]} to {layers[-1]}, "
            f"poolings{' of that layer' if here else ''} {', '.join(poolings)}"
        )
    return found


def applicable_views(views: Sequence[View], *, is_pair: bool) -> tuple[View, ...]:
    """The views that a task can use. Views of two texts that are read together need a task on
    pairs."""
    return tuple(view for view in views if is_pair or not view.is_cross)


def is_last_layers_only(pooling: str) -> bool:
    """Whether only the last layer has this pooling. That is so for averages of layers and for
    `sentence`."""
    return pooling == SENTENCE or "_" in pooling.removeprefix(CROSS)


def check_pooling(name: str) -> None:
    """Raises UserError where `name` is not the name of a pooling."""
    if not _is_pooling(name):
        near = difflib.get_close_matches(
            name, (*POOLINGS, SENTENCE, f"{CROSS}mean", f"{CROSS}cls"), n=1
        )
        raise UserError(
            f"unknown pooling '{name}';"
            f" {f'did you mean {near[0]}?' if near else f'choose {POOLING_FORMS}'}"
        )


def standard_views(info: EncoderInfo, *, is_pair: bool = False) -> tuple[View, ...]:
    """The views that are looked at where the user names none; of texts in pairs also how the
    encoder reads them together, for as many of the ways to pool as single texts have."""
    views = info.standard_views or applicable_views(info.views, is_pair=is_pair)
    together = [View(view.layer, CROSS + view.pooling) for view in views] if is_pair else []
    return (*views, *(view for view in together if view in info.views))


_EXAMPLES = {
    "hf": "hf:all-MiniLM-L6-v2",
    "neoberta": "neoberta:pilot/checkpoints/3f2a",
    "lsa": "lsa:256",
    "random": "random:all-MiniLM-L6-v2",
    "static": "static:vectors.txt",
}
"""An example of a reference of each family."""
