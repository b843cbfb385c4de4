"""Model folders that are unlike the others: slow tokenizers, closing [CLS], sentence-transformers
heads, code of their own."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_conformance import TEXTS, EncoderConformance, WordConformance, cosine, needs_minilm
from safetensors.torch import save_file
from tiny_models import MAX_LENGTH, N_LAYERS, WIDTH, save_tiny_model
from transformers import AutoModel, AutoTokenizer, RobertaConfig, T5EncoderModel

from cluster.storage import UserError
from probes.encoders import Encoder, View, load_encoder
from probes.encoders.base import join_pair
from probes.encoders.load import check_encoder, reference_fingerprint
from probes.encoders.model_folder import _sentence_parts
from probes.encoders.prompts import SETTINGS
from probes.encoders.sentence_head import read_sentence_head

SENTENCE = View(N_LAYERS, "sentence")


class TestSlowTokenizer(EncoderConformance, WordConformance):
    """As BERTweet has it: `vocab.txt` and `bpe.codes`, read by Python."""

    @pytest.fixture(scope="class")
    @classmethod
    def encoder(cls, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
        folder = tmp_path_factory.mktemp("bertweet")
        letters = sorted(set("".join(TEXTS)) - set(" \x00\ud83d"))
        words = [piece for letter in letters for piece in (f"{letter}@@", f"{letter}</w>")]
        (folder / "vocab.txt").write_text(
            "".join(f"{word} 1\n" for word in words), encoding="utf-8"
        )
        (folder / "bpe.codes").write_text("#version: 0.2\nt h 10\n", encoding="utf-8")
        sizes = {
            "hidden_size": WIDTH,
            "num_hidden_layers": N_LAYERS,
            "num_attention_heads": 2,
            "intermediate_size": 64,
        }
        ids = {
            "vocab_size": len(words) + 8,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
        }
        config = RobertaConfig(
            **sizes,
            **ids,
            max_position_embeddings=MAX_LENGTH + 2,
            tokenizer_class="BertweetTokenizer",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            AutoModel.from_config(config).save_pretrained(folder)
        return load_encoder(f"hf:{folder}", precision="fp32")

    def test_is_slow(self, encoder: Encoder) -> None:
        assert not encoder._tokenizer._tokenizer.is_fast  # type: ignore[attr-defined]
        assert encoder.info.max_length == MAX_LENGTH


def test_a_vocabulary_is_enough_of_a_tokenizer(tmp_path: Path) -> None:
    """As BioBERT and SciBERT have it: `vocab.txt` and nothing else."""
    folder = save_tiny_model(tmp_path / "bert")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fit", "the", "mode", "##ls", "."]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    encoder = load_encoder(f"hf:{folder}", precision="fp32")
    encoder.encode(["Fit the models."], [View(0, "mean")])
    assert encoder.stats.n_tokens == len(["[CLS]", "fit", "the", "mode", "##ls", ".", "[SEP]"])


def test_an_encoder_that_was_saved_without_its_decoder(tmp_path: Path) -> None:
    """As the models sentence-t5 and gtr are."""
    whole = save_tiny_model(tmp_path / "whole", "t5")
    alone = Path(shutil.copytree(whole, tmp_path / "alone"))
    (alone / "model.safetensors").unlink()
    T5EncoderModel.from_pretrained(whole).save_pretrained(alone)
    assert not json.loads((alone / "config.json").read_text())["is_encoder_decoder"]
    found, expected = (load_encoder(f"hf:{folder}", precision="fp32") for folder in (alone, whole))
    assert found.info.views == expected.info.views
    assert found.info.n_parameters == expected.info.n_parameters
    views = [View(0, "mean"), View(N_LAYERS, "mean")]
    for view in views:
        np.testing.assert_allclose(
            found.encode(TEXTS, views)[view], expected.encode(TEXTS, views)[view], atol=1e-5
        )


def test_the_classification_token_is_found_where_it_is(tmp_path: Path) -> None:
    """XLNet closes a text with it: the first token is then a word like any other."""
    folder = save_tiny_model(tmp_path / "xlnet", "xlnet")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    closing = [
        {"Sequence": {"id": "A", "type_id": 0}},
        *({"SpecialToken": {"id": t, "type_id": 0}} for t in ("[SEP]", "[CLS]")),
    ]
    tokenizer["post_processor"]["single"] = closing
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    out = load_encoder(f"hf:{folder}", precision="fp32").encode(
        TEXTS[:4], [View(N_LAYERS, "cls"), View(N_LAYERS, "last"), View(N_LAYERS, "mean")]
    )
    np.testing.assert_array_equal(out[View(N_LAYERS, "cls")], out[View(N_LAYERS, "last")])
    assert np.abs(out[View(N_LAYERS, "cls")] - out[View(N_LAYERS, "mean")]).max() > 1e-3


def test_a_word_is_the_mean_of_its_tokens(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "bert")
    encoder = load_encoder(f"hf:{folder}", precision="fp32")
    words = ["Fit", "the", "modelling", "Größe"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pieces = [
        tokenizer.tokenize(word if number == 0 else f" {word}") for number, word in enumerate(words)
    ]
    ids = [2, *(tokenizer.convert_tokens_to_ids(piece) for part in pieces for piece in part), 3]
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder).eval()(torch.tensor([ids])).last_hidden_state[0]
    found = encoder.encode_words([words], [N_LAYERS])[N_LAYERS]
    at = 1
    for row, part in enumerate(pieces):
        first = at + (part[0] == "Ġ")  # a space by itself belongs to no word
        at += len(part)
        np.testing.assert_allclose(found[row], hidden[first:at].mean(0).numpy(), atol=1e-5)


# --- sentence-transformers folders ----------------------------------------------------------------


def sentence_folder(
    folder: Path, pooling: dict, *, dense: tuple[int, str] | None = None, normalize: bool = True
) -> Path:
    """A sentence-transformers folder around a tiny BERT, in the library's own layout."""
    save_tiny_model(folder)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": WIDTH, **pooling})
    )
    if dense is not None:
        kinds.append(("2_Dense", "Dense"))
        (folder / "2_Dense").mkdir()
        shape = {
            "in_features": WIDTH,
            "out_features": dense[0],
            "bias": True,
            "activation_function": dense[1],
        }
        (folder / "2_Dense" / "config.json").write_text(json.dumps(shape))
        generator = torch.Generator().manual_seed(1)
        weight, bias = (
            torch.randn(dense[0], WIDTH, generator=generator),
            torch.randn(dense[0], generator=generator),
        )
        save_file(
            {"linear.weight": weight, "linear.bias": bias}, folder / "2_Dense" / "model.safetensors"
        )
    if normalize:
        kinds.append(("3_Normalize", "Normalize"))
        (folder / "3_Normalize").mkdir()
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 32, "do_lower_case": False})
    )
    return folder


