"""What of a spec decides what is learned: the rest may change when a run goes on.

Measures against running out of memory are taken in the middle of a run. They change how a step is
computed, not which samples are in it: a checkpoint from before still belongs to the run.
"""

from __future__ import annotations

from typing import Any

from core.config.train import TrainSpec

MEMORY_FIELDS = frozenset(
    {
        "chunked_loss", "fast_kernels", "use_liger_kernel", "torch_compile",
        "gradient_checkpointing", "activation_offload", "optim", "optimizer_offload",
        "load_in_4bit", "bnb_4bit_use_double_quant", "load_in_8bit",
    }
)  # fmt: skip
"""How a step is computed, and where what it needs lies."""
WINDOW_FIELDS = frozenset({"per_device_train_batch_size", "gradient_accumulation_steps"})
"""Together with the processes they make the window; only their product is learned from."""
PLACE_FIELDS = frozenset({"parallel", "device"})
"""On which processes and cards it is computed."""
CARE_FIELDS = frozenset({"dry_run", "oom_ladder", "guard", "grad_norm_alarm", "stall_alarm_s"})
"""How the run is watched."""


def learning_identity(spec: TrainSpec) -> dict[str, Any]:
    """Plain values that are equal for two specs when they learn the same from the same samples.

    The samples of a step stand there as one number, however they are cut into micro-batches.
    """
    left_out = MEMORY_FIELDS | WINDOW_FIELDS | PLACE_FIELDS | CARE_FIELDS | {"name", "report_to"}
    values = spec.model_dump(mode="json", exclude=set(left_out))
    values["lora"] = {k: v for k, v in values["lora"].items() if k != "dtype"}
    values["window_samples"] = spec.window_samples
    return values
