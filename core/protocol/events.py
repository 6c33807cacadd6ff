"""What a worker says: one small frozen model a kind.

Rules of change are in `EVOLUTION.md`: new fields have defaults, no field changes its type, no
kind is reused. Readers accept unknown fields and unknown kinds (`UnknownEvent`).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from core.errors import ErrorInfo

PROTOCOL_VERSION = 1

Severity = Literal["note", "warning", "error"]
Outcome = Literal["completed", "stopped", "failed"]


class Finding(BaseModel):
    """One thing that was found, as a code with its facts; the words are the faces'."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    code: str = ""
    params: dict[str, Any] = {}


class Event(BaseModel):
    """The envelope that every event carries. The writer fills it; producers leave it alone."""

    # Non-finite numbers travel as the strings "NaN", "Infinity", "-Infinity": plain JSON has none,
    # and a diverged loss must be seen, not dropped.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    KIND: ClassVar[str] = ""

    v: int = PROTOCOL_VERSION
    run_id: str = ""
    seq: int = 0
    """Rises by one from 1 in each run folder, also across a resume."""
    time_utc: float = 0.0
    """Seconds since the epoch: for people."""
    monotonic_s: float = 0.0
    """Seconds of the worker's monotonic clock since it started: for intervals."""
    kind: str = ""
    in_reply_to: str | None = None
    """`command_id` of the command that caused this event."""


class RunStarted(Event):
    """First word of a worker process. A resumed run says it again in the same file."""

    KIND: ClassVar[str] = "run.started"
    job: str = ""
    """"train", "serve" or "fetch"."""
    pid: int = 0
    versions: dict[str, str] = {}
    resumed_from_step: int | None = None


class PhaseChanged(Event):
    """What the worker is doing now, so that no wait is a bare spinner."""

    KIND: ClassVar[str] = "run.phase"
    phase: str = ""
    """starting, loading_model, reading_data, dry_run, training, evaluating, saving, rolling_back,
    warming_up, ready, draining, downloading, verifying."""
    fraction: float | None = None
    """0 to 1 where it is known."""
    detail: str = ""


class LadderRung(BaseModel):
    """One measure against running out of memory."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str = ""
    """chunked_loss, selective_checkpointing, gradient_checkpointing, smaller_micro_batch,
    packing_length, bf16_adapters, activation_offload, optimizer_8bit, optimizer_offload,
    load_in_4bit, more_gpus, ..."""
    changes: dict[str, Any] = {}
    """Fields of the spec, nested as in `run.json`; empty where only a person can act."""
    saves_gib: float = 0.0
    """By the planner."""
    slower: float = 1.0
    """Step time as a multiple of now's, estimated."""


class TrainPlanned(Event):
    """What will be trained, said before the first step."""

    KIND: ClassVar[str] = "train.plan"
    total_steps: int = 0
    warmup_steps: int = 0
    epochs: float = 0.0
    train_samples: int = 0
    eval_samples: int = 0
    dropped_samples: int = 0
    trainable_parameters: int = 0
    total_parameters: int = 0
    target_modules: list[str] = []
    device: str = "cpu"
    dtype: str = "fp32"
    memory_source: str = "process"
    """"cuda" (the allocator of the card) or "process" (resident memory; there is no card)."""
    memory_limit_gib: float | None = None
    method: str = "lora"
    """As in the spec: "lora" or "full"."""
    quantization: str = "none"
    """Of the frozen weights: "none", "nf4", "int8"."""
    world_size: int = 1
    strategy: str = "none"
    tokens_per_step: float | None = None
    """Expected, padding excluded."""
    flops_per_token: float | None = None
    """Of forward and backward without any recomputation: what MFU counts."""
    matmul_peak_flops: float | None = None
    """Measured on this device at the start of the run, bf16 or fp16; None without a card."""
    memory_parts_gib: dict[str, float] = {}
    """Forecast by part: weights, adapter, gradients, optimizer, activations, logits, overhead."""
    notes: list[Finding] = []
    """What the user should know before it begins: tensors that stayed 16-bit, samples without an
    end token, kernels that were not used, ..."""


