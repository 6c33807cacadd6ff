"""The doctor's findings in both languages. Placeholders are the finding's params and fix_params.

Each id has a name and, for each level it can have, a sentence and a fix. Qt-free.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from app.texts.words import GPU_REASONS, Words
from core.services.doctor import Finding


class FindingText(NamedTuple):
    """A finding in one language."""

    title: str
    message: str
    hint: str
    """What to do; empty when nothing has to be done."""


TITLES: dict[str, Words] = {
    "python": Words("Python", "Python"),
    "venv": Words("Own environment", "独立环境"),
    "packages": Words("Packages", "软件包"),
    "torch": Words("PyTorch", "PyTorch"),
    "gpu": Words("Graphics card", "显卡"),
    "disk": Words("Disk", "磁盘"),
    "memory": Words("Memory", "内存"),
    "home": Words("Data folder", "数据文件夹"),
    "index": Words("Package source", "软件包来源"),
    "qt": Words("Window libraries", "窗口系统库"),
    "fonts": Words("Chinese font", "中文字体"),
    "port": Words("API port", "API 端口"),
}

_SETUP = Words(
    "Run this in the folder {folder}: {command}", "请在文件夹 {folder} 中运行：{command}"
)
_NONE = Words("", "")

MESSAGES: dict[tuple[str, str], tuple[Words, Words]] = {
    ("python", "ok"): (Words("Python {version}.", "Python {version}。"), _NONE),
    ("python", "broken"): (
        Words("Python {version} does not fit.", "Python {version} 不受支持。"),
        Words("Install Python 3.11, 3.12 or 3.13.", "请安装 Python 3.11、3.12 或 3.13。"),
    ),
    ("venv", "ok"): (Words("Packages live in {path}.", "软件包位于 {path}。"), _NONE),
    ("venv", "warning"): (
        Words(
            "DeepDeck runs in the system's Python ({path}), where updates may break it.",
            "DeepDeck 正在使用系统的 Python（{path}），系统更新可能使其失效。",
        ),
        _SETUP,
    ),
    ("packages", "ok"): (
        Words("All {count} packages are installed.", "全部 {count} 个软件包均已安装。"),
        _NONE,
    ),
    ("packages", "broken"): (Words("Missing: {missing}.", "缺少：{missing}。"), _SETUP),
    ("torch", "ok"): (Words("{version}, built for {build}.", "{version}，{build} 版本。"), _NONE),
    ("torch", "warning"): (
        Words(
            "{version} is built for the CPU, so the graphics card is not used.",
            "{version} 是 CPU 版本，无法使用显卡。",
        ),
        Words(
            "Point pip to a CUDA build of torch, then set DeepDeck up again.",
            "请将 pip 配置为提供 CUDA 版 torch，然后重新设置 DeepDeck。",
        ),
    ),
    ("torch", "broken"): (
        Words(
            "PyTorch is not installed, so nothing can be trained or served.",
            "未安装 PyTorch，无法训练或提供服务。",
        ),
        _SETUP,
    ),
    ("gpu", "ok"): (Words("{names}, driver {driver}.", "{names}，驱动 {driver}。"), _NONE),
    ("gpu", "warning"): (Words("{detail}", "{detail}"), _NONE),
    ("disk", "ok"): (Words("{free_gib} GiB free.", "剩余 {free_gib} GiB。"), _NONE),
    ("disk", "warning"): (
        Words("Only {free_gib} GiB free at {path}.", "{path} 仅剩 {free_gib} GiB。"),
        Words(
            "Make room before fetching models: delete old runs on the Runs page.",
            "获取模型前请腾出空间：可在“运行记录”页面删除旧的运行。",
        ),
    ),
    ("disk", "broken"): (
        Words(
            "The disk at {path} is full: {free_gib} GiB free.",
            "{path} 所在磁盘已满：剩余 {free_gib} GiB。",
        ),
        Words(
            "Make room, or set DEEPDECK_HOME to a folder on a larger disk.",
            "请腾出空间，或将 DEEPDECK_HOME 设为更大磁盘上的文件夹。",
        ),
    ),
    ("memory", "ok"): (
        Words(
            "{total_gib} GiB, {available_gib} GiB of it free.",
            "共 {total_gib} GiB，可用 {available_gib} GiB。",
        ),
        _NONE,
    ),
    ("memory", "warning"): (
        Words("{total_gib} GiB is little.", "内存仅 {total_gib} GiB，偏少。"),
        Words(
            "The starter model works; for larger ones close other programs.",
            "入门模型可以运行；使用更大的模型时请关闭其他程序。",
        ),
    ),
    ("home", "ok"): (Words("{path}", "{path}"), _NONE),
    ("home", "broken"): (
        Words("{path} cannot be written to: {detail}", "无法写入 {path}：{detail}"),
        Words(
            "Change its owner, or set DEEPDECK_HOME to a folder of your own.",
            "请更改其所有者，或将 DEEPDECK_HOME 设为您自己的文件夹。",
        ),
    ),
    ("index", "ok"): (Words("pip: {settings}", "pip：{settings}"), _NONE),
    ("index", "warning"): (
        Words(
            "pip is set to use no index ({settings}).", "pip 被设置为不使用任何索引（{settings}）。"
        ),
        Words(
            "Unset PIP_NO_INDEX or name a folder of packages with PIP_FIND_LINKS.",
            "请取消 PIP_NO_INDEX，或用 PIP_FIND_LINKS 指定软件包文件夹。",
        ),
    ),
    ("qt", "ok"): (Words("All are installed.", "均已安装。"), _NONE),
    ("qt", "broken"): (
        Words("Missing: {missing}.", "缺少：{missing}。"),
        Words("Run: {command}", "请运行：{command}"),
    ),
    ("fonts", "ok"): (Words("Installed.", "已安装。"), _NONE),
    ("fonts", "warning"): (
        Words("None is installed; Chinese text shows as boxes.", "未安装，中文会显示为方框。"),
        Words("Run: {command}", "请运行：{command}"),
    ),
    ("port", "ok"): (Words("{port} is free.", "{port} 可用。"), _NONE),
    ("port", "warning"): (
        Words("{port} is used by another program.", "{port} 已被其他程序占用。"),
        Words(
            "Choose another port on the Deploy page, or 0 for any free one.",
            "请在“部署”页面选择其他端口，填 0 则自动选择空闲端口。",
        ),
    ),
}

_FAILED = Words("Could not be checked: {detail}", "无法检查：{detail}")
_DEFAULT_INDEX = Words("pip's default", "pip 默认设置")


def finding_text(finding: Finding, language: Literal["en", "zh"]) -> FindingText:
    """Name, sentence and fix of a finding; an id this version does not know is shown as it is."""
    title = TITLES.get(finding.id, Words(finding.id, finding.id))
    message, fix = MESSAGES.get((finding.id, finding.level), (_FAILED, _NONE))
    if (reason := str(finding.params.get("reason", ""))) in GPU_REASONS:
        message = GPU_REASONS[reason]
    facts = _Facts({**finding.params, **finding.fix_params})
    if finding.id == "index" and not facts.get("settings"):
        facts["settings"] = _pick(_DEFAULT_INDEX, language)
    return FindingText(
        _pick(title, language),
        _pick(message, language).format_map(facts),
        _pick(fix, language).format_map(facts),
    )


class _Facts(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "–"


def _pick(words: Words, language: Literal["en", "zh"]) -> str:
    return words.en if language == "en" else words.zh
