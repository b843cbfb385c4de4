"""Which encoders a request ends up with: defaults that cannot serve, prompts, what must be said."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_models import N_LAYERS, save_tiny_model

from cluster.storage import UserError
from meta import characterize
from meta.answering import request
from meta.answering.request import CharacterizeRequest, check_and_prepare
from probes.encoders.load import load_encoder
from probes.tasks.read import Columns

LSA = request.FALLBACK_ENCODER


def rows(words: str, n_rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list(words), 12)) + chr(0x1F600 + i) for i in range(n_rows)]
    return pd.DataFrame({"text": texts, "label": [f"class {i % 2}" for i in range(n_rows)]})


def ask(train: pd.DataFrame, *encoders: str, prompt: str | None = None) -> CharacterizeRequest:
    return check_and_prepare(
        train,
        None,
        Columns("text", None, "label"),
        encoders=encoders,
        metric="accuracy",
        target=None,
        eval_labels=False,
        metamodel=None,
        prompt=prompt,
        trust_remote_code=False,
    )


def bert_with_prompts(folder: Path) -> str:
    save_tiny_model(folder)
    modules = [
        {"path": path, "type": f"sentence_transformers.models.{kind}"}
        for path, kind in (("", "Transformer"), ("1_Pooling", "Pooling"))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "find: "}}')
    return f"hf:{folder}"


EMOJI = rows("🙂🙃😀😁🌧🌞🎈🎉")


def test_a_default_encoder_that_cannot_serve_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = bert_with_prompts(tmp_path / "bert")
    monkeypatch.setattr(request, "default_encoders", lambda: (ref, LSA))
    found = ask(EMOJI)
    assert found.encoders == (ref,)
    (note,) = (note for note in found.notes if LSA in note)
    assert re.match(rf"{LSA}, compared by default, is left out: cannot be fitted on 40 texts", note)
    (tmp_path / "bert" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="has no weights"):  # nothing is left to compare
        ask(EMOJI)


def test_an_encoder_that_was_asked_for_is_not_left_out(tmp_path: Path) -> None:
    ref = bert_with_prompts(tmp_path / "bert")
    with pytest.raises(UserError, match=f"encoder {LSA}: cannot be fitted on 40 texts"):
        ask(EMOJI, ref, LSA)


@pytest.mark.parametrize(
    "letters", ["春夏秋冬東西南北", "กขคงจฉชซ", "あいうえおカキク", "កខគឃងចឆជ"]
)
def test_lsa_serves_where_words_are_not_spaced(letters: str) -> None:
    train = rows(letters)
    assert LSA in ask(train).encoders
    answers = characterize(train, encoders="lsa:8")
    assert answers.encoders[0].encoder == "lsa:8"


def test_a_prompt_for_those_that_take_one(tmp_path: Path) -> None:
    ref = bert_with_prompts(tmp_path / "bert")
    found = ask(rows("abcdefg "), ref, f"{ref}#prompt=", LSA, prompt="query")
    assert found.encoders == (f"{ref}#prompt=query", f"{ref}#prompt=", LSA)
    with pytest.raises(UserError, match="--prompt: none of the encoders takes a prompt"):
        ask(rows("abcdefg "), LSA, prompt="query")
    with pytest.raises(UserError, match="has no prompt 'quer'; did you mean query"):
        ask(rows("abcdefg "), ref, prompt="quer")


def test_the_notes_of_encoders_and_their_own_vectors_are_in_the_answers(tmp_path: Path) -> None:
    ref = bert_with_prompts(tmp_path / "bert")
    cache = tmp_path / "cache"
    for _ in range(2):  # the second time from what was kept
        answers = characterize(rows("abcdefg "), encoders=ref, cache=cache)
        assert [note for note in answers.warnings if "query ('find: ')" in note]
        spaces = [space.view for space in (*answers.encoders, *answers.screened)]
        assert (N_LAYERS, "sentence") in {(view.layer, view.pooling) for view in spaces}
    answers = characterize(rows("abcdefg "), encoders=ref, prompt="query", cache=cache)
    assert [note for note in answers.warnings if "'find: ' is put before every text" in note]
    assert answers.encoders[0].encoder == f"{ref}#prompt=query"
    folders = {path.name for path in (cache / "embeddings").iterdir()}
    assert folders == {
        load_encoder(f"{ref}{end}").info.fingerprint for end in ("", "#prompt=query")
    }
