"""What a training run notes before it begins, in both languages.

Keys are the codes of `TrainPlanned.notes`; placeholders are the note's facts. A test holds that
every code is here. A code that is newer than this program is shown as it is.
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
