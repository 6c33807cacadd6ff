"""What a person asks of a running server. Every command is answered: done, or why not.

Refusals are codes: `name_taken`, `unknown_adapter`, `unknown_request`, `test_running`, `not_ready`,
`not_an_adapter`, or that of the error that came up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import AppError
from core.protocol.commands import (
    AdapterCommand,
    CancelRequestCommand,
    Command,
    SelfTestCommand,
)
from core.protocol.events import ServeAdapters
from workers.harness import WorkerContext
from workers.serve import names
from workers.serve.engines.base import AdapterChange
from workers.serve.http.self_test import SelfTest
from workers.serve.http.state import Loaded, ServerState
from workers.serve.text.prompts import adapter_template

log = logging.getLogger(__name__)


class _Refused(Exception):
    """A command that is not done; the word is its code."""


class Commands:
    """Takes commands on the event loop and does them beside the requests.

    Args:
        context: their source, and where answers go.
        state: of the server, ready.
        base: public name of the base model.
        folders: of the adapters that are loaded, by short name.
    """

    def __init__(
        self, context: WorkerContext, state: ServerState, base: str, folders: dict[str, str]
    ) -> None:
        self._context, self._state, self._base = context, state, base
        self._folders = dict(folders)
        self._templates = templates_of(folders)
        self._default: str | None = next(iter(folders), None)
        self._one_change = asyncio.Lock()
        self._test: asyncio.Task[None] | None = None
        self._doing: set[asyncio.Task[None]] = set()

    def obey(self) -> None:
        """Begin what has come since the last call. A stop is the harness's to answer."""
        for command in self._context.control.poll():
            match command:
                case AdapterCommand():
                    self._begin(self._answered(command, self._change_adapters(command)))
                case CancelRequestCommand():
                    found = self._state.cancel(command.request_id)
                    self._answer(command, "" if found else "unknown_request")
                case SelfTestCommand():
                    self._begin_test(command)

    async def close(self) -> None:
        """Leave what is under way: the server stops."""
        doing = list(self._doing)
        for task in doing:
            task.cancel()
        await asyncio.gather(*doing, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)
        return task

    def _begin_test(self, command: SelfTestCommand) -> None:
        if self._test is not None and not self._test.done():
            self._answer(command, "test_running")
            return
        self._answer(command)
        test = SelfTest(self._state, self._context.reporter.emit)
        self._test = self._begin(test.run(command))

    async def _answered(self, command: Command, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except _Refused as e:
            self._answer(command, str(e))
        except AppError as e:
            log.warning("a command was refused: %s", e)
            self._answer(command, e.code.value)
        except asyncio.CancelledError:
            self._answer(command, "stopping")
            raise
        except Exception:
            log.exception("a command failed")
            self._answer(command, "internal")
        else:
            self._answer(command)

    def _answer(self, command: Command, refusal: str = "") -> None:
        self._context.control.acknowledge(command, not refusal, refusal)

    # -- adapters -------------------------------------------------------------------------------

    async def _change_adapters(self, command: AdapterCommand) -> None:
        """Load, then point the default, then unload: at no moment does a name lead nowhere."""
        async with self._one_change:
            if self._state.loaded is None or self._state.phase != "ready":
                raise _Refused("not_ready")
            if command.default is not None and not command.load:
                self._default = self._known(command.default)
            if command.load:
                await self._load(command)
            if command.unload is not None:
                await self._unload(command.unload)
            self._tell(command)

    async def _load(self, command: AdapterCommand) -> None:
        loaded, folder = self._loaded(), str(command.load)
        taken = {name for name in loaded.facts.adapters if name} | set(loaded.model_ids)
        label = names.safe_name(command.name) if command.name else names.adapter_label(folder)
        if command.name and label in taken:
            raise _Refused("name_taken")
        name = names.free_name(label, taken)
        template = await asyncio.to_thread(_checked_template, Path(folder))
        facts = await loaded.engine.change_adapters(AdapterChange(load=((name, folder),)))
        self._folders[name] = folder
        if template:
            self._templates[name] = template
        if command.default is not None:
            wanted = command.default in (name, label, f"{self._base}:{name}")
            self._default = name if wanted else self._known(command.default)
        self._publish(replace(self._loaded(), facts=facts))

    async def _unload(self, wanted: str) -> None:
        name = self._known(wanted)
        if name is None:
            raise _Refused("unknown_adapter")
        before, default = self._loaded(), self._default
        if self._default == name:
            self._default = None
        # First it is no name any more, so that nobody new comes; then those who are there finish.
        left = tuple(a for a in before.facts.adapters if a != name)
        self._publish(replace(before, facts=replace(before.facts, adapters=left)))
        try:
            facts = await before.engine.change_adapters(AdapterChange(unload=(name,)))
        except BaseException:
            self._default = default
            self._publish(before)
            raise
        self._folders.pop(name, None)
        self._templates.pop(name, None)
        self._publish(replace(self._loaded(), facts=facts))

    def _known(self, wanted: str) -> str | None:
        """The engine's name of a short or public one; None for the base model."""
        loaded = self._loaded()
        public = loaded.aliases.get(wanted, wanted)
        if public not in loaded.model_ids:
            raise _Refused("unknown_adapter")
        return loaded.model_ids[public]

    def _publish(self, loaded: Loaded) -> None:
        """The table of models, changed whole: a request sees the old one or the new one."""
        ids = names.model_ids(self._base, loaded.facts.adapters, self._default)
        aliases = names.aliases(self._folders, ids)
        loaded.prompter.use_templates(self._templates)
        self._state.loaded = replace(loaded, model_ids=ids, aliases=aliases)

    def _tell(self, command: AdapterCommand) -> None:
        loaded = self._loaded()
        self._publish(loaded)
        ids = self._loaded().model_ids
        self._context.reporter.emit(
            ServeAdapters(
                adapters=tuple(public for public, name in ids.items() if name),
                default=next(iter(ids)),
                folders={p: self._folders[n] for p, n in ids.items() if n in self._folders},
                in_reply_to=command.command_id,
            )
        )

    def _loaded(self) -> Loaded:
        assert self._state.loaded is not None
        return self._state.loaded


def templates_of(folders: dict[str, str]) -> dict[str, str]:
    """Chat templates of those adapters that bring one.

    Raises:
        AppError: `file.damaged`.
    """
    found = {name: adapter_template(Path(folder)) for name, folder in folders.items()}
    return {name: text for name, text in found.items() if text}


def _checked_template(folder: Path) -> str | None:
    if not (folder / "adapter_config.json").is_file():
        raise _Refused("not_an_adapter")
    return adapter_template(folder)
