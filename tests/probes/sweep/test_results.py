"""The result table's columns are a contract."""

import pyarrow as pa

from probes.sweep.results import IDENTITY_COLUMNS, PROBE_RESULTS_SCHEMA

CONTRACT = (
    "task, task_fingerprint, encoder, encoder_fingerprint, layer, pooling, n_train, subset, seed,"
    " probe, C, n_classes, accuracy, macro_f1, log_loss, ece, auroc, converged, fit_seconds,"
    " run_id, created_at"
)


def test_every_column_of_the_contract_is_there_in_order():
    names = [name for name in PROBE_RESULTS_SCHEMA.names if name in CONTRACT.split(", ")]
    assert names == CONTRACT.split(", ")


def test_identity_ends_with_the_regularisation():
    assert IDENTITY_COLUMNS[0] == "task"
    assert IDENTITY_COLUMNS[-1] == "C"
    assert len(IDENTITY_COLUMNS) == 11


def test_an_empty_table_has_the_types():
    table = PROBE_RESULTS_SCHEMA.empty_table()
    assert table.schema.field("created_at").type == pa.timestamp("us", tz="UTC")
