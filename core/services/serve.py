"""The local API: check model, adapter and address first, then start the server's worker."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from core import secrets
from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode, UsageError
from core.paths import Home
from core.runlog.run_dir import RunDir, new_run_id
from core.services.documents import run_document
from core.services.models import ModelsService
from core.services.train import model_reference
from core.supervisor import RunView, Supervisor

WORKER_MODULE = "workers.serve"


class ServeService:
    """Start local API servers."""

    def __init__(self, home: Home, supervisor: Supervisor, models: ModelsService) -> None:
        self._home = home
        self._supervisor = supervisor
        self._models = models

    def api_key(self) -> str:
        """The key that clients send; made at first use. Never in a run folder or argv.

        Raises:
            AppError: `disk.full`, `folder.read_only`.
        """
        return secrets.api_key(self._home)

    def prepare(self, spec: ServeSpec) -> ServeSpec:
        """The spec with absolute paths, checked; nothing is written.

        Raises:
            UsageError: `model.*`, `adapter.not_found`, `run.not_found`, `serve.port_in_use`,
                `serve.host_unavailable`.
        """
        model = self._models.resolve(spec.model)
        adapter = str(adapter_folder(self._home, spec.adapter)) if spec.adapter else None
        more = dict.fromkeys(str(adapter_folder(self._home, a)) for a in spec.adapters)
        more.pop(str(adapter), None)
        check_address(spec.host, spec.port)
        changes = {"model": model_reference(model), "adapter": adapter, "adapters": tuple(more)}
        programs = {n: program_path(getattr(spec, n)) for n in ("vllm_python", "llama_server")}
        return spec.model_copy(update=changes | programs)

    def start(self, spec: ServeSpec) -> RunView:
        """Prepare, make the run folder and the key, and start the worker.

        Raises:
            UsageError: as `prepare`; nothing was written.
            AppError: `disk.full`, `folder.read_only`, `worker.start_failed`.
        """
        model = self._models.resolve(spec.model)
        ready = self.prepare(spec)
        self.api_key()
        document = run_document("serve", ready, name=model.name)
        document["model"] = model.id
        run = RunDir.create(self._home.runs, new_run_id("serve", model.id), document)
        return self._supervisor.start(run, WORKER_MODULE)


def adapter_folder(home: Home, adapter: str) -> Path:
    """The adapter folder that a path or the id of a training run means.

    Raises:
        UsageError: `adapter.not_found`.
    """
    named = home.runs / adapter / "adapter"
    is_id = Path(adapter).name == adapter
    folder = named if is_id and named.is_dir() else Path(adapter).expanduser().resolve()
    if (folder / "adapter").is_dir():  # the run's folder was given
        folder = folder / "adapter"
    if not (folder / "adapter_config.json").is_file():
        raise UsageError(ErrorCode.ADAPTER_NOT_FOUND, path=adapter)
    return folder


def program_path(named: str | None) -> str | None:
    """Absolute: a worker has another working folder. A bare name is looked up on the PATH.

    Links stay as they are, since the Python of an environment is one.
    """
    if not named or Path(named).name == named:
        return named
    return str(Path(named).expanduser().absolute())


def check_address(host: str, port: int) -> None:
    """See whether a server could listen there now, without leaving anything behind.

    Raises:
        UsageError: `serve.port_in_use` or `serve.host_unavailable`.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as e:
        raise UsageError(ErrorCode.HOST_UNAVAILABLE, host=host, detail=str(e)) from e
    family, kind, _, _, address = found[0]
    with socket.socket(family, kind) as probe:
        # As uvicorn does: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as e:
            raise _address_error(e, host, port) from e


def _address_error(e: OSError, host: str, port: int) -> AppError:
    if e.errno == errno.EADDRINUSE:
        return UsageError(ErrorCode.PORT_IN_USE, host=host, port=port)
    return UsageError(ErrorCode.HOST_UNAVAILABLE, host=host, detail=str(e))
