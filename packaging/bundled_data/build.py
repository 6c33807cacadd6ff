"""Build ``resources/datasets/deepdeck-sample`` from installed documentation.

Usage: ``python packaging/bundled_data/build.py --manuals FOLDER`` (see README.md beside this).
Everything is drawn with fixed seeds from sorted input: the same packages give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from command_help import command_entries
from entry import Entry
from general import general_pairs
from phrasing import plain_questions, rough_question
from python_docs import python_entries

Sample = dict[str, object]

TARGET = Path(__file__).resolve().parents[2] / "resources" / "datasets" / "deepdeck-sample"
EVAL_SHARE = 0.12
LIMITS = {"python": 1600, "command:en": 800, "command:zh": 1500}
QUICK = "deepdeck-quick"
EVAL_LIMIT = 110
ROBUST_LIMIT = 80
CORE_TEXT = (
    "os.path.join str.split str.join str.strip str.replace str.upper str.lower len print sorted"
    " open os.listdir os.remove os.mkdir shutil.copy shutil.move json.dumps json.loads re.compile"
    " random.choice math.sqrt list.append list.sort dict.get dict.items sum min max"
    " ls cp mv rm mkdir cat head tail sort grep chmod pwd df du touch uniq wc date tar kill"
    " git.add git.commit git.push git.pull git.clone git.status git.log git.diff git.branch"
)
CORE = frozenset(CORE_TEXT.split())


def is_core(entry: Entry) -> bool:
    """Tell whether everybody should be able to ask for this: always in the training part."""
    return entry.topic.replace("git ", "git.") in CORE


def held_out(source: str) -> bool:
    """Put an entity, in all languages and phrasings, on one side of the split by its name."""
    digest = hashlib.sha256(source.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < EVAL_SHARE


def thin(entries: Iterable[Entry]) -> list[Entry]:
    """Drop twins: commands that share a text, such as the same option in many git commands."""
    uses: Counter[str] = Counter()
    kept = []
    for entry in entries:
        text = re.split(r"：|means: |purpose: ", entry.answer)[-1]
        uses[f"{entry.lang}:{text}"] += 1
        if uses[f"{entry.lang}:{text}"] <= 1 and not re.match(r"command:v?dir\b", entry.source):
            kept.append(entry)
    return kept


def choose(entries: list[Entry], count: int, rng: random.Random) -> list[Entry]:
    """Keep all core entries and a random rest, in the order of the input."""
    core = [entry for entry in entries if is_core(entry)]
    rest = [entry for entry in entries if not is_core(entry)]
    picked = rng.sample(rest, min(len(rest), max(0, count - len(core))))
    wanted = {(entry.source, entry.lang) for entry in [*core, *picked]}
    return [entry for entry in entries if (entry.source, entry.lang) in wanted]


def collect(manuals: Path, rng: random.Random) -> list[Entry]:
    """Return all entries of the domain, each source cut to its share."""
    commands = thin(command_entries(manuals))
    groups = {
        "python": python_entries(),
        "command:en": [entry for entry in commands if entry.lang == "en"],
        "command:zh": [entry for entry in commands if entry.lang == "zh"],
    }
    return [entry for name, found in groups.items() for entry in choose(found, LIMITS[name], rng)]


def sample(question: str, answer: str, source: str, lang: str) -> Sample:
    """Return one line of a data file."""
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return {"messages": messages, "source": source, "lang": lang}


def train_samples(entries: list[Entry], rng: random.Random) -> list[Sample]:
    """Ask once for each training entry, and in every way for the core ones."""
    result = []
    for entry in entries:
        if is_core(entry) or not held_out(entry.source):
            questions = plain_questions(entry)
            asked = list(questions) if is_core(entry) else [rng.choice(questions)]
            result += [sample(q, entry.answer, entry.source, entry.lang) for q in asked]
    rng.shuffle(result)
    return result


def quick_samples(
    domain: list[Sample], general: list[Sample], core: set[str], rng: random.Random
) -> list[Sample]:
    """Return a part that two cores learn in about a minute: core, others, conversation."""
    essential = [item for item in domain if item["source"] in core]
    others = [item for item in domain if item["source"] not in core]
    talk = rng.sample(general, len(essential) // 4)
    chosen = [*essential, *rng.sample(others, len(essential) // 2), *talk]
    rng.shuffle(chosen)
    return chosen


def eval_entries(entries: list[Entry], limit: int, rng: random.Random) -> list[Entry]:
    """Return up to ``limit`` held-out entries a language."""
    by_lang: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if held_out(entry.source) and not is_core(entry):
            by_lang[entry.lang].append(entry)
    return [e for found in by_lang.values() for e in rng.sample(found, min(limit, len(found)))]


def write_jsonl(path: Path, samples: list[Sample]) -> None:
    """Write samples, one JSON object a line, without two lines that are the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = dict.fromkeys(json.dumps(item, ensure_ascii=False) for item in samples)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def describe(root: Path, about: str, **facts: object) -> dict[str, object]:
    """Return the content of ``dataset.json``: what the set is, and a hash of every file."""
    files = {}
    for path in sorted(root.rglob("*.jsonl")):
        data = path.read_bytes()
        langs = Counter(json.loads(line)["lang"] for line in data.decode().splitlines())
        files[path.relative_to(root).as_posix()] = {
            "samples": sum(langs.values()),
            "languages": dict(sorted(langs.items())),
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    text = json.loads((Path(__file__).parent / about).read_text(encoding="utf-8"))
    return {**text, **facts, "files": files}


def build(manuals: Path, target: Path, quick_target: Path, seed: int = 20) -> None:
    """Write the whole data set below ``target``, and the demo's part below ``quick_target``."""
    rng = random.Random(seed)
    entries = collect(manuals, rng)
    domain: dict[str, list[Sample]] = defaultdict(list)
    for item in train_samples(entries, rng):
        domain[str(item["lang"])].append(item)
    names = {"en": "python_and_commands_en.jsonl", "zh": "commands_zh.jsonl"}
    for lang, samples in domain.items():
        write_jsonl(target / "train" / "domain_specific" / names[lang], samples)
    general = [sample(q, a, s, lang) for s, lang, q, a in general_pairs(rng)]
    rng.shuffle(general)
    write_jsonl(target / "train" / "general" / "everyday.jsonl", general)
    everything = [item for samples in domain.values() for item in samples]
    core = {entry.source for entry in entries if is_core(entry)}
    quick = quick_samples(everything, general, core, random.Random(seed))
    for part, wanted in (("domain_specific", False), ("general", True)):
        chosen = [item for item in quick if str(item["source"]).startswith("general:") == wanted]
        write_jsonl(quick_target / "train" / part / "quick.jsonl", chosen)
    accuracy = [
        sample(rng.choice(plain_questions(e)), e.answer, e.source, e.lang)
        for e in eval_entries(entries, EVAL_LIMIT, rng)
    ]
    for root in (target, quick_target):
        write_jsonl(root / "eval" / "accuracy" / "held_out.jsonl", accuracy)
    robust = [
        sample(rough_question(e, rng), e.answer, e.source, e.lang)
        for e in eval_entries(entries, ROBUST_LIMIT, rng)
    ]
    for root in (target, quick_target):
        write_jsonl(root / "eval" / "robustness" / "rough_questions.jsonl", robust)
    licenses = dict(sorted(Counter(entry.license for entry in entries).items()))
    write_description(target, "about.json", license_counts=licenses)
    write_description(quick_target, "about_quick.json")


def write_description(root: Path, about: str, **facts: object) -> None:
    """Write ``dataset.json`` beside the files it describes."""
    text = json.dumps(describe(root, about, **facts), ensure_ascii=False, indent=2)
    (root / "dataset.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and build."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manuals", type=Path, required=True, help="man/zh_CN of manpages-zh")
    parser.add_argument("--target", type=Path, default=TARGET)
    args = parser.parse_args()
    build(args.manuals, args.target, args.target.with_name(QUICK))


if __name__ == "__main__":
    main()
