"""How often the kind of a task is told from its labels and texts (`meta.priors.task_kinds`), each
public task left out in turn. `--write` fits what ships to all of them.

Every task counts twice: with the names of its labels, and with numbers instead of names.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from meta.priors.encoders import OTHER_KIND
from meta.priors.task_kinds import FEATURES, FILE, KINDS, kind_features

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "classification"
TABLE = Path(__file__).resolve().parents[1] / "meta" / FILE
DESCRIPTIONS = {
    "toxicity": r"hate|offensive|toxic",
    "sentiment": r"sentiment|emotion|opinion",
    OTHER_KIND: r"citation|request|dialect",
    "topic": r"topic|category|discipline",
    "intent": r"intent",
}
"""How public tasks of a kind are described; the first that fits."""
SOURCES = (
    r"^(tweeteval|hint3|indonlu|afrisenti|yoruba_news|hausa_news|trec|review|medical_cause|sst"
    r"|counterfactual)"
)
"""Tasks whose names begin alike are of one source, and are left out together."""
N_ROWS = 300
C = 0.3
"""Inverse regularisation."""


def read_features(folder: Path) -> pd.DataFrame:
    """Two rows for each public task on single texts: the columns `FEATURES`, `task`, `source`,
    `kind` and `named`."""
    rows = []
    for described in sorted(folder.glob("*/dataset.json")):
        facts = json.loads(described.read_text(encoding="utf-8"))
        if facts["input"] != "single":
            continue
        task = described.parent.name
        path = next(
            described.parent / f"{name}.parquet"
            for name in ("train", "test")
            if (described.parent / f"{name}.parquet").exists()
        )
        texts = pd.read_parquet(path, columns=["text"])["text"]
        texts = texts.sample(min(N_ROWS, len(texts)), random_state=0).tolist()
        source = re.match(SOURCES, task)
        for named in (True, False):
            labels = (
                facts["label_names"]
                if named
                else [str(i) for i in range(len(facts["label_names"]))]
            )
            rows.append(
                dict(zip(FEATURES, kind_features(texts, labels), strict=True))
                | {
                    "task": task,
                    "source": source[0] if source else task,
                    "kind": next(
                        (
                            kind
                            for kind, words in DESCRIPTIONS.items()
                            if re.search(words, facts["task"])
                        ),
                        OTHER_KIND,
                    ),
                    "named": named,
                }
            )
    return pd.DataFrame(rows)


def fit(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """The softmax regression: `mean` and `sd` (F,), `coefficients` (K, F), `intercepts` (K,)."""
    X = rows[list(FEATURES)].to_numpy(dtype=np.float64)
    mean, sd = X.mean(axis=0), X.std(axis=0)
    model = LogisticRegression(C=C, max_iter=2000).fit((X - mean) / sd, rows["kind"])
    order = [list(model.classes_).index(kind) for kind in KINDS]
    return {
        "mean": mean,
        "sd": sd,
        "coefficients": model.coef_[order],
        "intercepts": model.intercept_[order],
    }


def held_out_probabilities(rows: pd.DataFrame) -> np.ndarray:
    """(N, K) probabilities of the kinds, each source of tasks left out in turn."""
    found = np.empty((len(rows), len(KINDS)))
    for source in rows["source"].unique():
        out = (rows["source"] == source).to_numpy()
        model = fit(rows[~out])
        z = (rows.loc[out, list(FEATURES)].to_numpy() - model["mean"]) / model["sd"]
        scores = z @ model["coefficients"].T + model["intercepts"]
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        found[out] = shares / shares.sum(axis=1, keepdims=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of public tasks")
    parser.add_argument("--write", action="store_true", help=f"make meta/{FILE} and stop")
    options = parser.parse_args()
    if not options.data.is_dir():
        sys.exit(f"{options.data}: no such folder; give the folder of public tasks with --data")
    rows = read_features(options.data)
    if options.write:
        stored = {name: values.round(4).tolist() for name, values in fit(rows).items()}
        text = json.dumps({"kinds": KINDS, "features": FEATURES, **stored}, indent=1)
        TABLE.write_text(text + "\n", encoding="utf-8")
        print(json.dumps({"file": str(TABLE), "tasks": int(rows["task"].nunique())}))
        return
    shares = held_out_probabilities(rows)
    truth = rows["kind"].map(KINDS.index).to_numpy()
    said, right = shares.max(axis=1), shares.argmax(axis=1) == truth
    result = {"tasks": int(rows["task"].nunique())}
    is_named = rows["named"].to_numpy()
    for name, chosen in (("named", is_named), ("unnamed", ~is_named)):
        result |= {
            f"{name}_accuracy": round(float(right[chosen].mean()), 3),
            f"{name}_said": round(float(said[chosen].mean()), 3),
            f"{name}_log_loss": round(float(-np.log(shares[chosen, truth[chosen]]).mean()), 3),
        }
    counts = (
        np.bincount(truth[rows["named"].to_numpy()], minlength=len(KINDS)) / rows["named"].sum()
    )
    result["log_loss_of_shares"] = round(float(-np.log(counts[truth]).mean()), 3)
    print(
        pd.crosstab(
            rows["kind"],
            [rows["named"], pd.Series([KINDS[i] for i in shares.argmax(axis=1)], name="said")],
        )
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
