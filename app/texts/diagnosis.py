"""What a diagnosis found, in plain words of both languages. Placeholders are the finding's params.

The reader is worried about a run; each sentence says what was seen and what it means. Params whose
names end in `_share` or `_shares` are shown as percent.
"""

from __future__ import annotations

from typing import Any, Literal

from app.texts.words import Words
from core.protocol.events import Finding

DIAGNOSIS: dict[str, Words] = {
    "gradient_non_finite": Words(
        "Gradient: {count} of the last {steps} steps had no finite gradient. In fp16 numbers "
        "overflow early; bf16 or fp32 is surer.",
        "梯度：最近 {steps} 步中有 {count} 步的梯度不是有限数值。fp16 容易溢出，"
        "改用 bf16 或 fp32 更稳妥。",
    ),
    "gradient_rising": Words(
        "Gradient: it grew to {highest}, {ratio} times its usual {usual}, before the alarm. This "
        "is how divergence begins: the steps became too large.",
        "梯度：告警前已升至 {highest}，是平时 {usual} 的 {ratio} 倍。"
        "发散通常就是这样开始的：步子迈得太大了。",
    ),
    "gradient_jumped": Words(
        "Gradient: it jumped once to {highest}, {ratio} times its usual {usual}. One odd batch "
        "does this; look at its samples.",
        "梯度：曾有一次跃升至 {highest}，是平时 {usual} 的 {ratio} 倍。"
        "个别异常批次会造成这种情况，请查看其中的样本。",
    ),
    "gradient_calm": Words(
        "Gradient: it stayed calm (at most {highest}, usually {usual}). That speaks for a change "
        "in the data rather than for too large steps.",
        "梯度：一直平稳（最高 {highest}，平时 {usual}）。这更像是数据发生了变化，而不是步子太大。",
    ),
    "data_longer": Words(
        "Data: the samples here are longer ({here_lengths_tokens} tokens) than usual "
        "({usual_lengths_tokens}).",
        "数据：此处的样本较长（{here_lengths_tokens} 个 token），"
        "平时为 {usual_lengths_tokens} 个。",
    ),
    "data_shorter": Words(
        "Data: the samples here are shorter ({here_lengths_tokens} tokens) than usual "
        "({usual_lengths_tokens}). Few tokens make a noisy step.",
        "数据：此处的样本较短（{here_lengths_tokens} 个 token），平时为 {usual_lengths_tokens} 个。"
        "token 少，单步的噪声就大。",
    ),
    "data_less_trained": Words(
        "Data: less of these samples is trained ({here_trained_shares}) than usual "
        "({usual_trained_shares}). See in the token view whether their roles are right.",
        "数据：这些样本中参与训练的部分较少（{here_trained_shares}），"
        "平时为 {usual_trained_shares}。"
        "请在 token 视图中确认角色是否正确。",
    ),
    "data_more_trained": Words(
        "Data: more of these samples is trained ({here_trained_shares}) than usual "
        "({usual_trained_shares}). A question may count as an answer here.",
        "数据：这些样本中参与训练的部分较多（{here_trained_shares}），"
        "平时为 {usual_trained_shares}。"
        "可能有提问被当成了回答。",
    ),
    "data_outlier_samples": Words(
        "Data: samples that stand out ({count}): {samples}, with a loss up to {highest} where the "
        "batch has {usual}. Read them; you can exclude them and go on.",
        "数据：有 {count} 个样本明显异常，损失最高 {highest}，而该批次通常为 {usual}：{samples}。"
        "请查看它们，也可以排除后继续。",
    ),
    "data_unreadable_samples": Words(
        "Data: samples without a finite loss ({count}): {samples}. Exclude them and go on.",
        "数据：有 {count} 个样本得不到有限的损失：{samples}。请排除它们后继续。",
    ),
    "data_repeats": Words(
        "Data: samples that mostly repeat one token: {count} (up to {highest_share} of the text). "
        "Such text often throws training off.",
        "数据：有 {count} 个样本几乎在重复同一个 token（最高占 {highest_share}）。"
        "这类文本常使训练失稳。",
    ),
    "data_ordinary": Words(
        "Data: the samples of this step look like the ones before.",
        "数据：这一步的样本与之前相比没有异常。",
    ),
    "lr_in_warmup": Words(
        "Learning rate: it is still rising (step {step} of {warmup_steps}). A longer warm-up or a "
        "lower peak helps here.",
        "学习率：仍在预热（第 {step} 步，共 {warmup_steps} 步）。延长预热或降低峰值会有帮助。",
    ),
    "lr_at_peak": Words(
        "Learning rate: it is at its peak ({learning_rate}), where runs diverge first.",
        "学习率：正处于峰值（{learning_rate}），训练最容易在此时发散。",
    ),
    "lr_lower": Words(
        "Learning rate: try {lower} instead of {learning_rate}.",
        "学习率：建议由 {learning_rate} 降至 {lower}。",
    ),
    "clipping_off": Words(
        "Clipping: it is off. Set max_grad_norm to 1.0, so that one batch cannot spoil the run.",
        "梯度裁剪：未启用。请将 max_grad_norm 设为 1.0，以免单个批次毁掉整个训练。",
    ),
    "clipping_always": Words(
        "Clipping: {clipped_share} of the steps are cut to {max_grad_norm} (the norm is usually "
        "{usual}). The steps are then all of one size; a lower learning rate is the better lever.",
        "梯度裁剪：{clipped_share} 的步被裁剪到 {max_grad_norm}（范数通常为 {usual}）。"
        "此时每一步几乎同样大，降低学习率更有效。",
    ),
    "clipping_rare": Words(
        "Clipping: {clipped_share} of the steps are cut to {max_grad_norm}; it works as it should.",
        "梯度裁剪：{clipped_share} 的步被裁剪到 {max_grad_norm}，工作正常。",
    ),
}


def diagnosis_text(finding: Finding, language: Literal["en", "zh"]) -> str:
    """One sentence or two; a code that this version does not know is shown as it is."""
    words = DIAGNOSIS.get(finding.code)
    if words is None:
        return finding.code
    template = words.en if language == "en" else words.zh
    facts = {name: _shown(name, value) for name, value in finding.params.items()}
    return template.format_map(_Facts(facts))


class _Facts(dict[str, str]):
    """Facts that are missing (an older worker) leave a dash, never a traceback."""

    def __missing__(self, key: str) -> str:
        return "–"


def _shown(name: str, value: Any) -> str:
    if not isinstance(value, int | float):
        return str(value)
    if name.endswith(("_share", "_shares")):
        return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.3g}"
