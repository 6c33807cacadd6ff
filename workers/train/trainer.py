"""The loop: steps, and between them commands, evaluation, saving."""

from __future__ import annotations

import time
from typing import Any

from core.errors import AppError, ErrorCode
from core.protocol.commands import Command, ContinueCommand, PauseCommand, SaveCommand
from core.protocol.events import TrainStep
from workers.harness.context import WorkerContext
from workers.train import random_state
from workers.train.batches import Window, make_window
from workers.train.parallel.sharing import stir
from workers.train.parts import Parts
from workers.train.stall_watch import StallWatch
from workers.train.stepper import StepNumbers

SKIPS_BEFORE_GIVING_UP = 50
"""So many steps in a row without a finite gradient: the run cannot learn any more."""


class Trainer:
    """Drives one run from its first or next step to its end."""

    def __init__(self, ctx: WorkerContext, parts: Parts) -> None:
        self._ctx = ctx
        self._parts = parts
        self._state = parts.state
        self._watch = StallWatch(parts.detectors, ctx.reporter.emit)
        self._paused: Command | None = None
        self._last_loss: float | None = None
        self._last_evals: tuple[int, dict[str, float]] = (-1, {})

    def run(self) -> dict[str, Any]:
        """Train to the end or to a stop, save, and return the facts of the run.

        Raises:
            AppError: `train.diverged`, or `disk.full` when the result could not be saved.
        """
        self._ctx.every_beat(self._watch.look)
        if not self._state.step:
            self._look_before()
        self._ctx.reporter.phase("training")
        while self._state.step < self._parts.extent.total_steps and not self._ctx.stop_requested:
            self._step()
            self._between_steps()
        self._watch.rest()
        return self._finish()

    def _look_before(self) -> None:
        """Losses and answers of the untuned model, to compare with."""
        self._state.evals_before = self._evaluate()
        self._answer_prompts()

    def _step(self) -> None:
        parts, state = self._parts, self._state
        self._watch.begin()
        begun = time.monotonic()
        window, samples = self._fetch()
        if parts.generators is not None:
            # Only now: fetching may draw numbers, which the unbroken run had drawn before it saved.
            random_state.restore(state.random, parts.generators)
            parts.generators = None
        stir(parts.spec.seed, state.step, self._ctx.team)
        rate = parts.schedule.learning_rate(state.step)
        numbers = parts.stepper.step(window, rate)
        self._advance(window, samples, numbers)
        self._say_step(window, numbers, rate, time.monotonic() - begun)

    def _fetch(self) -> tuple[Window, int]:
        samples = self._parts.extent.window_at(self._state.consumed_samples)
        parts = self._parts
        rows = parts.data.train.take(parts.order.window(self._state.consumed_samples, samples))
        batch_size = parts.spec.per_device_train_batch_size
        return make_window(rows, batch_size, parts.pad_id, flat=parts.flat), samples

    def _advance(self, window: Window, samples: int, numbers: StepNumbers) -> None:
        state = self._state
        state.step += 1
        state.consumed_samples += samples
        state.seen_tokens += window.tokens
        state.updates += not numbers.skipped
        state.skipped_in_a_row = state.skipped_in_a_row + 1 if numbers.skipped else 0
        self._last_loss = numbers.loss

    def _say_step(self, window: Window, numbers: StepNumbers, rate: float, seconds: float) -> None:
        now_gib, peak_gib = self._parts.meter.read_gib()
        event = TrainStep(
            step=self._state.step,
            epoch=self._parts.order.epoch_at(self._state.consumed_samples),
            loss=numbers.loss,
            grad_norm=numbers.grad_norm,
            learning_rate=rate,
            tokens_per_second=window.tokens / max(seconds, 1e-9),
            target_tokens=window.target_tokens,
            step_time_s=seconds,
            memory_gib=now_gib,
            peak_memory_gib=peak_gib,
            update_skipped=numbers.skipped,
        )
        self._ctx.reporter.emit(event)
        self._watch.observe(event)

    def _between_steps(self) -> None:
        spec, step = self._parts.spec, self._state.step
        self._give_up_if_lost()
        last = step >= self._parts.extent.total_steps
        if not last and _due(step, spec.eval_steps):
            self._evaluate()
            self._ctx.reporter.phase("training")
        if not last and _due(step, spec.save_steps):
            self._save()
            self._ctx.reporter.phase("training")
        self._obey()

    def _obey(self) -> None:
        """Do what faces asked for; a pause is waited out here, with the model kept."""
        self._take_commands()
        while self._paused and not self._ctx.stop_requested:
            self._watch.rest()
            self._ctx.stop.wait(0.1)
            self._take_commands()

    def _take_commands(self) -> None:
        for command in self._ctx.control.poll():
            match command:
                case SaveCommand():
                    error = self._save()
                    self._ctx.reporter.phase("training")
                    self._ctx.control.acknowledge(command, error is None, str(error or ""))
                case PauseCommand():
                    self._paused = command
                    self._ctx.control.acknowledge(command)
                case ContinueCommand():
                    self._paused = None
                    self._ctx.control.acknowledge(command)

    def _save(self) -> AppError | None:
        self._watch.rest()
        self._state.detectors = self._parts.detectors.state()
        self._state.scaler = self._parts.scaler.state_dict() if self._parts.scaler else {}
        return self._parts.saver.checkpoint(self._state)

    def _evaluate(self) -> dict[str, float]:
        self._watch.rest()
        losses = self._parts.evaluator.run(self._parts.data.evals, self._state.step)
        self._last_evals = (self._state.step, losses)
        return losses

    def _answer_prompts(self) -> None:
        parts = self._parts
        parts.evaluator.answer(
            parts.spec.sample_prompts, parts.encoder, parts.tokenizer, self._state.step
        )

    def _give_up_if_lost(self) -> None:
        if self._state.skipped_in_a_row >= SKIPS_BEFORE_GIVING_UP:
            self._save()
            raise AppError(
                ErrorCode.TRAIN_DIVERGED,
                step=self._state.step,
                detail=f"{self._state.skipped_in_a_row} steps in a row had no finite gradient",
            )

    def _finish(self) -> dict[str, Any]:
        """Save first; then evaluate, which may take longer than the user wants to wait."""
        state = self._state
        result: dict[str, Any] = {"steps": state.step, "adapter": None, "model": None}
        if self._last_loss is not None:
            result["final_loss"] = self._last_loss
        if state.step and not state.updates:
            raise AppError(
                ErrorCode.TRAIN_DIVERGED, step=state.step, detail="no step had a finite gradient"
            )
        if state.step and self._ctx.stop.save:
            self._save()
            result |= self._parts.saver.result()
        if not self._ctx.stop_requested:
            self._look_after()
        result["eval_before"] = state.evals_before
        result["eval_after"] = self._last_evals[1] if self._last_evals[0] == state.step else {}
        return result

    def _look_after(self) -> None:
        if self._last_evals[0] != self._state.step:
            self._evaluate()
        self._answer_prompts()


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
