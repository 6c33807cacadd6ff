"""Fetch the source packages and turn their documents into clean paragraphs.

Usage: ``python corpus.py --work build/starter`` writes ``real.jsonl`` below that folder, one
document a line: ``{"source", "lang", "share", "text"}``. Needs ``apt-get`` and ``dpkg-deb``.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from sources import DICT, GLOSSES, HTML, MALLARD, MANUAL, POEMS, SOURCES, Source

BLOCKS = frozenset({"p", "li", "dd", "dt", "h1", "h2", "h3", "title", "td", "div", "item", "br"})
SKIPPED = frozenset({"pre", "script", "style", "table", "nav", "head", "screen", "info", "footer"})
HAN = re.compile(r"[\u4e00-\u9fff]")
ENDS = ".!?:;。！？：；”\"'）)"


class Paragraphs(HTMLParser):
    """Collect the text of block elements of an HTML or Mallard page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._text: list[str] = []
        self._skip = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skip += tag in SKIPPED
        if tag in BLOCKS:
            self._flush()

    def handle_endtag(self, tag: str) -> None:
        self._skip = max(0, self._skip - (tag in SKIPPED))
        if tag in BLOCKS:
            self._flush()

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self._text.append(data)

    def _flush(self) -> None:
        if text := " ".join("".join(self._text).split()):
            self.found.append(text)
        self._text = []


def readable(text: str, lang: str) -> bool:
    """Tell whether a paragraph is a sentence of that language rather than a label or code."""
    han = len(HAN.findall(text))
    if not text or text[-1] not in ENDS or re.search(r"[{}|\\<>]|[=$/_#]{2}|\.\.\.\.", text):
        return False
    if lang == "zh":
        return han >= 8 and han > 0.35 * len(text)
    letters = sum(char.isalpha() or char == " " for char in text)
    return han == 0 and len(text.split()) >= 6 and letters > 0.86 * len(text)


def tidy(text: str) -> str:
    """Remove spaces between Chinese characters, footnote marks and paragraph signs."""
    text = html.unescape(text).replace("¶", "").replace("\u200b", "").replace("\xa0", " ")
    text = re.sub(r"(?<=[\u3000-\u9fff\uff00-\uffef]) +(?=[\u3000-\u9fff\uff00-\uffef])", "", text)
    return re.sub(r" +", " ", re.sub(r"\s*\[\d+\]", "", text)).strip()


def read_page(path: Path, lang: str) -> Iterator[str]:
    """Yield the prose of an HTML or Mallard page as one document."""
    parser = Paragraphs()
    parser.feed(path.read_text(encoding="utf-8", errors="ignore"))
    parser.close()
    kept = [text for text in map(tidy, parser.found) if readable(text, lang)]
    if kept:
        yield "\n".join(dict.fromkeys(kept))


def read_glosses(path: Path, lang: str) -> Iterator[str]:
    """Yield WordNet's definitions as sentences, and its examples."""
    del lang
    for line in path.read_text(encoding="utf-8").splitlines():
        head, found, gloss = line.partition(" | ")
        fields = head.split()
        if not found or line.startswith("  ") or len(fields) < 5:
            continue
        word = re.sub(r"\(\w+\)", "", fields[4]).replace("_", " ")
        meaning, *examples = [part.strip() for part in gloss.split(";")]
        said = [text.strip('"') for text in examples if text.startswith('"') and text.endswith('"')]
        ended = [text[0].upper() + text[1:].rstrip(".") + "." for text in said if " " in text]
        yield f"{word}: {meaning}. " + " ".join(ended)


def read_poems(path: Path, lang: str) -> Iterator[str]:
    """Yield the poems of a fortune file without terminal colors."""
    del lang
    text = re.sub(r"\x1b\[[0-9;]*m", "", path.read_text(encoding="utf-8", errors="ignore"))
    yield from (poem.strip() for poem in re.split(r"\n%\n", text) if HAN.search(poem))


def read_manual(path: Path, lang: str) -> Iterator[str]:
    """Yield the prose of a manual page without its macros."""
    page = gzip.decompress(path.read_bytes()).decode("utf-8", "ignore")
    page = re.sub(r"\\f[A-Z]|\\&", "", page).replace("\\-", "-")
    lines = [tidy(line) for line in page.splitlines() if not line.startswith((".", "'"))]
    if kept := [line for line in lines if readable(line, lang)]:
        yield "\n".join(kept)


def read_dict(path: Path, lang: str) -> Iterator[str]:
    """Yield the paragraphs of a dictionary file of the dict protocol."""
    text = gzip.decompress(path.read_bytes()).decode("utf-8", "ignore")
    for paragraph in re.split(r"\n\s*\n", text):
        flat = tidy(" ".join(paragraph.replace("{", "").replace("}", "").split()))
        if readable(flat, lang):
            yield flat


READERS: dict[str, Callable[[Path, str], Iterator[str]]] = {
    HTML: read_page,
    MALLARD: read_page,
    GLOSSES: read_glosses,
    POEMS: read_poems,
    MANUAL: read_manual,
    DICT: read_dict,
}


def unpack(package: str, work: Path) -> Path:
    """Download a package by name once and return the folder with its files."""
    debs, root = work / "debs", work / "unpacked" / package
    debs.mkdir(parents=True, exist_ok=True)
    if not root.exists():
        if not list(debs.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", package], cwd=debs, check=True)
        deb = sorted(debs.glob(f"{package}_*.deb"))[-1]
        root.mkdir(parents=True)
        subprocess.run(["dpkg-deb", "-x", str(deb), str(root)], check=True)
    return root


def documents(source: Source, work: Path) -> Iterator[dict[str, object]]:
    """Yield the documents of one source."""
    root = unpack(source.package, work)
    for path in sorted(path for path in root.glob(source.pattern) if path.is_file()):
        for text in READERS[source.reader](path, source.lang):
            yield {
                "source": source.package, "lang": source.lang, "share": source.share, "text": text,
            }  # fmt: skip


def main() -> None:
    """Write the corpus and print how much each source gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    work: Path = parser.parse_args().work
    seen: set[str] = set()
    with (work / "real.jsonl").open("w", encoding="utf-8") as out:
        for source in SOURCES:
            size = 0
            for doc in documents(source, work):
                if (text := str(doc["text"])) not in seen:
                    seen.add(text)
                    size += len(text)
                    out.write(json.dumps(doc, ensure_ascii=False) + "\n")
            print(f"{source.package:28}{source.lang:4}{size:>12,} characters  {source.license}")


if __name__ == "__main__":
    main()
