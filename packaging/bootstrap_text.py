"""What the set-up says, in the language of the terminal."""

from __future__ import annotations

import os

TEXTS = {
    "first_time": (
        "Setting DeepDeck up in {folder} (once; a few minutes). Full log: {log}",
        "正在 {folder} 中设置 DeepDeck（仅首次，需几分钟）。完整日志：{log}",
    ),
    "waiting": (
        "Another DeepDeck is being set up here; waiting for it.",
        "另一个 DeepDeck 正在此处进行设置，请稍候。",
    ),
    "system": ("System libraries", "系统库"),
    "venv": ("Virtual environment", "虚拟环境"),
    "pip": ("pip", "pip"),
    "packages": ("Packages", "软件包"),
    "checking": ("Checking", "检查"),
    "repairing": (
        "The set-up was interrupted before; {count} damaged packages are put right.",
        "上次设置被中断，正在修复 {count} 个损坏的软件包。",
    ),
    "resolving": ("looking for {what}", "正在查找 {what}"),
    "downloading": ("downloading {what}", "正在下载 {what}"),
    "installing": ("installing {done} of {total} packages", "正在安装 {done}/{total} 个软件包"),
    "installing_some": ("installing", "正在安装"),
    "done": ("done", "完成"),
    "ready": ("DeepDeck is set up ({seconds:.0f} s).", "DeepDeck 设置完成（{seconds:.0f} 秒）。"),
    "failed": ("{phase} failed. The last lines:", "{phase} 失败。最后几行："),
    "log": ("Full log: {log}", "完整日志：{log}"),
    "interrupted": (
        "Interrupted. Run the same command again to go on.",
        "已中断。再次运行相同命令即可继续。",
    ),
    "libraries_missing": (
        "Qt, which draws the window, needs system libraries that are not installed here: {names}\n"
        "Install them with this one line, then start again:\n    {command}",
        "绘制窗口的 Qt 需要一些尚未安装的系统库：{names}\n"
        "请用下面这一行命令安装，然后重新启动：\n    {command}",
    ),
    "font_missing": (
        "No Chinese font is installed, so Chinese text would show as boxes. To have one:\n"
        "    {command}",
        "未安装中文字体，中文会显示为方框。安装方法：\n    {command}",
    ),
    "venv_missing": (
        "This Python cannot make virtual environments. Install what is missing, then start again:\n"
        "    {command}",
        "当前 Python 无法创建虚拟环境。请安装缺少的部分，然后重新启动：\n    {command}",
    ),
    "apt_failed": (
        "The system libraries could not be installed (see the log).",
        "无法安装系统库（见日志）。",
    ),
    "read_only": (
        "{folder} cannot be written to: {detail}\nPut DeepDeck into a folder of your own.",
        "无法写入 {folder}：{detail}\n请将 DeepDeck 放到您自己的文件夹中。",
    ),
    "hint_space": (
        "The disk is full. Make room ({free} free, about 3 GB are needed) and start again.",
        "磁盘已满。请腾出空间（剩余 {free}，约需 3 GB）后重新启动。",
    ),
    "hint_network": (
        "The package index could not be reached. Check the network, or point pip to a mirror\n"
        "(pip config set global.index-url URL), and start again: it goes on where it stopped.",
        "无法连接软件包索引。请检查网络，或将 pip 指向镜像\n"
        "（pip config set global.index-url URL），然后重新启动，会从中断处继续。",
    ),
    "hint_not_found": (
        "The package index that pip is set to use does not have this package for Python {python}.\n"
        "Point pip to one that has it (pip config set global.index-url URL) and start again.",
        "pip 当前使用的索引没有适用于 Python {python} 的这个软件包。\n"
        "请将 pip 指向包含它的索引（pip config set global.index-url URL），然后重新启动。",
    ),
    "hint_other": (
        "Start again to go on, or `{script} setup --repair` to check every file.",
        "重新启动即可继续；或运行 `{script} setup --repair` 检查所有文件。",
    ),
}


def _language() -> int:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return 1 if value.lower().startswith("zh") else 0
    return 0


def text(key: str, **facts: object) -> str:
    """One text in the terminal's language."""
    return TEXTS[key][_language()].format(**facts)
