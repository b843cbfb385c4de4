"""Planning, one block on synthetic embeddings, reading back, and the ledger's prediction."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from cluster.storage import Storage
from probes.encoders.base import EncoderInfo, View
from probes.solvers import logistic
from probes.solvers.rowspace import feature_scale
from probes.sweep import cost as sweep_cost
from probes.sweep.block import BlockRunner, fold_weights
from probes.sweep.cost import MAX_BATCH_SECONDS, batch_blocks, block_seconds, n_probes, predict_cost
from probes.sweep.partial import PartialBlock
from probes.sweep.results import IDENTITY_COLUMNS, PROBE_RESULTS_SCHEMA
from probes.sweep.spec import SweepSpec
from probes.sweep.subsets import subset_rows
from probes.sweep.sweep import is_done, load_results, plan_blocks, probe_block, run_block
from probes.tasks.task import Split, Task

SPEC = SweepSpec(
    sizes=(8, 32, 64),
    n_seeds=3,
    ridge_Cs=(1e-4, 1e-2, 1.0),
    logistic_Cs=(0.1, 10.0),
    logistic_sizes=(32,),
    logistic_n_seeds=2,
    max_test_rows=150,
)
VIEWS = (View(0, "mean"), View(2, "cls"))


def task(name: str = "toy", n_train: int = 120) -> SimpleNamespace:
    return SimpleNamespace(
        name=name,
        fingerprint=name.ljust(16, "0"),
        family="",
        n_train=n_train,
        n_test=200,
        n_classes=3,
        is_pair=False,
    )


def encoder(name: str = "enc", hidden_size: int = 24) -> SimpleNamespace:
    info = EncoderInfo(name, name.ljust(16, "f"), "hf", 2, hidden_size, 1000, 128, VIEWS)
    return SimpleNamespace(name=name, info=info, views=VIEWS)


def plan(spec: SweepSpec = SPEC, tasks=None, encoders=None, done=()) -> list[dict]:
    return plan_blocks(
        spec, tasks or [task()], encoders or [encoder()], done, storage_uri="/nowhere"
    )


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 320)
    X = (generator.standard_normal((3, 24))[y] + 1.5 * generator.standard_normal((320, 24))).astype(
        np.float32
    )
    return X[:120], y[:120], X[120:], y[120:]


@pytest.fixture(scope="module")
def table(arrays) -> pa.Table:
    return probe_block(*arrays, plan()[0])


def test_plan_is_every_task_encoder_and_view_once_and_json():
    blocks = plan(tasks=[task("a"), task("b")], encoders=[encoder("e"), encoder("f")])
    assert len({block["key"] for block in blocks}) == len(blocks) == 8
    assert json.loads(json.dumps(blocks)) == blocks
    assert all(block["key"].startswith("probes/") for block in blocks)


def test_plan_leaves_out_what_is_done_and_follows_the_content():
    blocks = plan(tasks=[task("a"), task("b")])
    done = {block["key"] for block in blocks if block["task"] == "a"}
    assert {block["task"] for block in plan(tasks=[task("a"), task("b")], done=done)} == {"b"}
    other = plan(SPEC.model_copy(update={"n_seeds": 4}))
    assert not {block["key"] for block in other} & {block["key"] for block in plan()}


def test_plan_puts_the_dearest_block_first():
    blocks = plan(
        tasks=[task("small", 40), task("large")], encoders=[encoder("e", 8), encoder("f", 64)]
    )
    costs = [predict_cost([block])[0] for block in blocks]
    assert costs == sorted(costs, reverse=True)


def test_a_pair_task_has_four_times_the_columns():
    pair = task()
    pair.is_pair = True
    assert plan(tasks=[pair])[0]["n_columns"] == 4 * 24


@pytest.mark.parametrize(
    "wrong",
    [
        {"sizes": ()},
        {"sizes": (1, 8)},
        {"ridge_Cs": (0.0,)},
        {"n_seeds": 0},
        {"subsets": ("odd",)},
        {"sizess": (8,)},
    ],
)
def test_spec_refuses_what_makes_no_sense(wrong):
    with pytest.raises(ValidationError):
        SweepSpec(**wrong)


def test_a_block_is_one_row_per_probe(table):
    assert table.schema == PROBE_RESULTS_SCHEMA
    frame = table.to_pandas()
    assert len(frame) == n_probes(plan()[0]) == 3 * 3 * 3 + 2 * 2
    assert not frame.duplicated(IDENTITY_COLUMNS).any()
    assert frame["converged"].all()
    assert (frame["n_test"] == 150).all()
    assert frame.loc[frame["probe"] == "ridge", "loo_accuracy"].notna().all()
    chosen = frame.groupby(["n_train", "seed", "probe"])["C_selected"].sum()
    assert (chosen == 1).all()
    for rate in ("accuracy", "macro_f1", "ece", "auroc"):
        assert frame[rate].between(0, 1).all()


def test_more_rows_make_better_probes(table):
    frame = table.to_pandas()
    curve = (
        frame[frame["C_selected"] & (frame["probe"] == "ridge")]
        .groupby("n_train")["accuracy"]
        .mean()
    )
    assert curve.loc[8] < curve.loc[64] < 1


@pytest.mark.parametrize(("probe", "C"), [("ridge", 1e-2), ("logistic", 10.0)])
def test_accuracy_is_scikit_learns_on_the_same_rows(arrays, table, probe, C):
    X_pool, y_pool, X_test, y_test = arrays
    fingerprint, scale = task().fingerprint, feature_scale(X_pool)
    rows = subset_rows(y_pool, task_fingerprint=fingerprint, kind="stratified", n=32, seed=1)
    tested = subset_rows(y_test, task_fingerprint=fingerprint, kind="uniform", n=150, seed=0)
    logistic = LogisticRegression(C=C, tol=1e-8, max_iter=5000)
    reference = RidgeClassifier(alpha=1 / C) if probe == "ridge" else logistic
    reference.fit(X_pool[rows].astype(np.float64) * scale, y_pool[rows])
    expected = reference.score(X_test[tested].astype(np.float64) * scale, y_test[tested])
    frame = table.to_pandas()
    row = frame[
        (frame["probe"] == probe)
        & (frame["C"] == C)
        & (frame["n_train"] == 32)
        & (frame["seed"] == 1)
    ]
    assert row["accuracy"].item() == pytest.approx(expected, abs=0.5 / 150)


def test_blocks_repeat_exactly_but_for_clocks(arrays, table):
    again = probe_block(*arrays, plan()[0])
    clocks = ["fit_seconds", "created_at"]
    assert again.drop_columns(clocks).equals(table.drop_columns(clocks))


def test_a_subset_may_lack_classes_and_rows_may_lack_labels(arrays):
    X_pool, y_pool, X_test, y_test = arrays
    y_pool = np.where(np.arange(120) % 4 == 0, -1, y_pool)
    spec = SPEC.model_copy(update={"sizes": (2, 64, 120), "logistic_sizes": (2,)})
    frame = probe_block(
        X_pool, y_pool, X_test, np.where(y_test == 0, -1, y_test), plan(spec)[0]
    ).to_pandas()
    assert set(frame["n_train"]) == {2, 64}  # of 120 rows 90 are labelled
    assert (frame.loc[frame["n_train"] == 2, "n_classes_seen"] <= 2).all()
    assert np.isfinite(frame["log_loss"]).all()
    with pytest.raises(ValueError, match="no labelled row"):
        probe_block(X_pool, np.full(120, -1), X_test, y_test, plan()[0])


def test_fold_weights_hold_every_row_out_once_in_class_proportion():
    labels = np.repeat([0, 1, 2], [30, 6, 3])
    weight = fold_weights(labels, 3, seed=0).numpy()
    assert (weight[:, 0] == 1).all()
    assert ((weight[:, 1:] == 0).sum(axis=1) == 1).all()
    for label in (0, 1, 2):
        held_out = (weight[labels == label, 1:] == 0).sum(axis=0)
        assert held_out.max() - held_out.min() <= 1


def test_run_block_publishes_once_and_repairs_a_damaged_file(tmp_path, arrays, monkeypatch):
    storage = Storage(tmp_path)
    block = plan_blocks(SPEC, [task()], [encoder()], storage_uri=storage.uri)[0]
    X = {"train": arrays[0], "test": arrays[2]}
    splits = {"train": SimpleNamespace(labels=arrays[1]), "test": SimpleNamespace(labels=arrays[3])}
    monkeypatch.setattr(
        "probes.embeddings.encode.task_matrix", lambda task, split, cache, view: X[split]
    )
    monkeypatch.setattr(
        "probes.tasks.store.load_saved_task",
        lambda storage, fingerprint: SimpleNamespace(splits=splits),
    )
    first = run_block(block)
    assert first["n_probes"] == n_probes(block)
    assert first["bytes"] == (tmp_path / block["key"]).stat().st_size
    assert run_block(block)["n_probes"] == 0
    path = tmp_path / block["key"]
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 3] ^= 0xFF
    path.write_bytes(bytes(damaged[:-10]))
    assert not is_done(storage, block["key"])
    assert run_block(block)["n_probes"] == n_probes(block)


def test_results_are_read_in_order_without_duplicates(tmp_path, table):
    storage = Storage(tmp_path)
    storage.write_table("probes/a.parquet", table)
    storage.write_table("probes/b.parquet", table.slice(0, 5))
    storage.write_table("probes/c.parquet", table.drop_columns(["auroc"]).slice(0, 0))
    assert load_results(storage).equals(table)
    assert len(load_results(storage, ["probes/b.parquet"])) == 5
    assert load_results(Storage(tmp_path / "empty")).schema == PROBE_RESULTS_SCHEMA


def test_costs_grow_with_the_work():
    small, large = plan()[:1], plan(tasks=[task("x", 4000)], encoders=[encoder("e", 384)])[:1]
    assert predict_cost(small)[0] < predict_cost(large)[0]
    assert predict_cost(plan()) == (
        pytest.approx(2 * predict_cost(small)[0]),
        2 * predict_cost(small)[1],
    )


def test_torch_threads_are_left_alone(arrays):
    before = torch.get_num_threads()
    probe_block(*arrays, plan()[0])
    assert torch.get_num_threads() == before


def test_every_kind_of_probe_in_one_block(arrays):
    spec = SPEC.model_copy(update={"probes": ("centroid", "knn", "lda", "logistic", "ridge")})
    (block, *_) = plan(spec)
    frame = probe_block(*arrays, block).to_pandas()
    assert len(frame) == n_probes(block) and not frame.duplicated(IDENTITY_COLUMNS).any()
    cheap = frame[frame.probe.isin(["centroid", "knn", "lda"])]
    assert (
        (cheap.groupby("probe").size() == 9).all()
        and cheap.C.isna().all()
        and cheap.C_selected.all()
    )
    at_most = cheap[cheap.n_train == 64].groupby("probe").accuracy.mean()
    assert (at_most > 0.5).all() and cheap[cheap.probe != "lda"].loo_accuracy.notna().all()
    alone = probe_block(*arrays, plan(spec.model_copy(update={"probes": ("knn",)}))[0]).to_pandas()
    assert alone.accuracy.tolist() == frame[frame.probe == "knn"].accuracy.tolist()


def test_balanced_probes_weigh_classes_alike(arrays):
    X_pool, y_pool, X_test, y_test = arrays
    spec = SPEC.model_copy(
        update={
            "subsets": ("imbalanced:0.1",),
            "probes": ("ridge", "ridge_balanced", "logistic", "logistic_balanced"),
        }
    )
    frame = probe_block(X_pool, y_pool, X_test, y_test, plan(spec)[0]).to_pandas()
    assert len(frame) == n_probes(plan(spec)[0]) and not frame.duplicated(IDENTITY_COLUMNS).any()
    rows = subset_rows(
        y_pool, task_fingerprint=task().fingerprint, kind="imbalanced:0.1", n=32, seed=0
    )
    tested = subset_rows(y_test, task_fingerprint=task().fingerprint, kind="uniform", n=150, seed=0)
    X, X_tested = (
        part.astype(np.float64) * feature_scale(X_pool) for part in (X_pool[rows], X_test[tested])
    )
    for probe, C, model in (
        ("ridge_balanced", 1.0, RidgeClassifier(alpha=1.0, class_weight="balanced")),
        (
            "logistic_balanced",
            10.0,
            LogisticRegression(C=10.0, class_weight="balanced", tol=1e-8, max_iter=5000),
        ),
    ):
        expected = model.fit(X, y_pool[rows]).score(X_tested, y_test[tested])
        ours = frame[
            (frame.probe == probe) & (frame.n_train == 32) & (frame.seed == 0) & (frame.C == C)
        ]
        assert ours.accuracy.item() == pytest.approx(expected, abs=0.002)
    chosen = (
        frame[(frame.n_train == 32) & frame.C_selected].groupby("probe").balanced_accuracy.mean()
    )
    assert (
        chosen["ridge_balanced"] > chosen["ridge"]
        and chosen["logistic_balanced"] > chosen["logistic"]
    )


def test_a_killed_block_goes_on_from_its_parts(arrays, tmp_path, monkeypatch):
    monkeypatch.setattr("probes.sweep.partial.PART_SECONDS", 0.0)
    block, storage = plan()[0], Storage(tmp_path)
    whole = probe_block(*arrays, block)
    fitted = []
    rows_of = BlockRunner.rows_of

    def killed(self, size, kind):
        if len(fitted) == 2:
            raise KeyboardInterrupt
        fitted.append(size)
        return rows_of(self, size, kind)

    monkeypatch.setattr(BlockRunner, "rows_of", killed)
    with pytest.raises(KeyboardInterrupt):
        probe_block(*arrays, block, partial=PartialBlock(storage, block["key"]))
    assert len(storage.keys("parts")) == 2 and fitted == [8, 32]
    fitted.clear()
    partial = PartialBlock(storage, block["key"])
    table = probe_block(*arrays, block, partial=partial)
    assert fitted == [64] and 0 < partial.n_found < len(table)
    unstable = ["fit_seconds", "run_id", "created_at"]
    assert table.drop_columns(unstable).equals(whole.drop_columns(unstable))
    damaged = tmp_path / storage.keys("parts")[0]
    damaged.write_bytes(damaged.read_bytes()[:-9])
    fitted.clear()
    again = probe_block(*arrays, block, partial=PartialBlock(storage, block["key"]))
    assert (
        len(fitted) == 2
        and fitted[-1] == 64
        and again.drop_columns(unstable).equals(table.drop_columns(unstable))
    )
    partial.clear()
    assert storage.keys("parts") == []


def test_a_probe_that_does_not_converge_is_a_row_that_says_so(arrays, monkeypatch):
    monkeypatch.setattr(logistic, "MAX_NEWTON_STEPS", 1)
    frame = probe_block(*arrays, plan()[0]).to_pandas()
    assert len(frame) == n_probes(plan()[0])
    assert not frame.loc[(frame["probe"] == "logistic") & (frame["C"] == 10.0), "converged"].any()
    assert np.isfinite(frame["accuracy"]).all() and np.isfinite(frame["log_loss"]).all()


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e18])
def test_samples_that_span_little_are_finite_and_flagged(arrays, scale):
    X_pool, y_pool, X_test, y_test = arrays
    flat = [
        (X * [scale, 0.0, 0.0, *[1.0] * 21] * (0.0 if scale == 0 else 1.0)).astype(np.float32)
        for X in (X_pool, X_test)
    ]
    frame = probe_block(flat[0], y_pool, flat[1], y_test, plan()[0]).to_pandas()
    assert np.isfinite(frame[["accuracy", "log_loss", "brier", "loo_accuracy"]].fillna(0)).all(
        axis=None
    )
    least = frame.groupby("n_train")["rank"].min()
    if scale == 0.0:  # all rows are equal
        assert (least == 0).all()
    else:  # two of 24 columns are constant, and one is nothing beside the others, or everything
        assert (least <= np.minimum(least.index - 1, 22)).all() and least[64] < 24


def test_rank_is_that_of_the_sample(table):
    assert (
        table.to_pandas().groupby("n_train")["rank"].unique().map(list) == [[7], [24], [24]]
    ).all()


def test_batches_hold_every_block_once_and_shrink_towards_the_end():
    tasks = [task(f"t{i}", 120 + 40 * i) for i in range(40)]
    blocks = plan(SPEC, tasks=tasks, encoders=[encoder("e", 384)])
    batches = batch_blocks(blocks)
    assert [block for batch in batches for block in batch["blocks"]] == blocks
    seconds = [predict_cost(batch["blocks"])[0] for batch in batches]
    assert 1 < len(batches) < len(blocks) and max(seconds) <= MAX_BATCH_SECONDS + max(
        map(block_seconds, blocks)
    )
    assert batch_blocks([]) == []


def test_a_sweep_is_cut_for_the_workers_that_it_is_worth(monkeypatch):
    monkeypatch.setattr(sweep_cost, "block_seconds", lambda block: block["seconds"])

    def batch_seconds(n_blocks, seconds):
        batches = batch_blocks([{"seconds": seconds}] * n_blocks)
        return [sum(block["seconds"] for block in batch["blocks"]) for batch in batches]

    small, middle, large = (
        batch_seconds(400, 0.5),
        batch_seconds(4000, 1.0),
        batch_seconds(200_000, 10.0),
    )
    assert max(small) == 10 and small[-1] <= 1.5
    n_workers = 4000 / 60
    assert sum(seconds <= 10 for seconds in middle) == len(middle)
    assert sum(middle[-int(n_workers) :]) / n_workers <= 3, "the last batch of each worker is short"
    assert max(large) == pytest.approx(2e6 / 450, rel=0.01)


@pytest.mark.parametrize("total_seconds", [100, 3000, 4500, 20_000, 1e6])
def test_a_sweep_of_any_size_fits_one_wave_of_tune(monkeypatch, total_seconds):
    monkeypatch.setattr(sweep_cost, "block_seconds", lambda block: block["seconds"])
    n_blocks = 20_000
    batches = batch_blocks([{"seconds": total_seconds / n_blocks}] * n_blocks)
    assert len(batches) <= 1000


def test_noisy_and_shifted_subsets_are_probed(arrays, tmp_path):
    spec = SPEC.model_copy(
        update={
            "subsets": ("stratified", "noisy:0.4", "shifted", "imbalanced:0.2"),
            "probes": ("ridge",),
        }
    )
    clusters = np.arange(120) % 4
    frame = probe_block(*arrays, plan(spec)[0], clusters).to_pandas()
    assert len(frame) == n_probes(plan(spec)[0]) and set(frame.subset) == set(spec.subsets)
    chosen = frame[frame.C_selected & (frame.n_train == 64)].groupby("subset").accuracy.mean()
    assert chosen["noisy:0.4"] < chosen["stratified"]
    with pytest.raises(ValueError, match="none are given"):
        probe_block(*arrays, plan(spec)[0])
    with pytest.raises(ValidationError, match="unknown kind of subset 'stratifed'"):
        SweepSpec(subsets=("stratifed",))


def test_the_clusters_of_a_task_are_found_once_and_kept(tmp_path, arrays, monkeypatch):
    storage, spec = (
        Storage(tmp_path),
        SPEC.model_copy(update={"subsets": ("shifted",), "probes": ("ridge",)}),
    )
    texts = tuple(f"word{i % 5} other{i % 3} and{i}" for i in range(120))
    splits = {"train": Split(texts, arrays[1]), "test": Split(texts + texts[:80], arrays[3])}
    toy = Task("toy", ("a", "b", "c"), splits)
    monkeypatch.setattr(
        "probes.embeddings.encode.task_matrix",
        lambda task, split, cache, view: arrays[0 if split == "train" else 2],
    )
    monkeypatch.setattr("probes.tasks.store.load_saved_task", lambda storage, fingerprint: toy)
    blocks = plan_blocks(spec, [task()], [encoder()], storage_uri=storage.uri)
    run_block(blocks[0])
    monkeypatch.setattr("probes.sweep.clusters.text_clusters", None)
    run_block(blocks[1])
    assert (
        storage.keys("clusters") == [f"clusters/{toy.fingerprint}.parquet"]
        and len(load_results(storage)) == 2 * 27
    )
