"""The stage that pretrains NeoBERTas with Ray Train and DeepSpeed. The checkpoints have Hugging
Face's format.

A checkpoint's key is made of everything that its weights depend on, and the Train run has the name
of its checkpoint. So an interrupted run goes on from its last training state, also with another
number of workers. A finished checkpoint is read.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from cluster.storage import Storage, digest
from neoberta.checkpoint import save_checkpoint
from neoberta.config import PretrainConfig
from neoberta.corpus import Corpus, build_corpus, corpus_key
from neoberta.engine import TorchEngine, adamw
from neoberta.evaluation import validation_loss
from neoberta.model import NeoBERTa
from neoberta.pretraining import SilentReport, pretrain
from neoberta.training_state import load_training_state
from ray_jobs.progress import ProgressCallback
from ray_jobs.stages.tokenizer import learning_texts, read_tokenizer
from ray_jobs.study import Study

CHECKPOINT_VERSION = 1
"""Increase it when the same configuration would give other weights. It is part of the key."""
VALIDATION_EVERY = 50
"""Every 50th text is held out from pretraining, in the fixed pseudo-random order of the texts."""


def pretrain_neobertas(
    study: Study, report: ProgressCallback, tokenizer_key: str
) -> dict[str, str]:
    """Checkpoint keys of the study's NeoBERTas, by name."""
    texts = learning_texts(study)
    tokenizer = read_tokenizer(study.storage, tokenizer_key)
    keys, n_made = {}, 0
    for name, config in study.config.neobertas.items():
        keys[name] = checkpoint_key(config, texts, tokenizer)
        if not study.storage.exists(keys[name]):
            study.need_ray()
            run_pretrain(
                config, texts, study.storage, tokenizer_key=tokenizer_key, on_progress=report
            )
            n_made += 1
    study.made(n_made, "NeoBERTas pretrained")
    return keys


def run_pretrain(
    config: PretrainConfig,
    texts: Sequence[str],
    storage: Storage,
    *,
    tokenizer_key: str,
    on_progress: Callable[[int, int], None] | None = None,
) -> str:
    """Pretrain on `texts` with the Ray of this process. Returns the checkpoint's key
    `checkpoints/<digest>`. Nothing is done when the checkpoint is there. `on_progress` is called
    with (steps done, steps to do). Raises UserError."""
    from cluster.resources import available_resources, use_gpus
    from cluster.train import train

    tokenizer = read_tokenizer(storage, tokenizer_key)
    key = checkpoint_key(config, texts, tokenizer)
    if storage.exists(key):
        return key
    corpora = build_corpora(texts, tokenizer, config.model.max_length, storage)
    name = f"pretrain-{key.rpartition('/')[2]}"
    loop_config = {
        "config": config.model_dump(mode="json"),
        "storage": storage.uri,
        "corpus": corpora[0],
    }

    def tell(metrics: dict[str, Any]) -> None:
        if on_progress:
            on_progress(metrics["step"], metrics["n_steps"])

    result = train(
        pretrain_loop,
        loop_config,
        name=name,
        storage_dir=f"{storage.uri}/ray",
        n_workers=config.n_workers,
        use_gpu=use_gpus(config.n_workers, available_resources()),
        on_report=tell,
    )
    with tempfile.TemporaryDirectory(prefix="neoberta-state-") as state:
        storage.copy_folder(f"ray/{name}/{result.checkpoint_name}", Path(state))
        publish(config, Path(state), corpora, tokenizer, storage, key)
    storage.delete(f"ray/{name}")
    return key


def pretrain_loop(bound: dict[str, Any], context: Any) -> None:
    """The function that every worker runs. `context` is a `cluster.train.TrainContext`."""
    from cluster.deepspeed_engine import DeepSpeedEngine

    config = PretrainConfig(**bound["config"])
    corpus = Corpus(Storage(bound["storage"]).local_path(bound["corpus"]))
    model = NeoBERTa(config.model, corpus.vocab_size, seed=config.seed, precision=config.precision)
    engine = DeepSpeedEngine(
        model,
        adamw(model, config),
        rank=context.rank,
        n_workers=context.n_workers,
        zero_stage=config.zero_stage,
        grad_clip=config.grad_clip,
    )
    pretrain(config, corpus, engine, context, context.resume)


def pretrain_here(config: PretrainConfig, corpus: Corpus) -> NeoBERTa:
    """Pretrain in this process with plain torch, for small budgets. Ray is not used, and no
    training state is kept."""
    model = NeoBERTa(config.model, corpus.vocab_size, seed=config.seed, precision=config.precision)
    pretrain(
        config,
        corpus,
        TorchEngine(model, adamw(model, config), grad_clip=config.grad_clip),
        SilentReport(),
    )
    return model.eval()


def build_corpora(
    texts: Sequence[str], tokenizer: Tokenizer, max_length: int, storage: Storage
) -> tuple[str, str]:
    """Keys of the packed training corpus and of the held-out one."""
    training, held_out = split_texts(texts)
    return (
        build_corpus(training, tokenizer, max_length, storage),
        build_corpus(held_out, tokenizer, max_length, storage),
    )


def split_texts(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """`(training texts, held-out texts)`. At least one text is held out."""
    held_out = list(texts[::VALIDATION_EVERY])
    return [text for i, text in enumerate(texts) if i % VALIDATION_EVERY], held_out


def checkpoint_key(config: PretrainConfig, texts: Sequence[str], tokenizer: Tokenizer) -> str:
    """The key of the checkpoint on the storage. It is known before the training."""
    corpus = corpus_key(split_texts(texts)[0], tokenizer, config.model.max_length)
    identity = {"version": CHECKPOINT_VERSION, "config": config.identity(), "corpus": corpus}
    return f"checkpoints/{digest(identity)}"


def publish(
    config: PretrainConfig,
    state: Path,
    corpora: tuple[str, str],
    tokenizer: Tokenizer,
    storage: Storage,
    key: str,
) -> None:
    """Turn a finished training state into the checkpoint `key`, and evaluate it on held-out
    text."""
    tensors, facts = load_training_state(state)
    model = NeoBERTa(config.model, tokenizer.get_vocab_size())
    weights = {name: tensors[f"parameters/{name}"] for name, _ in model.named_parameters()}
    model.load_state_dict(weights)
    corpus, held_out = (Corpus(storage.local_path(corpus)) for corpus in corpora)
    n_tokens = facts["history"][-1]["tokens"]
    info = {
        "pretraining": config.model_dump(mode="json"),
        "corpus": {"key": corpora[0], **corpus.info},
        "n_tokens": n_tokens,
        "seconds": facts["seconds"],
        "tokens_per_second": n_tokens / facts["seconds"],
        "unigram_entropy": corpus.unigram_entropy(),
        "validation": (
            validation_loss(model, held_out) | {"unigram_loss": corpus.unigram_loss(held_out)}
        ),
        "history": facts["history"],
    }
    with storage.writing_folder(key) as folder:
        save_checkpoint(model, tokenizer, folder, info)
