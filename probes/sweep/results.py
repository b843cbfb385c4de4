"""The table of probe results: one row per probe. Its columns are a contract (docs/probes.md);
columns are only ever added."""

import pyarrow as pa

PROBE_RESULTS_SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("task_fingerprint", pa.string()),
        ("encoder", pa.string()),
        ("encoder_fingerprint", pa.string()),
        ("layer", pa.int16()),
        ("pooling", pa.string()),
        ("n_train", pa.int32()),
        ("subset", pa.string()),  # kind of subset: uniform, stratified, ... (probes.sweep.subsets)
        ("seed", pa.int32()),
        ("probe", pa.string()),  # ridge | logistic | knn | ...
        ("C", pa.float64()),  # inverse regularisation strength
        # whether this C was chosen among those of the subset without a look at test rows (by
        # leave-one-out, or by cross-validation inside the subset)
        ("C_selected", pa.bool_()),
        ("n_classes", pa.int16()),  # classes of the task
        ("n_classes_seen", pa.int16()),  # classes with at least one row in the subset
        ("n_test", pa.int32()),
        # leave-one-out accuracy on the subset, where a row that is left out does not change the
        # class frequencies; null where not computed
        ("loo_accuracy", pa.float32()),
        ("accuracy", pa.float32()),
        ("macro_f1", pa.float32()),
        ("log_loss", pa.float32()),
        ("ece", pa.float32()),
        ("auroc", pa.float32()),  # macro one-vs-rest; null where undefined
        ("balanced_accuracy", pa.float32()),  # mean recall over the classes of the test rows
        ("brier", pa.float32()),  # halved for two classes: [0, 1]; else [0, 2]
        ("mcc", pa.float32()),  # Matthews' correlation coefficient, [-1, 1]
        ("converged", pa.bool_()),
        ("rank", pa.int32()),  # dimensions that the subset's rows span; 0 where all are equal
        ("fit_seconds", pa.float32()),
        ("run_id", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""Rates are fractions in [0, 1]. Seconds are wall-clock. The columns up to `C` identify a row."""

IDENTITY_COLUMNS = PROBE_RESULTS_SCHEMA.names[: PROBE_RESULTS_SCHEMA.names.index("C") + 1]
