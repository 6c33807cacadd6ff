"""Why a run did not do what it was asked for, in both languages.

Keys are the codes of `workers/train/commands.py`; a code that is newer than this program is shown
as it is.
"""

from __future__ import annotations

from app.texts.words import Words

REFUSALS: dict[str, Words] = {
    "not_saved": Words("The checkpoint could not be written.", "检查点未能写入。"),
    "out_of_range": Words(
        "That learning rate would be far outside of what makes sense.", "该学习率明显超出合理范围。"
    ),
    "unknown_sample": Words(
        "These samples are not of this run's data.", "这些样本不属于本次运行的数据。"
    ),
    "nothing_left": Words("No sample would be left to train on.", "排除后将没有可训练的样本。"),
    "no_healthy_state": Words(
        "There is no healthy state to go back to.", "没有可以回退的正常状态。"
    ),
    "card_in_use": Words(
        "The card has too little free memory to go on. Close what uses it, then continue.",
        "显卡可用显存不足，无法继续。请关闭占用显存的程序后再继续。",
    ),
    "several_processes": Words(
        "A run that is spread over several cards cannot leave them; pause it in place.",
        "分布在多张显卡上的运行无法释放显卡，请原地暂停。",
    ),
    "quantized_8bit": Words(
        "An 8-bit model cannot leave the card and come back the same; pause it in place.",
        "8 位模型移出显卡后无法原样恢复，请原地暂停。",
    ),
    "not_enough_memory": Words(
        "The computer's memory is too small to take what is on the card.",
        "电脑内存不足，放不下显卡上的内容。",
    ),
}


def refusal_text(code: str, language: str) -> str:
    """One refusal as a sentence."""
    words = REFUSALS.get(code)
    if words is None:
        return code
    return words.zh if language == "zh" else words.en
