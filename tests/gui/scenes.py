"""Invented runs that show what the train page can show, for tests and for looking at it.

    python -m tests.gui.scenes HOME     # writes them all, finished ones only

Figures follow one formula, so that pictures of two days can be compared.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.errors import ErrorInfo
from core.paths import Home
from core.protocol.events import (
    AlarmRaised,
    CheckpointSaved,
    DryRunDone,
    EvalDone,
    Event,
    Finding,
    LadderRung,
    LearningRateChanged,
    MemoryRanOut,
    PhaseChanged,
    RolledBack,
    RunFinished,
    RunStarted,
    SampleGenerated,
    TrainPlanned,
    TrainStep,
)
from core.runlog.evidence import BatchEvidence, EvidencePiece, EvidenceSample, write_evidence
from core.runlog.run_dir import RunDir
from tests.gui.written_runs import append, write_run

GIB = 1024**3
TOTAL = 600
PARTS = {"weights": 5.6, "adapter": 0.2, "gradients": 0.2, "optimizer": 1.2, "activations": 7.0,
         "logits": 1.4, "overhead": 1.2}  # fmt: skip
QUESTIONS = {
    "Can a verbal contract be enforced?": (
        "A verbal contract is a contract that is verbal.",
        "Yes, if its terms can be shown.",
        "Yes, where its terms can be proven, except for contracts that the law requires in "
        "writing, such as the sale of land.",
    ),
    "口头合同有效吗？": (
        "口头合同是口头的合同。",
        "有效，只要能证明内容。",
        "有效，只要内容可以证明；法律规定必须采用书面形式的除外。",
    ),
}


class Curves:
    """Steps of an invented run; `clock` goes on over rollbacks, as a worker's does."""

    def __init__(self, seed: int = 7) -> None:
        self._rng = np.random.default_rng(seed)
        self._clock = 0.0
        self.lr_scale = 1.0

    def step(self, i: int, *, lift: float = 0.0) -> TrainStep:
        """Step `i`; `lift` raises the loss and with it the gradient norm."""
        noise = float(self._rng.normal(0, 0.09))
        self._clock += 1.85 + 0.05 * float(self._rng.normal())
        warm = min(1.0, i / 60)
        cosine = 0.55 + 0.45 * math.cos(math.pi * max(0, i - 60) / (TOTAL - 60))
        norm = 0.7 * math.exp(float(self._rng.normal(0, 0.22))) * (1 + 6 * lift)
        return TrainStep(
            step=i, epoch=3 * i / TOTAL, loss=0.82 + 1.5 * math.exp(-i / 90) + noise + lift,
            grad_norm=norm, learning_rate=2e-4 * warm * cosine * self.lr_scale,
            tokens_per_second=6210 + 60 * noise, step_time_s=1.85, target_tokens=6200,
            memory_gib=15.9 + 0.4 * noise, peak_memory_gib=17.8,
            reserved_memory_gib=18.3, lr_scale=self.lr_scale, trained_share=0.41,
            monotonic_s=self._clock,
        )  # fmt: skip

    def range(self, low: int, high: int, *, lift_from: int | None = None) -> Iterator[Event]:
        """Steps with evaluations, answers and checkpoints between them."""
        for i in range(low, high + 1):
            lift = 0.0 if lift_from is None else 2.2 * (1 - math.exp(-max(0, i - lift_from) / 8))
            yield self.step(i, lift=lift)
            if i % 100 == 0:
                loss = 0.88 + 1.45 * math.exp(-i / 100) + (0.05 if i > 450 else 0)
                yield EvalDone(step=i, split="accuracy", loss=loss, samples=200, duration_s=4)
                yield from answers(i)
                path = f"checkpoints/step-{i:06d}"
                yield CheckpointSaved(step=i, path=path, best=i <= 400, size_bytes=90_000_000)


def answers(step: int) -> list[Event]:
    """One answer to each question."""
    told = 0 if step == 0 else (1 if step < 300 else 2)
    return [SampleGenerated(step=step, prompt=q, answer=a[told]) for q, a in QUESTIONS.items()]


