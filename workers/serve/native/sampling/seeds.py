"""Random numbers that depend on a row's seed and its number of tokens only.

A counter instead of a state: an answer goes on as it would have, whoever is in the batch, in
whatever slot, and after it was pushed out and read again. SplitMix64 (Steele, Lea, Flood 2014,
https://doi.org/10.1145/2714064.2660195) is a mix of a counter by its nature.
"""

from __future__ import annotations

import hashlib
import secrets

import torch

_WEYL = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)
_UNIT = 2.0**-24
"""A float32 holds 24 bits between 0 and 1 exactly, so 1.0 itself never comes out."""


def seed_of(text: str | None) -> int:
    """63 bits for a client's seed; near seeds give unrelated ones. None is the system's chance."""
    if text is None:
        return secrets.randbits(63)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def uniform(seeds: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Numbers in [0, 1), float32, one for each (seed, position) pair of two int64 tensors."""
    mixed = seeds + (positions + 1) * _WEYL
    mixed = (mixed ^ _shifted(mixed, 30)) * _MIX_1
    mixed = (mixed ^ _shifted(mixed, 27)) * _MIX_2
    mixed = mixed ^ _shifted(mixed, 31)
    return _shifted(mixed, 40).float() * _UNIT


def _shifted(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Right shift of the 64 bits as they lie: int64's own shift copies the sign."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)
