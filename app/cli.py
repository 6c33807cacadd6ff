"""The command line: subcommands over `core.services`. Imports no Qt and no torch.

With `--json`, stdout holds one JSON object a line and nothing else. Exit code 0 is success, 1 a
failed run, 2 bad usage or input, then with the error object.
"""

from __future__ import annotations

import argparse
import locale
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from app.commands.output import Output, text
from app.messages import Language
from core.errors import AppError, ErrorCode, ErrorInfo, UsageError
from core.paths import Home

_IF_BUSY = ("refuse", "share", "pause", "wait")
EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

Command = Callable[[argparse.Namespace, Any, Output], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    language = choose_language(words)
    out = Output(as_json="--json" in words, language=language)
    try:
        args = build_parser(language).parse_args(words)
        return _run(args, out)
    except UsageError as e:
        _tell_all(e, out)
        return EXIT_USAGE
    except AppError as e:
        out.error(e.info)
        return EXIT_FAILED if _is_trouble(e) else EXIT_USAGE
    except BrokenPipeError:  # the reader went away (`| head`); a worker lives on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130


def choose_language(words: Sequence[str]) -> Language:
    """`--lang`, else DEEPDECK_LANG, else the locale's; English when none says Chinese."""
    chosen = _after("--lang", words) or os.environ.get("DEEPDECK_LANG") or _locale()
    return "zh" if chosen.lower().startswith("zh") else "en"


def build_parser(language: Language) -> argparse.ArgumentParser:
    """The whole grammar."""

    def t(key: str) -> str:
        return text(key, language).replace("%", "%%")

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=t("json"))
    common.add_argument("--lang", choices=("en", "zh"), default=argparse.SUPPRESS, help=t("lang"))
    parser = _Parser(prog="deepdeck", description=t("about"), parents=[common])
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    def add(place: Any, key: str, *, prefix: str = "") -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = place.add_parser(
            key, help=t(prefix + key), description=t(prefix + key), parents=[common]
        )
        return made

    _add_train(add(commands, "train"), t)
    _add_preview(add(commands, "preview"), t)
    _add_serve(add(commands, "serve"), t)
    _add_server(add(commands, "server"), add, t)
    _add_runs(add(commands, "runs"), add, t)
    _add_models(add(commands, "models"), add, t)
    _add_queue(add(commands, "queue"), add, t)
    _add_keys(add(commands, "keys"), add, t)
    add(commands, "doctor")
    demo = add(commands, "demo")
    demo.add_argument("--headless", action="store_true", help=t("headless"))
    demo.add_argument("--out", metavar="FOLDER", help=t("demo.out"))
    return parser


def _add_train(parser: argparse.ArgumentParser, t: Callable[[str], str]) -> None:
    parser.add_argument("--model", help=t("model"))
    parser.add_argument("--data", help=t("data"))
    parser.add_argument("--steps", type=int, help=t("steps"))
    parser.add_argument("--capsule", metavar="FILE", help=t("capsule"))
    parser.add_argument("--name", help=t("name"))
    busy = parser.add_mutually_exclusive_group()
    busy.add_argument("--queue", action="store_true", help=t("to_queue"))
    busy.add_argument("--if-busy", choices=_IF_BUSY, default="refuse", help=t("train_if_busy"))
    _add_settings(parser, t)


def _add_preview(parser: argparse.ArgumentParser, t: Callable[[str], str]) -> None:
    parser.add_argument("--model", help=t("model"))
    parser.add_argument("--data", help=t("data"))
    parser.add_argument(
        "--sample", type=int, action="extend", nargs="+", metavar="N", help=t("preview.sample")
    )
    parser.add_argument("--pick", choices=("first", "random", "longest"), help=t("preview.pick"))
    parser.add_argument("--count", type=int, help=t("preview.count"))
    parser.add_argument("--set", action="extend", nargs="+", metavar="KEY=VALUE", help=t("set"))
    parser.add_argument("--spec", metavar="FILE", help=t("spec"))
    parser.set_defaults(steps=None, name=None)


def _add_serve(parser: argparse.ArgumentParser, t: Callable[[str], str]) -> None:
    parser.add_argument("--model", help=t("model"))
    parser.add_argument("--adapter", help=t("adapter"))
    parser.add_argument("--host", help=t("host"))
    parser.add_argument("--port", type=int, help=t("port"))
    parser.add_argument("--if-busy", choices=_IF_BUSY, default="refuse", help=t("if_busy"))
    _add_settings(parser, t)


