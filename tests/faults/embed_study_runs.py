"""The embedding stage of a study as a process of its own, to be killed: `python embed_study_runs.py
INPUTS OUT`, in an embedded Ray, with the task and the model that `write_inputs` made. At its end it
prints as JSON how many texts it found missing and how many shards its workers did."""

import json
import sys
from pathlib import Path

import pandas as pd

N_TEXTS, TEXTS_PER_SHARD, N_VIEWS = 1600, 20, 6


def write_inputs(folder: Path) -> None:
    """A task of distinct texts of many lengths, and a small randomly initialised BERT."""
    from tiny_models import save_tiny_model

    words = [
        "fit",
        "the",
        "model",
        "to",
        "data",
        "and",
        "return",
        "index",
        "of",
        "smallest",
        "value",
    ]
    texts = [
        " ".join([f"{i}", *(words[(i + 3 * j) % len(words)] for j in range(3 + i % 40))])
        for i in range(N_TEXTS)
    ]
    pd.DataFrame({"text": texts, "label": [f"class{i % 2}" for i in range(N_TEXTS)]}).to_csv(
        folder / "task.csv", index=False
    )
    save_tiny_model(folder / "model")


def run(inputs: Path, out: Path) -> None:
    """The stages up to the embeddings."""
    from ray_jobs.config import validate
    from ray_jobs.progress import ProgressCallback
    from ray_jobs.stages.embed import embed, make_encoders
    from ray_jobs.stages.tasks import make_tasks
    from ray_jobs.study import Study, StudyConfig

    task = str(inputs / "task.csv")
    value = {
        "name": "killed",
        "tasks": [task],
        "encoders": [{"ref": f"hf:{inputs / 'model'}", "poolings": ["mean", "cls"]}],
        "texts_per_shard": TEXTS_PER_SHARD,
        "sweep": {"sizes": [16]},
        "metamodel": {"observations": {"sizes": [16], "n_seeds": 1}},
        "characterize": {"task": task},
    }
    n_shards = 0

    def stage(study: Study, _: ProgressCallback) -> dict[str, int]:
        def count(done: int, _: int) -> None:
            nonlocal n_shards
            n_shards = done

        return embed(study, count, rows, encoders)

    with Study(validate(StudyConfig, value, "killed"), str(out), n_stages=3) as study:
        rows = study.run("tasks", make_tasks)
        encoders = study.run("encoders", lambda study, report: make_encoders(study, report, {}))
        n_texts = study.run("embeddings", stage)
    print(json.dumps({"n_texts": sum(n_texts.values()), "n_shards": n_shards}))


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
