"""Alarms of a run in both languages. Placeholders: step, value, threshold, detail."""

from __future__ import annotations

from typing import NamedTuple


class AlarmTexts(NamedTuple):
    """One alarm: a title for the card, what was seen, what to do."""

    en: str
    en_message: str
    en_hint: str
    zh: str
    zh_message: str
    zh_hint: str


ALARMS: dict[str, AlarmTexts] = {
    "non_finite": AlarmTexts(
        "Not a finite number",
        "The loss or the gradient was {value} at step {step}; that update was left out.",
        "If it comes again, lower the learning rate or use bf16 or fp32 instead of fp16.",
        "出现非有限数值",
        "第 {step} 步的损失或梯度为 {value}，该步更新已跳过。",
        "若再次出现，请降低学习率，或用 bf16、fp32 代替 fp16。",
    ),
    "grad_norm_high": AlarmTexts(
        "Gradient norm very high",
        "The gradient norm was {value} at step {step}, over the limit of {threshold}.",
        "Watch the loss. If it rises as well, stop and lower the learning rate.",
        "梯度范数过高",
        "第 {step} 步的梯度范数为 {value}，超过上限 {threshold}。",
        "请留意损失。若损失同时上升，请停止并降低学习率。",
    ),
    "loss_spike": AlarmTexts(
        "Loss spike",
        "The loss jumped to {value} at step {step}; the recent band ended at {threshold}.",
        "One odd batch does this. Several in a row mean that training is leaving its way.",
        "损失突增",
        "第 {step} 步的损失跃升至 {value}，近期范围的上沿为 {threshold}。",
        "个别异常批次会造成这种情况；若接连出现，说明训练正在偏离。",
    ),
    "stall": AlarmTexts(
        "No step for {value} s",
        "Since step {step} nothing has finished; a step should end within {threshold} s.",
        "Look whether the disk or another program keeps the machine busy.",
        "已有 {value} 秒没有进展",
        "第 {step} 步之后没有新的步完成，正常应在 {threshold} 秒内完成一步。",
        "请检查磁盘或其他程序是否占满了机器。",
    ),
    "save_failed": AlarmTexts(
        "A checkpoint could not be written",
        "Training goes on; the checkpoint of step {step} is missing. {detail}",
        "Free some disk space, then choose Save now.",
        "检查点写入失败",
        "训练仍在继续，但缺少第 {step} 步的检查点。{detail}",
        "请腾出磁盘空间，然后选择“立即保存”。",
    ),
    "disk_full": AlarmTexts(
        "The disk was full",
        "The run went on and kept its events in memory; they were written once there was room.",
        "Free some disk space: checkpoints need room as well.",
        "磁盘曾经写满",
        "运行没有中断，事件暂存于内存，有空间后已补写。",
        "请腾出磁盘空间，保存检查点同样需要空间。",
    ),
    "checkpoint_damaged": AlarmTexts(
        "A damaged checkpoint was passed over",
        "The run resumed from step {step}, from the newest whole checkpoint. {detail}",
        "The steps after it are trained again. Check the disk if this comes often.",
        "已跳过损坏的检查点",
        "运行已从最近的完好检查点（第 {step} 步）继续。{detail}",
        "其后的各步会重新训练。若经常出现，请检查磁盘。",
    ),
    "memory": AlarmTexts(
        "Memory almost full",
        "{value} GiB of {threshold} GiB are in use at step {step}.",
        "Lower the batch size or the maximum length before the next run.",
        "内存即将用尽",
        "第 {step} 步已使用 {value} GiB，上限为 {threshold} GiB。",
        "下次运行前，请减小批大小或最大长度。",
    ),
}
