import json
import os

import pytest

from cluster.deepspeed_engine import is_operator_built
from cluster.storage import Storage, UserError
from neoberta.checkpoint import load_checkpoint
from neoberta.config import ModelConfig, PretrainConfig
from neoberta.corpus import Corpus
from ray_jobs.config import validate
from ray_jobs.stages.pretrain import (
    build_corpora,
    checkpoint_key,
    pretrain_here,
    run_pretrain,
    split_texts,
)
from ray_jobs.stages.tokenizer import read_tokenizer, run_tokenizer

SENTENCE = (
    "the array of values is sorted along an axis and returned as a new matrix with shape given by"
    " rows columns"
)
WORDS = SENTENCE.split()
TEXTS = [" ".join(WORDS[(i + j) % len(WORDS)] for j in range(3 + (7 * i) % 60)) for i in range(160)]
SHAPE = ModelConfig(n_layers=2, hidden_size=16, n_heads=2, max_length=32)
CONFIG = PretrainConfig(
    model=SHAPE,
    n_tokens=8 * 256,
    batch_tokens=256,
    lr=1e-2,
    checkpoint_every_steps=3,
    precision="fp32",
)


@pytest.fixture
def storage(tmp_path) -> Storage:
    return Storage(tmp_path)


def test_tokenizer_is_trained_once(storage):
    key = run_tokenizer(TEXTS, 300, storage)
    written = (storage.local_path(key) / "tokenizer.json").stat().st_mtime_ns
    assert run_tokenizer(TEXTS, 300, storage) == key
    assert (storage.local_path(key) / "tokenizer.json").stat().st_mtime_ns == written
    assert run_tokenizer(TEXTS, 310, storage) != key
    assert read_tokenizer(storage, key).get_vocab_size() == 300


def test_key_is_what_the_outcome_depends_on(storage):
    tokenizer = read_tokenizer(storage, run_tokenizer(TEXTS, 300, storage))
    key = checkpoint_key(CONFIG, TEXTS, tokenizer)
    spread = CONFIG.model_copy(
        update={"n_workers": 2, "zero_stage": 2, "checkpoint_every_steps": 1}
    )
    assert checkpoint_key(spread, TEXTS, tokenizer) == key
    assert checkpoint_key(CONFIG.model_copy(update={"seed": 1}), TEXTS, tokenizer) != key
    assert checkpoint_key(CONFIG, TEXTS[:-1], tokenizer) != key


def test_held_out_texts_are_not_trained_on():
    training, held_out = split_texts(TEXTS)
    assert len(held_out) == 4 and len(training) == 156
    assert set(zip(range(0, 160, 50), held_out, strict=True)) == {
        (i, TEXTS[i]) for i in range(0, 160, 50)
    }


def test_unknown_keys_name_the_nearest():
    with pytest.raises(UserError, match="unknown key mask_rat; did you mean mask_rate"):
        validate(PretrainConfig, {"mask_rat": 0.3}, "x.yaml")
    with pytest.raises(UserError, match=r"unknown key model\.n_layer; did you mean n_layers"):
        validate(PretrainConfig, {"model": {"n_layer": 2}}, "x.yaml")


@pytest.mark.slow
@pytest.mark.skipif(
    not is_operator_built(),
    reason="DeepSpeed's CPU operator is not compiled: python -m cluster.deepspeed_engine",
)
def test_two_deepspeed_workers_give_the_checkpoint_of_one_torch_process(local_ray, storage):
    import torch
    from transformers import AutoModelForMaskedLM

    tokenizer_key = run_tokenizer(TEXTS, 300, storage)
    config = CONFIG.model_copy(update={"n_workers": 2, "zero_stage": 2})
    told = []
    key = run_pretrain(
        config,
        TEXTS,
        storage,
        tokenizer_key=tokenizer_key,
        on_progress=lambda *done: told.append(done),
    )
    assert told[-1] == (8, 8)
    storage.verify_folder(key)
    assert not os.path.exists(f"{storage.uri}/ray/pretrain-{key.rpartition('/')[2]}")
    model, tokenizer, info = load_checkpoint(storage.local_path(key))
    assert info["history"][-1]["step"] == 8 and info["validation"]["loss"] < 5.7
    corpora = build_corpora(TEXTS, tokenizer, 32, storage)
    here = pretrain_here(config, Corpus(storage.local_path(corpora[0])))
    for (name, ours), expected in zip(model.named_parameters(), here.parameters(), strict=True):
        torch.testing.assert_close(
            ours, expected, atol=1e-5, rtol=1e-3, msg=lambda text, at=name: f"{at}: {text}"
        )
    AutoModelForMaskedLM.from_pretrained(storage.local_path(key))
    assert (
        run_pretrain(config, TEXTS, storage, tokenizer_key=tokenizer_key) == key
    )  # returns at once
    assert json.loads(storage.read_bytes(f"{key}/config.json"))["model_type"] == "eurobert"
