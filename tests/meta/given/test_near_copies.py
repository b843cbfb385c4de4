"""Which texts are taken for copies of each other, and which are not."""

import time

import numpy as np
import pytest

from meta.given.near_copies import groups_of, near_copy_pairs
from meta.given.shingles import skeleton
from tests.made_words import made_words

COPIES = {
    "numbers": (
        "Your parcel 88213 leaves our depot at 9:40",
        "Your parcel 10007 leaves our depot at 17:05",
    ),
    "dates": (
        "Minutes of the board, 2024-01-31: the budget was approved",
        "Minutes of the board, 28/02/2023: the budget was approved",
    ),
    "identifiers": (
        "Job a3f9-77b2 failed on host gpu12",
        "Job 0c1d-9912 failed on host gpu7",
    ),
    "retweet": (
        "RT @harbour_news: The old ferry is back in service after ten years of repairs",
        "The old ferry is back in service after ten years of repairs",
    ),
    "links and names": (
        "@ann look at the otters in our harbour https://example.org/a1",
        "@Bob look at the otters in our harbour https://example.org/zz9",
    ),
    "a word more": (
        "The old ferry is back in service after ten years of repairs",
        "So the old ferry is back in service after ten years of repairs",
    ),
    "cut off": (
        "The old ferry is back in service after ten years of repairs, says the harbour master",
        "The old ferry is back in service after ten years of repairs, says the harbour…",
    ),
    "case": ("STORM WARNING FOR THE COAST 7", "Storm warning for the coast 12"),
    "Japanese": (
        "ご注文番号1234の商品は本日発送いたしました。到着までお待ちください。",
        "ご注文番号98の商品は本日発送いたしました。到着までお待ちください。",
    ),
    "Japanese, a word": (
        "昨日の会議では来年度の予算案について長い議論がありましたが結論は出ませんでした。",
        "先日の会議では来年度の予算案について長い議論がありましたが結論は出ませんでした。",
    ),
    "Chinese": ("您的快递已于3月5日到达北京转运中心", "您的快递已于11月28日到达北京转运中心"),
    "Thai": ("พัสดุหมายเลข 4471 ของคุณถึงสาขาแล้ว", "พัสดุหมายเลข ๘๘ ของคุณถึงสาขาแล้ว"),
    "Korean": (
        "주문번호 1234 상품이 오늘 발송되었습니다",
        "주문번호 77 상품이 오늘 발송되었습니다",
    ),
    "Arabic digits": ("رقم طلبك ١٢٣٤ في الطريق اليك", "رقم طلبك ٥٦ في الطريق اليك"),
}
DIFFERENT = {
    "short answers": ("yes", "yes!"),
    "short thanks": ("ok thanks", "ok, thanks"),
    "short questions": ("what is my apr", "what is my apy"),
    "numbers alone": ("51423", "99120"),
    "a number and a word": ("room 12", "room 14"),
    "another noun": ("How do I reset my card PIN?", "How do I reset my card limit?"),
    "another fact": ("Who wrote the first novel about whales?", "Who wrote the first opera?"),
    "short Japanese": ("はい、そうです。", "はい、そうでした。"),
    "short Chinese": ("我想订一张票", "我想退一张票"),
    "Japanese": (
        "昨日の会議では来年度の予算案について長い議論がありました。",
        "今朝の電車は事故の影響で四十分も遅れて到着しました。",
    ),
}


@pytest.mark.parametrize("case", COPIES)
def test_texts_that_are_copies_but_for_such_things(case: str):
    assert near_copy_pairs([*COPIES[case], "Something else that nobody wrote twice"]).tolist() == [
        [0, 1]
    ]


@pytest.mark.parametrize("case", DIFFERENT)
def test_two_short_or_different_texts_are_not_copies(case: str):
    assert near_copy_pairs(DIFFERENT[case]).tolist() == []


def test_pairs_of_texts_are_copies_when_both_texts_are():
    premise = "A man in a red coat walks three dogs along the harbour wall in the rain"
    firsts = [premise, premise, premise, premise + " 2", premise]
    seconds = [
        "The man is outdoors",
        "The man is asleep",
        "The dogs are outdoors",
        "They walk past a boat",
        "The man is outdoor",
    ]
    assert near_copy_pairs(firsts, seconds).tolist() == []
    seconds[3] = "Some animals take a walk by the sea at 5 pm with their owner"
    seconds[0] = "Some animals take a walk by the sea at 11 pm with their owner"
    assert near_copy_pairs(firsts, seconds).tolist() == [[0, 3]]


def test_empty_texts_and_no_texts():
    assert near_copy_pairs([]).shape == near_copy_pairs(["", " ", "@a", "7"]).shape == (0, 2)


def test_copies_of_copies_are_one_group():
    words = made_words(3, 36).split()
    texts = [" ".join(words[start : start + 30]) for start in (0, 3, 6)]
    assert not len(near_copy_pairs([texts[0], texts[2]]))
    pairs = near_copy_pairs([*texts, made_words(9, 30)])
    groups = groups_of(4, pairs)
    assert len(set(groups[:3].tolist())) == 1 and groups[3] != groups[0]


def test_every_group_of_many_is_found_whatever_the_order():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 80, 400)
    texts = []
    for group in truth:
        words = made_words(int(group), 40).split()
        words[int(rng.integers(40))] = made_words(int(rng.integers(10**6, 10**7)), 1)
        texts.append(" ".join(words))
    for order in (np.arange(400), rng.permutation(400)):
        groups = groups_of(400, near_copy_pairs([texts[i] for i in order]))
        pairs = set(zip(groups.tolist(), truth[order].tolist(), strict=True))
        assert len(pairs) == 80 and len(set(groups.tolist())) == 80


def test_what_is_left_of_a_text():
    assert skeleton("RT @Ann_B: Order #A12-99, due 3.5.2024 10:30 https://x.y/z  @bob!") == (
        "order #0, due 0 !"
    )


@pytest.mark.slow
def test_thousands_of_rows_take_seconds():
    texts = [made_words(i, 20) for i in range(8192)]
    texts[4096:] = [f"{text} {i}" for i, text in enumerate(texts[:4096])]
    started = time.process_time()
    assert len(near_copy_pairs(texts)) == 4096
    assert time.process_time() - started < 20