def _add_server(
    parser: argparse.ArgumentParser,
    add: Callable[..., argparse.ArgumentParser],
    t: Callable[[str], str],
) -> None:
    from app.commands.server import ACTIONS

    actions = parser.add_subparsers(dest="action", parser_class=_Parser, required=True)
    for name in ACTIONS:
        action = add(actions, name, prefix="server.")
        action.add_argument("run_id", metavar="ID")
        if name == "self-test":
            action.add_argument("--seconds", type=float, default=20.0, help=t("server.seconds"))
            action.add_argument("--prompt-tokens", type=int, default=128, help=t("server.prompt"))
            action.add_argument("--answer-tokens", type=int, default=32, help=t("server.answer"))
        elif name == "cancel":
            action.add_argument("request_id", metavar="REQUEST")
        elif name == "default":
            action.add_argument("model", metavar="MODEL")
        else:
            action.add_argument("adapter", metavar="ADAPTER", help=t("adapter"))
            if name == "load":
                action.add_argument("--name", help=t("name"))


def _add_settings(parser: argparse.ArgumentParser, t: Callable[[str], str]) -> None:
    parser.add_argument("--set", action="extend", nargs="+", metavar="KEY=VALUE", help=t("set"))
    parser.add_argument("--spec", metavar="FILE", help=t("spec"))
    parser.add_argument("--detach", action="store_true", help=t("detach"))


def _add_runs(
    parser: argparse.ArgumentParser,
    add: Callable[..., argparse.ArgumentParser],
    t: Callable[[str], str],
) -> None:
    actions = parser.add_subparsers(dest="action", parser_class=_Parser)
    add(actions, "list", prefix="runs.")
    for name in ("show", "stop", "resume", "export", "report", "delete"):
        action = add(actions, name, prefix="runs.")
        action.add_argument("run_id", metavar="ID")
        if name == "stop":
            action.add_argument("--no-save", action="store_true", help=t("no_save"))
            action.add_argument("--now", action="store_true", help=t("now"))
        elif name == "resume":
            action.add_argument(
                "--set", action="extend", nargs="+", metavar="KEY=VALUE", help=t("set_on_resume")
            )
            action.add_argument("--detach", action="store_true", help=t("detach"))
        elif name == "export":
            action.add_argument("--to", metavar="FOLDER", help=t("folder"))
    _add_live(actions, add, t)
    _add_exports(actions, add, t)


def _add_live(
    actions: Any, add: Callable[..., argparse.ArgumentParser], t: Callable[[str], str]
) -> None:
    from app.commands.live import ACTIONS

    for name in ACTIONS:
        action = add(actions, name, prefix="runs.")
        action.add_argument("run_id", metavar="ID")
        if name == "pause":
            action.add_argument("--free-gpu", action="store_true", help=t("free_gpu"))
        elif name == "rate":
            action.add_argument("scale", type=float, metavar="FACTOR", help=t("rate_factor"))
        elif name == "exclude":
            action.add_argument("samples", type=int, nargs="+", metavar="N", help=t("samples"))


def _add_exports(
    actions: Any, add: Callable[..., argparse.ArgumentParser], t: Callable[[str], str]
) -> None:
    merging = add(actions, "merge", prefix="runs.")
    merging.add_argument("--into", choices=("original", "dequantized"), help=t("merge_into"))
    merging.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), help=t("dtype"))
    plain = add(actions, "adapter", prefix="runs.")
    for action in (merging, plain):
        action.add_argument("run_id", metavar="ID", help=t("adapter"))
        action.add_argument("--to", metavar="FOLDER", help=t("folder"))
        action.add_argument("--model", help=t("model"))
        action.add_argument("--detach", action="store_true", help=t("detach"))
    capsule = add(actions, "capsule", prefix="runs.")
    capsule.add_argument("run_id", metavar="ID")
    capsule.add_argument("--to", metavar="FILE", help=t("folder"))


