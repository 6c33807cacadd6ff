"""The real command line, but its workers are fake: `python -m tests.fakes.fake_cli <arguments>`.

The switches of the fake worker come from the environment variable FAKE_SPEC (JSON); the services
put them into the run's spec after all checks, since the real specs know no such fields.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from app.cli import main
from core.runlog.run_dir import RunDir
from core.services import runs, serve, train
from tests.fakes.runs import FAKE

_create = RunDir.create


def _create_with_switches(runs_folder: Any, run_id: str, document: dict[str, Any]) -> RunDir:
    document["spec"].update(json.loads(os.environ.get("FAKE_SPEC", "{}")))
    return _create(runs_folder, run_id, document)


if __name__ == "__main__":
    RunDir.create = _create_with_switches  # type: ignore[method-assign]
    train.WORKER_MODULE = serve.WORKER_MODULE = FAKE
    runs._RESTARTABLE = {"serve": FAKE, "fetch": FAKE}
    sys.exit(main(sys.argv[1:]))
