import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.storage import UserError
from neoberta.tokenizer import (
    CLS_ID,
    MASK_ID,
    SEP_ID,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
)


def test_same_texts_give_the_same_tokenizer(texts, tokenizer):
    assert train_tokenizer(texts, 320).to_str() == tokenizer.to_str()
    assert tokenizer.get_vocab_size() == 320


def test_auto_tokenizer_loads_the_folder(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    save_tokenizer(tokenizer, tmp_path, max_length=16)
    fast = AutoTokenizer.from_pretrained(tmp_path)
    assert fast.model_max_length == 16
    assert (fast.cls_token_id, fast.sep_token_id, fast.mask_token_id, fast.pad_token_id) == (
        CLS_ID,
        SEP_ID,
        MASK_ID,
        0,
    )
    ids = fast("sorted array", "new axis")["input_ids"]
    assert ids == tokenizer.encode("sorted array", "new axis").ids
    assert ids[0] == CLS_ID and ids.count(SEP_ID) == 2
    assert len(fast(" ".join(["matrix"] * 50), truncation=True)["input_ids"]) == 16
    assert set(fast("array")) == {"input_ids", "attention_mask"}
    assert load_tokenizer(tmp_path).to_str() == tokenizer.to_str()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_survives_encoding(tokenizer, text):
    import unicodedata

    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == unicodedata.normalize("NFC", text)


def test_user_errors(tmp_path):
    with pytest.raises(UserError, match="at least 261"):
        train_tokenizer(["a"], 100)
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        load_tokenizer(tmp_path)
