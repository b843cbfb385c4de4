"""The study on which the metamodel is fitted and evaluated: public tasks, eight encoders, hundreds
of thousands of probes.

    python -m benchmarks.metamodel_study --out FOLDER [--data FOLDER] [--tasks sst2,banking77]
        [--sweeps choice,pairs,ahead]

The sweeps share one embedding cache: `forecast` (training sizes up to 4,096, some views, test rows
of the same pool), `official` (fewer views, the official test splits), `shifted` (samples that are
covariate-shifted, imbalanced or mislabelled), `choice` and `pairs` (every view at two sizes, on
tasks of single texts and of text pairs), and `ahead` (some views, with 4 and 16 times as many rows
as `choice`). Observations are made for the first three. Everything is keyed by content, so a second
run does only what is missing.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from meta.metamodel.observation_blocks import ObservationSpec
from neoberta.config import ModelConfig, PretrainConfig
from probes.encoders.base import View
from probes.sweep.spec import SweepSpec
from ray_jobs.stages.embed import EncoderRow, embed, make_encoders
from ray_jobs.stages.observe import observe_blocks
from ray_jobs.stages.pretrain import pretrain_neobertas
from ray_jobs.stages.sweep import sweep
from ray_jobs.stages.tasks import TaskRow, make_tasks
from ray_jobs.stages.tokenizer import make_tokenizer
from ray_jobs.study import (
    CharacterizeConfig,
    DocsConfig,
    EncoderConfig,
    Study,
    StudyConfig,
    TokenizerConfig,
)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FAMILIES = {
    "movies": "sst2 sst5 mr imdb movie_reviews_long subj",
    "products": "cr pros_cons",
    "trec": "trec_coarse trec_fine trecqa",
    "hint3": "hint3_curekart hint3_powerplay11 hint3_sofmattress",
    "nlu": "nlu_askubuntu nlu_chatbot",
    "stance": (
        "tweeteval_stance_abortion tweeteval_stance_atheism tweeteval_stance_climate"
        " tweeteval_stance_feminist tweeteval_stance_hillary"
    ),
    "hate": (
        "tweeteval_hate tweeteval_offensive davidson_hate stormfront_hate hatecheck germeval2018"
        " hatebr"
    ),
    "tweets": "twitter_airline tweet_sentiment_multilingual afrisenti_amh afrisenti_hau",
    "indonlu": "indonlu_emot indonlu_smsa",
    "citation": "acl_arc scicite",
    "dialogue": "swda mrda",
    "emotion": "tweeteval_emotion isear goemotions meld_emotion",
    "nli": "rte breaking_nli indonlu_wrete",
    "news": "ag_news_test bbc_news r8",
}
"""Tasks that share texts or labels. Every other task is a family of its own."""
DOCS_TASKS = ("library", "kind", "returns", "deprecated", "parameter_type", "error")
MAX_ROWS_BY_LENGTH = ((20, 4096, 1500, 800), (45, 2048, 1000, 600), (10_000, 512, 400, 200))
"""(mean words up to, rows of train, rows of test of the pool, rows of test of the official split).
Long texts are expensive to encode, so tasks with long texts have fewer rows. Few test rows make the
truth itself noisy: 600 of them, at 80 % accuracy, add 1.3 points of mean absolute error."""
RIDGE_CS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
OBSERVED_SIZES = (64, 128, 256, 512, 1024)
COMMON_SETTINGS = {"n_seeds": 10, "probes": ("ridge",), "ridge_Cs": RIDGE_CS, "max_test_rows": 2000}
SWEEPS = {
    "forecast": SweepSpec(sizes=SIZES, **COMMON_SETTINGS),
    "official": SweepSpec(sizes=SIZES, **COMMON_SETTINGS),
    "shifted": SweepSpec(
        sizes=(64, 128, 256, 512),
        subsets=("shifted:0.05", "imbalanced:0.1", "noisy:0.2"),
        **COMMON_SETTINGS,
    ),
    "choice": SweepSpec(sizes=(64, 256), **COMMON_SETTINGS),
    "pairs": SweepSpec(sizes=(64, 256), **COMMON_SETTINGS),
    "ahead": SweepSpec(sizes=(1024, 4096), **{**COMMON_SETTINGS, "n_seeds": 3}),
}
OBSERVED_SWEEPS = ("forecast", "official", "shifted")
INDEX_FILE = "metamodel_study.json"
MINILM = "hf:all-MiniLM-L6-v2"
POOLINGS = ("cls", "mean", "max", "cross_cls", "cross_mean", "cross_max")
OBSERVED_VIEWS = {
    MINILM: ((3, "mean"), (6, "mean")),
    "neoberta-2x128": ((1, "mean"),),
    "neoberta-4x128": ((2, "mean"), (4, "mean")),
    "neoberta-6x128": ((6, "mean"),),
    "random:neoberta-2x128": ((1, "mean"),),
    "lsa:256": ((0, "mean"),),
    "static": ((0, "mean"),),
}
"""The views of each encoder that are forecast in the sweep `forecast`."""
FEWER_VIEWS = {MINILM: ((6, "mean"),)}
"""The same for the sweeps `official` and `shifted`."""
AHEAD_VIEWS = {
    MINILM: (
        *((layer, "mean") for layer in (0, 2, 3, 4, 5, 6)),
        (3, "cls"),
        (6, "cls"),
        (6, "max"),
        *((6, f"cross_{pooling}") for pooling in ("mean", "cls")),
        (4, "cross_mean"),
    ),
    "neoberta-2x128": ((1, "mean"), (2, "mean")),
    "neoberta-4x128": ((2, "mean"), (4, "mean")),
    "neoberta-6x128": ((4, "mean"), (6, "mean"), (6, "cross_mean")),
    "lsa:256": ((0, "mean"),),
    "static": ((0, "mean"),),
}
"""The same for the sweep `ahead`."""


def task_references(data: Path, names: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """(references with test rows of the pool, references with official test rows) of the public
    tasks in `data`."""
    family_of = {name: family for family, members in FAMILIES.items() for name in members.split()}
    pool, official = [], []
    for folder in sorted((data / "classification").iterdir()):
        if names and folder.name not in names:
            continue
        splits = [
            split
            for split in ("train", "validation", "test")
            if (folder / f"{split}.parquet").is_file()
        ]
        texts = (
            pq.read_table(folder / f"{splits[0]}.parquet", columns=["text"])
            .slice(0, 2000)["text"]
            .to_pylist()
        )
        n_words = sum(len(text.split()) for text in texts) / len(texts)
        n_train, n_pool_test, n_official_test = next(
            rows[1:] for rows in MAX_ROWS_BY_LENGTH if n_words <= rows[0]
        )
        family = f"family={family_of.get(folder.name, folder.name)}"
        pool.append(f"{folder}#split=pool,train={n_train},test={n_pool_test},{family}")
        if "train" in splits and len(splits) > 1:
            official.append(f"{folder}#train={n_train},test={n_official_test},{family}")
    return pool, official


def short_name(task: str) -> str:
    """The name of a task of the study in tables: the name of its folder, or docs/NAME."""
    return task if task.startswith("docs/") else Path(task.partition("#")[0]).name


def task_names(index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Task fingerprint -> (short name, family), from the study's index."""
    return {
        task["fingerprint"]: (short_name(task["name"]), task["family"]) for task in index["tasks"]
    }


