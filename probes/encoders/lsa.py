"""Latent semantic analysis: TF-IDF and a truncated SVD, fitted on unlabelled texts. It is a cheap
baseline.

Its features are words and pairs of words. Where texts put no space between words (Japanese,
Chinese, Thai, ...) they are, beside these, runs of one to three characters.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from cluster.storage import Storage, UserError
from probes.encoders.base import EncoderInfo, EncodingStats, View
from probes.encoders.model_folder import find_model_folder
from probes.encoders.reference import resolve_view
from probes.encoders.unspaced import NGRAMS, are_unspaced, character_ngrams, without_unspaced

LSA_VIEW = View(0, "mean")
"""The only view of LSA: a weighted mean of word vectors."""

MAX_WORDS = 20_000
"""Number of words and pairs of words that are kept. The most frequent ones are."""
MAX_LENGTH = 1_000_000
"""The longest input that is reported. LSA reads whole texts of any length."""

_CUTS_UNSPACED = "cuts_unspaced"
_WEIGHTS, _WORDS = "lsa.safetensors", "words.json"


class LsaEncoder:
    """A fitted LSA. `components` (dim, n_words) float32 with orthonormal rows, `idf` (n_words,)
    float32."""

    def __init__(
        self,
        words: Sequence[str],
        idf: np.ndarray,
        components: np.ndarray,
        ref: str | None = None,
        *,
        cuts_unspaced: bool = False,
    ):
        self.words = tuple(words)
        self.cuts_unspaced = cuts_unspaced
        self.idf = np.ascontiguousarray(idf, dtype=np.float32)
        self.components = np.ascontiguousarray(components, dtype=np.float32)
        self._vectorizer = _vectorizer(
            cuts_unspaced, vocabulary={word: column for column, word in enumerate(self.words)}
        )
        self._vectorizer.idf_ = self.idf
        self.stats = EncodingStats()
        dim = self.components.shape[0]
        self.info = EncoderInfo(
            ref=ref or f"lsa:{dim}",
            fingerprint=self._fingerprint(),
            family="lsa",
            n_layers=0,
            hidden_size=dim,
            n_parameters=self.components.size + self.idf.size,
            max_length=MAX_LENGTH,
            views=(LSA_VIEW,),
        )

    def encode(self, texts: Sequence[str], views: Sequence[View]) -> dict[View, np.ndarray]:
        """See `Encoder.encode`; a text of unknown words only is the zero vector. Raises UserError
        for an unknown view."""
        for view in views:
            resolve_view(self.info, view)
        if len(texts) == 0 or not views:
            return {
                view: np.zeros((len(texts), self.info.hidden_size), dtype=np.float32)
                for view in views
            }
        tfidf = self._vectorizer.transform(
            texts
        )  # (n_texts, n_words) sparse float32, rows of unit length
        vectors = np.ascontiguousarray(tfidf @ self.components.T, dtype=np.float32)
        self.stats.n_texts += len(texts)
        self.stats.n_tokens += int(tfidf.nnz)
        return {view: vectors for view in views}

    def count_truncated(self, texts: Sequence[str], *, are_pairs: bool = False) -> int:
        """0, because every word of a text counts."""
        return 0

    def _fingerprint(self) -> str:
        sha = hashlib.sha256(json.dumps(self.words).encode())
        if self.cuts_unspaced:
            sha.update(json.dumps([_CUTS_UNSPACED, *NGRAMS]).encode())
        sha.update(self.idf.tobytes())
        sha.update(self.components.tobytes())
        return sha.hexdigest()[:16]


def fit_lsa(texts: Sequence[str], dim: int, *, seed: int = 0, ref: str | None = None) -> LsaEncoder:
    """Words and pairs of words (and runs of characters, where `are_unspaced`) that occur in two
    texts or more, sublinear TF, L2-normalised TF-IDF, randomised SVD.

    Deterministic for (texts, dim, seed). Few texts give fewer than `dim` dimensions: at most one
    less than the smaller side of the TF-IDF matrix. Source: Deerwester et al. 1990. Raises
    UserError.
    """
    if dim < 1:
        raise UserError(f"encoder lsa:{dim}: the dimension must be 1 or more")
    cuts_unspaced = are_unspaced(texts)
    vectorizer = _vectorizer(cuts_unspaced, min_df=2, max_features=MAX_WORDS)
    try:
        tfidf = vectorizer.fit_transform(texts)
    except ValueError as error:  # scikit-learn: empty vocabulary, or no word in two texts
        raise _too_few(dim, len(texts), 0) from error
    rank = min(dim, min(tfidf.shape) - 1)
    if rank < 1:
        raise _too_few(dim, len(texts), tfidf.shape[1])
    svd = TruncatedSVD(n_components=rank, algorithm="randomized", n_iter=4, random_state=seed).fit(
        tfidf
    )
    words = vectorizer.get_feature_names_out().tolist()
    return LsaEncoder(
        words,
        vectorizer.idf_,
        svd.components_,
        ref=ref or f"lsa:{dim}",
        cuts_unspaced=cuts_unspaced,
    )


def check_fit(texts: Sequence[str], dim: int) -> None:
    """Raises UserError where `fit_lsa` would for these texts. As a rule it looks at a few of
    them."""
    analyze = _vectorizer(are_unspaced(texts)).build_analyzer()
    once: set[str] = set()
    twice: set[str] = set()
    for text in texts:
        words = set(analyze(text))
        twice |= words & once
        once |= words
        if len(twice) > 1:
            return
    raise _too_few(dim, len(texts), len(twice))


def _too_few(dim: int, n_texts: int, n_words: int) -> UserError:
    return UserError(
        f"encoder lsa:{dim}: cannot be fitted on {n_texts} texts, no word occurs in two of them"
        if n_words == 0
        else f"encoder lsa:{dim}: {n_texts} texts with {n_words} known words are too few to fit it"
    )


def save_lsa(encoder: LsaEncoder, storage: Storage) -> str:
    """Store a fitted LSA under `encoders/<fingerprint>`, and return that key. The reference
    `lsa:<storage>/<key>` loads it."""
    key = f"encoders/{encoder.info.fingerprint}"
    if not storage.exists(key):
        with storage.writing_folder(key) as folder:
            save_file({"idf": encoder.idf, "components": encoder.components}, folder / _WEIGHTS)
            words = (
                {_CUTS_UNSPACED: True, "words": encoder.words}
                if encoder.cuts_unspaced
                else encoder.words
            )
            (folder / _WORDS).write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
    return key


def load_lsa(name: str, ref: str) -> LsaEncoder:
    """A fitted LSA from a folder or storage URI. Raises UserError."""
    if not ("/" in name or Path(name).exists()):
        raise UserError(
            f"encoder {ref}: lsa takes a dimension or the folder of a fitted one, for example"
            " lsa:256"
        )
    folder: Path = find_model_folder(name, ref)
    try:
        tensors = load_file(folder / _WEIGHTS)
        words = json.loads((folder / _WORDS).read_text(encoding="utf-8"))
        cuts_unspaced = isinstance(words, dict) and bool(words[_CUTS_UNSPACED])
        return LsaEncoder(
            words["words"] if isinstance(words, dict) else words,
            tensors["idf"],
            tensors["components"],
            ref=ref,
            cuts_unspaced=cuts_unspaced,
        )
    except FileNotFoundError:
        raise UserError(
            f"encoder {ref}: {folder} is not a fitted LSA (no {_WEIGHTS} and {_WORDS})"
        ) from None
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(
            f"encoder {ref}: {folder} is damaged ({error}); remove it and fit again"
        ) from error


def _vectorizer(cuts_unspaced: bool, **options: object) -> TfidfVectorizer:
    plain = {"sublinear_tf": True, "dtype": np.float32, "decode_error": "replace", **options}
    if cuts_unspaced:
        return TfidfVectorizer(analyzer=_words_and_characters, **plain)
    return TfidfVectorizer(ngram_range=(1, 2), **plain)


def _words_and_characters(text: str) -> list[str]:
    return [*_words(without_unspaced(text)), *character_ngrams(text)]


_words = TfidfVectorizer(ngram_range=(1, 2)).build_analyzer()
