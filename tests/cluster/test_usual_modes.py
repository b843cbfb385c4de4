"""Everything that is published has the modes that the umask gives: colleagues share results."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cluster.storage import Storage
from meta.metamodel.stored import load_metamodel
from neoberta.checkpoint import save_checkpoint, untrained
from neoberta.config import ModelConfig
from neoberta.tokenizer import train_tokenizer
from neoberta.training_state import save_training_state
from probes.encoders.lsa import fit_lsa, save_lsa
from ray_jobs.commands.characterize import run_characterize

ROWS = [f"{'red' if i % 2 else 'blue'} paint in tin {i},{'ab'[i % 2]}" for i in range(24)]


@pytest.fixture(params=[0o022, 0o027, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def assert_usual(root: Path, umask: int) -> None:
    found = [root, *root.rglob("*")]
    for path in found:
        usual = (0o777 if path.is_dir() else 0o666) & ~umask
        assert stat.S_IMODE(path.stat().st_mode) == usual, (path, oct(path.stat().st_mode))
    assert not [path for path in found if ".tmp-" in path.name]


def test_what_characterize_writes(umask: int, tmp_path: Path) -> None:
    table, out = tmp_path / "train.csv", tmp_path / "out"
    table.write_text("\n".join(["text,label", *ROWS]) + "\n")
    run_characterize(train=table, encoders=("lsa:4",), out=str(out))
    assert len(list(out.rglob("*.safetensors"))) == 1
    assert_usual(out, umask)


def test_folders_that_libraries_write_into(umask: int, tmp_path: Path) -> None:
    """A fitted LSA, a metamodel, a checkpoint of pretraining with its training state."""
    root = tmp_path / "out"
    storage = Storage(root)
    save_lsa(fit_lsa(ROWS, 4), storage)
    load_metamodel(None)[0].save(storage, "key")
    tokenizer = train_tokenizer(ROWS, 300)
    config = ModelConfig(n_layers=1, hidden_size=16, n_heads=2, max_length=32)
    with storage.writing_folder("checkpoints/key") as folder:
        save_checkpoint(untrained(config, tokenizer), tokenizer, folder, {})
        (folder / "state").mkdir(0o700)
        save_training_state(folder / "state", {"weight": torch.ones(2)}, {"step": 1})
    assert len(list(root.rglob("*.safetensors"))) == 3
    assert_usual(root, umask)


def test_a_folder_hands_its_group_on(tmp_path: Path) -> None:
    """The bit that a shared folder has for that stays on the folders in it."""
    tmp_path.chmod(0o2775)
    with Storage(tmp_path).writing_folder("made") as folder:
        (folder / "inside").mkdir()
    for made in (tmp_path / "made", tmp_path / "made" / "inside"):
        assert made.stat().st_mode & stat.S_ISGID
