"""A small sweep as a process of its own: `python small_sweep.py FOLDER OUT [ADDRESS]`, in FOLDER,
of tasks and word vectors that it makes up there. At the end it prints `done` and waits for a line
on its standard input."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

N_ROWS, DIM = 200, 16


def write_inputs(folder: Path) -> None:
    """Two tasks of two classes, and word vectors."""
    generator = np.random.default_rng(0)
    words = [f"word{i}" for i in range(60)]
    vectors = [
        " ".join([word, *map(str, generator.standard_normal(DIM).round(3))]) for word in words
    ]
    (folder / "vectors.txt").write_text("\n".join(vectors) + "\n")
    for task in range(2):
        texts = [" ".join(generator.choice(words[i % 2 :: 2], 5)) for i in range(N_ROWS)]
        rows = {"text": texts, "label": [f"class{i % 2}" for i in range(N_ROWS)]}
        pd.DataFrame(rows).to_csv(folder / f"task{task}.csv", index=False)


def run(
    folder: Path, out: str, address: str | None = None, at_end: Callable[[], object] | None = None
) -> None:
    """From the tasks to the last probe, and then, with the study still open, `at_end`."""
    from ray_jobs.config import validate
    from ray_jobs.stages.embed import embed, make_encoders
    from ray_jobs.stages.sweep import sweep
    from ray_jobs.stages.tasks import make_tasks
    from ray_jobs.study import Study, StudyConfig

    value = {
        "name": "small",
        "tasks": ["task0.csv", "task1.csv"],
        "encoders": [{"ref": f"static:{folder}/vectors.txt", "poolings": ["mean", "max"]}],
        "sweep": {"sizes": [16, 64], "n_seeds": 2, "logistic_sizes": [16]},
        "metamodel": {"observations": {"sizes": [16], "n_seeds": 1}},
        "characterize": {"task": "task0.csv"},
    }
    with Study(validate(StudyConfig, value, "small"), out, n_stages=4, address=address) as study:
        rows = study.run("tasks", make_tasks)
        encoders = study.run("encoders", lambda study, report: make_encoders(study, report, {}))
        study.run("embeddings", lambda study, report: embed(study, report, rows, encoders))
        study.run("probes", lambda study, report: sweep(study, report, rows, encoders))
        if at_end is not None:
            at_end()


def wait_for_a_line() -> None:
    print("done", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    write_inputs(Path(sys.argv[1]))
    run(Path(sys.argv[1]), *sys.argv[2:], at_end=wait_for_a_line)
