"""The observations from which the shipped metamodels have learnt.

They ship too. So `neoberta fit` can learn from them and from a user's own sweeps together, and
anyone can make the shipped metamodels again. The file holds numbers (features of samples, measured
metrics) and the public names of tasks and encoders. It holds no text and no vector.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.storage import UserError, check_readable, file_digest
from meta.metamodel.observations import ID_COLUMNS, SAMPLE_COLUMNS
from meta.metamodel.sample_features import FEATURES_VERSION
from meta.metamodel.stored import shipped_folder
from meta.metric import Metric

FILE = "observations.parquet"
VERSION_KEY = b"features_version"
"""Key of `FEATURES_VERSION` in the metadata of the file."""
METRIC_COLUMNS = ("truth", "truth_std")
"""Columns that differ between metrics. In the file they are called `truth_accuracy` and so on."""
KEY_COLUMNS = [*SAMPLE_COLUMNS, "horizon"]
"""Columns that identify an observation."""


def join_metrics(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table with the truths of all metrics, numbers as float32. `frames` maps each metric to
    its table (`meta.metamodel.observations.observation_table`); all tables have the same
    samples."""
    joined = pd.DataFrame()
    for metric, frame in frames.items():
        own = frame.rename(columns={column: f"{column}_{metric}" for column in METRIC_COLUMNS})
        new = (
            own
            if joined.empty
            else own[[*KEY_COLUMNS, *(f"{column}_{metric}" for column in METRIC_COLUMNS)]]
        )
        joined = new if joined.empty else joined.merge(new, on=KEY_COLUMNS, how="left")
    numbers = [
        name
        for name in joined.columns
        if name not in ID_COLUMNS and joined[name].dtype == np.float64
    ]
    return joined.astype(dict.fromkeys(numbers, np.float32)).sort_values(
        KEY_COLUMNS, ignore_index=True
    )


def write_observations(joined: pd.DataFrame, path: Path) -> None:
    """Write the result of `join_metrics` as the Parquet file `path`."""
    table = pa.Table.from_pandas(joined, preserve_index=False).replace_schema_metadata(
        {VERSION_KEY: str(FEATURES_VERSION)}
    )
    pq.write_table(table, path, compression="zstd", compression_level=19, write_page_checksum=True)


def observations_of_metric(joined: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """The rows of `joined` that have a truth of `metric`, in the form of
    `meta.metamodel.observations.observation_table`; numbers as float64."""
    own = {f"{column}_{metric}": column for column in METRIC_COLUMNS}
    others = [
        f"{column}_{other}" for other in Metric for column in METRIC_COLUMNS if other != metric
    ]
    frame = joined.drop(columns=[name for name in others if name in joined]).rename(columns=own)
    frame = frame[frame["truth"].notna()].reset_index(drop=True)
    numbers = [name for name in frame.columns if frame[name].dtype == np.float32]
    return frame.astype(dict.fromkeys(numbers, np.float64))


def shipped_observations(metric: Metric) -> pd.DataFrame:
    """The shipped observations of `metric`. Raises UserError where this build has none, where they
    are damaged, and where they are of another version."""
    path = shipped_folder() / FILE
    if not path.is_file():
        raise UserError("metamodel.with_shipped: this build ships no observations; set it to false")
    check_readable(path)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path}: damaged ({reason:.200}); install neoberta again, or set"
            " metamodel.with_shipped to false"
        ) from error
    version = (table.schema.metadata or {}).get(VERSION_KEY, b"").decode()
    if version != str(FEATURES_VERSION):
        raise UserError(
            "metamodel.with_shipped: the shipped observations are of version"
            f" {version or 'unknown'}, this program makes {FEATURES_VERSION}; set it to false"
        )
    return observations_of_metric(table.to_pandas(), metric)


def digest_of_shipped() -> str:
    """SHA-256 of the file of shipped observations."""
    return file_digest(shipped_folder() / FILE)


def join_with_shipped(
    frame: pd.DataFrame, shipped: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The user's observations `frame` and the `shipped` ones, changed so that a metamodel can learn
    from both.

    A task that is in both is taken from the user's observations only. It gets the family that it
    has in the shipped ones. So a family that is left out is left out of both.
    """
    families = shipped.groupby("task_fingerprint")["task_family"].first()
    own = frame.assign(
        task_family=frame["task_fingerprint"].map(families).fillna(frame["task_family"])
    )
    return own, shipped[~shipped["task_fingerprint"].isin(own["task_fingerprint"])].reset_index(
        drop=True
    )
