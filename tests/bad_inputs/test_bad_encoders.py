"""Encoder references and files that cannot work: one line that says what, where and what to do."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tiny_models import save_tiny_model

from cluster.storage import Storage, UserError
from probes.encoders import View, load_encoder
from probes.encoders.load import check_encoder
from probes.encoders.lsa import fit_lsa, save_lsa
from ray_jobs.plan import check_references
from ray_jobs.study import load_preset

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
        ("bert-base-uncased", "did you mean hf:bert-base-uncased.*starts with hf:, neoberta:"),
        ("someone/model@v2", "did you mean hf:someone/model@v2"),
        ("LSA-64", "did you mean lsa:64"),
        ("https://huggingface.co/someone/model/tree/main", "did you mean hf:someone/model?"),
        ("/nowhere/at/all", "no such file or folder, and no hub id"),
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
        ({"model_type": ["bert"]}, (), "config.json is damaged (its model_type is no text)"),
        ({"model_type": "model2vec"}, (), "choose another model, or a version that does"),
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
        (b"the 1 2\n\xff\xfe 3 4\n", "not UTF-8 text (byte 8); save it as UTF-8"),
        (
            b"1 2\nthe \xcd\xcc\xcc\x3d\xcd\xcc\xcc\xbd\n",
            "word2vec's binary format; save it as text",
        ),
        (b"\x1f\x8b\x08\x00", "is compressed with gzip; unpack it"),
        (b"PK\x03\x04", "is a zip archive; unpack it"),
        (b"\xba\x16\x4f\x2f\x0c", "is a model of fastText; give its word vectors as text"),
        (b"\x80\x04\x95", "is a pickle, as gensim saves it; save it as text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
    ],
)
def test_vector_files(tmp_path: Path, content: bytes, remedy: str) -> None:
    (tmp_path / "vectors.txt").write_bytes(content)
    assert remedy in complaint(f"static:{tmp_path / 'vectors.txt'}")


def test_lsa_needs_words_that_occur_twice() -> None:
    assert "no word occurs in two of them" in complaint("lsa:8", fit_texts=["one", "two"])
    assert "the dimension must be 1 or more" in complaint("lsa:0", fit_texts=["one", "two"])


# --- folders that are no models, or hold one ------------------------------------------------------


def test_a_reference_without_family_that_lies_here(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    assert f"did you mean hf:{folder}?" in complaint(str(folder))
    (tmp_path / "vectors.txt").write_text("word 1 2\n")
    assert f"did you mean static:{tmp_path}/vectors.txt?" in complaint(f"{tmp_path}/vectors.txt")
    lsa = save_lsa(fit_lsa(["one two three", "two three one", "three one"], 2), Storage(tmp_path))
    assert f"did you mean lsa:{tmp_path / lsa}?" in complaint(str(tmp_path / lsa))


@pytest.mark.parametrize("settings", [{"peft_type": "IA3", "base_model_name_or_path": "x/y"}, {}])
def test_an_adapter_is_no_model(tmp_path: Path, settings: dict) -> None:
    folder = tmp_path / "adapter"
    change(folder / "adapter_config.json", **settings)
    line = complaint(f"hf:{folder}")
    assert f"holds an adapter ({settings.get('peft_type', 'PEFT')})" in line
    assert f"AutoModel.from_pretrained('{settings.get('base_model_name_or_path', 'BASE')}')" in line
    change(folder / "config.json", model_type="bert")  # as some trainers leave it
    assert "merge it first" in complaint(f"hf:{folder}")


def test_a_folder_of_models_names_the_last_one(tmp_path: Path) -> None:
    for step in (500, 1000):
        save_tiny_model(tmp_path / "run" / f"checkpoint-{step}")
    line = complaint(f"hf:{tmp_path / 'run'}")
    assert f"did you mean hf:{tmp_path}/run/checkpoint-1000? (the last of 2 models in it)" in line
    (tmp_path / "run" / "checkpoint-1000" / "model.safetensors").unlink()
    assert "run/checkpoint-500?" in complaint(f"hf:{tmp_path / 'run'}")
    snapshot = tmp_path / "models--someone--tiny" / "snapshots" / "0a1b"
    save_tiny_model(snapshot)
    assert f"did you mean hf:{snapshot}?" in complaint(f"hf:{tmp_path}/models--someone--tiny")


def test_a_part_of_a_model_names_the_model(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    change(folder / "1_Pooling" / "config.json", pooling_mode_mean_tokens=True)
    line = complaint(f"hf:{folder / '1_Pooling'}")
    assert f"names no model_type; did you mean hf:{folder}?" in line


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("onnx/model_quantized.onnx", "has its weights as ONNX only"),
        ("openvino_model.bin openvino_model.xml", "has its weights as OpenVINO only"),
        ("tf_model.h5", "has its weights as TensorFlow only"),
        ("training_args.bin optimizer.pt", "has no weights (model.safetensors)"),
        ("pytorch_model-00001-of-00002.bin", "has only pickled weights"),
        ("model.fp16.safetensors", "no model.safetensors, but model.fp16.safetensors; if that is"),
        ("model-00001-of-00002.safetensors", "no model.safetensors.index.json, which says what"),
    ],
)
def test_weights_that_are_not_read(tmp_path: Path, name: str, words: str) -> None:
    folder = save_tiny_model(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    for path in (folder / part for part in name.split()):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert words in complaint(f"hf:{folder}")


@pytest.mark.parametrize("method", ["gptq", "bitsandbytes", None])
def test_quantised_weights_are_not_read(tmp_path: Path, method: str | None) -> None:
    folder = save_tiny_model(tmp_path / "model")
    settings = {"bits": 4} | ({"quant_method": method} if method else {})
    change(folder / "config.json", quantization_config=settings)
    with pytest.raises(UserError, match=r"its weights are quantised .* that it was made from"):
        check_encoder(f"hf:{folder}")
    load_encoder(f"random:{folder}")  # the architecture alone


@pytest.mark.parametrize("kind", ["CLIPModel", "WordEmbeddings", "StaticEmbedding"])
def test_a_sentence_model_without_a_transformer(tmp_path: Path, kind: str) -> None:
    module = {"path": f"0_{kind}", "type": f"sentence_transformers.models.{kind}"}
    (tmp_path / "modules.json").write_text(json.dumps([module]))
    assert f"begins with {kind}, and only" in complaint(f"hf:{tmp_path}")


# --- files that are not what their names say ------------------------------------------------------

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0a1b\nsize 90868376\n"


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_what_git_lfs_left_in_place_of_a_file(tmp_path: Path, name: str) -> None:
    folder = save_tiny_model(tmp_path / "model")
    (folder / name).write_bytes(POINTER)
    line = complaint(f"hf:{folder}")
    assert f"{folder}/{name} is a pointer of Git LFS" in line and "`git lfs pull`" in line


def test_a_pointer_is_no_vocabulary(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_bytes(POINTER)
    assert "vocab.txt is a pointer of Git LFS" in complaint(f"hf:{folder}")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_copied_cache_whose_links_lead_nowhere(tmp_path: Path, name: str) -> None:
    folder = save_tiny_model(tmp_path / "model")
    (folder / name).unlink()
    (folder / name).symlink_to("../../blobs/0a1b")
    line = complaint(f"hf:{folder}")
    assert "is a link to a file that is not there (../../blobs/0a1b)" in line and "cp -rL" in line


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_byte_order_mark(tmp_path: Path, name: str) -> None:
    folder = save_tiny_model(tmp_path / "model")
    (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    assert f"{name} begins with a byte order mark" in complaint(f"hf:{folder}")


# --- weights and vocabularies that would silently be others ---------------------------------------


@pytest.mark.parametrize("prefix", ["module.", "model.bert."])
def test_the_weights_of_what_wrapped_the_model(tmp_path: Path, prefix: str) -> None:
    path = save_tiny_model(tmp_path / "model") / "model.safetensors"
    tensors = {f"{prefix}{name}": tensor for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})
    line = complaint(f"hf:{path.parent}")
    assert "of the model's tensors" in line and f"or take '{prefix}' off the names" in line


def test_layers_that_the_configuration_leaves_out_are_told(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    assert load_encoder(f"hf:{folder}").info.notes == ()
    change(folder / "config.json", num_hidden_layers=1)
    (note,) = load_encoder(f"hf:{folder}").info.notes
    assert "more layers than config.json asks for: encoder.layer.1." in note


@pytest.mark.parametrize(
    ("architecture", "name"),
    [("bert", "spiece.model"), ("xlm-roberta", "spiece.model"), ("roberta", "vocab.txt")],
)
def test_a_tokenizer_that_knows_no_word(tmp_path: Path, architecture: str, name: str) -> None:
    """transformers looks for the vocabulary under another name, and goes on with none."""
    folder = save_tiny_model(tmp_path / "model", architecture)
    for known in ("tokenizer.json", "tokenizer_config.json"):
        (folder / known).unlink()
    (folder / name).write_text("[PAD]\n[UNK]\nthe\n")
    assert "transformers does not find its vocabulary" in complaint(f"hf:{folder}")


def test_a_model_that_reads_more_than_text(tmp_path: Path) -> None:
    from transformers import AutoModel, CLIPConfig

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sizes, "intermediate_size": 64, "vocab_size": 303, "max_position_embeddings": 48}
    image = {**sizes, "intermediate_size": 64, "image_size": 32, "patch_size": 16}
    folder = save_tiny_model(tmp_path / "model")
    AutoModel.from_config(CLIPConfig(text_config=text, vision_config=image)).save_pretrained(folder)
    assert "the type clip has no matrix of token vectors" in complaint(f"hf:{folder}")


# --- folders whose parts do not fit together ------------------------------------------------------


def change(path: Path, **values: object) -> None:
    """Other values in a JSON file."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**known, **values}))


