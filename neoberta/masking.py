"""Dynamic masking without a random state: a hash of (seed, epoch, document, position) decides what
happens to a token.

So masks are the same for any number of workers, any order and any packing, and a run that was
interrupted draws the same ones. A document gets new masks in every epoch. Of the chosen tokens 80 %
become [MASK], 10 % become a random token, and 10 % stay (BERT, Devlin et al. 2019, section 3.1).
"""

import numpy as np

from neoberta.tokenizer import MASK_ID, SPECIAL_TOKENS

# Three independent streams of random numbers: is a token chosen, what replaces it, by which token?
_CHOOSE, _REPLACE, _TOKEN = 1, 2, 3
MASK_SHARE, RANDOM_SHARE = 0.8, 0.1


def mask_tokens(
    tokens: np.ndarray,
    document: np.ndarray,
    position: np.ndarray,
    epoch: np.ndarray,
    *,
    seed: int,
    rate: float,
    vocab_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """`(inputs, is_target)`: the tokens as the model sees them, (B, T) int64, and where it has to
    predict the original token, (B, T) bool.

    `tokens`, `document`, `position` are (B, T) int64, `epoch` is (B,) int64. Special tokens are
    never chosen. Every other token is chosen with probability `rate`.
    """
    n_special = len(SPECIAL_TOKENS)
    # the seed is hashed first, so that (seed 0, epoch 1) differs from (seed 1, epoch 0)
    key = _mix(np.uint64(0), np.asarray(seed))
    counter = _mix(_mix(_mix(key, epoch[:, None]), document), position)  # (B, T) uint64
    is_target = (_uniform(counter, _CHOOSE) < rate) & (tokens >= n_special)
    fate = _uniform(counter, _REPLACE)
    random_token = n_special + (_uniform(counter, _TOKEN) * (vocab_size - n_special)).astype(
        np.int64
    )
    inputs = np.where(is_target & (fate < MASK_SHARE), MASK_ID, tokens)
    is_random = is_target & (fate >= MASK_SHARE) & (fate < MASK_SHARE + RANDOM_SHARE)
    return np.where(is_random, random_token, inputs), is_target


def _mix(state: np.ndarray | np.uint64, value: np.ndarray) -> np.ndarray:
    """Hash `value` into `state`: the finaliser of SplitMix64 (Steele, Lea and Flood 2014), in
    wrapping uint64 arithmetic."""
    with np.errstate(over="ignore"):
        z = (np.asarray(state, np.uint64) ^ value.astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def _uniform(counter: np.ndarray, stream: int) -> np.ndarray:
    """Float64 in [0, 1), from the upper 53 bits of the hash of `counter` and `stream`."""
    return (_mix(counter, np.full_like(counter, stream)) >> np.uint64(11)) * 2.0**-53
