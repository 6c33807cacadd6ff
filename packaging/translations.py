"""Keep the Chinese translations: `update` reads the sources, `compile` makes the .qm files.

    python packaging/translations.py update [AREA ...]
    python packaging/translations.py compile [AREA ...]
    python packaging/translations.py check            # fails when something is missing or stale

One .ts file an area, so that several people can edit texts at once. A source file belongs to the
first area whose pattern matches; everything else in app/ is "shell".
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
I18N = ROOT / "resources" / "i18n"

AREAS: dict[str, tuple[str, ...]] = {
    "form": (
        r"app/pages/train_(form|what|how|field|advanced|texts|plan|forecast|tokens|queue)\w*\.py",
        r"app/widgets/(queue|token)\w*\.py",
    ),
    "train": (
        r"app/pages/(train|runs)\w*\.py",
        r"app/widgets/(metric|plot)\w*\.py",
        r"app/viewmodels/(train|runs?|metric|plot|compare)\w*\.py",
        r"app/models/(metric|run)\w*\.py",
    ),
    "serve": (
        r"app/pages/(deploy|chat)\w*\.py",
        r"app/viewmodels/(deploy|chat|serve)\w*\.py",
        r"app/widgets/(chat|deploy|serve)\w*\.py",
        r"app/models/(chat|deploy|serve|request)\w*\.py",
    ),
    "demo": (r"app/demo\w*\.py", r"app/demo/.*\.py", r"app/\w+/demo\w*\.py"),
    "shell": (r"app/.*\.py",),
}


def area_of(path: str) -> str:
    """The area that a source file belongs to."""
    for area, patterns in AREAS.items():
        if any(re.fullmatch(p, path) for p in patterns):
            return area
    return "shell"


def sources(area: str) -> list[str]:
    """The source files of an area, relative to the project."""
    files = (p.relative_to(ROOT).as_posix() for p in (ROOT / "app").rglob("*.py"))
    return sorted(f for f in files if area_of(f) == area)


def ts_file(area: str) -> Path:
    """The translation source of an area."""
    return I18N / f"{area}_zh_CN.ts"


def _tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name


def update(area: str) -> None:
    """Read the area's source texts into its .ts; translations that are there stay."""
    files = sources(area)
    if not files:
        return
    command = [
        _tool("pyside6-lupdate"), "-silent", "-no-obsolete", "-locations", "none",
        "-source-language", "en_US", "-target-language", "zh_CN",
        *files, "-ts", str(ts_file(area)),
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True)


def compile_area(area: str) -> None:
    """Make the area's .qm."""
    if ts_file(area).exists():
        command = [_tool("pyside6-lrelease"), "-silent", str(ts_file(area))]
        subprocess.run(command, cwd=ROOT, check=True)


def unfinished(area: str) -> list[str]:
    """Source texts of an area that have no translation."""
    if not ts_file(area).exists():
        return []
    found = []
    for context in ET.parse(ts_file(area)).getroot().iter("context"):
        name = context.findtext("name", "")
        for message in context.iter("message"):
            translation = message.find("translation")
            if translation is None or not (translation.text or "").strip():
                found.append(f"{name}: {message.findtext('source', '')}")
    return found


def fill(area: str, translations: dict[str, str]) -> list[str]:
    """Set translations by source text, in every context; returns what is still missing."""
    tree = ET.parse(ts_file(area))
    for message in tree.getroot().iter("message"):
        wanted = translations.get(message.findtext("source", ""))
        translation = message.find("translation")
        if wanted and translation is not None:
            translation.text = wanted
            translation.attrib.pop("type", None)
    _write(tree, ts_file(area))
    return unfinished(area)


def _write(tree: ET.ElementTree[ET.Element], path: Path) -> None:
    ET.indent(tree, space="    ")
    body = ET.tostring(tree.getroot(), encoding="unicode")
    head = '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n'
    path.write_text(head + body + "\n", encoding="utf-8")


def check(areas: list[str]) -> int:
    """Print what is missing; 1 when something is."""
    missing = [f"{area}: {text}" for area in areas for text in unfinished(area)]
    for line in missing:
        print(line)
    return 1 if missing else 0


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["update", "compile", "check", "fill"])
    parser.add_argument("areas", nargs="*", help="shell, form, train, serve, demo; all by default")
    parser.add_argument("--from", dest="table", help="fill: a JSON file of source to translation")
    args = parser.parse_args()
    areas = args.areas or list(AREAS)
    if args.action == "check":
        return check(areas)
    if args.action == "fill":
        import json

        table = json.loads(Path(args.table).read_text(encoding="utf-8"))
        missing = [line for area in areas if ts_file(area).exists() for line in fill(area, table)]
        print("\n".join(missing))
        return 0
    for area in areas:
        update(area) if args.action == "update" else compile_area(area)
    return 0


if __name__ == "__main__":
    sys.exit(main())
