"""English and Chinese samples from the help texts of command line programs and manual pages.

Programs print their options with one line each; the same line in the locale ``zh_CN`` is the
work of that program's translators, under that program's license. ``LOCPATH`` has to name a
folder that holds ``zh_CN.UTF-8`` (see README.md).
"""

from __future__ import annotations

import gzip
import os
import re
import subprocess
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from entry import Entry

COREUTIL_TEXT = (
    "ls cp mv rm mkdir rmdir touch ln cat head tail wc sort uniq cut paste tr tee df du date"
    " chmod chown chgrp stat split csplit join comm fold fmt pr nl od expand unexpand tac"
    " sha256sum md5sum cksum sum base64 base32 basenc shuf seq factor sleep nohup nice timeout"
    " env printenv pwd whoami id groups who users uname hostid tty stty mktemp readlink realpath"
    " truncate dd sync numfmt pathchk install link unlink mkfifo mknod shred chcon stdbuf"
    " dircolors dir vdir ptx tsort b2sum pinky logname nproc chroot runcon test true"
)
COREUTILS = COREUTIL_TEXT.split()
OTHERS = {
    "grep": "GPL-3.0-or-later", "sed": "GPL-3.0-or-later", "tar": "GPL-3.0-or-later",
    "wget": "GPL-3.0-or-later", "diff": "GPL-3.0-or-later", "cmp": "GPL-3.0-or-later",
    "diff3": "GPL-3.0-or-later", "sdiff": "GPL-3.0-or-later", "xargs": "GPL-3.0-or-later",
    "make": "GPL-3.0-or-later", "free": "LGPL-2.1-or-later", "uptime": "LGPL-2.1-or-later",
    "dpkg": "GPL-2.0-or-later", "dpkg-query": "GPL-2.0-or-later",
    "dpkg-deb": "GPL-2.0-or-later", "man": "GPL-3.0-or-later", "apropos": "GPL-3.0-or-later",
    "whatis": "GPL-3.0-or-later", "xz": "public-domain", "passwd": "BSD-3-Clause",
    "useradd": "BSD-3-Clause", "usermod": "BSD-3-Clause", "userdel": "BSD-3-Clause",
    "groupadd": "BSD-3-Clause", "chage": "BSD-3-Clause",
    "pstree": "GPL-2.0-or-later", "killall": "GPL-2.0-or-later", "strings": "GPL-3.0-or-later",
    "objdump": "GPL-3.0-or-later", "nm": "GPL-3.0-or-later", "size": "GPL-3.0-or-later",
    "strip": "GPL-3.0-or-later", "readelf": "GPL-3.0-or-later", "ar": "GPL-3.0-or-later",
    "psql": "PostgreSQL", "pg_dump": "PostgreSQL", "msgfmt": "GPL-3.0-or-later",
    "pgrep": "LGPL-2.1-or-later", "watch": "LGPL-2.1-or-later", "vmstat": "LGPL-2.1-or-later",
}  # fmt: skip
GIT_TEXT = (
    "add am apply archive bisect blame branch checkout cherry-pick clean clone commit describe"
    " diff fetch format-patch gc grep init log merge mv notes pull push range-diff rebase reflog"
    " remote reset restore revert rm shortlog show show-branch stash status submodule switch tag"
    " worktree config fsck prune ls-files ls-tree rev-parse cat-file count-objects"
)
GIT = GIT_TEXT.split()
HAN = re.compile(r"[\u4e00-\u9fff]")
OPTION = re.compile(
    r"^ {1,8}(-{1,2}[A-Za-z0-9][^ ]*(?:[ ,]+-{1,2}[^ ]+)*(?: <[^>]+>)?) {2,}(\S.*)$"
)
LONE = re.compile(r"^ {1,8}(-{1,2}[A-Za-z0-9][^ ]*(?:, -{1,2}[^ ]+)*)$")
METAVARIABLE = re.compile(
    r"\b(FILES?|FILEs|DIRECTORY|DIR|SOURCE|DEST|PATTERNS?|NUMBER|INPUT|OUTPUT|COMMAND|USER|GROUP"
    r"|OWNER|FORMAT|VARIABLE|TARGET|STRING|NAME|SIZE|WIDTH|MODE)\b"
)
UNCLEAN = re.compile(
    r"[<>{}|\[\]\\`]|see |参见|请见|下文|below|following|以下|如下|:$|：$|%|\be\.g|…|\.\.\."
)


def help_text(argv: list[str], lang: str) -> str:
    """Return what a program prints as its help in ``en`` or ``zh``; empty if it has none."""
    locale = "zh_CN.UTF-8" if lang == "zh" else "C.UTF-8"
    env = {**os.environ, "LC_ALL": locale, "LANGUAGE": "", "COLUMNS": "100"}
    try:
        done = subprocess.run(
            argv, env=env, capture_output=True, stdin=subprocess.DEVNULL, timeout=20, check=False
        )
    except OSError:
        return ""
    return (done.stdout or done.stderr).decode("utf-8", "replace")


def options(text: str) -> Iterator[tuple[str, str]]:
    """Yield (option, description) of a help text; descriptions may span several lines."""
    name, parts = "", list[str]()
    for line in [*text.splitlines(), ""]:
        found, lone = OPTION.match(line), LONE.match(line)
        if name and (found or lone or not re.match(r" {12,}\S", line)):
            yield name, join_lines(parts)
            name, parts = "", []
        if found:
            name, parts = found[1], [found[2].strip()]
        elif lone:
            name = lone[1]
        elif name:
            parts.append(line.strip())


