"""What a sweep writes for TensorBoard, read back with TensorBoard's own readers."""

import threading

import pytest
from sweep_tables import SIZES, block, table
from tensorboard import context
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import (
    api_pb2,
    backend_context,
    get_experiment,
    list_session_groups,
)

from cluster.storage import Storage
from ray_jobs import tensorboard
from ray_jobs.tensorboard import MAX_RUNS, SHOWN_METRICS, SweepBoard


def write(storage: Storage, blocks: list[dict], planned: list[dict] | None = None) -> None:
    with SweepBoard(storage) as board:
        board.plan(planned or blocks)
        board.add(blocks)


def swept(storage: Storage, *blocks: dict) -> list[dict]:
    for seed, one in enumerate(blocks):
        storage.write_table(one["key"], table(one, seed))
    return list(blocks)


def session_groups(logdir: str) -> tuple[list[str], list[str], list]:
    """(names of hyperparameters, names of metrics, rows) of TensorBoard's HParams tab."""
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(logdir)
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, logdir)
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider, logdir=logdir))
    request, asked = context.RequestContext(), api_pb2.GetExperimentRequest(include_metrics=True)
    experiment = get_experiment.Handler(request, backend, "", asked).run()
    wanted = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=1000,
        allowed_statuses=[api_pb2.STATUS_SUCCESS],
        include_metrics=True,
    )
    listed = list_session_groups.Handler(request, backend, "", wanted).run()
    parameters = [info.name for info in experiment.hparam_infos]
    return (
        parameters,
        [info.name.tag for info in experiment.metric_infos],
        list(listed.session_groups),
    )


def test_a_curve_and_a_row_of_the_hparams_tab_for_each_probe_of_a_space(tmp_path):
    storage = Storage(tmp_path)
    blocks = swept(storage, block(layer=1), block(layer=2, probes=("ridge",)))
    write(storage, blocks)
    folder = tmp_path / "tensorboard" / "a_b" / "hf_enc" / "layer1-mean" / "logistic"
    events = EventAccumulator(str(folder)).Reload()
    rows = table(blocks[0], 0).to_pandas()
    chosen = rows[rows.C_selected & (rows.probe == "logistic")]
    for metric in ("accuracy", "log_loss"):
        points = {point.step: point.value for point in events.Scalars(metric)}
        assert points == pytest.approx(chosen.groupby("n_train")[metric].mean().to_dict())
    assert "auroc" not in events.Tags()["scalars"]  # it is undefined here

    parameters, metrics, groups = session_groups(str(tmp_path / "tensorboard"))
    assert {"task", "encoder", "layer", "pooling", "probe", "n_train"} <= set(parameters) and tuple(
        metrics
    ) == SHOWN_METRICS
    rows_shown = {
        (g.hparams["layer"].number_value, g.hparams["probe"].string_value): g for g in groups
    }
    assert set(rows_shown) == {(1, "ridge"), (1, "logistic"), (2, "ridge")}
    shown = rows_shown[1, "logistic"]
    assert (shown.hparams["task"].string_value, shown.hparams["n_train"].number_value) == (
        "a/b",
        SIZES[-1],
    )
    values = {value.name.tag: value.value for value in shown.metric_values}
    assert values["accuracy"] == pytest.approx(chosen[chosen.n_train == SIZES[-1]].accuracy.mean())


def test_what_is_there_is_not_written_again_and_other_settings_take_its_place(tmp_path):
    storage = Storage(tmp_path)
    (first,) = swept(storage, block(probes=("ridge",)))
    write(storage, [first])
    (key,) = storage.keys("tensorboard")
    before = (tmp_path / key).stat().st_mtime_ns
    write(storage, [first])
    assert storage.keys("tensorboard") == [key] and (tmp_path / key).stat().st_mtime_ns == before
    again = {**first, "key": "probes/0123456789abcdef.parquet"}
    storage.write_table(again["key"], table(again, 7))
    write(storage, [again])
    assert storage.keys("tensorboard") == [f"{key.rpartition('.')[0]}.0123456789abcdef"]


def test_a_large_sweep_shows_some_of_its_spaces(tmp_path):
    storage = Storage(tmp_path)
    planned = [block(task=f"task{i:04d}", probes=("ridge",)) for i in range(2 * MAX_RUNS)]
    write(storage, swept(storage, *planned[:4]), planned)
    assert [key.split("/")[1] for key in storage.keys("tensorboard")] == ["task0000", "task0002"]


def test_files_that_cannot_be_written_are_told_and_disturb_nobody(tmp_path, monkeypatch):
    said, was_said = [], threading.Event()
    monkeypatch.setattr(
        tensorboard.warnings, "warn", lambda text, **_: (said.append(text), was_said.set())
    )
    write(Storage(tmp_path), [block()])  # its table is not there
    assert was_said.wait(5) and "TensorBoard's files are not complete" in said[0]