@pytest.mark.parametrize(
    ("pooling", "dense", "normalize"),
    [
        ({"pooling_mode_mean_tokens": True}, None, True),
        ({"pooling_mode_cls_token": True}, None, False),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False}, None, False),
        (
            {"pooling_mode_mean_sqrt_len_tokens": True, "pooling_mode_mean_tokens": False},
            None,
            False,
        ),
        (
            {"pooling_mode_weightedmean_tokens": True, "pooling_mode_mean_tokens": False},
            None,
            False,
        ),
        ({"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, None, False),
        ({"pooling_mode_mean_tokens": True}, (16, "torch.nn.modules.activation.Tanh"), True),
        ({"pooling_mode_mean_tokens": True}, (48, "torch.nn.modules.linear.Identity"), False),
    ],
    ids=["mean", "cls", "max", "sqrt", "weighted", "last", "dense", "wider"],
)
def test_the_sentence_view_is_what_the_library_gives(
    tmp_path: Path, pooling: dict, dense: tuple | None, normalize: bool
) -> None:
    library = pytest.importorskip(
        "sentence_transformers", reason="sentence-transformers is not installed"
    )
    given = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": False, **pooling}
    folder = sentence_folder(tmp_path / "model", given, dense=dense, normalize=normalize)
    texts = [text for text in TEXTS if text and "\ud83d" not in text]
    expected = library.SentenceTransformer(str(folder), device="cpu").encode(texts)
    encoder = load_encoder(f"hf:{folder}", precision="fp32")
    found = encoder.encode(texts, [SENTENCE])[SENTENCE]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


