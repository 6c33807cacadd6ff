"""What can be asked of a server that runs: adapters, one request, a test of itself."""

from __future__ import annotations

from core.errors import ErrorCode, UsageError
from core.paths import Home
from core.protocol.commands import (
    AdapterCommand,
    CancelRequestCommand,
    Command,
    SelfTestCommand,
)
from core.services.serve import adapter_folder
from core.supervisor import Supervisor


class ServeControl:
    """Sends commands; each returns its `command_id`, the answer comes as an event.

    All raise AppError: `run.not_found`, `run.not_alive`, `disk.full`.
    """

    def __init__(self, home: Home, supervisor: Supervisor) -> None:
        self._home = home
        self._supervisor = supervisor

    def load_adapter(self, run_id: str, adapter: str, name: str = "") -> str:
        """Load an adapter beside those that are there; no request is dropped.

        Args:
            run_id: the server.
            adapter: a folder, or the id of a training run.
            name: short name; empty: the training run's name, else the folder's.

        Raises:
            UsageError: `adapter.not_found`.
        """
        folder = adapter_folder(self._home, adapter)
        return self._send(run_id, AdapterCommand(load=str(folder), name=name))

    def unload_adapter(self, run_id: str, name: str) -> str:
        """Unload an adapter by its short or public name; its open requests are finished first."""
        return self._send(run_id, AdapterCommand(unload=name))

    def set_default(self, run_id: str, name: str) -> str:
        """The model that answers requests that name none."""
        return self._send(run_id, AdapterCommand(default=name))

    def cancel(self, run_id: str, request_id: str) -> str:
        """End one open request; its client is told."""
        return self._send(run_id, CancelRequestCommand(request_id=request_id))

    def self_test(
        self,
        run_id: str,
        *,
        seconds: float = 20.0,
        prompt_tokens: int = 128,
        answer_tokens: int = 32,
        target_p99_ms: float = 500.0,
    ) -> str:
        """Let the server measure what this machine can hold.

        Raises:
            UsageError: `input.bad_value` for numbers that make no test.
        """
        for name, value in (("prompt_tokens", prompt_tokens), ("answer_tokens", answer_tokens)):
            if value < 1:
                raise UsageError(ErrorCode.BAD_VALUE, field=name, value=value, detail="< 1")
        command = SelfTestCommand(
            seconds=seconds,
            prompt_tokens=prompt_tokens,
            answer_tokens=answer_tokens,
            target_p99_ms=target_p99_ms,
        )
        return self._send(run_id, command)

    def _send(self, run_id: str, command: Command) -> str:
        self._supervisor.attach(run_id)
        return self._supervisor.send(run_id, command)


def short_name(public: str) -> str:
    """The adapter's own part of a public name `base:adapter`."""
    return public.rpartition(":")[2]
