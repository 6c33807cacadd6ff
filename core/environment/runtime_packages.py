"""Which Python packages are here, by their metadata: nothing is imported."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

FACE_PACKAGES = ("PySide6-Essentials", "pyqtgraph", "QtAwesome", "pydantic", "psutil", "numpy",
                 "httpx", "qasync")  # fmt: skip
WORKER_PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors", "gguf", "fastapi",
                   "uvicorn")  # fmt: skip

_CUDA_LINE = re.compile(r"^cuda(?::[^=]*)?\s*=\s*['\"]([\d.]+)['\"]", re.MULTILINE)


def missing_packages(names: tuple[str, ...]) -> list[str]:
    """Those of `names` that are not installed in this environment."""
    return [name for name in names if version_of(name) is None]


def version_of(name: str) -> str | None:
    """Installed version, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def torch_cuda_version() -> str | None:
    """CUDA version that the installed torch was built for; None for a CPU build or no torch.

    Read from the text of `torch/version.py`: importing torch takes seconds and hundreds of MiB.
    """
    try:
        place = metadata.distribution("torch").locate_file("torch/version.py")
        found = _CUDA_LINE.search(Path(str(place)).read_text(encoding="utf-8"))
    except (metadata.PackageNotFoundError, OSError):
        return None
    return found.group(1) if found else None
