"""One token a row straight from the logits, filters included: one kernel, one program a row.

Sorting 64 rows of 100,000 logits takes longer than the model's own pass. Top-k and top-p only need
a floor, and floors are found by bisection: a float that is not negative orders as its bits do, so
31 halvings of the bits find the exact floor. Mostly even those go over a short list only: the
tokens within `_NEAR` of the best one, gathered on the way, hold the floor of nearly every row.

Meaning and random numbers are those of `filters.py` and `seeds.py`.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_BLOCK = 4096
_SHORT = 2048
"""Places of the short list, a power of two."""
_NEAR = 9.0
"""Nats below the best token, after temperature: 1/8000 of its probability."""
_INFINITE = 0x7F800000
"""Bits of infinity: the distance of a token that has no chance."""


@triton.jit
def _distances(base, start, vocabulary, best, sharpness, BLOCK: tl.constexpr):
    """How far below the best tokens are, in nats after temperature, never negative."""
    at = start + tl.arange(0, BLOCK)
    logit = tl.load(base + at, mask=at < vocabulary, other=float("-inf")).to(tl.float32)
    return (best - logit) * sharpness


@triton.jit
def _bits(distance):
    return distance.to(tl.int32, bitcast=True)


@triton.jit
def _measure(base, vocabulary, best, sharpness, floor, BLOCK: tl.constexpr):
    """Tokens down to `floor` (bits of a distance): how many, and the sum of their weights."""
    count = tl.full([], 0, tl.int32)
    mass = tl.full([], 0.0, tl.float32)
    for start in range(0, vocabulary, BLOCK):
        distance = _distances(base, start, vocabulary, best, sharpness, BLOCK)
        stays = _bits(distance) <= floor
        count += tl.sum(stays.to(tl.int32), axis=0)
        mass += tl.sum(tl.where(stays, tl.exp(-distance), 0.0), axis=0)
    return count, mass


@triton.jit
def _gather(base, scratch, vocabulary, best, sharpness, near, BLOCK: tl.constexpr,
            SHORT: tl.constexpr):  # fmt: skip
    """Distances up to `near` into the short list, as far as they fit; how many there are."""
    count = tl.full([], 0, tl.int32)
    for start in range(0, vocabulary, BLOCK):
        distance = _distances(base, start, vocabulary, best, sharpness, BLOCK)
        close = (distance <= near).to(tl.int32)
        place = count + tl.cumsum(close, axis=0) - 1
        tl.store(scratch + place, distance, mask=(close > 0) & (place < SHORT))
        count += tl.sum(close, axis=0)
    return count


@triton.jit
def _rank_floor(base, short, in_short, vocabulary, best, sharpness, top_k, BLOCK: tl.constexpr,
                INFINITE: tl.constexpr):  # fmt: skip
    """Smallest bits of a distance that at least `top_k` tokens do not exceed."""
    low = tl.full([], 0, tl.int32)
    high = tl.full([], INFINITE, tl.int32)
    while low < high:
        middle = low + (high - low) // 2
        if in_short:
            count = tl.sum((_bits(short) <= middle).to(tl.int32), axis=0)
        else:
            count, _ = _measure(base, vocabulary, best, sharpness, middle, BLOCK)
        if count >= top_k:
            high = middle
        else:
            low = middle + 1
    return low


@triton.jit
def _mass_floor(base, short, in_short, vocabulary, best, sharpness, wanted, highest,
                BLOCK: tl.constexpr):  # fmt: skip
    """Smallest bits of a distance up to which tokens weigh at least `wanted`."""
    low = tl.full([], 0, tl.int32)
    high = highest
    while low < high:
        middle = low + (high - low) // 2
        if in_short:
            mass = tl.sum(tl.where(_bits(short) <= middle, tl.exp(-short), 0.0), axis=0)
        else:
            _, mass = _measure(base, vocabulary, best, sharpness, middle, BLOCK)
        if mass >= wanted:
            high = middle
        else:
            low = middle + 1
    return low


@triton.jit
def _floor(base, scratch, vocabulary, best, sharpness, top_p, min_p, top_k, NEAR: tl.constexpr,
           BLOCK: tl.constexpr, SHORT: tl.constexpr, INFINITE: tl.constexpr):  # fmt: skip
    """Bits of the largest distance that still has a chance."""
    floor = tl.full([], INFINITE, tl.int32)
    known = _gather(base, scratch, vocabulary, best, sharpness, NEAR, BLOCK, SHORT)
    tl.debug_barrier()  # what one thread stored, others load
    at = tl.arange(0, SHORT)
    short = tl.load(scratch + at, mask=at < known, other=float("inf"))
    fits = known <= SHORT
    if (top_k > 0) & (top_k < vocabulary):
        in_short = fits & (known >= top_k)
        floor = _rank_floor(base, short, in_short, vocabulary, best, sharpness, top_k, BLOCK,
                            INFINITE)  # fmt: skip
    if top_p < 1.0:
        _, mass = _measure(base, vocabulary, best, sharpness, floor, BLOCK)
        wanted = top_p * mass
        near_mass = tl.sum(tl.where(_bits(short) <= floor, tl.exp(-short), 0.0), axis=0)
        in_short = fits & (near_mass >= wanted)
        floor = _mass_floor(base, short, in_short, vocabulary, best, sharpness, wanted, floor,
                            BLOCK)  # fmt: skip
    if min_p > 0.0:
        floor = tl.minimum(floor, _bits(tl.abs(tl.log(min_p))))
    return floor


@triton.jit
def _chance(seed, position):
    """`seeds.uniform`."""
    mixed = seed.to(tl.uint64, bitcast=True)
    mixed += (position + 1).to(tl.uint64, bitcast=True) * 0x9E3779B97F4A7C15
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB
    mixed = mixed ^ (mixed >> 31)
    return (mixed >> 40).to(tl.int32).to(tl.float32) * 5.9604644775390625e-08


@triton.jit
def _best_of(base, vocabulary, BLOCK: tl.constexpr):
    """Largest logit and the first token that has it."""
    best = tl.full([], float("-inf"), tl.float32)
    token = tl.full([], 0, tl.int32)
    for start in range(0, vocabulary, BLOCK):
        at = start + tl.arange(0, BLOCK)
        logit = tl.load(base + at, mask=at < vocabulary, other=float("-inf")).to(tl.float32)
        top, place = tl.max(logit, axis=0, return_indices=True)
        token = tl.where(top > best, start + place, token)
        best = tl.maximum(top, best)
    return best, token


@triton.jit
def _pick(base, vocabulary, best, sharpness, floor, chance, otherwise, BLOCK: tl.constexpr):
    """The token at which the running sum of weights passes its share `chance`."""
    _, total = _measure(base, vocabulary, best, sharpness, floor, BLOCK)
    below = (total.to(tl.int32, bitcast=True) - 1).to(tl.float32, bitcast=True)
    mark = tl.minimum(chance * total, below)
    found = tl.full([], -1, tl.int32)
    passed = tl.full([], 0.0, tl.float32)
    for start in range(0, vocabulary, BLOCK):
        distance = _distances(base, start, vocabulary, best, sharpness, BLOCK)
        weight = tl.where(_bits(distance) <= floor, tl.exp(-distance), 0.0)
        mass = tl.sum(weight, axis=0)  # in the order of _measure: the sums agree to the last bit
        if (found < 0) & (passed + mass > mark):
            at = start + tl.arange(0, BLOCK)
            behind = (passed + tl.cumsum(weight, axis=0) > mark) & (weight > 0)
            first = tl.min(tl.where(behind, at, 2147483647), axis=0)
            last = tl.max(tl.where(weight > 0, at, -1), axis=0)
            found = tl.where(first < 2147483647, first, last)
        passed += mass
    return tl.where(found < 0, otherwise, found)


@triton.jit
def _draw(logits, slots, reals, wholes, scratch, out, stride, vocabulary, REALS: tl.constexpr,
          WHOLES: tl.constexpr, FILTERED: tl.constexpr, NEAR: tl.constexpr, BLOCK: tl.constexpr,
          SHORT: tl.constexpr, INFINITE: tl.constexpr):  # fmt: skip
    row = tl.program_id(0)
    base = logits + row.to(tl.int64) * stride
    slot = tl.load(slots + row)
    real, whole = reals + slot * REALS, wholes + slot * WHOLES
    best, token = _best_of(base, vocabulary, BLOCK)
    temperature = tl.load(real)
    if temperature > 0.0:
        sharpness = 1.0 / temperature
        floor = tl.full([], INFINITE, tl.int32)
        if FILTERED:
            floor = _floor(base, scratch + row * SHORT, vocabulary, best, sharpness,
                           tl.load(real + 1), tl.load(real + 2), tl.load(whole + 2).to(tl.int32),
                           NEAR, BLOCK, SHORT, INFINITE)  # fmt: skip
        chance = _chance(tl.load(whole), tl.load(whole + 1))
        token = _pick(base, vocabulary, best, sharpness, floor, chance, token, BLOCK)
    tl.store(out + row, token.to(tl.int64))


def draw(
    logits: torch.Tensor,
    slots: torch.Tensor,
    reals: torch.Tensor,
    wholes: torch.Tensor,
    filtered: bool,
) -> torch.Tensor:
    """One token a row; greedy rows get their best.

    Args:
        logits: [L, vocabulary], any float type, the last dimension without gaps.
        slots: [L] int64.
        reals: [slots, REALS] of `state.py`.
        wholes: [slots, WHOLES] of `state.py`.
        filtered: whether some row has top-k, top-p or min-p.
    """
    rows, vocabulary = logits.shape
    out = torch.empty(rows, dtype=torch.int64, device=logits.device)
    scratch = torch.empty((rows, _SHORT), dtype=torch.float32, device=logits.device)
    _draw[(rows,)](
        logits, slots, reals, wholes, scratch, out, logits.stride(0), vocabulary,
        reals.shape[1], wholes.shape[1], filtered, _NEAR, _BLOCK, _SHORT, _INFINITE, num_warps=8,
    )  # fmt: skip
    return out
