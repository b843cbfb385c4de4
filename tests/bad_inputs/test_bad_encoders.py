"""Encoder references and files that cannot work: one line that says what, where and what to do."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file
from tiny_models import save_tiny_model

from cluster.storage import UserError
from probes.encoders import load_encoder

BERT = {"model_type": "bert", "hidden_size": 32}


def complaint(ref: str, **options: object) -> str:
    """The line that `ref` is refused with."""
    with pytest.raises(UserError) as refused:
        load_encoder(ref, **options)  # type: ignore[arg-type]
    line = str(refused.value)
    assert "\n" not in line and line.startswith(f"encoder {ref.partition('#')[0]}")
    return line


def model_folder(folder: Path, config: object, *names: str) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name in names:
        (folder / name).write_bytes(b"\x10junk")
    return folder


@pytest.mark.parametrize(
    ("ref", "remedy"),
    [
        ("bert-base-uncased", "starts with hf:, neoberta:"),
        ("hff:bert-base-uncased", "did you mean hf:bert-base-uncased?"),
        ("hf:", "for example hf:all-MiniLM-L6-v2"),
        ("lsa", "for example lsa:256"),
        ("hf:all-MiniLM-L6-v2#layer=six", "cannot read 'layer=six'"),
        ("hf:all-MiniLM-L6-v2#pooling=median", "poolings?: cls, mean, max"),
        ("hf:all-MiniLM-L6-v2#depth=3", "layer: a number, last, all"),
        ("lsa:256", "fitted on texts first"),
        ("lsa:/nowhere/lsa", "not a folder"),
        ("neoberta:./nowhere", "not a folder"),
        ("static:/nowhere/vectors.txt", "cannot be read"),
        ("hf:/nowhere/model", "not a folder"),
    ],
)
def test_references(ref: str, remedy: str) -> None:
    import re

    assert re.search(remedy, complaint(ref))


def test_no_such_hub_id_without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    line = complaint("hf:bert-base-uncasd")
    assert "the hub cannot be reached" in line and "did you mean hf:bert-base-uncased?" in line
    assert "neither a folder nor a hub id" in complaint("hf:not an id")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A hub on loopback that has nothing but the name `known/model`, and says so as the real one
    does."""
    from huggingface_hub import constants

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.path.startswith("/api/models/known/model")
            self.send_response(404)
            self.send_header("X-Error-Code", "RevisionNotFound" if is_known else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield constants.ENDPOINT
        server.shutdown()
        thread.join()


def test_the_hub_knows_no_such_model(hub: str) -> None:
    assert "no such model (or it is private); did you mean hf:bert-base-uncased?" in complaint(
        "hf:bert-base-uncasd"
    )
    assert "no such model" in complaint("hf:nobody/nothing")
    assert "the model has no revision v9" in complaint("hf:known/model@v9")


def test_the_hub_cannot_be_reached(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens there
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        line = complaint("hf:nobody/nothing")
    assert "the hub cannot be reached" in line and "give its folder as hf:FOLDER" in line


@pytest.mark.parametrize("damage", ["truncated", "header", "lacks_tensors"])
def test_damaged_weights_of_a_real_model(tmp_path: Path, damage: str) -> None:
    folder = save_tiny_model(tmp_path / "model")
    path = folder / "model.safetensors"
    data = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "header":
        path.write_bytes(data[:20] + b"\xff" + data[21:])
    else:
        tensors = load_file(path)
        save_file(
            {name: tensor for name, tensor in tensors.items() if "layer.1" not in name},
            path,
            metadata={"format": "pt"},
        )
    line = complaint(f"hf:{folder}")
    assert ("of the model's tensors" if damage == "lacks_tensors" else "is damaged") in line


@pytest.mark.parametrize(
    ("config", "names", "remedy"),
    [
        (
            BERT,
            ("pytorch_model.bin", "tokenizer.json"),
            "save_pretrained(new_folder), which writes model.safetensors",
        ),
        (BERT, ("model.safetensors", "tokenizer.json"), "model.safetensors is damaged"),
        (BERT, ("tokenizer.json",), "has no weights"),
        (BERT, ("model.safetensors.index.json", "tokenizer.json"), "index.json is damaged"),
        (
            {"model_type": "neobert", "auto_map": {"AutoModel": "model.NeoBERT"}},
            (),
            (
                "its own Python code, which is not executed; if you have read and trust it, say"
                " --trust-remote-code"
            ),
        ),
        ({"model_type": "robertta"}, (), "did you mean roberta?"),
        ("{", (), "config.json is damaged"),
        ("[]", (), "config.json is damaged"),
    ],
)
def test_model_folders(tmp_path: Path, config: object, names: tuple[str, ...], remedy: str) -> None:
    assert remedy in complaint(f"hf:{model_folder(tmp_path / 'model', config, *names)}")


def test_a_folder_without_model_or_tokenizer(tmp_path: Path) -> None:
    assert "has no config.json" in complaint(f"hf:{tmp_path}")
    assert "is not a fitted LSA" in complaint(f"lsa:{tmp_path}")
    folder = model_folder(tmp_path / "model", BERT)
    assert "has no tokenizer; save it there" in complaint(f"random:{folder}")
    (folder / "tokenizer.json").write_text("{}")
    assert "cannot be loaded" in complaint(f"random:{folder}")


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (b"", "holds no vectors"),
        (b"2 3\nthe 1 2 3\nmodel 1 2\n", "line 3: must be a word and 3 numbers"),
        (b"the 1 nan 3\n", "line 1"),
        (b"the 1 two 3\n", "line 1"),
        (b"the 1 2\n\xff\xfe 3 4\n", "not UTF-8"),
    ],
)
def test_vector_files(tmp_path: Path, content: bytes, remedy: str) -> None:
    (tmp_path / "vectors.txt").write_bytes(content)
    assert remedy in complaint(f"static:{tmp_path / 'vectors.txt'}")


def test_lsa_needs_words_that_occur_twice() -> None:
    assert "no word occurs in two of them" in complaint("lsa:8", fit_texts=["one", "two"])
    assert "the dimension must be 1 or more" in complaint("lsa:0", fit_texts=["one", "two"])