def add_tokens(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    token = {**tokenizer["added_tokens"][0], "id": 305, "content": "epilogue", "special": False}
    change(folder / "tokenizer.json", added_tokens=[*tokenizer["added_tokens"], token])


def add_words(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{n}" for n in range(400))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")


def close_with_unknown_token(folder: Path) -> None:
    processor = json.loads((folder / "tokenizer.json").read_text())["post_processor"]
    processor["special_tokens"]["[SEP]"]["ids"] = [5000]
    change(folder / "tokenizer.json", post_processor=processor)


def pool(folder: Path, **values: object) -> None:
    parts = ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")
    modules = [
        {"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in parts
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    settings = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    change(folder / "1_Pooling" / "config.json", **settings)
    dense = {"in_features": 32, "out_features": 8, **values}
    change(folder / "2_Dense" / "config.json", **dense)
    save_file(
        {"linear.weight": np.zeros((8, 32), np.float32)}, folder / "2_Dense" / "model.safetensors"
    )


def pool_other_width(folder: Path) -> None:
    pool(folder)
    change(folder / "1_Pooling" / "config.json", word_embedding_dimension=768)


def pool_two_ways(folder: Path) -> None:
    pool(folder)
    change(folder / "1_Pooling" / "config.json", pooling_mode_cls_token=True)


@pytest.mark.parametrize(
    ("spoil", "remedy"),
    [
        (add_words, "has 405 tokens and the model's embeddings 303 rows"),
        (close_with_unknown_token, r"the special token \[SEP\] has the number 5000"),
        (
            lambda folder: change(folder / "tokenizer_config.json", pad_token="<pad>"),
            "the special token <pad> has the number 303",
        ),
        (
            lambda folder: change(folder / "config.json", pad_token_id=999),
            "pad_token_id of config.json has the number 999",
        ),
        (
            lambda folder: change(folder / "config.json", hidden_size=64),
            r"config\.json has hidden_size 64, and the weights have 32 \(embeddings\.",
        ),
        (
            lambda folder: change(folder / "config.json", vocab_size=500),
            "vocab_size 500, and the embeddings in the weights have 303 rows",
        ),
        (
            lambda folder: change(folder / "config.json", max_position_embeddings=512),
            "has 512 positions, and the weights have 48",
        ),
        (
            lambda folder: change(folder / "sentence_bert_config.json", max_seq_length=512),
            r"asks for texts of 512 tokens \(max_seq_length\).*48 positions; write 48 or less",
        ),
        (pool_other_width, "1_Pooling/config.json is for vectors of 768 numbers.* have 32"),
        (pool_two_ways, "2_Dense/config.json takes vectors of 32 numbers, and is given 64"),
        (
            lambda folder: pool(folder, in_features=16),
            "2_Dense/config.json takes vectors of 16 numbers, and is given 32",
        ),
        (
            lambda folder: pool(folder, out_features=16),
            "2_Dense: config.json says 32 to 16 numbers, and the weights are 8 x 32",
        ),
    ],
)
def test_parts_that_do_not_fit_are_found_before_anything_is_loaded(
    tmp_path: Path, spoil: Callable[[Path], None], remedy: str
) -> None:
    folder = save_tiny_model(tmp_path / "model")
    check_encoder(f"hf:{folder}")
    spoil(folder)
    with pytest.raises(UserError, match=remedy) as refused:
        check_encoder(f"hf:{folder}")
    assert str(refused.value) == complaint(f"hf:{folder}")


def test_sizes_inside_the_layers_are_found_when_the_model_is_loaded(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    change(folder / "config.json", intermediate_size=128)
    line = complaint(f"hf:{folder}")
    assert "disagree on the sizes of 6 tensors (encoder.layer.0.intermediate.dense.bias: " in line
    assert "(64,) in the weights, (128,) by config.json)" in line


def test_an_added_token_without_a_vector_is_refused_only_where_a_text_has_it(
    tmp_path: Path,
) -> None:
    folder = save_tiny_model(tmp_path / "model")
    add_tokens(folder)
    check_encoder(f"hf:{folder}")
    encoder = load_encoder(f"hf:{folder}")
    (note,) = encoder.info.notes
    assert "1 added tokens that the model has no vector for (epilogue)" in note
    encoder.encode(["the prologue"], [View(1, "mean")])
    for use in (
        lambda: encoder.encode(["the epilogue"], [View(1, "mean")]),
        lambda: encoder.count_truncated(["the epilogue"]),
        lambda: encoder.encode_words([["an", "epilogue"]], [1]),  # type: ignore[attr-defined]
    ):
        with pytest.raises(UserError, match=r"the token 'epilogue'.*no vector in the model"):
            use()


def test_a_slow_tokenizer_that_is_too_large_is_found_when_it_is_loaded(tmp_path: Path) -> None:
    """BERTweet's vocabulary begins behind four tokens that its file does not list."""
    folder = save_tiny_model(tmp_path / "model", "roberta")
    (folder / "tokenizer.json").unlink()
    change(folder / "config.json", tokenizer_class="BertweetTokenizer")
    (folder / "tokenizer_config.json").unlink()
    (folder / "vocab.txt").write_text("".join(f"w{n}</w> 1\n" for n in range(300)))
    (folder / "bpe.codes").write_text("#version: 0.2\nt h 10\n")
    check_encoder(f"hf:{folder}")
    assert "has 304 tokens and the model's embeddings 303 rows" in complaint(f"hf:{folder}")


def test_the_dry_run_looks_at_folders_without_a_dot_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_words(save_tiny_model(tmp_path / "model"))
    monkeypatch.chdir(tmp_path)
    config = load_preset("smoke", ["encoders=[{ref: 'hf:model'}]"])
    with pytest.raises(UserError, match="has 405 tokens"):
        check_references(config)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (IndexError("index out of range in self"), "IndexError: index out of range in self"),
        (RuntimeError("mat1 and mat2 shapes\n(1x2 and 3x4)"), "RuntimeError: mat1 and mat2 shapes"),
        (MemoryError(), "memory ran out while texts were encoded"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 GB"), "memory ran out"),
        (torch.OutOfMemoryError("CUDA out of memory."), "memory ran out"),
    ],
)
def test_whatever_is_raised_while_texts_are_encoded_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    encoder = load_encoder(f"hf:{save_tiny_model(tmp_path / 'model')}")

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(encoder._model, "forward", fail)  # type: ignore[attr-defined]
    for encode in (
        lambda: encoder.encode(["text"], [View(1, "mean")]),
        lambda: encoder.encode_words([["text"]], [1]),  # type: ignore[attr-defined]
    ):
        with pytest.raises(UserError) as refused:
            encode()
        assert words in str(refused.value) and "\n" not in str(refused.value)