class DryRunDone(Event):
    """The longest micro-batch was tried before the first step, with what it took."""

    KIND: ClassVar[str] = "train.dry_run"
    longest_tokens: int = 0
    rows: int = 0
    peak_memory_gib: float = 0.0
    memory_limit_gib: float | None = None
    step_time_s: float = 0.0
    """Of a whole optimizer step, expected."""
    total_time_s: float = 0.0
    checkpoint_bytes: int = 0
    """Of one checkpoint; it was written, read back and removed."""
    finite: bool = True
    energy_kwh: float | None = None
    """Expected for the whole run, from the card's own power reading; None where it has none."""
    memory_parts_gib: dict[str, float] = {}
    """Measured: weights, optimizer, activations, other."""
    problems: list[Finding] = []


class TrainStep(Event):
    """One optimizer step."""

    KIND: ClassVar[str] = "train.step"
    step: int = 0
    """Optimizer steps done, so the first is 1."""
    epoch: float = 0.0
    loss: float = 0.0
    """Mean negative log likelihood in nats over the target tokens of the whole batch."""
    grad_norm: float = 0.0
    """Global L2 norm before clipping."""
    learning_rate: float = 0.0
    tokens_per_second: float = 0.0
    """All tokens that went through the model, padding excluded."""
    target_tokens: int = 0
    step_time_s: float = 0.0
    memory_gib: float = 0.0
    peak_memory_gib: float = 0.0
    update_skipped: bool = False
    """The gradient was not finite, so the weights were left alone."""
    reserved_memory_gib: float | None = None
    """What the allocator holds of the card, fragments included; None without a card."""
    trained_share: float | None = None
    """Target tokens among all tokens of the step, 0 to 1."""
    lr_scale: float = 1.0
    """What the schedule's rate was multiplied by: rollbacks and changes by hand."""


class EvalDone(Event):
    """One pass over an evaluation split."""

    KIND: ClassVar[str] = "train.eval"
    step: int = 0
    split: str = "eval"
    loss: float = 0.0
    """Token-weighted mean in nats."""
    samples: int = 0
    target_tokens: int = 0
    duration_s: float = 0.0


class CheckpointSaved(Event):
    """A checkpoint is whole on disk."""

    KIND: ClassVar[str] = "checkpoint.saved"
    step: int = 0
    path: str = ""
    """Relative to the run folder."""
    size_bytes: int = 0
    best: bool = False
    """Lowest evaluation loss so far."""


class ArtifactSaved(Event):
    """Something for the user is whole on disk: "adapter", "model", "report"."""

    KIND: ClassVar[str] = "artifact.saved"
    artifact: str = ""
    path: str = ""
    size_bytes: int = 0


class SampleGenerated(Event):
    """The model's own words at a step, to see what training does to them."""

    KIND: ClassVar[str] = "sample.generated"
    step: int = 0
    prompt: str = ""
    answer: str = ""


class AlarmRaised(Event):
    """A detector fired. `alarm` is a stable code, see `core.divergence`."""

    KIND: ClassVar[str] = "alarm.raised"
    alarm: str = ""
    """non_finite, grad_norm_high, loss_spike, stall, save_failed, ..."""
    severity: Severity = "warning"
    step: int = 0
    value: float = 0.0
    threshold: float = 0.0
    detail: str = ""
    evidence: str = ""
    """JSON file with the batch that did it, relative to the run folder (`core.runlog.evidence`)."""
    diagnosis: list[Finding] = []
    """What was found, most telling first, codes of `core.divergence.diagnosis`."""
    action: str = ""
    """What the guard did: mark, notify, save, pause, rollback."""
    reason: str = ""
    """Why it was no more: as_chosen, alarm_only_warns, no_snapshot, rollbacks_spent."""
    can_go_back_to: int | None = None
    """Step of a healthy state that a `roll_back` command would restore."""


class RolledBack(Event):
    """The run went back to a healthy state and goes on with a smaller learning rate.

    The next `train.step` has `to_step` + 1. What was measured behind `to_step` is a branch that was
    left: curves show it faded.
    """

    KIND: ClassVar[str] = "train.rolled_back"
    step: int = 0
    """Where the run stood."""
    to_step: int = 0
    alarm: str = ""
    """The alarm that caused it, or "user"."""
    lr_scale: float = 1.0
    """In force from now on."""
    skipped_samples: int = 0
    """Data between the two steps; it is not shown to the model again in this epoch."""
    rewarm_steps: int = 0
    attempt: int = 1
    max_attempts: int = 3
    source: str = "memory"
    """"memory" (a snapshot) or "checkpoint"."""


