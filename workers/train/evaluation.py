"""Loss over an evaluation split, and answers to the user's own prompts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import torch

from core.protocol.events import EvalDone, SampleGenerated
from workers.harness.context import WorkerContext
from workers.train.batches import Rows, make_batch
from workers.train.encoding import Encoded, Encoder
from workers.train.objective import Objective
from workers.train.parallel.sharing import own_share

if TYPE_CHECKING:
    from accelerate import Accelerator

MAX_NEW_TOKENS = 128
ANSWERS_S = 60.0
"""For all prompts of one evaluation."""
_SAY_EVERY_S = 0.5


class Evaluator:
    """Evaluates between steps without touching the random state that training draws from."""

    def __init__(
        self,
        ctx: WorkerContext,
        accelerator: Accelerator,
        model: Any,
        objective: Objective,
        *,
        batch_size: int,
        pad_id: int,
        flat: bool = False,
    ) -> None:
        self._ctx = ctx
        self._accelerator = accelerator
        self._model = model
        self._objective = objective
        self._batch_size = batch_size
        self._pad_id = pad_id
        self._answer_until = 0.0
        self._flat = flat

    def run(self, splits: dict[str, Rows], step: int) -> list[EvalDone]:
        """Loss by split, each said as `train.eval`; a stop leaves the rest out."""
        done: list[EvalDone] = []
        self._model.eval()
        try:
            for split, rows in splits.items():
                self._ctx.reporter.phase("evaluating", 0.0, split)
                event = self._loss(split, rows, step)
                if event is None:
                    break
                self._ctx.reporter.emit(event)
                done.append(event)
        finally:
            self._model.train()
        return done

    def quiet(self) -> AbstractContextManager[None]:
        """No dropout and no gradients meanwhile."""
        return _quiet(self._model)

    def mean_loss(self, row: Encoded) -> float:
        """Of one row over its target tokens, in nats. Call inside `quiet`."""
        batch = make_batch([row], self._pad_id).to(self._accelerator.device)
        return float(self._objective.nll_sum(batch).item()) / row.target_tokens

    @torch.no_grad()
    def _loss(self, split: str, rows: Rows, step: int) -> EvalDone | None:
        begun = said = time.monotonic()
        total = torch.zeros((), dtype=torch.float64, device=self._accelerator.device)
        ordered = sorted(rows.rows, key=len, reverse=True)
        groups = [
            ordered[i : i + self._batch_size] for i in range(0, len(ordered), self._batch_size)
        ]
        shares = own_share(groups, self._ctx.team, even=True)
        for done, (group, counts) in enumerate(shares):
            self._ctx.team.agree()
            if self._ctx.stop_requested:
                return None
            if (now := time.monotonic()) - said > _SAY_EVERY_S:
                said = now
                fraction = done * self._ctx.team.data_size / len(groups)
                self._ctx.reporter.phase("evaluating", fraction, split)
            batch = make_batch(group, self._pad_id, flat=self._flat)
            nll = self._objective.nll_sum(batch.to(self._accelerator.device))
            total += nll if counts else 0.0
        (summed,) = self._ctx.team.total([float(total.item())])
        targets = sum(row.target_tokens for row in ordered)
        return EvalDone(
            step=step,
            split=split,
            loss=summed / targets,
            samples=len(ordered),
            target_tokens=targets,
            duration_s=time.monotonic() - begun,
        )

    @torch.no_grad()
    def answer(self, prompts: tuple[str, ...], encoder: Encoder, tokenizer: Any, step: int) -> None:
        """Say the model's greedy answers, as far as `ANSWERS_S` goes."""
        self._answer_until = time.monotonic() + ANSWERS_S
        self._model.eval()
        try:
            for prompt in prompts:
                if self._is_enough():
                    return
                text = self._generate(encoder.prompt_ids(prompt), tokenizer)
                self._ctx.reporter.emit(SampleGenerated(step=step, prompt=prompt, answer=text))
        finally:
            self._model.train()

    def _generate(self, ids: list[int], tokenizer: Any) -> str:
        from transformers import StoppingCriteriaList

        device = self._accelerator.device
        inputs = torch.tensor([ids], device=device)
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices), self._accelerator.autocast():
            output = self._model.generate(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                max_new_tokens=MAX_NEW_TOKENS,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=self._pad_id,
                stopping_criteria=StoppingCriteriaList([self._stop]),
            )
        return str(tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True)).strip()

    def _stop(self, ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        return torch.full((ids.shape[0],), self._is_enough(), device=ids.device)

    def _is_enough(self) -> bool:
        # Where all must make every forward pass together, no clock of one of them may decide.
        late = time.monotonic() > self._answer_until and not self._ctx.team.in_step
        return self._ctx.stop_requested or late


@contextmanager
def _quiet(model: Any) -> Iterator[None]:
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train()
