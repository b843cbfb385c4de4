"""An embedding job as a process of its own, to be killed: `python embed_runs.py INPUTS OUT`, with the task and the model that
`write_inputs` made. Prints `encoding` when Ray runs and the first text is about to be encoded."""

import sys
from pathlib import Path

import pandas as pd

N_TEXTS, TEXTS_PER_SHARD = 2400, 40
LAYERS = (0, 3, 6)


def write_inputs(folder: Path) -> None:
    """A task file of texts of many lengths, and a small randomly initialised BERT."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = [f"word{i}" for i in range(500)]
    rows = [
        (
            " ".join(words[(7 * i + 13 * j) % 500] for j in range(5 + i * i % 120)) + f" number word{i % 500} {i}",
            f"class{i % 2}",
        )
        for i in range(N_TEXTS)
    ]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(folder / "task.csv", index=False)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "number", *words, *(f"##{d}" for d in range(10)), *"0123456789"]
    (folder / "model").mkdir()
    (folder / "model" / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(str(folder / "model" / "vocab.txt")).save_pretrained(folder / "model")
    sizes = {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 3, "intermediate_size": 768}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(vocabulary), **sizes)).save_pretrained(folder / "model")


def run(inputs: Path, out: Path) -> None:
    """The stages up to the embeddings."""
    from ray_jobs.config import validate
    from ray_jobs.embed import embed, make_encoders
    from ray_jobs.study import Study, StudyConfig
    from ray_jobs.tasks import make_tasks

    task = str(inputs / "task.csv")
    value = {
        "name": "killed",
        "tasks": [task],
        "encoders": [{"ref": f"hf:{inputs / 'model'}", "layers": LAYERS, "poolings": ["mean", "cls"]}],
        "texts_per_shard": TEXTS_PER_SHARD,
        "sweep": {"sizes": [16]},
        "metamodel": {"observations": {"sizes": [16], "n_seeds": 1}},
        "characterize": {"task": task},
    }
    with Study(validate(StudyConfig, value, "killed"), str(out), n_stages=3) as study:
        rows = study.run("tasks", make_tasks)
        encoders = study.run("encoders", lambda study, report: make_encoders(study, report, {}))
        study.need_ray()
        print("encoding", flush=True)
        study.run("embeddings", lambda study, report: embed(study, report, rows, encoders))


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