def old_layout(folder: Path) -> Path:
    """The same model as sentence-transformers before version 2 laid it out."""
    inner = folder / "0_Transformer"
    inner.mkdir()
    for path in [path for path in folder.iterdir() if path.is_file()]:
        if path.name not in ("modules.json", "config_sentence_transformers.json"):
            path.rename(inner / path.name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def test_a_transformer_in_a_subfolder_is_the_same_model(tmp_path: Path) -> None:
    new = sentence_folder(tmp_path / "new", {"pooling_mode_mean_tokens": True})
    old = old_layout(Path(shutil.copytree(new, tmp_path / "old")))
    check_encoder(f"hf:{old}")
    found, expected = (load_encoder(f"hf:{folder}", precision="fp32") for folder in (old, new))
    assert found.info.max_length == 32  # of sentence_bert_config.json, beside the transformer
    assert found.info.views == expected.info.views
    np.testing.assert_array_equal(
        found.encode(TEXTS, [SENTENCE])[SENTENCE], expected.encode(TEXTS, [SENTENCE])[SENTENCE]
    )
    assert load_encoder(f"random:{old}").info.fingerprint == (
        load_encoder(f"random:{new}").info.fingerprint
    )
    before = reference_fingerprint(f"hf:{old}")
    (old / "0_Transformer" / "sentence_bert_config.json").write_text('{"max_seq_length": 16}')
    assert reference_fingerprint(f"hf:{old}") != before


def test_the_parts_of_the_old_layout_are_downloaded(tmp_path: Path) -> None:
    folder = old_layout(sentence_folder(tmp_path / "new", {"pooling_mode_mean_tokens": True}))
    patterns = _sentence_parts(folder)
    assert {"0_Transformer/*.safetensors", "0_Transformer/*.txt", "1_Pooling/config.json"} <= set(
        patterns
    )
    assert _sentence_parts(tmp_path) == []


@needs_minilm()
def test_the_sentence_view_of_minilm_is_its_normalised_mean() -> None:
    encoder = load_encoder("hf:all-MiniLM-L6-v2")
    mean, own = View(6, "mean"), View(6, "sentence")
    out = encoder.encode(TEXTS, [mean, own])
    np.testing.assert_allclose(np.linalg.norm(out[own], axis=1), 1.0, atol=1e-5)
    assert cosine(out[own], out[mean]).min() > 0.999999


def test_the_head_is_part_of_the_identity(tmp_path: Path) -> None:
    mean = sentence_folder(tmp_path / "mean", {"pooling_mode_mean_tokens": True})
    plain = shutil.copytree(mean, tmp_path / "plain")
    (plain / "modules.json").unlink()
    cls = shutil.copytree(mean, tmp_path / "cls")
    (cls / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    fingerprints = {load_encoder(f"hf:{folder}").info.fingerprint for folder in (mean, plain, cls)}
    assert len(fingerprints) == 3
    assert SENTENCE not in load_encoder(f"hf:{plain}").info.views


def write(folder: Path, name: str, content: object) -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder


MEAN = {"pooling_mode_mean_tokens": True}
PROMPTS = {"query": "Query: find, then fit: ", "passage": "passage: ", "empty": ""}


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        (
            "modules.json",
            [{"idx": 0, "path": "", "type": "sentence_transformers.models.WordWeights"}],
            "its part WordWeights is not known here",
        ),
        (
            "1_Pooling/config.json",
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
            "it pools in several ways at once",
        ),
        (
            "sentence_bert_config.json",
            {"max_seq_length": 32, "do_lower_case": True},
            "it is for texts in lower case",
        ),
    ],
)
def test_a_head_that_is_not_wholly_known_is_left_alone(
    tmp_path: Path, name: str, content: object, why: str
) -> None:
    folder = write(sentence_folder(tmp_path / "model", MEAN), name, content)
    assert read_sentence_head(folder, "hf:model")[0] is None
    info = load_encoder(f"hf:{folder}").info
    assert SENTENCE not in info.views
    assert [why in note for note in info.notes] == [True]