def join_lines(parts: list[str]) -> str:
    """Join wrapped lines: with a space in English, without one between Chinese characters."""
    text = " ".join(parts)
    return re.sub(r"(?<=[\u3000-\u9fff\uff00-\uffef]) (?=[\u3000-\u9fff\uff00-\uffef])", "", text)


def clean(text: str, lang: str) -> str | None:
    """Return the first statement of a description, or None where it is not plain prose."""
    text = re.split(r"[;；。]|\. |, default", text, maxsplit=1)[0].strip(" .。，,")
    text = join_lines([re.sub(r"<([\u4e00-\u9fff]+)>", r"\1", text)])
    text = re.sub(r" ?[(（][^()（）]*[)）]", "", text)
    text = METAVARIABLE.sub(lambda found: found[0].lower(), text) if lang == "en" else text
    size = len(HAN.findall(text)) if lang == "zh" else len(text.split())
    low, high = (4, 44) if lang == "zh" else (3, 26)
    bad = UNCLEAN.search(text) or text.startswith("-") or "(" in text or "（" in text
    if bad or not low <= size <= high or (lang == "en" and not text.isascii()):
        return None
    return text


def split_names(spelled: str) -> tuple[str, str]:
    """Split ``-a, --all=WHEN`` into the name to ask for and the other one: ``-a``, ``--all``."""
    names = [re.split(r"[=\[ <]", part.strip(), maxsplit=1)[0] for part in spelled.split(",")]
    names = [name for name in names if re.fullmatch(r"-{1,2}[A-Za-z0-9][\w-]*", name)]
    names += ["", ""]
    return names[0], names[1]


def option_answer(command: str, names: tuple[str, str], text: str, lang: str) -> str:
    """Say what an option does in the voice of the domain."""
    option, other = names
    if lang == "zh":
        return (
            f"{command} 命令的 {option} 选项" + (f"（即 {other}）" if other else "") + f"：{text}。"
        )
    known = f", also written {other}," if other else ""
    return f"The option {option} of {command}{known} means: {lowered(text)}."


def _option_entries(command: str, argv: list[str], terms: str, lang: str) -> Iterator[Entry]:
    for spelled, raw in options(help_text(argv, lang)):
        names, text = split_names(spelled), clean(raw, lang)
        if names[0] and text and "help" not in spelled and "version" not in spelled:
            topic = f"{command} {names[0]}"
            answer = option_answer(command, names, text, lang)
            yield Entry(f"command:{topic}", topic, lang, answer, terms)


def _git_entries(lang: str) -> Iterator[Entry]:
    for line in help_text(["git", "help", "-a"], lang).splitlines():
        found = re.match(r"^ {3}([a-z][a-z-]+) {2,}(\S.*)$", line)
        text = clean(found[2], lang) if found else None
        if found and text:
            topic = f"git {found[1]}"
            yield Entry(f"command:{topic}", topic, lang, about(topic, text, lang), "GPL-2.0-only")


def about(command: str, text: str, lang: str) -> str:
    """Say what a command is for in the voice of the domain."""
    if lang == "zh":
        return f"{command} 是一个命令，它的用途是：{text}。"
    return f"{command} is a command. Its purpose: {lowered(text)}."


def lowered(text: str) -> str:
    """Begin with a small letter, unless the first word is a name such as GNU."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _command_entries(lang: str) -> Iterator[Entry]:
    known = dict.fromkeys(COREUTILS, "GPL-3.0-or-later") | OTHERS
    for command, terms in known.items():
        lines = [line.strip() for line in help_text([command, "--help"], lang).splitlines()]
        usage = ("用法", "Usage", "或", "or:", "　")
        first = next((i for i, line in enumerate(lines) if line and not line.startswith(usage)), 0)
        text = join_lines(list(takewhile(bool, lines[first : first + 4])))
        text = clean(text, lang) or ""
        if text and (HAN.search(text) if lang == "zh" else text[0].isupper()):
            answer = about(command, text, lang)
            yield Entry(f"command:{command}", command, lang, answer, terms)


def manual_entries(root: Path) -> Iterator[Entry]:
    """Yield the NAME lines of the Chinese manual pages below ``root`` (sections 1 and 8)."""
    for path in sorted(root.glob("man[18]/*.gz")):
        page = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
        page = re.sub(r"\\f[BIPR]|\\|^\.[BI]R? ", "", page, flags=re.M)
        name = re.escape(path.name.split(".")[0])
        found = re.search(rf"^{name} *-+ *(.*)$", page, flags=re.M)
        text = clean(found[1], "zh") if found else None
        if text and re.fullmatch(r"[a-z][a-z0-9_-]*", path.name.split(".")[0]):
            topic = path.name.split(".")[0]
            answer = about(topic, text, "zh")
            yield Entry(f"command:{topic}", topic, "zh", answer, "GFDL-1.2-or-later")


def command_entries(manuals: Path) -> list[Entry]:
    """Return all entries about commands in a fixed order, one an (entity, language)."""
    found = {(entry.source, "zh"): entry for entry in manual_entries(manuals)}
    for lang in ("en", "zh"):
        entries = [*_command_entries(lang), *_git_entries(lang)]
        for command in COREUTILS:
            argv = [command, "--help"]
            entries += _option_entries(command, argv, "GPL-3.0-or-later", lang)
        for command, terms in OTHERS.items():
            entries += _option_entries(command, [command, "--help"], terms, lang)
        for name in GIT:
            entries += _option_entries(f"git {name}", ["git", name, "-h"], "GPL-2.0-only", lang)
        for entry in entries:
            found.setdefault((entry.source, lang), entry)
    return list(found.values())
