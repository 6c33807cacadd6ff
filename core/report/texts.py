"""The words of the report in both languages."""

from __future__ import annotations

from html import escape

# Key: English, Chinese.
WORDS: dict[str, tuple[str, str]] = {
    "report": ("Run report", "运行报告"),
    "status": ("Status", "状态"),
    "completed": ("completed", "已完成"),
    "stopped": ("stopped", "已停止"),
    "failed": ("failed", "失败"),
    "lost": ("lost", "意外中断"),
    "running": ("running", "运行中"),
    "starting": ("starting", "启动中"),
    "model": ("Model", "模型"),
    "data": ("Data", "数据"),
    "started": ("Started", "开始时间"),
    "duration": ("Duration", "用时"),
    "steps": ("Steps", "步数"),
    "final_loss": ("Last loss", "最终损失"),
    "held_out": ("Held-out loss", "留出集损失"),
    "before": ("Before", "训练前"),
    "after": ("After", "训练后"),
    "change": ("Change", "变化"),
    "split": ("Split", "划分"),
    "samples": ("Answers", "回答"),
    "samples_note": (
        "The model's own words before the first and after the last step.",
        "模型在第一步之前和最后一步之后的原始回答。",
    ),
    "question": ("Question", "问题"),
    "curves": ("Curves", "曲线"),
    "loss": ("Loss (nats per token)", "损失（nat/token）"),
    "grad_norm": ("Gradient norm before clipping", "梯度范数（裁剪前）"),
    "learning_rate": ("Learning rate", "学习率"),
    "memory": ("Memory (GiB)", "内存（GiB）"),
    "tokens_per_second": ("Tokens per second", "每秒 token 数"),
    "legend": (
        "Faint: every step. Bold: smoothed. Amber dots: evaluation. Red triangles: alarms. "
        "Green dots: checkpoints.",
        "浅色：每一步。粗线：平滑后。琥珀色圆点：评估。红色三角：警报。绿色圆点：检查点。",
    ),
    "alarms": ("Alarms", "警报"),
    "no_alarms": ("No alarm was raised.", "未触发警报。"),
    "step": ("Step", "步"),
    "alarm": ("Alarm", "警报"),
    "value": ("Value", "数值"),
    "threshold": ("Limit", "上限"),
    "non_finite": ("not a finite number", "非有限数值"),
    "grad_norm_high": ("gradient norm very high", "梯度范数过高"),
    "loss_spike": ("loss spike", "损失突增"),
    "stall": ("no step for a long time", "长时间无进展"),
    "disk_full": ("disk full", "磁盘已满"),
    "save_failed": ("saving failed", "保存失败"),
    "recipe": ("Recipe", "配方"),
    "setting": ("Setting", "设置"),
    "environment": ("Environment", "环境"),
    "trained": ("Trained parameters", "训练参数量"),
    "of": ("of", "/"),
    "train_samples": ("Training samples", "训练样本"),
    "error": ("Error", "错误"),
    "made_by": (
        "Made by DeepDeck on this computer. Nothing was sent anywhere.",
        "由 DeepDeck 在本机生成，未向任何地方发送数据。",
    ),
    "requests": ("Requests", "请求数"),
    "device": ("Device", "设备"),
}


def both(key: str) -> str:
    """A word in both languages; the style sheet shows one. An unknown key is shown as it is."""
    en, zh = WORDS.get(key, (key, key))
    if en == zh:
        return escape(en)
    return f'<span class="en">{escape(en)}</span><span class="zh" lang="zh-CN">{escape(zh)}</span>'
