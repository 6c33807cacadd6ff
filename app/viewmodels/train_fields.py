"""The fields of the advanced section: where each is in the spec, how it is typed in, its group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FieldKind = Literal["int", "float", "choice", "words", "bool", "text", "optional_int"]
Group = Literal["learning", "adapter", "data", "memory", "speed", "parallel", "keeping", "safety"]


@dataclass(frozen=True)
class AdvancedField:
    """One field: its path in the spec, its kind, and the values to choose from."""

    path: str
    kind: FieldKind
    choices: tuple[str, ...] = ()


_ON_OFF: FieldKind = "bool"

GROUPS: dict[Group, tuple[AdvancedField, ...]] = {
    "learning": (
        AdvancedField("learning_rate", "float"),
        AdvancedField("per_device_train_batch_size", "int"),
        AdvancedField("gradient_accumulation_steps", "int"),
        AdvancedField("lr_scheduler_type", "choice", ("cosine", "linear", "constant")),
        AdvancedField("warmup_ratio", "float"),
        AdvancedField("warmup_steps", "optional_int"),
        AdvancedField("min_lr_ratio", "float"),
        AdvancedField("weight_decay", "float"),
        AdvancedField("max_grad_norm", "float"),
        AdvancedField("seed", "int"),
    ),
    "adapter": (
        AdvancedField("lora.r", "int"),
        AdvancedField("lora.lora_alpha", "float"),
        AdvancedField("lora.lora_dropout", "float"),
        AdvancedField("lora.target_modules", "words"),
        AdvancedField("lora.use_rslora", _ON_OFF),
        AdvancedField("lora.use_dora", _ON_OFF),
        AdvancedField("lora.dtype", "choice", ("fp32", "bf16")),
    ),
    "data": (
        AdvancedField("stage", "choice", ("sft", "pretrain")),
        AdvancedField("seq_len", "int"),
        AdvancedField("packing", _ON_OFF),
        AdvancedField("assistant_only_loss", _ON_OFF),
        AdvancedField("thinking", "choice", ("keep", "strip")),
    ),
    "memory": (
        AdvancedField("precision", "choice", ("auto", "fp32", "bf16", "fp16")),
        AdvancedField("gradient_checkpointing", "choice", ("off", "selective", "full")),
        AdvancedField("chunked_loss", _ON_OFF),
        AdvancedField("activation_offload", _ON_OFF),
        AdvancedField(
            "optim",
            "choice",
            (
                "adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_32bit",
                "paged_adamw_8bit",
            ),
        ),
        AdvancedField("optimizer_offload", _ON_OFF),
        AdvancedField("bnb_4bit_use_double_quant", _ON_OFF),
        AdvancedField("oom_ladder", _ON_OFF),
    ),
    "speed": (
        AdvancedField("fast_kernels", _ON_OFF),
        AdvancedField("torch_compile", _ON_OFF),
        AdvancedField("use_liger_kernel", _ON_OFF),
    ),
    "parallel": (
        AdvancedField("parallel.strategy", "choice", ("none", "ddp", "fsdp2", "tp")),
        AdvancedField("parallel.nproc_per_node", "int"),
        AdvancedField("parallel.nnodes", "int"),
        AdvancedField("parallel.node_rank", "int"),
        AdvancedField("parallel.rdzv_endpoint", "text"),
    ),
    "keeping": (
        AdvancedField("eval_steps", "int"),
        AdvancedField("eval_max_samples", "int"),
        AdvancedField("save_steps", "int"),
        AdvancedField("save_total_limit", "int"),
        AdvancedField("keep_best", _ON_OFF),
        AdvancedField("report_to", "words"),
    ),
    "safety": (
        AdvancedField("dry_run", _ON_OFF),
        AdvancedField("rollback.snapshot_steps", "int"),
        AdvancedField("rollback.max_rollbacks", "int"),
        AdvancedField("rollback.lr_divisor", "float"),
        AdvancedField("rollback.rewarm_steps", "int"),
        AdvancedField("grad_norm_alarm", "float"),
        AdvancedField("stall_alarm_s", "float"),
    ),
}  # fmt: skip

ADVANCED: tuple[AdvancedField, ...] = tuple(f for group in GROUPS.values() for f in group)
_GROUP_OF = {f.path: group for group, fields in GROUPS.items() for f in fields}


def group_of(path: str) -> Group:
    """The group in which a field stands."""
    return _GROUP_OF[path]
