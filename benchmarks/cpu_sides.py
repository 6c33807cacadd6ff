"""What the CPU benchmarks of training share: real rows, a model with an adapter, our own step."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the supervisor starts workers
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import numpy as np

from core.catalog import ModelInfo
from core.config.train import TrainSpec
from core.datasets import open_dataset, read_samples
from core.paths import SAMPLE_DATASET
from workers.train import attention, random_state
from workers.train import model as loading
from workers.train.adapters import make_trainable
from workers.train.device import Place
from workers.train.encoding import Encoded, Encoder
from workers.train.objective import Objective
from workers.train.optimizers import make_optimizer
from workers.train.stepper import Stepper

CPU = Place("cpu", "fp32")


def spec_of(**values: Any) -> TrainSpec:
    """LoRA on all linear layers, as a user would set it up."""
    lora = {"r": 16, "target_modules": ["all-linear"]}
    return TrainSpec.parse({"model": "m", "data": "d", "device": "cpu", "lora": lora, **values})


def real_rows(tokenizer: Any, count: int, seq_len: int = 512) -> list[Encoded]:
    """Conversations of the bundled sample, drawn at random, with the lengths they have."""
    encoder = Encoder(tokenizer, seq_len)
    found = [sample for file in open_dataset(SAMPLE_DATASET).train for sample in read_samples(file)]
    drawn = np.random.default_rng(0).permutation(len(found))[:count]
    return [row for i in drawn for row in encoder.encode(found[i])]


class OurSide:
    """The worker's own parts, put together as `workers.train.prepare` does."""

    def __init__(self, info: ModelInfo, spec: TrainSpec, *, flat: bool = True) -> None:
        tokenizer = loading.load_tokenizer(info)
        base = loading.load_base(info, tokenizer, CPU)
        self.flat = flat and attention.install(base.model)
        random_state.seed_all(0)
        trained = make_trainable(base, spec, CPU)
        accelerator = CPU.accelerator()
        optimizer = make_optimizer(trained.model, spec, CPU)
        prepared, wrapped = accelerator.prepare(trained.model, optimizer)
        prepared.train()
        objective = Objective(prepared, forward_of=base.model, chunked=spec.chunked_loss)
        self.stepper = Stepper(accelerator, prepared, wrapped, objective, spec.max_grad_norm)


def windows_of(rows: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Whole windows, in order."""
    return [rows[i : i + size] for i in range(0, len(rows) - size + 1, size)]
