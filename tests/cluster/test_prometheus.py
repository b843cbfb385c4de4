"""Our counters: silent without Ray, and on the metrics port of a real one."""

import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import requests
from ray_head import ROOT, RayHead, ray_head

from cluster.prometheus import Counter

SCRAPE_TIMEOUT_S = 60.0


def test_counting_without_ray_loads_no_ray() -> None:
    code = (
        "import sys; from ray_jobs.counters import CACHE_TEXTS, PROBES; PROBES.add(3);"
        "CACHE_TEXTS.add(2, result='hit'); assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


@pytest.mark.parametrize(
    ("value", "labels"), [(-1, {"kind": "a"}), (1, {}), (1, {"kind": "a", "more": "b"})]
)
def test_a_wrong_count_is_refused(value: float, labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="takes the labels"):
        Counter("refused", "", ("kind",)).add(value, **labels)


@pytest.mark.cluster
def test_prometheus_finds_what_a_sweep_counts_on_a_real_node(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "tests" / "ray_jobs" / "small_sweep.py"),
        str(tmp_path),
        str(tmp_path / "out"),
    ]
    printed = tmp_path / "printed"
    with ray_head(n_cpus=2) as head, open(printed, "w") as errors:
        driver = subprocess.Popen(
            [*command, head.gcs_address],
            env=head.attached_env,
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        try:
            assert driver.stdout is not None and driver.stdout.readline() == b"done\n", (
                printed.read_text()
            )
            found = scrape_until(head, ("ray_neoberta_stage_seconds_total", "probes"))
        finally:
            driver.communicate(b"\n", timeout=60)
    assert driver.returncode == 0
    n_probes = sum(
        pq.read_metadata(path).num_rows for path in (tmp_path / "out" / "probes").glob("*.parquet")
    )
    assert found["ray_neoberta_probes_total", ""] == n_probes > 0
    n_texts = found["ray_neoberta_cache_texts_total", "miss"]
    assert (
        found["ray_neoberta_encoded_texts_total", ""] == n_texts > 0
        and found["ray_neoberta_encoded_tokens_total", ""] > 0
    )
    stages = {stage for name, stage in found if name == "ray_neoberta_stage_seconds_total"}
    assert stages == {
        "tasks",
        "encoders",
        "embeddings",
        "probes",
    }  # the first two ended before Ray was there


def scrape_until(head: RayHead, wanted: tuple[str, str]) -> dict[tuple[str, str], float]:
    """(name, its result or stage) -> value of our counters, once `wanted` is among them. Raises
    TimeoutError."""
    from prometheus_client.parser import text_string_to_metric_families

    deadline = time.monotonic() + SCRAPE_TIMEOUT_S
    while time.monotonic() < deadline:
        families = text_string_to_metric_families(requests.get(head.metrics_url, timeout=10).text)
        samples = [
            sample
            for family in families
            for sample in family.samples
            if sample.name.startswith("ray_neoberta_")
        ]
        found = {
            (one.name, one.labels.get("result", one.labels.get("stage", ""))): one.value
            for one in samples
        }
        if wanted in found:
            return found
        time.sleep(0.3)
    raise TimeoutError(f"{wanted} is not among the metrics of {head.metrics_url}")
