"""Starting, watching, stopping and judging worker processes."""

from core.supervisor.followed import load_view
from core.supervisor.identity import ProcessIdentity
from core.supervisor.launcher import Launcher, LocalLauncher
from core.supervisor.stop_ladder import StopLadder
from core.supervisor.supervisor import Supervisor
from core.supervisor.verdict import Verdict
from core.supervisor.view import RunView
from core.supervisor.worker_spec import WorkerSpec

__all__ = [
    "Launcher",
    "LocalLauncher",
    "ProcessIdentity",
    "RunView",
    "StopLadder",
    "Supervisor",
    "Verdict",
    "WorkerSpec",
    "load_view",
]