class LearningRateChanged(Event):
    """The rate was scaled in flight."""

    KIND: ClassVar[str] = "train.lr_changed"
    step: int = 0
    lr_scale: float = 1.0
    learning_rate: float = 0.0
    """Of the next step."""
    reason: str = "user"
    """"user" or "rollback"."""


class SamplesExcluded(Event):
    """These samples are not shown to the model any more in this run."""

    KIND: ClassVar[str] = "train.excluded"
    step: int = 0
    samples: list[int] = []
    """Numbers of training samples, as in the evidence of an alarm."""


class MemoryRanOut(Event):
    """What was found after an out-of-memory error, and what can be done."""

    KIND: ClassVar[str] = "train.out_of_memory"
    step: int = 0
    needed_gib: float = 0.0
    """What was asked for when it failed, on top of what was allocated; 0 when it was not told."""
    allocated_gib: float = 0.0
    reserved_gib: float = 0.0
    limit_gib: float = 0.0
    longest_tokens: int = 0
    parts_gib: dict[str, float] = {}
    """Forecast by part; the largest is what the ladder attacks first."""
    findings: list[Finding] = []
    ladder: list[LadderRung] = []
    """In the order in which they should be tried."""
    applied: str = ""
    """Code of the rung that the run goes on with, or several with commas; empty when it ends."""


class AlarmCleared(Event):
    """The condition of an alarm that lasts (a stall) is over."""

    KIND: ClassVar[str] = "alarm.cleared"
    alarm: str = ""
    step: int = 0


class ResourceSampled(Event):
    """The worker's own use of the machine."""

    KIND: ClassVar[str] = "resource.sampled"
    rss_gib: float = 0.0
    cpu_percent: float = 0.0
    """100 is one core."""
    gpu_allocated_gib: float | None = None
    gpu_reserved_gib: float | None = None


class CommandAcknowledged(Event):
    """Answer to a command; `in_reply_to` names it."""

    KIND: ClassVar[str] = "command.acknowledged"
    command: str = ""
    accepted: bool = True
    detail: str = ""


class ServeReady(Event):
    """The API answered its own probe: clients may come."""

    KIND: ClassVar[str] = "serve.ready"
    url: str = ""
    """Without a path, for example http://127.0.0.1:8000."""
    model_id: str = ""
    adapter: str | None = None
    engine: str = ""
    device: str = "cpu"
    dtype: str = "fp32"
    max_context_tokens: int = 0
    engine_reason: str = ""
    """Code of the sentence why this engine serves (`core.serving.choice`)."""
    engine_params: dict[str, str | int | float] = {}
    """What the sentence needs."""
    precision_reason: str = ""
    """Code of the sentence why in this precision."""
    precision_params: dict[str, str | int | float] = {}
    precision: str = ""
    """As in the spec, chosen: fp32, bf16, fp16, 8bit, 4bit."""
    adapters: tuple[str, ...] = ()
    """Public model names with an adapter (`base:adapter`), those loaded now."""
    cache_tokens: int = 0
    """Tokens that the key-value cache can hold."""
    max_batch_size: int = 0
    memory_budget_gib: float = 0.0
    addresses: tuple[str, ...] = ()
    """Where other computers reach it; empty when it keeps to this one. Not empty: warn."""


class ServeAdapters(Event):
    """Adapters were loaded or unloaded while serving."""

    KIND: ClassVar[str] = "serve.adapters"
    adapters: tuple[str, ...] = ()
    """All public names with an adapter, now."""
    default: str = ""
    """The model that answers requests that name none."""
    folders: dict[str, str] = {}
    """Public name to the folder it was loaded from."""


class ServeEngine(Event):
    """The engine's process changed its state while the server lives."""

    KIND: ClassVar[str] = "serve.engine"
    state: str = ""
    """"crashed", "restarting", "ready" or "given_up"."""
    reason: str = ""
    attempt: int = 0
    retry_in_s: float = 0.0


