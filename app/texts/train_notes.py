"""What a training run notes before it begins, and an opened capsule, in both languages.

Keys are the codes of `TrainPlanned.notes` and `Capsule.differences`; placeholders are the note's
facts. A test holds that every code is here. One that is newer than this program is shown as it is.
"""

from __future__ import annotations

from typing import Any

from app.texts.words import Words
from core.protocol.events import Finding

TRAIN_NOTES: dict[str, Words] = {
    "quantization_stayed_16bit": Words(
        "Not all weights could be quantized: {tensors} stayed in 16 bits ({wide_gib} GiB). The "
        "model takes {measured_gib} GiB instead of {expected_gib} GiB.",
        "并非所有权重都能量化：{tensors} 仍为 16 位（{wide_gib} GiB）。"
        "模型占用 {measured_gib} GiB，而不是 {expected_gib} GiB。",
    ),
    "adapter_kept_fp32": Words(
        "The adapter's weights are kept in fp32, because fp16 training needs fp32 gradients.",
        "适配器权重保持 fp32，因为 fp16 训练需要 fp32 梯度。",
    ),
    "vocabulary_grew": Words(
        "The tokenizer knows more tokens than the model had rows for: {before} rows became "
        "{after}. The new ones begin as the mean of the others.",
        "分词器的 token 多于模型的词向量行数：已由 {before} 行扩展为 {after} 行，"
        "新行以其余各行的均值初始化。",
    ),
    "double_bos": Words(
        "{count} of {total} samples begin with the start token twice. Remove it from the data: "
        "the chat template adds it.",
        "{total} 条样本中有 {count} 条以两个起始 token 开头。对话模板会自动添加，请从数据中删去。",
    ),
    "end_token_missing": Words(
        "{count} of {total} samples teach no end token: the model may not learn when to stop.",
        "{total} 条样本中有 {count} 条不包含结束 token，模型可能学不会何时停止。",
    ),
    "sample_cut": Words(
        "{count} of {total} samples are longer than {limit} tokens and are cut at the end; the "
        "longest has {longest}.",
        "{total} 条样本中有 {count} 条超过 {limit} 个 token，末尾将被截断，最长 {longest} 个。",
    ),
    "nothing_trained": Words(
        "{count} of {total} samples have nothing to learn from within {limit} tokens and are left "
        "out.",
        "{total} 条样本中有 {count} 条在 {limit} 个 token 内没有可训练内容，已跳过。",
    ),
    "thoughts_stripped": Words(
        "Thoughts (<think>) were removed from the answers of {count} of {total} samples.",
        "已从 {total} 条样本中的 {count} 条回答里去除思考内容（<think>）。",
    ),
    "thoughts_restored": Words(
        "The chat template would delete what was thought in {count} of {total} samples; it is "
        "trained all the same.",
        "对话模板会删除 {total} 条样本中 {count} 条的思考内容，训练时已保留。",
    ),
    "template_fallback": Words(
        "The model has no chat template: DeepSeek-LLM's is used, and saved with the result.",
        "模型没有对话模板：将使用 DeepSeek-LLM 的模板，并随结果一起保存。",
    ),
    "this_double_bos": Words(
        "It begins with the start token twice: remove it from the data, the chat template adds it.",
        "开头有两个起始 token。对话模板会自动添加，请从数据中删去。",
    ),
    "this_end_token_missing": Words(
        "It teaches no end token: the model may not learn when to stop.",
        "不包含结束 token，模型可能学不会何时停止。",
    ),
    "this_sample_cut": Words(
        "It has {tokens} tokens; only the first {limit} are read.",
        "共 {tokens} 个 token，只读取前 {limit} 个。",
    ),
    "this_nothing_trained": Words(
        "There is nothing to learn within the first {limit} tokens: it is left out.",
        "前 {limit} 个 token 内没有可训练内容，已跳过。",
    ),
    "this_thoughts_stripped": Words(
        "Thoughts (<think>) were removed from its answers.",
        "已从回答中去除思考内容（<think>）。",
    ),
    "this_thoughts_restored": Words(
        "The chat template would delete its thoughts; they are trained all the same.",
        "对话模板会删除其中的思考内容，训练时已保留。",
    ),
    "context_shorter": Words(
        "Samples are cut to {context} tokens, all that the model can read, instead of {seq_len}.",
        "模型最多只能读取 {context} 个 token，样本将按此截断，而不是 {seq_len}。",
    ),
    "packed": Words(
        "{samples} samples are packed into {rows} rows an epoch; {percent} % of their places hold "
        "a token.",
        "每轮将 {samples} 条样本拼接为 {rows} 行，{percent}% 的位置为有效 token。",
    ),
    "packed_by_positions": Words(
        "This architecture keeps packed samples apart by their positions, which takes more memory.",
        "该模型架构通过位置编号隔离拼接的样本，占用的内存较多。",
    ),
    "whole_logits_head": Words(
        "The loss is not computed piece by piece: the model's last layer is quantized, has a bias "
        "or carries an adapter.",
        "未能分块计算损失：模型的输出层经过量化、带偏置或挂有适配器。",
    ),
    "whole_logits_changed": Words(
        "The loss is not computed piece by piece: this model scales or caps its logits.",
        "未能分块计算损失：该模型会对 logits 进行缩放或截断。",
    ),
    "whole_logits_model": Words(
        "The loss is not computed piece by piece: this architecture cannot choose the positions.",
        "未能分块计算损失：该模型架构不支持只计算部分位置。",
    ),
    "gradient_checkpointing_not_supported": Words(
        "This architecture cannot compute activations again: gradient checkpointing is off.",
        "该模型架构不支持重算激活：梯度检查点未启用。",
    ),
    "activation_offload_needs_card": Words(
        "Activations are not offloaded: without a graphics card they are in the computer's memory "
        "already.",
        "未卸载激活：没有显卡时，激活本来就在内存中。",
    ),
    "activation_offload_needs_checkpointing": Words(
        "Activations are not offloaded: that needs gradient checkpointing, full or selective.",
        "未卸载激活：该功能需要启用梯度检查点（完全或选择性）。",
    ),
    "fast_kernels_not_for_architecture": Words(
        "DeepDeck's fast kernels do not know this architecture ({what}): {layers} layers run as "
        "transformers wrote them, slower and with more memory.",
        "DeepDeck 加速内核尚不支持该架构（{what}）：{layers} 层按 transformers 原样运行，"
        "速度较慢、显存占用较多。",
    ),
    "fast_kernels_not_for_adapter": Words(
        "DeepDeck's fast kernels are for plain LoRA; with {what}, {layers} layers run as "
        "transformers wrote them, slower and with more memory.",
        "DeepDeck 加速内核只支持普通 LoRA；使用 {what} 时，{layers} 层按 transformers 原样运行，"
        "速度较慢、显存占用较多。",
    ),
    "fast_kernels_not_for_weights": Words(
        "DeepDeck's fast kernels are for adapters on whole, frozen weights in 4 or 16 bits; with "
        "this model ({what}), {layers} layers run as transformers wrote them.",
        "DeepDeck 加速内核只支持在完整、冻结的 4 位或 16 位权重上训练适配器；"
        "该模型（{what}）的 {layers} 层按 transformers 原样运行。",
    ),
    "fast_kernels_not_on_card": Words(
        "DeepDeck's fast kernels do not run here ({what}): they need an NVIDIA card of 2020 or "
        "later, the package triton and a C compiler. Training goes on without them, slower and "
        "with more memory.",
        "DeepDeck 加速内核无法在本机运行（{what}）：需要 2020 年或更新的 NVIDIA 显卡、"
        "triton 软件包和 C 编译器。训练将不使用它们继续进行，速度较慢、显存占用较多。",
    ),
    "liger_needs_card": Words(
        "The kernels of liger-kernel are not used: they need a graphics card.",
        "未使用 liger-kernel 的内核：需要显卡。",
    ),
    "liger_not_installed": Words(
        "The kernels of liger-kernel are not used: the package is not installed.",
        "未使用 liger-kernel 的内核：未安装该软件包。",
    ),
    "liger_not_for_architecture": Words(
        "The kernels of liger-kernel are not used: DeepDeck applies them to Llama, Qwen2 and Qwen3 "
        "only, not to {what}.",
        "未使用 liger-kernel 的内核：仅用于 Llama、Qwen2 和 Qwen3，不支持 {what}。",
    ),
    "torch_compile_not_for_fast_layers": Words(
        "{layers} layers run on DeepDeck's own kernels, which are not compiled again.",
        "{layers} 层使用 DeepDeck 自带内核，不再另行编译。",
    ),
    # what an opened capsule finds on this machine
    "capsule_model_missing": Words(
        "The model {model} is not here. Fetch it, or name another with --model.",
        "这里没有模型 {model}。请先获取，或用 --model 指定其他模型。",
    ),
    "capsule_model_changed": Words(
        "The model {model} has other weights here than it had then.",
        "模型 {model} 在这里的权重与当时不同。",
    ),
    "capsule_data_missing": Words(
        "The data “{data}” are not where they were. Name them with --data.",
        "原位置找不到数据“{data}”，请用 --data 指定。",
    ),
    "capsule_data_changed": Words(
        "The data “{data}” are not the same as then.", "数据“{data}”与当时不同。"
    ),
    "capsule_version": Words(
        "{package} was {then} then and is {now} here.", "{package} 当时为 {then}，这里为 {now}。"
    ),
}


def train_note_text(note: Finding, language: str) -> str:
    """One note as a sentence."""
    words = TRAIN_NOTES.get(note.code)
    if words is None:
        return f"{note.code} {note.params}" if note.params else note.code
    return (words.zh if language == "zh" else words.en).format_map(_Facts(note.params))


class _Facts(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "–"