def study_config(tasks: Sequence[str], vectors: Path) -> StudyConfig:
    """The study of `tasks` with all eight encoders. `vectors` are static word vectors in the text
    format of GloVe."""

    def neoberta(n_layers: int, n_tokens: int) -> PretrainConfig:
        model = ModelConfig(n_layers=n_layers, hidden_size=128, max_length=128)
        return PretrainConfig(model=model, n_tokens=n_tokens, lr=3e-3)

    return StudyConfig(
        name="metamodel",
        tasks=tuple(tasks),
        docs=DocsConfig(max_rows_per_task=800),
        tokenizer=TokenizerConfig(vocab_size=8192, max_texts=40_000),
        neobertas={
            "neoberta-2x128": neoberta(2, 300_000),
            "neoberta-4x128": neoberta(4, 300_000),
            "neoberta-6x128": neoberta(6, 1_000_000),
        },
        encoders=(
            EncoderConfig(ref=MINILM, poolings=POOLINGS),
            EncoderConfig(ref="neoberta:neoberta-2x128", poolings=POOLINGS),
            EncoderConfig(ref="neoberta:neoberta-4x128", poolings=POOLINGS),
            EncoderConfig(ref="neoberta:neoberta-6x128", poolings=POOLINGS),
            EncoderConfig(ref="random:neoberta-2x128"),
            EncoderConfig(ref="lsa:256"),
            EncoderConfig(ref="lsa:64"),
            EncoderConfig(ref=f"static:{vectors}", poolings=("mean", "max")),
        ),
        characterize=CharacterizeConfig(task="docs/material"),
    )