def test_what_is_declared_and_not_done_is_one_note(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path / "model", MEAN)
    before = load_encoder(f"hf:{folder}").info
    assert before.notes == ()
    write(folder, SETTINGS, {"truncate_dim": 16, "prompts": {}, "similarity_fn_name": "dot"})
    after = load_encoder(f"hf:{folder}").info
    assert after.notes == (
        f"hf:{folder}: declared in its folder and not done here: truncate_dim = 16",
    )
    assert after.fingerprint == before.fingerprint


def test_the_authors_own_vector_is_looked_at_by_default(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path / "model", MEAN)
    views = load_encoder(f"hf:{folder}").info.standard_views
    assert views[-1] == SENTENCE and len(views) == 3 * (N_LAYERS + 1) + 1
    (folder / "modules.json").unlink()
    assert SENTENCE not in load_encoder(f"hf:{folder}").info.standard_views


def vectors_of(encoder: Encoder, texts: list[str]) -> np.ndarray:
    return encoder.encode(texts, [SENTENCE])[SENTENCE]


@pytest.mark.parametrize(
    ("suffix", "default", "put"),
    [
        ("", None, ""),
        ("", "passage", PROMPTS["passage"]),
        ("#prompt=", "passage", ""),
        ("#prompt=query", "passage", PROMPTS["query"]),
        ("#layer=last,pooling=sentence,prompt=query", None, PROMPTS["query"]),
        ("#prompt=Fit, the model: ", None, "Fit, the model: "),
    ],
)
def test_a_prompt_is_put_before_every_text(
    tmp_path: Path, suffix: str, default: str | None, put: str
) -> None:
    folder = sentence_folder(tmp_path / "model", MEAN)
    plain = load_encoder(f"hf:{folder}", precision="fp32")
    write(folder, SETTINGS, {"prompts": PROMPTS, "default_prompt_name": default})
    encoder = load_encoder(f"hf:{folder}{suffix}", precision="fp32")
    texts = ["Fit the model.", "", "the index of the value"]
    np.testing.assert_allclose(
        vectors_of(encoder, texts), vectors_of(plain, [put + text for text in texts]), atol=1e-5
    )
    assert (encoder.info.fingerprint == plain.info.fingerprint) == (not put)
    long = ["model " * 40]
    assert encoder.count_truncated(long) == plain.count_truncated([put + text for text in long])
    if put:
        assert [f"{put!r} is put before every text" in note for note in encoder.info.notes] == [
            True
        ]


def test_prompts_that_are_not_used_are_named(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path / "model", MEAN)
    write(folder, SETTINGS, {"prompts": PROMPTS, "default_prompt_name": None})
    (note,) = load_encoder(f"hf:{folder}").info.notes
    assert "query ('Query: find, then fit: '), passage ('passage: ')" in note
    assert "--prompt query" in note and "empty" not in note
    for check in (check_encoder, load_encoder):
        with pytest.raises(UserError, match="has no prompt 'pasage'; did you mean passage"):
            check(f"hf:{folder}#prompt=pasage")


def test_a_prompt_that_is_not_pooled(tmp_path: Path) -> None:
    """As Instructor has it."""
    folder = sentence_folder(tmp_path / "model", {**MEAN, "include_prompt": False})
    assert SENTENCE in load_encoder(f"hf:{folder}").info.views
    info = load_encoder(f"hf:{folder}#prompt=query: ").info
    assert SENTENCE not in info.views
    assert "it leaves the tokens of the prompt out of its pooling" in info.notes[1]


