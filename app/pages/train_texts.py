"""The words of the train page: field names with help and unit, problems, facts of a plan."""

from __future__ import annotations

from PySide6.QtCore import QObject

from app import messages
from app.bridge import MachineSample
from app.i18n import LanguageManager
from app.text import parameters_text, size_text
from app.viewmodels.train_form import FieldProblem
from core.services.train import TrainPlanPreview

FieldTexts = tuple[str, str, str]
"""Name, help, unit."""


class TrainTexts(QObject):
    """A QObject for its `tr`: `lupdate` needs literals, and the form is long enough."""

    def field(self, key: str) -> FieldTexts:
        """Name, help and unit of a field."""
        found = self._main_fields() | self._step_fields() | self._other_fields()
        return found.get(key, (key, "", ""))

    def _main_fields(self) -> dict[str, FieldTexts]:
        return {
            "model": (
                self.tr("&Model"),
                self.tr("The base model; it stays as it is, an adapter is trained beside it."),
                "",
            ),
            "data": (
                self.tr("&Data"),
                self.tr("A dataset folder or a JSONL, JSON, CSV or text file."),
                "",
            ),
            "preset": (self.tr("&Preset"), self.tr("Values to begin with."), ""),
            "amount": (self.tr("&Length"), self.tr("How long to train."), ""),
            "name": (self.tr("&Name"), self.tr("What this run is called in the list."), ""),
            "sample_prompts": (
                self.tr("&Questions to compare"),
                self.tr("Answered before the first and after the last step."),
                "",
            ),
        }

    def _step_fields(self) -> dict[str, FieldTexts]:
        return {
            "learning_rate": (
                self.tr("Peak learning rate"),
                self.tr("Reached after the warm-up; lower it when the loss jumps."),
                "",
            ),
            "per_device_train_batch_size": (
                self.tr("Batch size"),
                self.tr("Samples that go through the model together; lower it to save memory."),
                self.tr("samples"),
            ),
            "gradient_accumulation_steps": (
                self.tr("Gradient accumulation"),
                self.tr("Batches that make one step: a larger batch without more memory."),
                self.tr("batches"),
            ),
            "seq_len": (
                self.tr("Maximum length"),
                self.tr("Longer samples are cut at the end."),
                self.tr("tokens"),
            ),
            "lora.r": (
                self.tr("LoRA rank"),
                self.tr("Size of the adapter: more can learn more and needs more memory."),
                "",
            ),
            "lora.lora_alpha": (
                self.tr("LoRA alpha"),
                self.tr("The update is scaled by alpha / rank."),
                "",
            ),
            "lora.lora_dropout": (
                self.tr("LoRA dropout"),
                self.tr("Share of inputs dropped, against learning by heart."),
                "",
            ),
            "lora.target_modules": (
                self.tr("Target modules"),
                self.tr("Layers that get an adapter, separated by commas, or all-linear."),
                "",
            ),
            "warmup_ratio": (
                self.tr("Warm-up"),
                self.tr("Share of the steps in which the rate rises to its peak, 0 to 1."),
                "",
            ),
            "min_lr_ratio": (
                self.tr("Final learning rate"),
                self.tr("The rate ends at this share of its peak, 0 to 1."),
                "",
            ),
        }

    def _other_fields(self) -> dict[str, FieldTexts]:
        return {
            "weight_decay": (self.tr("Weight decay"), self.tr("Of AdamW."), ""),
            "max_grad_norm": (
                self.tr("Clip gradient norm"),
                self.tr("Larger gradients are scaled down to this norm."),
                "",
            ),
            "precision": (
                self.tr("Precision"),
                self.tr("auto takes bf16 on a card that has it, else fp32."),
                "",
            ),
            "device": (self.tr("Device"), self.tr("auto, cpu, cuda or cuda:1."), ""),
            "seed": (
                self.tr("Seed"),
                self.tr("Of data order, adapter and dropout; the same seed gives the same run."),
                "",
            ),
            "eval_steps": (
                self.tr("Evaluate every"),
                self.tr("0: only before the first and after the last step."),
                self.tr("steps"),
            ),
            "eval_max_samples": (
                self.tr("Evaluate on at most"),
                self.tr("Samples of each evaluation split."),
                self.tr("samples"),
            ),
            "save_steps": (
                self.tr("Checkpoint every"),
                self.tr("0: only at the end and when you ask for it."),
                self.tr("steps"),
            ),
            "save_total_limit": (
                self.tr("Keep checkpoints"),
                self.tr("Older ones are removed."),
                "",
            ),
            "grad_norm_alarm": (
                self.tr("Alarm above gradient norm"),
                self.tr("Only an alarm; training goes on."),
                "",
            ),
            "stall_alarm_s": (
                self.tr("Alarm without a step for"),
                self.tr("Or ten usual steps, whichever is longer."),
                self.tr("s"),
            ),
        }

    def problem(self, problem: FieldProblem) -> str:
        """Why a value is not taken."""
        texts = {
            "missing": self.tr("Choose one."),
            "greater_than": self.tr("Must be above {limit}."),
            "greater_than_equal": self.tr("Must be at least {limit}."),
            "less_than": self.tr("Must be below {limit}."),
            "less_than_equal": self.tr("Must be at most {limit}."),
            "too_short": self.tr("Name at least one."),
            "too_long": self.tr("At most {limit}."),
            "string_too_long": self.tr("At most {limit} characters."),
            "int_parsing": self.tr("Must be a whole number."),
            "int_from_float": self.tr("Must be a whole number."),
            "int_type": self.tr("Must be a whole number."),
            "float_parsing": self.tr("Must be a number."),
            "finite_number": self.tr("Must be a number."),
            "string_pattern_mismatch": self.tr("One of auto, cpu, cuda, cuda:0, cuda:1 …"),
            "value_error": self.tr("The warm-up must be shorter than the run."),
        }
        limit = problem.limit
        if problem.kind == "too_long":
            limit = "8"
        return texts.get(problem.kind, self.tr("This value is not possible.")).format(limit=limit)

    def plan_facts(
        self, plan: TrainPlanPreview | None, machine: MachineSample
    ) -> list[tuple[str, str]]:
        """What is known before anything runs."""
        if plan is None:
            return []
        batch = plan.spec.per_device_train_batch_size * plan.spec.gradient_accumulation_steps
        facts = [
            (self.tr("Steps"), f"{plan.total_steps:,}"),
            (self.tr("Passes"), f"{plan.total_steps / plan.steps_per_epoch:.2g}"),
            (self.tr("Samples a step"), f"{batch:,}"),
            (self.tr("Warm-up"), self.tr("{count} steps").format(count=plan.warmup_steps)),
            (self.tr("Training"), self.tr("{count} samples").format(count=_n(plan.train_samples))),
            (self.tr("Evaluation"), self.tr("{count} samples").format(count=_n(plan.eval_samples))),
        ]
        if plan.model.parameters:
            facts.append((self.tr("Parameters"), parameters_text(plan.model.parameters)))
        if plan.model.size_bytes:
            facts.append((self.tr("Weights"), size_text(plan.model.size_bytes)))
        return [*facts, *self._memory_facts(machine)]

    def _memory_facts(self, machine: MachineSample) -> list[tuple[str, str]]:
        facts = []
        for gpu in machine.gpus:
            if gpu.memory_total_gib is not None and gpu.memory_used_gib is not None:
                free = gpu.memory_total_gib - gpu.memory_used_gib
                text = self.tr("{free} of {total} GiB").format(
                    free=f"{free:.1f}", total=f"{gpu.memory_total_gib:.1f}"
                )
                facts.append((self.tr("Free on {card}").format(card=gpu.name), text))
        if not machine.gpus and machine.ram_total_gib:
            free = machine.ram_total_gib - machine.ram_used_gib
            text = self.tr("{free} of {total} GiB").format(
                free=f"{free:.1f}", total=f"{machine.ram_total_gib:.1f}"
            )
            facts.append((self.tr("Free memory"), text))
        return facts

    def plan_note(self, plan: TrainPlanPreview | None, machine: MachineSample) -> str:
        """Where it will run, in plain words."""
        if plan is None:
            return self.tr("Choose a model and data to see the plan.")
        if machine.gpus or not machine.gpu_reason:
            return ""
        return messages.gpu_reason_text(machine.gpu_reason, LanguageManager.current().language)


def _n(count: int) -> str:
    return f"{count:,}"