def begun() -> list[Event]:
    """Up to the first step, on a card of 24 GiB."""
    plan = TrainPlanned(
        total_steps=TOTAL, warmup_steps=60, epochs=3.0, train_samples=12_480, eval_samples=200,
        trainable_parameters=40_370_176, total_parameters=7_655_986_688, device="cuda:0",
        dtype="bf16", memory_source="cuda", memory_limit_gib=24.0, quantization="nf4",
        tokens_per_step=11_500, flops_per_token=3.1e10, matmul_peak_flops=5.0e14,
        memory_parts_gib=PARTS, target_modules=["q_proj", "v_proj"],
    )  # fmt: skip
    tried = DryRunDone(
        longest_tokens=2048, rows=4, peak_memory_gib=17.4, memory_limit_gib=24.0, step_time_s=1.9,
        total_time_s=1140, checkpoint_bytes=90_000_000, energy_kwh=0.11,
        memory_parts_gib={"weights": 5.6, "optimizer": 1.4, "activations": 8.6, "other": 1.8},
    )  # fmt: skip
    return [
        RunStarted(job="train", pid=os.getpid(), versions={"torch": "2.11"}),
        plan,
        PhaseChanged(phase="dry_run"),
        tried,
        *answers(0),
        EvalDone(step=0, split="accuracy", loss=2.42, samples=200, duration_s=4),
        PhaseChanged(phase="training"),
    ]


def evidence(step: int, alarm: str) -> BatchEvidence:
    """A batch with one sample that does not belong into it."""
    usual = [("Is a lease of ten years valid without a deed?", "No, unless it is registered."),
             ("谁可以提起上诉？", "对一审判决不服的当事人可以在十五日内上诉。"),
             ("What is consideration?", "Something of value that each party gives."),
             ("May a minor buy a car?", "The contract can be voided by the minor.")]  # fmt: skip
    samples = [_sample(412, 413, "</td></tr>&nbsp;" * 3, "&nbsp;\\u0000" * 60, math.nan, 1904)]
    samples.append(
        _sample(8051, 8052, "Summarize the statute.", "7f 45 4c 46 02 01 " * 40, 9.41, 980)
    )
    samples += [
        _sample(100 + 37 * n, 101 + 37 * n, q, a, 1.42 - 0.11 * n, 180 + 21 * n)
        for n, (q, a) in enumerate(usual * 3)
    ]  # fmt: skip
    return BatchEvidence(
        step=step, alarm=alarm, epoch=3 * step / TOTAL, learning_rate=1.9e-4, loss=3.02,
        grad_norm=9.4, samples=samples, left_out=2,
    )  # fmt: skip


def _sample(
    number: int, line: int, ask: str, answer: str, loss: float, tokens: int
) -> EvidenceSample:
    pieces = [
        EvidencePiece(text=f"<|User|>{ask}<|Assistant|>"),
        EvidencePiece(text=f"{answer}<|end▁of▁sentence|>", trained=True),
    ]
    return EvidenceSample(
        sample=number, file="/data/law/train.jsonl", line=line, tokens=tokens,
        target_tokens=tokens // 2, loss=loss, pieces=pieces,
    )  # fmt: skip


DIAGNOSIS = [
    Finding(code="gradient_rising", params={"highest": 9.4, "ratio": 13.4, "usual": 0.7}),
    Finding(code="data_unreadable_samples", params={"count": 1, "samples": "412"}),
    Finding(
        code="data_outlier_samples",
        params={"count": 1, "samples": "8051", "highest": 9.41, "usual": 1.2},
    ),
    Finding(code="lr_lower", params={"learning_rate": 1.9e-4, "lower": 6.3e-5}),
    Finding(
        code="clipping_rare", params={"clipped_share": 0.21, "max_grad_norm": 1.0, "usual": 0.7}
    ),
]
LADDER = [
    LadderRung(
        code="gradient_checkpointing",
        changes={"gradient_checkpointing": "full"},
        saves_gib=9.8,
        slower=1.3,
    ),
    LadderRung(
        code="smaller_micro_batch",
        changes={"per_device_train_batch_size": 2, "gradient_accumulation_steps": 8},
        saves_gib=6.1,
        slower=1.05,
    ),
    LadderRung(code="bf16_adapters", changes={"lora": {"dtype": "bf16"}}, saves_gib=0.3),
    LadderRung(code="more_gpus", saves_gib=8.0),
]


