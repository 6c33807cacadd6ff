"""English samples from the docstrings of the Python standard library (PSF-2.0)."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator

from entry import Entry

BUILTIN_TYPES = (str, list, dict, set, int, float, bytes, tuple, bytearray, frozenset, range)
MODULE_TEXT = (
    "os.path os shutil pathlib json re math random datetime time collections itertools functools"
    " string textwrap subprocess sys io tempfile glob fnmatch csv sqlite3 statistics decimal"
    " fractions operator heapq bisect copy pprint enum dataclasses contextlib abc types typing"
    " inspect importlib pickle shelve zlib gzip bz2 lzma zipfile tarfile hashlib hmac secrets"
    " struct codecs unicodedata locale gettext argparse getopt logging getpass platform errno"
    " threading multiprocessing queue sched asyncio socket ssl select selectors signal mmap email"
    " mimetypes base64 binascii html html.parser xml.etree.ElementTree urllib.parse"
    " urllib.request http.client http.server http.cookies ftplib smtplib imaplib poplib uuid"
    " socketserver ipaddress wave colorsys configparser tomllib netrc plistlib calendar array"
    " weakref graphlib numbers cmath difflib filecmp fileinput linecache stat traceback warnings"
    " atexit gc timeit cProfile pstats trace tracemalloc unittest unittest.mock doctest pdb dis"
    " ast tokenize keyword symtable compileall py_compile zipapp venv webbrowser shlex cmd code"
    " runpy pkgutil zoneinfo concurrent.futures ctypes turtle site"
)
MODULES = MODULE_TEXT.split()

THIRD_PERSON = {"Do": "does", "Go": "goes", "Have": "has", "Be": "is"}
VERB_TEXT = (
    "Abort Acquire Add Adjust Allow Append Apply Approximate Ask Assert Assign Associate Attach"
    " Block Build Calculate Call Cancel Capitalize Change Check Clean Clear Close Collect Combine"
    " Compare Compile Compute Concatenate Configure Connect Construct Convert Copy Count Create"
    " Cut Decode Decompress Decorate Define Delete Deserialize Destroy Detach Determine Disable"
    " Discard Display Divide Draw Dump Duplicate Emit Empty Enable Encode Encrypt End Ensure Enter"
    " Escape Estimate Evaluate Examine Exchange Execute Exit Expand Extend Extract Fetch Fill Find"
    " Finish Fix Flush Force Fork Format Forward Freeze Generate Get Give Guess Handle Hash"
    " Implement Import Increase Indicate Initialize Insert Inspect Install Invert Invoke Iterate"
    " Join Kill Launch Let List Load Locate Lock Log Look Make Mark Match Merge Modify Move"
    " Normalize Notify Obtain Open Pack Parse Partition Perform Place Pop Prepare Pretty-print"
    " Print Process Produce Provide Put Query Quote Raise Read Receive Record Recursively"
    " Redirect Reduce Register Release Reload Remove Rename Render Repeat Replace Report Represent"
    " Request Reset Resize Resolve Restore Retrieve Return Reverse Rotate Round Run Save Scan"
    " Schedule Search Select Send Serialize Serve Set Show Shuffle Shut Shutdown Sleep Sort Split"
    " Start Stop Store Strip Subtract Suspend Switch Take Terminate Test Transform Translate"
    " Traverse Truncate Try Turn Unlock Unpack Unquote Unregister Update Use Validate Verify Wait"
    " Wake Walk Warn Wrap Write Yield"
)
VERBS = frozenset(VERB_TEXT.split())
SENTENCE_END = re.compile(r"(?<=[a-z0-9)'\"\]])\.(?:\s|$)")


def third_person(verb: str) -> str:
    """Return the third person of an imperative verb, in lower case: ``Copy`` -> ``copies``."""
    if verb in THIRD_PERSON:
        return THIRD_PERSON[verb]
    low = verb.lower()
    if low.endswith(("s", "sh", "ch", "x", "z")):
        return low + "es"
    if low.endswith("y") and low[-2] not in "aeiou":
        return low[:-1] + "ies"
    return low + "s"


def summary(doc: object) -> str | None:
    """Return the first sentence of a docstring without its full stop, or None if not clean."""
    if not isinstance(doc, str):
        return None
    text = inspect.cleandoc(doc).replace("``", "'").replace("`", "'")
    paragraphs = [p for p in text.split("\n\n") if "->" not in p.split("\n", 1)[0]]
    if not paragraphs:
        return None
    flat = " ".join(paragraphs[0].split())
    found = SENTENCE_END.search(flat)
    flat = flat[: found.start()] if found else flat
    flat = re.sub(r":\w+:'~?\.?([^']+)'", r"\1", flat).rstrip(" .")
    bad = re.search(r"[<>{}|\\]|>>>|:$|\be\.g$|\bi\.e$|\betc$|https?:|__|\*\*|\(see", flat)
    return None if bad or not 4 <= len(flat.split()) <= 36 else flat


def third_person_sentence(text: str) -> str | None:
    """Turn an imperative sentence into one about ``it``; None where it is not one."""
    first, _, rest = text.partition(" ")
    if first == "Recursively":
        verb, _, rest = rest.partition(" ")
        return f"recursively {third_person(verb)} {rest}"
    if first in VERBS:
        return f"{third_person(first)} {rest}"
    base = {third_person(verb): verb for verb in VERBS}
    return f"{first.lower()} {rest}" if first.lower() in base else None


def _kind(obj: object, owner: bool) -> str | None:
    if inspect.isclass(obj):
        return "class"
    if callable(obj):
        return "method" if owner else "function"
    return None


def _members(owner: object) -> Iterator[tuple[str, object]]:
    for name in sorted(vars(owner)):
        if not name.startswith("_"):
            try:
                yield name, getattr(owner, name)
            except AttributeError:  # pragma: no cover - lazily removed members
                continue


def _public(module: object) -> Iterator[tuple[str, object]]:
    names = set(getattr(module, "__all__", ()) or (n for n, _ in _members(module)))
    home = getattr(module, "__name__", "")
    for name, obj in _members(module):
        origin = getattr(obj, "__module__", None) or home
        if name in names and not inspect.ismodule(obj) and not origin.startswith("typing"):
            yield name, obj


def _entry(path: str, obj: object, kind: str, where: str) -> Entry | None:
    text = summary(getattr(obj, "__doc__", None))
    body = third_person_sentence(text) if text else None
    if body is None:
        return None
    return Entry(f"python:{path}", path, "en", f"{path} is a {kind} {where}. It {body}.", "PSF-2.0")


def _class_entries(path: str, cls: type, where: str) -> Iterator[Entry | None]:
    for name, member in _members(cls):
        if kind := _kind(member, owner=True):
            yield _entry(f"{path}.{name}", member, kind, where)


def _all_entries() -> Iterator[Entry | None]:
    for cls in BUILTIN_TYPES:
        yield from _class_entries(cls.__name__, cls, f"of the built-in type {cls.__name__}")
    for name, obj in _members(importlib.import_module("builtins")):
        if inspect.isbuiltin(obj):
            yield _entry(name, obj, "built-in function", "of Python")
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        where = f"in Python's {module_name} module"
        for name, obj in _public(module):
            path = f"{module_name}.{name}"
            if inspect.isclass(obj):
                yield _entry(path, obj, "class", where)
                yield from _class_entries(path, obj, where)
            elif kind := _kind(obj, owner=False):
                yield _entry(path, obj, kind, where)


def python_entries() -> list[Entry]:
    """Return one entry a public name and text, in a fixed order; the shortest name keeps a text."""
    by_text: dict[str, Entry] = {}
    for entry in _all_entries():
        if entry is not None:
            body = entry.answer.partition(" It ")[2]
            known = by_text.setdefault(body, entry)
            if len(entry.topic) < len(known.topic):
                by_text[body] = entry
    return list({entry.topic: entry for entry in by_text.values()}.values())
