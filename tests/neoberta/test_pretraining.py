import json
import shutil

import pytest
import torch

from cluster.storage import CorruptArtefactError
from neoberta.config import ModelConfig, PretrainConfig
from neoberta.engine import TorchEngine, adamw
from neoberta.model import NeoBERTa
from neoberta.pretraining import make_batch, pretrain
from neoberta.schedule import lr_at, mask_rate_at
from neoberta.training_state import load_training_state


class Stopped(Exception):
    """Stands for a kill."""


class FolderReport:
    """Keeps the last training state; raises `Stopped` when told of a step from `stop_at` on."""

    def __init__(self, folder, stop_at=10**9):
        self.folder, self.stop_at, self.told = folder, stop_at, []

    def progress(self, metrics):
        self.told.append(metrics)
        if metrics["step"] >= self.stop_at:
            raise Stopped

    def checkpoint(self, metrics, folder):
        shutil.copytree(folder, self.folder, dirs_exist_ok=True)


def _engine(config) -> TorchEngine:
    module = NeoBERTa(config.model, 320, seed=config.seed)
    return TorchEngine(module, adamw(module, config), grad_clip=config.grad_clip)


def _weights(engine) -> dict[str, torch.Tensor]:
    return {
        name: parameter.detach().clone() for name, parameter in engine.module.named_parameters()
    }


@pytest.mark.parametrize("stop_at", [5, 8, 12])
def test_interrupted_equals_uninterrupted(config, corpus, tmp_path, stop_at):
    config = config.model_copy(update={"mask_rate_end": 0.15})
    whole, report = _engine(config), FolderReport(tmp_path / "whole")
    pretrain(config, corpus, whole, report)
    killed = FolderReport(tmp_path / "killed", stop_at)
    with pytest.raises(Stopped):
        pretrain(config, corpus, _engine(config), killed)
    resumed = _engine(config)
    at = tmp_path / "killed"
    pretrain(config, corpus, resumed, FolderReport(at), resume=at if at.exists() else None)
    for name, weight in _weights(whole).items():
        assert torch.equal(weight, _weights(resumed)[name]), name
    ends = [load_training_state(tmp_path / name) for name in ("whole", "killed")]
    assert ends[0][0].keys() == ends[1][0].keys()
    assert all(torch.equal(value, ends[1][0][name]) for name, value in ends[0][0].items())
    assert ends[0][1]["history"] == ends[1][1]["history"]
    assert ends[0][1]["step"] == config.n_steps == 12


def test_a_finished_run_does_nothing_more(config, corpus, tmp_path):
    engine = _engine(config)
    pretrain(config, corpus, engine, FolderReport(tmp_path))
    again, report = _engine(config), FolderReport(tmp_path, stop_at=0)
    pretrain(config, corpus, again, report, resume=tmp_path)
    assert not report.told
    assert all(
        torch.equal(a, b)
        for a, b in zip(_weights(engine).values(), _weights(again).values(), strict=True)
    )


def test_it_learns(config, corpus, tmp_path):
    shape = ModelConfig(n_layers=2, hidden_size=64, n_heads=2, max_length=32)
    longer = {
        "model": shape,
        "n_tokens": 256 * 110,
        "lr": 5e-3,
        "mask_rate": 0.15,
        "checkpoint_every_steps": 1000,
    }
    config = config.model_copy(update=longer)
    report = FolderReport(tmp_path)
    pretrain(config, corpus, _engine(config), report)
    losses = [told["loss"] for told in report.told]
    assert losses[0] == pytest.approx(5.77, abs=0.25)  # log 320
    assert sum(losses[-5:]) / 5 < corpus.unigram_entropy() - 0.3


def test_gradient_of_two_workers_is_that_of_one(config, corpus):
    module = NeoBERTa(config.model, 320)

    def gradient(rank, n_workers):
        module.zero_grad()
        module(**make_batch(config, corpus, 3, rank, n_workers)).backward()
        return torch.cat([parameter.grad.flatten() for parameter in module.parameters()])

    mean = (gradient(0, 2) + gradient(1, 2)) / 2
    torch.testing.assert_close(mean, gradient(0, 1), atol=1e-7, rtol=1e-4)


def test_state_of_another_run_or_damaged(config, corpus, tmp_path):
    pretrain(config, corpus, _engine(config), FolderReport(tmp_path))
    other = config.model_copy(update={"lr": 1.0})
    with pytest.raises(ValueError, match="another configuration"):
        pretrain(other, corpus, _engine(other), FolderReport(tmp_path), resume=tmp_path)
    moved = config.model_copy(update={"n_workers": 2, "zero_stage": 2, "checkpoint_every_steps": 7})
    assert moved.identity() == config.identity()
    assert json.loads((tmp_path / "training.json").read_text())["step"] == 12
    (tmp_path / "training.safetensors").write_bytes(b"torn")
    with pytest.raises(CorruptArtefactError):
        load_training_state(tmp_path)


def test_schedules():
    shape = ModelConfig(max_length=32, hidden_size=64)
    base = {
        "model": shape,
        "n_tokens": 100 * 64,
        "batch_tokens": 64,
        "lr": 1.0,
        "warmup_fraction": 0.1,
    }
    wsd, cosine, linear = (
        PretrainConfig(**base, schedule=schedule) for schedule in ("wsd", "cosine", "linear")
    )
    assert wsd.n_steps == 100
    for config in (wsd, cosine, linear):
        assert [lr_at(config, step) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
        assert 0 <= lr_at(config, 99) < 0.02
    assert lr_at(wsd, 70) == 1.0 and lr_at(wsd, 85) == pytest.approx(1 - 0.5**0.5)
    assert lr_at(cosine, 55) == pytest.approx(0.5) and lr_at(linear, 55) == pytest.approx(0.5)
    falling = PretrainConfig(**base, mask_rate=0.4, mask_rate_end=0.2)
    assert mask_rate_at(falling, 50) == pytest.approx(0.3) and mask_rate_at(wsd, 50) == 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_workers": 20}, "fewer than n_workers 20; use at least 640"),
        ({"warmup_fraction": 0.5, "decay_fraction": 0.6}, "must not exceed 1"),
        ({"learning_rate": 1}, "Extra inputs are not permitted"),
    ],
)
def test_contradictions_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        PretrainConfig(**{"model": ModelConfig(max_length=32), "batch_tokens": 320, **change})
