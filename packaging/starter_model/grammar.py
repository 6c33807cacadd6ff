"""A small text grammar: writes endless simple prose and conversation from a file of rules.

A file holds sections ``@name`` with one alternative a line. In an alternative

- ``{name}`` stands for a random alternative of that section, ``{3..9}`` for a number,
- ``{x=name}`` also remembers it as ``x`` for the rest of the text, ``{x:=name}`` without saying it,
- ``{$x}`` says it again; ``{$x.1}`` says field 1 of a value with fields ``a|b|c``,
- ``{=$a+$b}`` is a sum (also ``-`` and ``*``), ``{^...}`` begins with a capital letter,
- ``a(n)`` becomes ``a`` or ``an``, and ``\\n`` a new line.

A line ``name = first, second, third`` under ``@@lists`` is a section of short alternatives.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

HERE = Path(__file__).parent
SLOT = re.compile(r"\{([^{}]*)\}")


class Grammar:
    """The rules of one language and the texts that can be drawn from them."""

    def __init__(self, text: str) -> None:
        self.rules: dict[str, list[str]] = {}
        name = ""
        for line in (raw.strip() for raw in text.splitlines()):
            if line.startswith("@"):
                name = line[1:]
                self.rules.setdefault(name, [])
            elif line and not line.startswith("#"):
                self._add(name, line)

    @classmethod
    def load(cls, lang: str) -> Grammar:
        """Read ``grammar_en.txt`` or ``grammar_zh.txt``."""
        return cls((HERE / f"grammar_{lang}.txt").read_text(encoding="utf-8"))

    def _add(self, section: str, line: str) -> None:
        if section == "@lists":
            name, _, values = line.partition(" = ")
            self.rules[name] = [value.strip() for value in values.split(",")]
        else:
            self.rules[section].append(line)

    def write(self, section: str, rng: random.Random) -> str:
        """Return one text from a section."""
        memory: dict[str, str] = {}
        text = self._expand(rng.choice(self.rules[section]), memory, rng)
        text = re.sub(r"\ba\(n\) (?=[\"“]?[aeiouAEIOU])", "an ", text).replace("a(n) ", "a ")
        text = re.sub(r"\bA\(n\) (?=[\"“]?[aeiouAEIOU])", "An ", text).replace("A(n) ", "A ")
        return text.replace("\\n", "\n")

    def _expand(self, text: str, memory: dict[str, str], rng: random.Random) -> str:
        while found := SLOT.search(text):
            said = self._slot(found[1], memory, rng)
            text = text[: found.start()] + said + text[found.end() :]
        return text

    def _slot(self, slot: str, memory: dict[str, str], rng: random.Random) -> str:
        if slot.startswith("^"):
            said = self._slot(slot[1:], memory, rng)
            return said[:1].upper() + said[1:]
        if slot.startswith("="):
            return str(_compute(re.sub(r"\$(\w+)", lambda m: memory[m[1]], slot[1:])))
        if slot.startswith("$"):
            name, _, field = slot[1:].partition(".")
            return memory[name].split("|")[int(field or 0)]
        key, found, source = slot.partition("=")
        if not found:
            return self._draw(slot, memory, rng).split("|")[0]
        memory[key.rstrip(":")] = value = self._draw(source, memory, rng)
        return "" if key.endswith(":") else value.split("|")[0]

    def _draw(self, source: str, memory: dict[str, str], rng: random.Random) -> str:
        if span := re.fullmatch(r"(\d+)\.\.(\d+)", source):
            return str(rng.randint(int(span[1]), int(span[2])))
        chosen = rng.choice(self.rules[source])
        if alias := re.fullmatch(r"\{(\w+)\}", chosen):
            return self._draw(alias[1], memory, rng)
        return self._expand(chosen, memory, rng)


def _compute(formula: str) -> int:
    left, sign, right = re.split(r"([+*-])", formula, maxsplit=1)
    one, two = int(left), int(right)
    return {"+": one + two, "-": one - two, "*": one * two}[sign]