def without_memory(curves: Curves) -> list[Event]:
    """Ends at step 140 and offers its ladder."""
    ran_out = MemoryRanOut(
        step=140,
        needed_gib=1.9,
        allocated_gib=22.6,
        reserved_gib=23.3,
        limit_gib=24.0,
        longest_tokens=2048,
        parts_gib={**PARTS, "activations": 12.4, "logits": 2.8},
        findings=[
            Finding(code="memory.largest_part", params={"part": "activations", "gib": 12.4}),
            Finding(
                code="memory.other_programs", params={"gib": 1.4, "programs": "firefox 1.4 GiB"}
            ),
            Finding(code="memory.was_saved", params={"step": 140}),
        ],
        ladder=LADDER,
    )
    error = ErrorInfo(code="train.out_of_memory", params={"needed_gib": 1.9, "free_gib": 0.7})
    end = RunFinished(outcome="failed", reason="error", error=error)
    return [*begun(), *curves.range(1, 140), ran_out, end]


def rolled_back(curves: Curves, upto: int = 420) -> list[Event]:
    """Diverges at 240, goes back from 262 to 225; a spike and a change by hand come later."""
    events = [*begun(), *curves.range(1, 262, lift_from=240)]
    diverging = AlarmRaised(
        alarm="diverging",
        severity="error",
        step=262,
        value=2.31,
        threshold=1.1,
        detail="241",
        evidence="alarms/step-000262-diverging.json",
        diagnosis=DIAGNOSIS,
        action="rollback",
    )
    events.append(diverging)
    curves.lr_scale = 1 / 3
    events.append(
        RolledBack(
            step=262,
            to_step=225,
            alarm="diverging",
            lr_scale=1 / 3,
            skipped_samples=592,
            rewarm_steps=20,
            attempt=1,
            max_attempts=3,
        )
    )
    events += curves.range(226, 330)
    events.append(
        AlarmRaised(
            alarm="loss_spike", severity="note", step=318, value=1.6, threshold=1.4, action="mark"
        )
    )
    curves.lr_scale = 1 / 6
    events.append(LearningRateChanged(step=330, lr_scale=1 / 6, learning_rate=2e-5))
    return [*events, *curves.range(331, upto)]


def paused_by_guard(curves: Curves) -> list[Event]:
    """Diverges and asks."""
    asked = AlarmRaised(
        alarm="diverging", severity="error", step=262, value=2.31, threshold=1.1, detail="241",
        evidence="alarms/step-000262-diverging.json", diagnosis=DIAGNOSIS, action="pause",
        can_go_back_to=225,
    )  # fmt: skip
    return [*begun(), *curves.range(1, 262, lift_from=240), asked]


def with_evidence(run: RunDir) -> RunDir:
    """The batch of the alarm at step 262."""
    write_evidence(run.path, evidence(262, "diverging"))
    return run


def write_scenes(home: Home, *, alive: bool = False) -> dict[str, RunDir]:
    """All scenes by name; `alive` ones belong to this process."""
    done = RunFinished(outcome="completed", reason="completed")
    scenes = {
        "finished": [*rolled_back(Curves(), TOTAL), done],
        "stopped": [*rolled_back(Curves(), 420), RunFinished(outcome="stopped", reason="signal")],
        "out-of-memory": without_memory(Curves()),
    }
    if alive:
        scenes |= {"rolled-back": rolled_back(Curves()), "paused": paused_by_guard(Curves())}
    made = {}
    for number, (name, events) in enumerate(scenes.items()):
        run_id = f"20261123-12000{number}-train-{name}-0001"
        lives = not isinstance(events[-1], RunFinished)
        run = write_run(home, [], run_id, "R1-Distill-Qwen-7B · legal-qa", alive=lives,
                        adapter=name == "finished", created_utc=1e9 + number)  # fmt: skip
        append(run, events)
        made[name] = with_evidence(run)
    return made


if __name__ == "__main__":
    for scene, folder in write_scenes(Home(Path(sys.argv[1]).resolve())).items():
        print(scene, folder.run_id)