def _add_models(
    parser: argparse.ArgumentParser,
    add: Callable[..., argparse.ArgumentParser],
    t: Callable[[str], str],
) -> None:
    actions = parser.add_subparsers(dest="action", parser_class=_Parser)
    add(actions, "list", prefix="models.")
    adding = add(actions, "add", prefix="models.")
    adding.add_argument("path", help=t("model"))
    adding.add_argument("--name", help=t("name"))
    fetching = add(actions, "fetch", prefix="models.")
    fetching.add_argument("model", metavar="ID")
    fetching.add_argument("--detach", action="store_true", help=t("detach"))
    add(actions, "verify", prefix="models.").add_argument("model", metavar="ID")


def _add_queue(
    parser: argparse.ArgumentParser,
    add: Callable[..., argparse.ArgumentParser],
    t: Callable[[str], str],
) -> None:
    actions = parser.add_subparsers(dest="action", parser_class=_Parser)
    for name in ("list", "work", "hold", "release", "clear"):
        add(actions, name, prefix="queue.")
    for name in ("remove", "up", "down"):
        add(actions, name, prefix="queue.").add_argument("item_id", metavar="ENTRY")
    add(actions, "resume", prefix="queue.").add_argument("run_id", metavar="ID")
    after = add(actions, "after", prefix="queue.")
    after.add_argument("then", choices=("nothing", "sleep", "shut_down"))


def _add_keys(
    parser: argparse.ArgumentParser,
    add: Callable[..., argparse.ArgumentParser],
    t: Callable[[str], str],
) -> None:
    actions = parser.add_subparsers(dest="action", parser_class=_Parser)
    add(actions, "list", prefix="keys.")
    adding = add(actions, "add", prefix="keys.")
    adding.add_argument("name", metavar="NAME")
    adding.add_argument("--days", type=float, metavar="N", help=t("keys.days"))
    for limit in ("requests-per-minute", "tokens-per-minute", "tokens-per-day"):
        adding.add_argument(f"--{limit}", type=int, default=0, metavar="N", help=t("keys.limit"))
    adding.add_argument("--models", nargs="+", metavar="MODEL", help=t("keys.models"))
    add(actions, "revoke", prefix="keys.").add_argument("key", metavar="NAME")


def _run(args: argparse.Namespace, out: Output) -> int:
    if args.command == "demo":
        from app.demo import main as demo

        return demo(args, out)
    from core.services import build

    return _command(args.command)(args, build(Home.default()), out)


def _command(name: str) -> Command:
    """Imported one by one: `doctor` need not pay for what `train` imports."""
    match name:
        case "train":
            from app.commands.train import train

            return train
        case "preview":
            from app.commands.preview import preview

            return preview
        case "serve":
            from app.commands.serve import serve

            return serve
        case "runs":
            from app.commands.runs import runs

            return runs
        case "models":
            from app.commands.models import models

            return models
        case "queue":
            from app.commands.queue import queue

            return queue
        case "server":
            from app.commands.server import server

            return server
        case "keys":
            from app.commands.keys import keys

            return keys
        case _:
            from app.commands.doctor import doctor

            return doctor


class _Parser(argparse.ArgumentParser):
    """Bad usage becomes an error with a code, so that `--json` can print it as an object."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(ErrorCode.BAD_USAGE, detail=message)


def _tell_all(e: UsageError, out: Output) -> None:
    """One error object for programs, with all problems in it; every problem for people."""
    problems: tuple[ErrorInfo, ...] = getattr(e, "problems", (e.info,))
    if out.as_json:
        out.error(problems[0], problems=[out.error_fields(p) for p in problems])
        return
    for problem in problems:
        out.error(problem)


def _is_trouble(e: AppError) -> bool:
    """The machine's fault, not the user's input."""
    return e.code in (
        ErrorCode.DISK_FULL, ErrorCode.FOLDER_READ_ONLY, ErrorCode.WORKER_START_FAILED,
        ErrorCode.WORKER_LOST, ErrorCode.MODEL_FETCH_FAILED, ErrorCode.INTERNAL,
    )  # fmt: skip


def _after(option: str, words: Sequence[str]) -> str:
    for i, word in enumerate(words):
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
        if word == option and i + 1 < len(words):
            return words[i + 1]
    return ""


def _locale() -> str:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return value
    return locale.getlocale()[0] or "en"


def _version() -> str:
    from core.services.documents import own_version

    return f"deepdeck {own_version()}"
