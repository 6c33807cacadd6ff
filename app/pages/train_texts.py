"""The words of the train page: field names with help and unit, problems, facts of a plan."""

from __future__ import annotations

from PySide6.QtCore import QObject

from app import messages
from app.bridge import MachineSample
from app.i18n import LanguageManager
from app.text import parameters_text, size_text
from app.viewmodels.train_form import FieldProblem
from core.services.train import TrainPlanPreview


class TrainTexts(QObject):
    """A QObject for its `tr`: `lupdate` needs literals, and the form is long enough."""

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
            (self.tr("Steps"), self._steps(plan)),
            (self.tr("Passes"), f"{plan.total_steps / plan.steps_per_epoch:.2g}"),
            (self.tr("Samples a step"), f"{batch:,}"),
            (self.tr("Warm-up"), self.tr("{count} steps").format(count=plan.warmup_steps)),
            (self.tr("Training"), self.tr("{count} samples").format(count=_n(plan.train_samples))),
            (self.tr("Evaluation"), self.tr("{count} samples").format(count=_n(plan.eval_samples))),
        ]
        if plan.target_modules:
            facts.append((self.tr("Adapters on"), ", ".join(plan.target_modules)))
        if plan.model.parameters:
            facts.append((self.tr("Parameters"), parameters_text(plan.model.parameters)))
        if plan.model.size_bytes:
            facts.append((self.tr("Weights"), size_text(plan.model.size_bytes)))
        return [*facts, *self._memory_facts(machine)]

    def _steps(self, plan: TrainPlanPreview) -> str:
        """Only the worker, which has the tokens, knows how many rows the samples fill."""
        count = f"{plan.total_steps:,}"
        return self.tr("about {count}").format(count=count) if plan.steps_are_estimate else count

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