class ServeSelfTest(Event):
    """What the server's test of itself found: one rate a line, the last says the verdict."""

    KIND: ClassVar[str] = "serve.self_test"
    phase: str = ""
    """"running", "done" or "failed"."""
    fraction: float = 0.0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    rate_qps: float = 0.0
    """Poisson arrivals a second that were offered."""
    completed: int = 0
    refused: int = 0
    ttft_p50_ms: float | None = None
    ttft_p99_ms: float | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    tokens_per_second: float = 0.0
    one_stream_tokens_per_second: float | None = None
    memory_share: float | None = None
    sustained_qps: float | None = None
    """The highest rate that held P99 under the target; with phase "done"."""
    physics_qps: float | None = None
    """What bandwidth and arithmetic would allow; with phase "done", where they are known."""
    detail: str = ""
    """While it runs: "burst" for the round that asks all at once, to learn where to begin."""


class ServeRequest(Event):
    """One answered (or refused, or left) request. Never holds its text."""

    KIND: ClassVar[str] = "serve.request"
    request_id: str = ""
    route: str = ""
    status: int = 200
    """HTTP status; 499 when the client left."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    ttft_ms: float | None = None
    total_ms: float = 0.0
    finish_reason: str | None = None
    streamed: bool = False
    model: str = ""
    """The public name that answered."""
    key_name: str = ""
    error_code: str = ""
    """Stable word of the error body; empty for a success."""
    queue_ms: float | None = None
    cached_tokens: int = 0
    """Prompt tokens that the prefix cache already knew."""
    choices: int = 1


class OpenRequest(BaseModel):
    """A request that is not answered yet. Never holds its text."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    request_id: str = ""
    route: str = ""
    model: str = ""
    key_name: str = ""
    state: str = "queued"
    """"queued", "reading" (its prompt) or "writing"."""
    age_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class ServeStats(Event):
    """State of the server, about once a second while it changes."""

    KIND: ClassVar[str] = "serve.stats"
    requests_total: int = 0
    errors_total: int = 0
    running: int = 0
    queued: int = 0
    queue_limit: int = 0
    qps: float = 0.0
    """Finished requests a second over the last `window_s`."""
    window_s: float = 60.0
    ttft_p50_ms: float | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    tokens_per_second: float = 0.0
    memory_gib: float = 0.0
    """Of the engine's process: the card's memory, else main memory."""
    ttft_p99_ms: float | None = None
    latency_p95_ms: float | None = None
    inter_token_p50_ms: float | None = None
    prompt_tokens_per_second: float = 0.0
    cache_tokens: int = 0
    cache_capacity_tokens: int = 0
    prefix_hit_share: float | None = None
    """Of the prompt tokens of the window, those that the prefix cache knew."""
    memory_share: float | None = None
    """Of the card's memory, all its users together (NVML)."""
    errors_by_reason: dict[str, int] = {}
    """Error code to count, since the start."""
    open_requests: tuple[OpenRequest, ...] = ()
    """What runs or waits now, the oldest first, at most 50."""


class DownloadProgress(Event):
    """Bytes so far of one file."""

    KIND: ClassVar[str] = "download.progress"
    file: str = ""
    bytes_done: int = 0
    bytes_total: int | None = None


class RunFinished(Event):
    """The last word of a worker that could still speak."""

    KIND: ClassVar[str] = "run.finished"
    outcome: Outcome = "completed"
    reason: str = ""
    """completed, stop_requested, signal, error."""
    error: ErrorInfo | None = None
    num_events: int = 0
    """Events in the file with this one, so that a reader knows it has all."""
    result: dict[str, Any] = {}
    """Job-specific facts, for example {"adapter": "adapter", "final_loss": 2.1}."""


class UnknownEvent(Event):
    """A kind that this reader does not know; kept, counted, shown as raw."""

    raw: dict[str, Any] = {}


EVENT_TYPES: dict[str, type[Event]] = {
    cls.KIND: cls
    for cls in (
        RunStarted, PhaseChanged, TrainPlanned, DryRunDone, TrainStep, EvalDone, CheckpointSaved,
        RolledBack, LearningRateChanged, SamplesExcluded, MemoryRanOut,
        ArtifactSaved, SampleGenerated, AlarmRaised, AlarmCleared, ResourceSampled,
        CommandAcknowledged, ServeReady, ServeAdapters, ServeEngine, ServeSelfTest, ServeRequest,
        ServeStats, DownloadProgress, RunFinished,
    )
}  # fmt: skip
