import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from cluster.deepspeed_engine import is_operator_built  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
import train_loops  # noqa: E402


@pytest.fixture
def run(local_ray, tmp_path):
    """`train` with this test's folder; workers find the loops of this folder."""
    import ray

    from cluster.train import train

    def run_loop(loop, **options):
        ray.cloudpickle.register_pickle_by_value(train_loops)
        return train(loop, {"folder": str(tmp_path)}, storage_dir=str(tmp_path / "ray"), **options)

    return run_loop


@pytest.mark.ray
def test_a_killed_worker_goes_on_from_the_last_checkpoint(run, tmp_path):
    told = []
    result = run(train_loops.dies_once, name="dies", on_report=told.append)
    assert (tmp_path / "died").exists()
    assert result.metrics["step"] == 4
    assert (tmp_path / "ray" / "dies" / result.checkpoint_name / "step").read_text() == "4"
    assert [t["step"] for t in told if t["from"] == 0] == [1, 2]
    later = [t for t in told if t["from"] != 0]
    assert later[-1]["step"] == 4 and {t["from"] for t in later} <= {1, 2}


@pytest.mark.ray
def test_an_embedded_ray_has_no_cleaner(local_ray):
    from ray.train.torch import TorchTrainer

    from cluster.train import _Trainer

    names, ours = (
        [type(c).__name__ for c in kind(print)._create_default_callbacks()]
        for kind in (TorchTrainer, _Trainer)
    )
    assert set(names) - set(ours) == {"PlacementGroupCleanerCallback"}


@pytest.mark.slow
@pytest.mark.skipif(
    not is_operator_built(),
    reason="DeepSpeed's CPU operator is not compiled: python -m cluster.deepspeed_engine",
)
def test_zero_stages_agree_with_plain_torch_and_two_workers_states_go_on_with_one(run, tmp_path):
    from safetensors.torch import load_file

    told = []
    result = run(train_loops.every_stage, name="zero", n_workers=2, on_report=told.append)
    assert result.metrics["step"] == train_loops.SAVED_AT
    assert [t["stage"] for t in told] == [0, 1, 2]
    run(train_loops.go_on, name="zero", n_workers=1)
    expected = train_loops.reference(train_loops.N_STEPS)
    for which in ("end-0", "end-1", "end-2", "end-one"):
        state = load_file(str(tmp_path / f"{which}.safetensors"))
        assert state.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(
                state[name],
                value,
                atol=2e-6,
                rtol=1e-4,
                msg=lambda text, at=f"{which} {name}": f"{at}: {text}",
            )