def with_views(
    encoders: Sequence[EncoderRow], wanted: dict[str, tuple[tuple[int, str], ...]]
) -> list[EncoderRow]:
    """The encoders with only the wanted views."""
    found = []
    for encoder in encoders:
        name = "static" if encoder.name.startswith("static:") else encoder.name
        views = tuple(View(*view) for view in wanted.get(name, ()) if View(*view) in encoder.views)
        if views:
            found.append(encoder.model_copy(update={"views": views}))
    return found


def run(
    data: Path, out: str, names: Sequence[str] | None, sweeps: Sequence[str] = tuple(SWEEPS)
) -> dict[str, object]:
    """Make everything that is missing. Returns what `benchmarks.metamodel` reads: tasks, and the
    keys of probes and observations of the `sweeps`."""
    vectors = _static_vectors(data, Path(out))
    pool, official = task_references(data, names)
    official = official if "official" in sweeps else []
    docs = [] if names else [f"docs/{name}" for name in DOCS_TASKS]
    config = study_config([*pool, *official, *docs], vectors)
    index: dict[str, object] = {}
    with Study(config, out, n_stages=12) as study:
        tasks: list[TaskRow] = study.run("tasks", make_tasks)
        by_name = {task.name: task for task in tasks}
        of_pool, of_official = (
            [by_name[ref] for ref in [*pool, *docs]],
            [by_name[ref] for ref in official],
        )
        tokenizer = study.run("tokenizer", make_tokenizer)
        checkpoints = study.run(
            "NeoBERTas", lambda s, report: pretrain_neobertas(s, report, tokenizer)
        )
        encoders = study.run("encoders", lambda s, report: make_encoders(s, report, checkpoints))
        study.run(
            "embeddings", lambda s, report: embed(s, report, [*of_pool, *of_official], encoders)
        )
        single = [task for task in of_pool if not task.is_pair]
        plans = {
            "forecast": (of_pool, with_views(encoders, OBSERVED_VIEWS)),
            "official": (of_official, with_views(encoders, FEWER_VIEWS)),
            "shifted": (single, with_views(encoders, FEWER_VIEWS)),
            "choice": (single, encoders),
            "pairs": ([task for task in of_pool if task.is_pair], encoders),
            "ahead": (of_pool, with_views(encoders, AHEAD_VIEWS)),
        }
        for name in sweeps:
            own_tasks, own_encoders = plans[name]
            study.config = config.model_copy(update={"sweep": SWEEPS[name]})
            probes = study.run(
                f"{name}: probes",
                lambda s, report, a=own_tasks, b=own_encoders: sweep(s, report, a, b),
            )
            observations: list[str] = []
            if name in OBSERVED_SWEEPS:
                for kind in SWEEPS[name].subsets:
                    sizes = tuple(size for size in OBSERVED_SIZES if size in SWEEPS[name].sizes)
                    spec = ObservationSpec(sizes=sizes, n_seeds=2, subset=kind)
                    observations += study.run(
                        f"{name}: {kind}",
                        lambda s, report, a=own_tasks, b=own_encoders, c=spec: observe_blocks(
                            s, report, a, b, c
                        ),
                    )
            index[name] = {"probes": probes, "observations": observations}
            index["tasks"] = [task.model_dump() for task in tasks]
            index["encoders"] = [encoder.model_dump(mode="json") for encoder in encoders]
            # after each sweep, so that the finished ones can be read meanwhile
            study.storage.write_json(INDEX_FILE, index)
    return index


def _static_vectors(data: Path, out: Path) -> Path:
    path = out / "static" / "glove_twitter_25d.txt"
    if not path.exists():
        table = pd.read_parquet(data / "encoders" / "glove_twitter_25d_12k" / "vectors.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        words, vectors = table.iloc[:, 0], table.iloc[:, 1]
        lines = (
            f"{word} {' '.join(f'{value:.5g}' for value in vector)}"
            for word, vector in zip(words, vectors, strict=True)
        )
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--tasks", default="")
    parser.add_argument("--sweeps", default=",".join(SWEEPS))
    options = parser.parse_args()
    made = run(
        options.data,
        options.out,
        options.tasks.split(",") if options.tasks else None,
        options.sweeps.split(","),
    )
    print(json.dumps({name: len(made[name]["probes"]) for name in SWEEPS if name in made}))  # type: ignore[index]
