"""Learning rate and mask rate, as functions of the share of the budget that has been used."""

import math

from neoberta.config import PretrainConfig


def lr_at(config: PretrainConfig, step: int) -> float:
    """Learning rate of `step` (from 0 to n_steps - 1)."""
    done = step / config.n_steps
    if done < config.warmup_fraction:
        return config.lr * (step + 1) / max(1, math.ceil(config.warmup_fraction * config.n_steps))
    if config.schedule == "wsd":
        start = 1 - config.decay_fraction
        return (
            config.lr * (1 - math.sqrt((done - start) / config.decay_fraction))
            if done > start
            else config.lr
        )
    share = (done - config.warmup_fraction) / (1 - config.warmup_fraction)
    return config.lr * (
        (1 + math.cos(math.pi * share)) / 2 if config.schedule == "cosine" else 1 - share
    )


def mask_rate_at(config: PretrainConfig, step: int) -> float:
    """Share of the tokens to predict at `step`."""
    end = config.mask_rate if config.mask_rate_end is None else config.mask_rate_end
    return config.mask_rate + (end - config.mask_rate) * step / config.n_steps
