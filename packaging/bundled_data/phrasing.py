"""How people ask about a thing: plain phrasings, and the distorted ones of the robustness set."""

from __future__ import annotations

import random

from entry import Entry

PLAIN_EN = (
    "What does {0} do?",
    "What is {0} for?",
    "Explain {0}.",
    "What is {0} used for?",
    "Tell me about {0}.",
)
OPTION_EN = (
    "What does {0} do?",
    "What does the option {2} of {1} do?",
    "What is {0} for?",
    "Explain the option {2} of {1}.",
)
PLAIN_ZH = (
    "{0} 有什么用？",
    "{0} 是做什么的？",
    "请解释 {0}。",
    "{0} 命令有什么作用？",
    "怎么理解 {0}？",
)
OPTION_ZH = (
    "{0} 有什么用？",
    "{1} 命令的 {2} 选项有什么作用？",
    "{0} 是什么意思？",
    "请解释 {1} 的 {2} 选项。",
)
ROUGH_EN = (
    "hey, quick one: whats {0} doing??",
    "can u pls explain {0} to me",
    "I saw {0} in a script. What is it good for?",
    "WHAT DOES {0} DO",
    "please expain waht {0} dose",
    "{0} ?",
    "请问 what does {0} do?",
    "In one or two sentences: {0}, what is it?",
)
ROUGH_ZH = (
    "在么？问一下{0}是干嘛的呀",
    "麻烦解释下 {0} 谢谢！！",
    "我在脚本里看到了 {0}，它有啥用",
    "{0} 是啥",
    "{0} 有什么坐用？",
    "请用一两句话说明{0}的用图。",
    "Please explain {0} in Chinese，用中文回答",
    "新手提问：{0} 到底做什么用的？",
)


def _fill(template: str, topic: str) -> str:
    command, _, option = topic.rpartition(" ")
    return template.format(topic, command, option)


def plain_questions(entry: Entry) -> tuple[str, ...]:
    """Return every plain way to ask for an entry, in a fixed order."""
    option = " -" in entry.topic
    if entry.lang == "zh":
        templates = OPTION_ZH if option else PLAIN_ZH
    else:
        templates = OPTION_EN if option else PLAIN_EN
    return tuple(_fill(template, entry.topic) for template in templates)


def rough_question(entry: Entry, rng: random.Random) -> str:
    """Return a question with slips, other words, other case or two languages at once."""
    return _fill(rng.choice(ROUGH_ZH if entry.lang == "zh" else ROUGH_EN), entry.topic)
