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
    "non_finite_repeated": AlarmTexts(
        "No finite number again and again",
        "The loss or the gradient was NaN or infinite {value} times lately, last at step {step}.",
        "Leaving out single updates does not help any more. Go back to a healthy state with a "
        "lower learning rate; with fp16, bf16 or fp32 is the surer way.",
        "反复出现非有限数值",
        "近期损失或梯度已有 {value} 次为 NaN 或无穷大，最近一次在第 {step} 步。",
        "仅跳过个别更新已无济于事。请回退到健康状态并降低学习率；"
        "若使用 fp16，改用 bf16 或 fp32 更稳妥。",
    ),
    "grad_norm_high": AlarmTexts(
        "Gradient norm very high",
        "The gradient norm was {value} at step {step}, over the limit of {threshold}.",
        "Watch the loss. If it rises as well, stop and lower the learning rate.",
        "梯度范数过高",
        "第 {step} 步的梯度范数为 {value}，超过上限 {threshold}。",
        "请留意损失。若损失同时上升，请停止并降低学习率。",
    ),
    "grad_norm_spike": AlarmTexts(
        "Gradient norm spike",
        "The gradient norm jumped to {value} at step {step}; the recent band ended at {threshold}.",
        "Clipping takes care of a single one. Look at the batch if it comes often.",
        "梯度范数突增",
        "第 {step} 步的梯度范数跃升至 {value}，近期范围的上沿为 {threshold}。",
        "单次突增会被梯度裁剪吸收；若频繁出现，请查看对应批次。",
    ),
    "loss_spike": AlarmTexts(
        "Loss spike",
        "The loss jumped to {value} at step {step}; the recent band ended at {threshold}.",
        "One odd batch does this. Several in a row mean that training is leaving its way.",
        "损失突增",
        "第 {step} 步的损失跃升至 {value}，近期范围的上沿为 {threshold}。",
        "个别异常批次会造成这种情况；若接连出现，说明训练正在偏离。",
    ),
    "diverging": AlarmTexts(
        "Training is diverging",
        "Since step {detail} the loss stays too high: its mean is {value} at step {step}, "
        "and noise explains no more than {threshold}.",
        "Go back to the last healthy state and go on with a third of the learning rate.",
        "训练正在发散",
        "自第 {detail} 步起损失持续偏高：第 {step} 步的均值为 {value}，"
        "而噪声最多只能解释到 {threshold}。",
        "请回退到最近的健康状态，并以三分之一的学习率继续。",
    ),
    "level_shift": AlarmTexts(
        "The loss moved to a higher level",
        "Since step {detail} the mean loss is higher ({value} at step {step}, over {threshold}), "
        "while the gradients are calm.",
        "Did the data change there? Look at the samples of these steps. If they are as you want "
        "them, go on; if not, leave them out or go back.",
        "损失升至新的水平",
        "自第 {detail} 步起平均损失升高（第 {step} 步为 {value}，超过 {threshold}），但梯度平稳。",
        "数据是否在此处发生了变化？请查看这些步的样本：符合预期可继续，否则请排除它们或回退。",
    ),
    "not_learning": AlarmTexts(
        "The model is not learning",
        "The mean loss is {value} at step {step}; by now it should be under {threshold}.",
        "Check the learning rate (LoRA usually wants 1e-4 to 3e-4), the chat template, and in the "
        "token view which tokens are trained.",
        "模型没有学到东西",
        "第 {step} 步的平均损失为 {value}，此时本应低于 {threshold}。",
        "请检查学习率（LoRA 通常需要 1e-4 到 3e-4）和对话模板，"
        "并在 token 视图中确认训练了哪些 token。",
    ),
    "loss_zero_or_constant": AlarmTexts(
        "The loss is zero or does not move",
        "At step {step} the loss is {value}: it is zero or always the same, or has no gradient.",
        "Nothing is learned this way. Look at the token view: every token may be masked, or the "
        "chat template may not fit the model.",
        "损失为零或毫无变化",
        "第 {step} 步的损失为 {value}：损失为零、始终不变，或没有梯度。",
        "这样学不到任何东西。请查看 token 视图：可能所有 token 都被屏蔽，或对话模板与模型不匹配。",
    ),
    "few_trained_tokens": AlarmTexts(
        "Hardly any token is trained",
        "Only {value} tokens of step {step} are trained, and it was like this several times.",
        "With very short answers this is right. Otherwise look at the token view: the template or "
        "the roles in your data may be wrong.",
        "几乎没有 token 参与训练",
        "第 {step} 步只有 {value} 个 token 参与训练，且已连续多次如此。",
        "若回答本来就很短，这属于正常情况；否则请查看 token 视图，可能是模板或数据中的角色有误。",
    ),
    "overfit": AlarmTexts(
        "Learning by heart",
        "The evaluation loss rose several times in a row, to {value} at step {step}; it was "
        "{threshold} at step {detail}. The training loss still falls.",
        "Keep the checkpoint of step {detail}. More steps, or more epochs, make it no better.",
        "出现过拟合",
        "评估损失接连上升，第 {step} 步达到 {value}，而第 {detail} 步仅为 {threshold}；"
        "训练损失仍在下降。",
        "建议保留第 {detail} 步的检查点，继续增加步数或轮数不会更好。",
    ),
    "memory_creep": AlarmTexts(
        "Memory grows from step to step",
        "Between steps {value} GiB are held at step {step}; a while ago it was {threshold} GiB.",
        "Save now: memory may run out. Resuming from the checkpoint begins with clean memory.",
        "内存逐步增长",
        "第 {step} 步结束后仍占用 {value} GiB，此前为 {threshold} GiB。",
        "请立即保存：内存可能耗尽。从检查点继续训练时，内存会重新开始计算。",
    ),
    "throughput_drop": AlarmTexts(
        "Training became slower",
        "{value} tokens a second at step {step}; it was {threshold} before.",
        "See whether the card is hot, whether another program uses it, or whether the samples "
        "became shorter.",
        "训练速度下降",
        "第 {step} 步的速度为每秒 {value} 个 token，此前为 {threshold} 个。",
        "请检查显卡是否过热、是否被其他程序占用，或样本是否变短。",
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
    "tracker_failed": AlarmTexts(
        "Curves are no longer sent on",
        "Since step {step} another tool gets no more values of this run. {detail}",
        "Training goes on and DeepDeck has every value; CSV export gives them to other tools.",
        "不再向其他工具发送曲线",
        "从第 {step} 步起，其他工具不再收到本次运行的数值。{detail}",
        "训练仍在继续，DeepDeck 保留全部数值，可导出 CSV 供其他工具使用。",
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
