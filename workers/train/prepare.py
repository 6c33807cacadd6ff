"""From a spec to everything a run is made of, each wait announced and interruptible."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from core.catalog.fingerprint import model_fingerprint
from core.config.identity import learning_identity
from core.config.train import TrainSpec
from core.datasets import open_dataset
from core.divergence import Detectors, DetectorSettings
from workers.harness.context import WorkerContext
from workers.train import attention, findings, model, random_state, speed, trackers
from workers.train.adapters import Trained, make_trainable
from workers.train.checkpoint import TrainerState
from workers.train.data import RunData, encode_dataset
from workers.train.data_order import DataOrder, extent, make_order
from workers.train.device import MemoryMeter, Place
from workers.train.encoding import Encoder, Reading
from workers.train.evaluation import Evaluator
from workers.train.forecast import outlook
from workers.train.heaviest import find_heaviest
from workers.train.interrupts import check, interruptible
from workers.train.memory_options import save_memory
from workers.train.objective import Objective
from workers.train.optimizers import check_optimizer, make_optimizer
from workers.train.parallel.strategies import Strategy, strategy_of
from workers.train.parts import Parts
from workers.train.plan import say_plan
from workers.train.quantization import wide_weights_notes
from workers.train.resuming import take_up
from workers.train.saver import Saver
from workers.train.schedule import Schedule, make_schedule
from workers.train.stepper import Stepper


def prepare(ctx: WorkerContext, spec: TrainSpec, place: Place, meter: MemoryMeter) -> Parts:
    """Read the data, load the model, put the adapter on, and take up a checkpoint if there is one.

    Raises:
        StopWanted: a stop was asked for meanwhile.
        AppError: `model.*`, `data.*`, `train.*`, `run.not_resumable`.
    """
    check_optimizer(spec, place.device)
    trackers.check(spec)
    info = model.inspect(Path(spec.model))
    tokenizer = interruptible(ctx, partial(model.load_tokenizer, info))
    encoder = Encoder(tokenizer, _length_limit(spec, info.context_tokens), Reading.of(spec))
    data = _read_data(ctx, spec, encoder)
    order = make_order(spec, data.train.lengths, encoder.max_length_tokens)
    length = extent(spec, order)
    schedule = make_schedule(spec, length.total_steps)
    strategy = strategy_of(ctx.team, spec.parallel)
    base = _load(ctx, info, tokenizer, place, spec, strategy)
    flat = attention.install(base.model)
    largest_id = max(rows.largest_id for rows in (data.train, *data.evals.values()))
    notes = model.fit_vocabulary(base, largest_id, trains_all=spec.method == "full")
    random_state.seed_all(spec.seed)
    notes += speed.patch_base(base.model, spec, place)
    trained = make_trainable(base, spec, place)
    notes += [*trained.notes, *wide_weights_notes(base.model, spec)]
    notes += save_memory(base.model, spec, place)
    notes += speed.speed_up(trained.model, spec, place)
    trained = replace(trained, notes=tuple(notes))
    strategy.spread(trained.model, place.device)
    return _assemble(
        ctx, spec, place, meter, base, trained, data, encoder, order, schedule, flat, strategy
    )


def _assemble(
    ctx: WorkerContext,
    spec: TrainSpec,
    place: Place,
    meter: MemoryMeter,
    base: model.BaseModel,
    trained: Trained,
    data: RunData,
    encoder: Encoder,
    order: DataOrder,
    schedule: Schedule,
    flat: bool,
    strategy: Strategy,
) -> Parts:
    peft_model = trained.model
    accelerator = place.accelerator()
    optimizer = make_optimizer(peft_model, spec, place)
    prepared, prepared_optimizer = strategy.wrap(
        accelerator, peft_model, optimizer, spec.max_grad_norm
    )
    objective = Objective(prepared, forward_of=base.model, chunked=spec.chunked_loss)
    about_data = findings.of_run(spec, data.tally, order, why_plain=objective.why_plain, flat=flat)
    trained = replace(trained, notes=(*about_data, *trained.notes))
    pad_id = _pad_id(base.tokenizer)
    length = extent(spec, order)
    detectors = Detectors(
        DetectorSettings(
            grad_norm_alarm=spec.grad_norm_alarm,
            stall_alarm_s=spec.stall_alarm_s,
            scaled_gradients=accelerator.scaler is not None,
            warmup_steps=schedule.warmup_steps,
            vocabulary=getattr(base.model.config, "vocab_size", None),
        )
    )
    state = TrainerState(
        spec_hash=spec_hash(spec),
        data=data.train.fingerprint(),
        model=model_fingerprint(Path(spec.model)),
    )
    parts = Parts(
        spec=spec,
        place=place,
        data=data,
        encoder=encoder,
        tokenizer=base.tokenizer,
        pad_id=pad_id,
        order=order,
        extent=length,
        flat=flat,
        schedule=schedule,
        model=peft_model,
        optimizer=optimizer,
        stepper=Stepper(
            accelerator,
            prepared,
            prepared_optimizer,
            objective,
            spec.max_grad_norm,
            team=ctx.team,
            strategy=strategy,
        ),
        evaluator=Evaluator(
            ctx,
            accelerator,
            prepared,
            objective,
            batch_size=spec.per_device_train_batch_size,
            pad_id=pad_id,
            flat=flat,
        ),
        saver=Saver(
            ctx,
            peft_model,
            optimizer,
            base.tokenizer,
            spec.save_total_limit,
            stored_dtype=base.stored_dtype,
        ),
        detectors=detectors,
        scaler=accelerator.scaler,
        meter=meter,
        state=state,
    )
    parts.heaviest = find_heaviest(parts)
    parts.outlook = outlook(peft_model, spec, place, parts.heaviest)
    memory_gib = parts.outlook.parts_gib
    say_plan(ctx, spec, place, meter, trained, data, order, length, schedule, memory_gib)
    prepared.train()
    if ctx.resumed_from_step is not None:
        take_up(ctx, parts)
    return parts


def spec_hash(spec: TrainSpec) -> str:
    """Names what a spec learns: a checkpoint belongs to the run with the same name.

    Measures against running out of memory, which may be taken on the way, are not in it.
    """
    identity = json.dumps(learning_identity(spec), sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()


def _read_data(ctx: WorkerContext, spec: TrainSpec, encoder: Encoder) -> RunData:
    def progress(fraction: float) -> None:
        check(ctx)
        ctx.reporter.phase("reading_data", fraction)

    ctx.reporter.phase("reading_data")
    dataset = open_dataset(Path(spec.data))
    return encode_dataset(
        dataset,
        encoder,
        eval_max_samples=spec.eval_max_samples,
        progress=progress,
        bounds=spec.packing,
    )


def _load(
    ctx: WorkerContext,
    info: Any,
    tokenizer: Any,
    place: Place,
    spec: TrainSpec,
    strategy: Strategy,
) -> model.BaseModel:
    ctx.reporter.phase("loading_model", detail=info.name)
    return interruptible(ctx, partial(model.load_base, info, tokenizer, place, spec, strategy))


def _length_limit(spec: TrainSpec, context_tokens: int | None) -> int:
    return min(spec.seq_len, context_tokens or spec.seq_len)


def _pad_id(tokenizer: Any) -> int:
    """Any id will do: padding is told from text by its place."""
    for token_id in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token_id is not None:
            return int(token_id)
    return 0
