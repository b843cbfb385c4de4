"""A sweep as a process of its own, to be killed: `python sweep_runs.py INPUTS OUT [ADDRESS]`, with
the tasks and vectors that `write_inputs` made, in an embedded Ray or on the cluster at ADDRESS.
Prints `fitting` when the first probe is about to be fitted."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

N_TASKS, N_CLASSES, N_WORDS = 4, (2, 3, 8, 20), 600
DIMS = (128, 256)


def write_inputs(folder: Path) -> None:
    """Task files of made-up words, and word vectors of two widths in which words of a class lie
    together."""
    generator = np.random.default_rng(0)
    words = [f"word{i}" for i in range(N_WORDS)]
    for dim in DIMS:
        vectors = generator.standard_normal((N_WORDS, dim))
        lines = [
            " ".join([word, *(f"{value:.4f}" for value in vector)])
            for word, vector in zip(words, vectors, strict=True)
        ]
        (folder / f"vectors{dim}.txt").write_text("\n".join(lines) + "\n")
    for task in range(N_TASKS):
        n_classes = N_CLASSES[task]
        rows = []
        for i in range(1200):
            label = i % n_classes
            own = generator.choice(np.arange(label, N_WORDS, n_classes), 2)
            rows.append(
                (
                    " ".join(words[j] for j in (*own, *generator.integers(0, N_WORDS, 10))),
                    f"class{label}",
                )
            )
        pd.DataFrame(rows, columns=["text", "label"]).to_csv(
            folder / f"task{task}.csv", index=False
        )


def run(inputs: Path, out: str, address: str | None = None) -> None:
    """The sweep, from its tasks to its last probe."""
    from ray_jobs.config import validate
    from ray_jobs.stages.embed import embed, make_encoders
    from ray_jobs.stages.sweep import sweep
    from ray_jobs.stages.tasks import make_tasks
    from ray_jobs.study import Study, StudyConfig

    tasks = [str(inputs / f"task{i}.csv") for i in range(N_TASKS)]
    value = {
        "name": "killed",
        "tasks": tasks,
        "encoders": [
            {"ref": f"static:{inputs}/vectors{dim}.txt", "poolings": ["mean", "max"]}
            for dim in DIMS
        ],
        "sweep": {
            "sizes": [16, 64, 256, 512],
            "n_seeds": 8,
            "logistic_sizes": [64, 256],
            "logistic_n_seeds": 4,
        },
        "metamodel": {"observations": {"sizes": [16], "n_seeds": 1}},
        "characterize": {"task": tasks[0]},
    }
    with Study(validate(StudyConfig, value, "killed"), out, n_stages=4, address=address) as study:
        rows = study.run("tasks", make_tasks)
        encoders = study.run("encoders", lambda study, report: make_encoders(study, report, {}))
        study.run("embeddings", lambda study, report: embed(study, report, rows, encoders))
        study.need_ray()
        print("fitting", flush=True)
        study.run("probes", lambda study, report: sweep(study, report, rows, encoders))


if __name__ == "__main__":
    run(Path(sys.argv[1]), *sys.argv[2:])