def test_the_prompt_of_a_library_of_its_own(tmp_path: Path) -> None:
    library = pytest.importorskip(
        "sentence_transformers", reason="sentence-transformers is not installed"
    )
    folder = sentence_folder(tmp_path / "model", MEAN)
    write(folder, SETTINGS, {"prompts": PROMPTS, "default_prompt_name": "query"})
    texts = ["Fit the model.", "the index of the value"]
    expected = library.SentenceTransformer(str(folder), device="cpu").encode(texts)
    found = vectors_of(load_encoder(f"hf:{folder}", precision="fp32"), texts)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_damaged_head(tmp_path: Path) -> None:
    identity = "torch.nn.modules.linear.Identity"
    folder = sentence_folder(
        tmp_path / "model", {"pooling_mode_mean_tokens": True}, dense=(16, identity)
    )
    weights = folder / "2_Dense" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(UserError, match=r"2_Dense/model.safetensors is damaged"):
        load_encoder(f"hf:{folder}")
    weights.unlink()
    with pytest.raises(
        UserError, match=r"has no model\.safetensors .pickled weights can execute code"
    ):
        load_encoder(f"hf:{folder}")
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(UserError, match=r"1_Pooling/config.json is missing or damaged"):
        load_encoder(f"hf:{folder}")


# --- code of its own ------------------------------------------------------------------------------

MODEL_CODE = """
from transformers import BertConfig, BertModel
open({witness!r}, "w").close()

class OwnConfig(BertConfig):
    model_type = "own-bert"

class OwnModel(BertModel):
    config_class = OwnConfig
"""


def test_code_that_a_model_brings_runs_only_when_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.dynamic_module_utils import HF_MODULES_CACHE  # noqa: F401  (the module must exist before it is patched)

    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    folder, witness = save_tiny_model(tmp_path / "own_model"), tmp_path / "executed"
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    (folder / "config.json").write_text(
        json.dumps({**config, "model_type": "own-bert", "auto_map": own})
    )
    (folder / "modeling_own.py").write_text(MODEL_CODE.format(witness=str(witness)))
    with pytest.raises(UserError, match="say --trust-remote-code"):
        load_encoder(f"hf:{folder}")
    assert not witness.exists()
    encoder = load_encoder(f"hf:{folder}", trust_remote_code=True, precision="fp32")
    assert witness.exists()
    plain = load_encoder(f"hf:{save_tiny_model(tmp_path / 'plain')}", precision="fp32")
    view = View(N_LAYERS, "mean")
    np.testing.assert_allclose(
        encoder.encode(TEXTS, [view])[view], plain.encode(TEXTS, [view])[view], atol=1e-5
    )
    before = encoder.info.fingerprint
    (folder / "modeling_own.py").write_text(
        MODEL_CODE.format(witness=str(witness)) + "\n# another version\n"
    )
    assert load_encoder(f"hf:{folder}", trust_remote_code=True).info.fingerprint != before


# --- pairs ----------------------------------------------------------------------------------------


def test_a_pair_goes_in_as_the_tokenizer_joins_it(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "bert")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer("Fit the model.", "smaller value", return_tensors="pt")
    assert set(inputs["token_type_ids"][0].tolist()) == {0, 1}
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder).eval()(**inputs).last_hidden_state[0]
    views = [View(N_LAYERS, "cross_cls"), View(N_LAYERS, "cross_mean")]
    out = load_encoder(f"hf:{folder}", precision="fp32").encode(
        [join_pair("Fit the model.", "smaller value")], views
    )
    np.testing.assert_allclose(out[views[0]][0], hidden[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(out[views[1]][0], hidden.mean(0).numpy(), atol=1e-5)


def test_texts_of_100000_characters(tmp_path: Path) -> None:
    """Words, one word, no spaces, nothing but emoji, control characters: cut, counted, finite."""
    encoder = load_encoder(f"hf:{save_tiny_model(tmp_path / 'bert')}", precision="fp32")
    texts = [
        "the model " * 10_000,
        "x" * 100_000,
        "模型" * 50_000,
        "👩‍🔬" * 33_334,
        "\x00\u202e" * 50_000,
    ]
    out = encoder.encode(texts, encoder.info.standard_views)
    assert encoder.stats.n_truncated == len(texts)
    assert encoder.stats.n_tokens == len(texts) * MAX_LENGTH
    assert all(np.isfinite(vectors).all() for vectors in out.values())
