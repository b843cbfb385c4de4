"""Pieces of work for the tests of fan_out, search and map_shards: top-level, so that worker
processes can import them."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from cluster.storage import UserError


def square(config: dict[str, Any]) -> dict[str, Any]:
    return {"square": config["x"] ** 2, "pid": os.getpid(), "numpy": np.float32(0.5)}


def fail_as_told(config: dict[str, Any]) -> dict[str, Any]:
    """Every call leaves a line in config["tries"]; what happens then is config["how"]."""
    tries = Path(config["tries"])
    with tries.open("a") as file:
        file.write("try\n")
    n_tries = len(tries.read_text().splitlines())
    if config["how"] == "always":
        raise ValueError(f"bad luck with {config['name']}")
    if config["how"] == "user_error":
        raise UserError("table.csv, row 3: no label; fill it in")
    if config["how"] == "first_time_only" and n_tries == 1:
        raise OSError("storage is away")
    if config["how"] == "kills_its_process":
        os._exit(7)
    if config["how"] == "kills_its_process_once" and n_tries == 1:
        os._exit(7)
    if config["how"] == "not_json":
        return {"value": object()}
    return {"n_tries": n_tries}


def count_threads(_: dict[str, Any]) -> dict[str, Any]:
    return {
        "omp": os.environ.get("OMP_NUM_THREADS"),
        "blas": [pool["num_threads"] for pool in threadpool_info()],
    }


def sleep(config: dict[str, Any]) -> dict[str, Any]:
    start = time.time()
    time.sleep(config["seconds"])
    return {"start": start, "end": time.time()}


def parabola(config: dict[str, Any]) -> dict[str, Any]:
    """Best (0) at lr = 1e-3 and depth = 4."""
    loss = (np.log10(config["lr"]) + 3) ** 2 + abs(config["depth"] - 4)
    return {"loss": float(loss), "depth": config["depth"]}


def sometimes_nan(config: dict[str, Any]) -> dict[str, Any]:
    return {"loss": float("nan") if config["depth"] == 2 else 1.0}


class Multiplier:
    """A map_shards worker that tells which process and which instance did a shard."""

    def __init__(self, factor: int):
        self.factor, self.n_calls = factor, 0

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        self.n_calls += 1
        return {"product": item["x"] * self.factor, "pid": os.getpid(), "n_calls": self.n_calls}


class FailAsTold:
    def __init__(self, refuse: bool = False):
        if refuse:
            raise UserError("encoder hf:nothing: not found; see `neoberta encoders`")

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        return fail_as_told(item)


class Sleeper:
    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        return sleep(item) | {"x": item["x"]}
