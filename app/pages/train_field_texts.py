"""What each field of a training is called, what it does, its usual range, its cost in memory."""

from __future__ import annotations

from typing import Literal, NamedTuple

from PySide6.QtCore import QObject

Memory = Literal["", "less", "much_less", "more"]


class FieldTexts(NamedTuple):
    """The words of one field."""

    name: str
    help: str
    unit: str = ""
    usual: str = ""
    """Safe range, in the user's language."""
    memory: Memory = ""
    """What switching it on, or raising it, does to memory."""


class TrainFieldTexts(QObject):
    """A QObject for its `tr`: `lupdate` needs literals."""

    def field(self, key: str) -> FieldTexts:
        """The words of a field; its path when it has none."""
        found = (
            self._main()
            | self._learning()
            | self._adapter()
            | self._data()
            | self._memory()
            | self._speed()
            | self._parallel()
            | self._keeping()
            | self._safety()
        )
        return found.get(key, FieldTexts(key, ""))

    def explain(self, texts: FieldTexts) -> str:
        """Help, usual range and effect on memory as one text."""
        effect = {
            "": "",
            "less": self.tr("Saves memory."),
            "much_less": self.tr("Saves much memory."),
            "more": self.tr("More needs more memory."),
        }[texts.memory]
        usual = self.tr("Usual: {range}.").format(range=texts.usual) if texts.usual else ""
        return " ".join(t for t in (texts.help, usual, effect) if t)

    def group(self, group: str) -> str:
        """The name of a group of fields."""
        return {
            "learning": self.tr("Learning"),
            "adapter": self.tr("Adapter"),
            "data": self.tr("Data"),
            "memory": self.tr("Memory"),
            "speed": self.tr("Speed"),
            "parallel": self.tr("Several GPUs"),
            "keeping": self.tr("Evaluate and keep"),
            "safety": self.tr("Safety"),
        }[group]

    def choice(self, path: str, value: str) -> str:
        """A value to choose, in words; the value itself where that is what people say."""
        words = self._choices().get((path, value))
        return f"{words} ({value})" if words else value

    def method(self, method: str) -> tuple[str, str]:
        """A way to train: its name and when to take it."""
        return {
            "lora": (
                self.tr("LoRA"),
                self.tr("A small adapter beside the model in 16 bits. The first choice."),
            ),
            "qlora": (
                self.tr("QLoRA (4-bit)"),
                self.tr(
                    "The same with the model in 4 bits: about a quarter of the memory for its "
                    "weights, somewhat slower. Needs bitsandbytes."
                ),
            ),
            "lora_8bit": (
                self.tr("LoRA on 8-bit"),
                self.tr("The model in 8 bits: half the memory for its weights."),
            ),
            "full": (
                self.tr("Full fine-tuning"),
                self.tr(
                    "Every weight is trained: about 16 bytes for each parameter. For small models "
                    "or several cards; take a rate of about 1e-5."
                ),
            ),
        }[method]

    def guard(self, level: str) -> tuple[str, str]:
        """How far automation goes: its name and what it does."""
        return {
            "mark": (self.tr("Mark it"), self.tr("A mark on the plots, nothing else.")),
            "notify": (self.tr("Tell me"), self.tr("A mark and a message.")),
            "save": (
                self.tr("Save"),
                self.tr("A message, and the last healthy state is saved."),
            ),
            "pause": (
                self.tr("Pause and ask"),
                self.tr("Saved and paused until you decide."),
            ),
            "rollback": (
                self.tr("Put it right"),
                self.tr(
                    "Back to the last healthy state, the learning rate to a third, the guilty "
                    "data skipped, then on; at most three times, then it pauses and asks."
                ),
            ),
        }[level]

    def _choices(self) -> dict[tuple[str, str], str]:
        return {
            ("lr_scheduler_type", "cosine"): self.tr("falls like a cosine"),
            ("lr_scheduler_type", "linear"): self.tr("falls evenly"),
            ("lr_scheduler_type", "constant"): self.tr("stays"),
            ("stage", "sft"): self.tr("conversations and answers"),
            ("stage", "pretrain"): self.tr("plain text, continued pre-training"),
            ("thinking", "keep"): self.tr("learn the reasoning too"),
            ("thinking", "strip"): self.tr("answers without reasoning"),
            ("gradient_checkpointing", "off"): self.tr("keep all activations"),
            ("gradient_checkpointing", "selective"): self.tr("recompute the cheap ones"),
            ("gradient_checkpointing", "full"): self.tr("recompute all"),
            ("parallel.strategy", "none"): self.tr("one process"),
            ("parallel.strategy", "ddp"): self.tr("whole model on each card"),
            ("parallel.strategy", "fsdp2"): self.tr("model shared by the cards"),
            ("parallel.strategy", "tp"): self.tr("each layer shared by the cards"),
        }

    def _main(self) -> dict[str, FieldTexts]:
        return {
            "model": FieldTexts(self.tr("&Model"), self.tr("The model to begin with.")),
            "data": FieldTexts(
                self.tr("&Data"), self.tr("A dataset folder or a JSONL, JSON, CSV or text file.")
            ),
            "preset": FieldTexts(self.tr("&Preset"), self.tr("Values to begin with.")),
            "method": FieldTexts(self.tr("Met&hod"), self.tr("What is trained.")),
            "device": FieldTexts(self.tr("&Run on"), self.tr("The card that trains.")),
            "guard": FieldTexts(
                self.tr("When it &goes wrong"),
                self.tr("How far DeepDeck may act by itself when training diverges."),
            ),
            "amount": FieldTexts(self.tr("&Length"), self.tr("How long to train.")),
            "name": FieldTexts(self.tr("&Name"), self.tr("What this run is called in the list.")),
            "sample_prompts": FieldTexts(
                self.tr("&Questions to compare"),
                self.tr("Answered before the first step and at every evaluation."),
            ),
        }

    def _learning(self) -> dict[str, FieldTexts]:
        return {
            "learning_rate": FieldTexts(
                self.tr("Peak learning rate"),
                self.tr("Reached after the warm-up; lower it when the loss jumps."),
                usual=self.tr("1e-4 to 3e-4 for LoRA, 1e-5 to 5e-5 for full fine-tuning"),
            ),
            "per_device_train_batch_size": FieldTexts(
                self.tr("Batch size"),
                self.tr("Samples that go through the model together on one card."),
                self.tr("samples"),
                usual="1–16",
                memory="more",
            ),
            "gradient_accumulation_steps": FieldTexts(
                self.tr("Gradient accumulation"),
                self.tr("Batches that make one step: a larger batch without more memory."),
                self.tr("batches"),
                usual="1–32",
            ),
            "lr_scheduler_type": FieldTexts(
                self.tr("After the warm-up the rate"), self.tr("How the rate goes on to the end.")
            ),
            "warmup_ratio": FieldTexts(
                self.tr("Warm-up"),
                self.tr("Share of the steps in which the rate rises to its peak, 0 to 1."),
                usual="0.03–0.1",
            ),
            "warmup_steps": FieldTexts(
                self.tr("Warm-up steps"),
                self.tr("Instead of the share; for long runs. Must be less than the run."),
                self.tr("steps"),
                usual=self.tr("empty, or up to 1000"),
            ),
            "min_lr_ratio": FieldTexts(
                self.tr("Final learning rate"),
                self.tr("The rate ends at this share of its peak, 0 to 1."),
                usual="0.1",
            ),
            "weight_decay": FieldTexts(
                self.tr("Weight decay"), self.tr("Of AdamW."), usual="0–0.1"
            ),
            "max_grad_norm": FieldTexts(
                self.tr("Clip gradient norm"),
                self.tr("Larger gradients are scaled down to this norm."),
                usual="1.0",
            ),
            "seed": FieldTexts(
                self.tr("Seed"),
                self.tr("Of data order, adapter and dropout; the same seed gives the same run."),
            ),
        }

    def _adapter(self) -> dict[str, FieldTexts]:
        return {
            "lora.r": FieldTexts(
                self.tr("LoRA rank"),
                self.tr("Size of the adapter: more can learn more."),
                usual="8–64",
                memory="more",
            ),
            "lora.lora_alpha": FieldTexts(
                self.tr("LoRA alpha"),
                self.tr("The update is scaled by alpha / rank."),
                usual=self.tr("twice the rank"),
            ),
            "lora.lora_dropout": FieldTexts(
                self.tr("LoRA dropout"),
                self.tr("Share of inputs dropped, against learning by heart. 0 is fastest."),
                usual="0–0.1",
            ),
            "lora.target_modules": FieldTexts(
                self.tr("Target modules"),
                self.tr("Layers that get an adapter, separated by commas, or all-linear."),
                memory="more",
            ),
            "lora.use_rslora": FieldTexts(
                self.tr("Rank-stabilized scale"),
                self.tr("Scale by alpha / √rank (rsLoRA): for ranks above 32."),
            ),
            "lora.use_dora": FieldTexts(
                self.tr("DoRA"),
                self.tr("Train length and direction of the weights apart: often better at small "
                        "ranks, clearly slower."),
                memory="more",
            ),
            "lora.dtype": FieldTexts(
                self.tr("Precision of the adapter"),
                self.tr("bf16 saves memory where all layers carry adapters and loses a little "
                        "precision."),
            ),
        }  # fmt: skip

    def _data(self) -> dict[str, FieldTexts]:
        return {
            "stage": FieldTexts(self.tr("Learn from"), self.tr("What the data is.")),
            "seq_len": FieldTexts(
                self.tr("Maximum length"),
                self.tr("Longer samples are cut at the end."),
                self.tr("tokens"),
                usual="512–4096",
                memory="more",
            ),
            "packing": FieldTexts(
                self.tr("Packing"),
                self.tr("Several samples share a row without seeing each other: two to four "
                        "times as fast on short samples."),
            ),
            "assistant_only_loss": FieldTexts(
                self.tr("Learn answers only"),
                self.tr("Off: the questions are learned as well."),
            ),
            "thinking": FieldTexts(
                self.tr("<think> parts"),
                self.tr("What happens to the reasoning in R1-style answers."),
            ),
        }  # fmt: skip

    def _memory(self) -> dict[str, FieldTexts]:
        return {
            "precision": FieldTexts(
                self.tr("Precision"),
                self.tr("auto takes bf16 on a card that has it, else fp32."),
            ),
            "gradient_checkpointing": FieldTexts(
                self.tr("Activations"),
                self.tr("Recomputing them costs a fifth to a third of the speed."),
                memory="much_less",
            ),
            "chunked_loss": FieldTexts(
                self.tr("Loss in pieces"),
                self.tr("Never holds the scores of the whole vocabulary; costs nothing."),
                memory="much_less",
            ),
            "activation_offload": FieldTexts(
                self.tr("Activations in RAM"),
                self.tr("Moves kept activations to the computer's memory."),
                memory="less",
            ),
            "optim": FieldTexts(
                self.tr("Optimizer"),
                self.tr("8-bit keeps its state in a quarter of the room; paged moves it out when "
                        "the card is full (both need bitsandbytes)."),
            ),
            "optimizer_offload": FieldTexts(
                self.tr("Optimizer in RAM"),
                self.tr("Keeps its state in the computer's memory. For full fine-tuning."),
                memory="much_less",
            ),
            "bnb_4bit_use_double_quant": FieldTexts(
                self.tr("Double quantization"),
                self.tr("4-bit scales are quantized too: 0.4 bit a weight less."),
                memory="less",
            ),
            "oom_ladder": FieldTexts(
                self.tr("Save memory by itself"),
                self.tr("When memory runs out: take the next measure and go on from the same "
                        "sample, instead of ending."),
            ),
        }  # fmt: skip

    def _speed(self) -> dict[str, FieldTexts]:
        return {
            "fast_kernels": FieldTexts(
                self.tr("DeepDeck's kernels"),
                self.tr("Faster layers for Llama and Qwen models on an NVIDIA card; same result."),
                memory="less",
            ),
            "torch_compile": FieldTexts(
                self.tr("Compile layers"),
                self.tr("A start of one to three minutes, then faster steps. For long runs."),
            ),
            "use_liger_kernel": FieldTexts(
                self.tr("Liger kernels"),
                self.tr("From the package liger-kernel, instead of DeepDeck's own."),
                memory="less",
            ),
        }

    def _parallel(self) -> dict[str, FieldTexts]:
        return {
            "parallel.strategy": FieldTexts(
                self.tr("Share the work"),
                self.tr(
                    "How several cards train one model. What was not tried on real cards is left "
                    "to the command line."
                ),
            ),
            "parallel.nproc_per_node": FieldTexts(
                self.tr("Cards in this machine"), self.tr("One process for each.")
            ),
            "parallel.nnodes": FieldTexts(
                self.tr("Machines"), self.tr("That train together; the same files on each.")
            ),
            "parallel.node_rank": FieldTexts(
                self.tr("Number of this machine"), self.tr("0 writes the run.")
            ),
            "parallel.rdzv_endpoint": FieldTexts(
                self.tr("Meeting point"),
                self.tr("host:port of machine 0; only for several machines."),
            ),
        }

    def _keeping(self) -> dict[str, FieldTexts]:
        return {
            "eval_steps": FieldTexts(
                self.tr("Evaluate every"),
                self.tr("0: only before the first and after the last step."),
                self.tr("steps"),
            ),
            "eval_max_samples": FieldTexts(
                self.tr("Evaluate on at most"),
                self.tr("Samples of each evaluation split."),
                self.tr("samples"),
            ),
            "save_steps": FieldTexts(
                self.tr("Checkpoint every"),
                self.tr("0: only at the end and when you ask for it."),
                self.tr("steps"),
            ),
            "save_total_limit": FieldTexts(
                self.tr("Keep checkpoints"), self.tr("Older ones are removed.")
            ),
            "keep_best": FieldTexts(
                self.tr("Keep the best"),
                self.tr("The checkpoint with the lowest evaluation loss stays as well."),
            ),
            "report_to": FieldTexts(
                self.tr("Send curves to"),
                self.tr("tensorboard, wandb, or empty. Nothing leaves this computer when empty."),
            ),
        }

    def _safety(self) -> dict[str, FieldTexts]:
        return {
            "dry_run": FieldTexts(
                self.tr("Dry run"),
                self.tr("Tries the longest batch, saving and loading before the first step."),
            ),
            "rollback.snapshot_steps": FieldTexts(
                self.tr("Healthy state every"),
                self.tr("Kept in memory, to go back to."),
                self.tr("steps"),
                usual="20–50",
            ),
            "rollback.max_rollbacks": FieldTexts(
                self.tr("Roll back at most"), self.tr("Then it pauses and asks."), self.tr("times")
            ),
            "rollback.lr_divisor": FieldTexts(
                self.tr("Divide the rate by"),
                self.tr("At each roll-back: 3 takes 3e-5 to 1e-5."),
            ),
            "rollback.rewarm_steps": FieldTexts(
                self.tr("Warm up again over"),
                self.tr("After a roll-back."),
                self.tr("steps"),
                usual="20–50",
            ),
            "grad_norm_alarm": FieldTexts(
                self.tr("Alarm above gradient norm"), self.tr("Only an alarm; training goes on.")
            ),
            "stall_alarm_s": FieldTexts(
                self.tr("Alarm without a step for"),
                self.tr("Or ten usual steps, whichever is longer."),
                self.tr("s"),
            ),
        }
