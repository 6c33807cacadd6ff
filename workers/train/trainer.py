"""The loop: steps, and between them commands, evaluation, saving."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from core.errors import AppError, ErrorCode
from core.metrics.eval_mean import mean_eval_loss
from core.protocol.events import EvalDone, TrainStep
from workers.harness.context import WorkerContext
from workers.train import course, guard, random_state
from workers.train.checkpoint import TrainerState
from workers.train.commands import Commands
from workers.train.evidence import Evidence
from workers.train.feed import Fed, Feed
from workers.train.guard import Guard
from workers.train.parallel.sharing import stir
from workers.train.parking import Parking
from workers.train.parts import Parts
from workers.train.stall_watch import StallWatch
from workers.train.stepper import StepNumbers
from workers.train.trackers import Trackers

SKIPS_BEFORE_GIVING_UP = 50
"""So many steps in a row without a finite gradient: the run cannot learn any more."""


class Trainer:
    """Drives one run from its first or next step to its end."""

    def __init__(self, ctx: WorkerContext, parts: Parts) -> None:
        self._ctx = ctx
        self._parts = parts
        self._watch = StallWatch(parts.detectors, partial(guard.say, ctx.reporter, parts.spec))
        self._feed = Feed(parts)
        self._guard = Guard(ctx, parts, self._watch, Evidence(ctx, parts))
        parking = Parking(parts, ctx.team.size)
        self._commands = Commands(ctx, parts, self._guard, parking, self._save)
        if ctx.team.size == 1:
            parts.stepper.gives_up = lambda: ctx.stop_requested
        if parts.spec.guard == "rollback":
            parts.stepper.is_outlier = parts.detectors.outlier
        self._trackers = Trackers(ctx, parts.spec, parts.state.step)
        self._last_step: TrainStep | None = None
        self._first_gib: float | None = None
        self._last_evals: tuple[int, dict[str, float]] = (-1, {})

    @property
    def _state(self) -> TrainerState:
        """Never kept: a rollback puts another one in its place."""
        return self._parts.state

    def run(self) -> dict[str, Any]:
        """Train to the end or to a stop, save, and return the facts of the run.

        Raises:
            AppError: `train.diverged`, or `disk.full` when the result could not be saved.
        """
        self._ctx.every_beat(self._watch.look)
        if not self._state.step:
            self._state.evals_before = self._evaluate()
        self._guard.begin()
        try:
            self._loop()
            return self._finish()
        finally:
            self._trackers.close()

    def _loop(self) -> None:
        self._ctx.reporter.phase("training")
        while self._state.step < self._parts.extent.total_steps and not self._ctx.stop_requested:
            if self._step():
                self._between_steps()
        self._watch.rest()

    @property
    def memory_first_and_last(self) -> tuple[float | None, float | None]:
        """GiB held after the first step of this life, and after the last one."""
        last = self._last_step.memory_gib if self._last_step else None
        return self._first_gib, last

    def rescue(self) -> bool:
        """After an error in the middle of a step: save what the last whole one left.

        False when it could not be saved, or the weights may be half changed.
        """
        if self._parts.stepper.updating:
            return False
        self._parts.optimizer.zero_grad(set_to_none=True)
        return not self._state.step or self._save() is None

    def _step(self) -> bool:
        """One optimizer step; false when a stop came in its middle and nothing was changed."""
        parts, state = self._parts, self._state
        self._watch.begin()
        begun = time.monotonic()
        fed = self._feed.next(state)
        if parts.generators is not None:
            # Only now: fetching may draw numbers, which the unbroken run had drawn before it saved.
            random_state.restore(state.random, parts.generators)
            parts.generators = None
        stir(parts.spec.seed, state.step, self._ctx.team)
        rate = course.learning_rate(state, parts.schedule)
        before, numbers = random_state.of_torch(), None
        try:
            numbers = parts.stepper.step(fed.window, rate)
        finally:
            if numbers is None:  # dropped, or out of memory in its middle
                random_state.restore_torch(before)
        if numbers is None:
            return False
        self._advance(fed, numbers)
        self._say_step(fed, numbers, rate, time.monotonic() - begun)
        return True

    def _advance(self, fed: Fed, numbers: StepNumbers) -> None:
        state = self._state
        state.step += 1
        state.consumed_samples += fed.consumed
        state.data_offset += fed.passed_over
        state.seen_tokens += fed.window.tokens
        state.updates += not numbers.skipped
        state.skipped_in_a_row = state.skipped_in_a_row + 1 if numbers.skipped else 0

    def _say_step(self, fed: Fed, numbers: StepNumbers, rate: float, seconds: float) -> None:
        window, meter = fed.window, self._parts.meter
        now_gib, peak_gib = meter.read_gib()
        event = TrainStep(
            step=self._state.step,
            epoch=self._feed.epoch(self._state),
            loss=numbers.loss,
            grad_norm=numbers.grad_norm,
            learning_rate=rate,
            tokens_per_second=window.tokens / max(seconds, 1e-9),
            target_tokens=window.target_tokens,
            step_time_s=seconds,
            memory_gib=now_gib,
            peak_memory_gib=peak_gib,
            update_skipped=numbers.skipped,
            reserved_memory_gib=meter.reserved_gib,
            trained_share=window.target_tokens / window.tokens,
            lr_scale=course.lr_scale(self._state),
        )
        # Times and memory are this process's: detectors and guard of all must see the same step.
        event = self._ctx.team.share(event)
        self._last_step = event
        self._first_gib = event.memory_gib if self._first_gib is None else self._first_gib
        self._ctx.reporter.emit(event)
        self._trackers.step(event)
        self._guard.look(event, fed)

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
        """Do what faces asked for; a pause is waited out here."""
        self._commands.obey()
        while self._guard.paused and not self._ctx.stop_requested:
            self._watch.rest()
            self._ctx.stop.wait(0.1)
            self._commands.obey()

    def _save(self) -> AppError | None:
        self._watch.rest()
        self._guard.complete()
        return self._parts.saver.checkpoint(self._state)

    def _evaluate(self) -> dict[str, float]:
        """Losses by split and answers to the user's prompts, as the model is now."""
        self._watch.rest()
        parts, step = self._parts, self._state.step
        done = parts.evaluator.run(parts.data.evals, step)
        losses = {event.split: event.loss for event in done}
        self._last_evals = (step, losses)
        self._trackers.evaluation(done)
        parts.evaluator.answer(parts.spec.sample_prompts, parts.encoder, parts.tokenizer, step)
        if self._last_step is not None and step:
            alarms = [alarm for event in done for alarm in self._watch.observe_eval(event)]
            self._guard.deal(alarms, self._last_step)
            self._keep_best(done)
        return losses

    def _keep_best(self, done: list[EvalDone]) -> None:
        """An adapter is saved whenever it is the best so far; a whole model is too large for it,
        there the best of the checkpoints that are due is meant.
        """
        spec, state = self._parts.spec, self._state
        loss = mean_eval_loss(done)
        if not (spec.keep_best and spec.eval_steps):  # without a course there is nothing to compare
            return
        if loss is None or not loss < state.best.get("loss", float("inf")):
            return
        if spec.method == "lora" or _due(state.step, spec.save_steps):
            state.best = {"step": state.step, "loss": loss}
            if not self._parts.saver.now_best(state):
                self._save()

    def _give_up_if_lost(self) -> None:
        if self._guard.paused or self._state.skipped_in_a_row < SKIPS_BEFORE_GIVING_UP:
            return
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
        if self._last_step is not None:
            result["final_loss"] = self._last_step.loss
        if state.step and not state.updates:
            raise AppError(
                ErrorCode.TRAIN_DIVERGED, step=state.step, detail="no step had a finite gradient"
            )
        if state.step and self._ctx.stop.save:
            self._save()
            result |= self._parts.saver.result()
        if not self._ctx.stop_requested and self._last_evals[0] != state.step:
            self._evaluate()
        result["eval_before"] = state.evals_before
        result["eval_after"] = self._last_evals[1] if self._last_evals[0] == state.step else {}
        return result


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
