"""What the demo tells, in both languages."""

from __future__ import annotations

from typing import Any

from app.messages import Language
from app.texts.words import Words

DEMO: dict[str, Words] = {
    "intro": Words(
        "The main job, from start to end: ask a small model about Python and commands, teach it "
        "with {samples:,} examples, serve it, and ask again. Nothing leaves this computer.",
        "完整流程演示：先向小模型询问 Python 和命令的问题，用 {samples:,} 条样本教会它，"
        "部署后再问一遍。数据不会离开这台电脑。",
    ),
    "serving_base": Words(
        "1. Serving the untuned model to ask it first …", "1. 部署未微调的模型，先问它 ……"
    ),
    "training": Words("2. Fine-tuning with LoRA on {data} …", "2. 在 {data} 上用 LoRA 微调 ……"),
    "step": Words(
        "   step {step}/{total}   loss {loss:.3f}   gradient norm {grad_norm:.2f}   "
        "{tokens_per_second:,.0f} tokens/s   about {left_s:.0f} s left",
        "   第 {step}/{total} 步   损失 {loss:.3f}   梯度范数 {grad_norm:.2f}   "
        "{tokens_per_second:,.0f} token/s   约剩 {left_s:.0f} 秒",
    ),
    "eval": Words(
        "   held-out loss ({split}) at step {step}: {loss:.3f}",
        "   第 {step} 步的留出集损失（{split}）：{loss:.3f}",
    ),
    "trained": Words("   trained in {seconds:.0f} s", "   训练用时 {seconds:.0f} 秒"),
    "serving_tuned": Words(
        "3. Serving the tuned model and asking the same …", "3. 部署微调后的模型，问同样的问题 ……"
    ),
    "ready": Words("   API ready at {url}", "   API 已就绪：{url}"),
    "pictures": Words("4. Taking pictures of the window's pages …", "4. 截取窗口各页面的图片 ……"),
    "no_pictures": Words(
        "   The pictures could not be taken; the last lines: {tail}",
        "   无法截图，最后几行：{tail}",
    ),
    "result": Words("Result", "结果"),
    "loss": Words(
        "Held-out loss ({split}): {before:.3f} before, {after:.3f} after",
        "留出集损失（{split}）：微调前 {before:.3f}，微调后 {after:.3f}",
    ),
    "taught": Words(
        "Asked about the training data: {question}", "提问（训练数据中有）：{question}"
    ),
    "held_out": Words(
        "Asked about something new: {question}", "提问（训练数据中没有）：{question}"
    ),
    "before": Words("  before: {answer}", "  微调前：{answer}"),
    "after": Words("  after:  {answer}", "  微调后：{answer}"),
    "small": Words(
        "It learned what it was taught. On what is new, a model of this size takes over only the "
        "manner of the answers; to know more, use a larger model and more data.",
        "教过的内容它学会了。对于没教过的内容，如此小的模型只学到回答的方式；"
        "想让它懂得更多，请用更大的模型和更多的数据。",
    ),
    "report": Words("Report: {path}", "报告：{path}"),
    "folder": Words("Pictures: {path}", "图片：{path}"),
    "done": Words("Done in {seconds:.0f} s.", "共用时 {seconds:.0f} 秒。"),
    "interrupted": Words("Stopped. Nothing is left running.", "已停止，没有遗留的进程。"),
}


def tell(key: str, language: Language, **facts: Any) -> str:
    """One sentence of the demo."""
    words = DEMO[key]
    return (words.en if language == "en" else words.zh).format(**facts)
