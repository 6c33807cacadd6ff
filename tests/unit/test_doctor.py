"""The doctor: every check answers, says what is wrong and how to put it right."""

import os
import socket
import string
import subprocess
import sys

import pytest

from app.texts.findings import MESSAGES, TITLES, finding_text
from core.environment import pip_settings, runtime_packages, system_libraries
from core.hardware import NoGpu, TraceBackend
from core.hardware.gpu import GpuSample
from core.paths import PROJECT_ROOT, Home
from core.services import doctor
from core.services.doctor import DoctorService, Finding

IDS = ["python", "venv", "packages", "torch", "gpu", "memory", "disk", "home", "index", "qt",
       "fonts", "port"]  # fmt: skip


def check(home, gpu=None):
    return {f.id: f for f in DoctorService(home, gpu or NoGpu("gpu.no_library")).check()}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def test_every_check_answers_in_a_fixed_order_and_changes_nothing(home):
    assert [f.id for f in DoctorService(home).check()] == IDS
    assert not home.root.exists()


def test_a_check_that_fails_itself_is_a_finding(home, monkeypatch):
    def breaks():
        raise RuntimeError("odd machine")

    monkeypatch.setattr(system_libraries, "has_chinese_font", breaks)
    found = check(home)
    assert found["fonts"].level == "warning"
    assert "odd machine" in found["fonts"].params["detail"]
    assert list(found) == IDS


def test_a_machine_without_a_card_is_in_order_and_one_with_an_updated_driver_is_not(home):
    assert check(home, NoGpu("gpu.no_device"))["gpu"].level == "ok"
    assert check(home, NoGpu("gpu.version_mismatch"))["gpu"].level == "warning"


def test_a_torch_for_the_cpu_beside_a_card_is_worth_a_look(home, monkeypatch):
    card = TraceBackend([[GpuSample(0, "Some card")]])
    monkeypatch.setattr(runtime_packages, "torch_cuda_version", lambda: None)
    assert check(home, card)["torch"].level == "warning"
    monkeypatch.setattr(runtime_packages, "torch_cuda_version", lambda: "13.0")
    found = check(home, card)
    assert found["torch"].level == "ok"
    assert found["torch"].params["build"] == "CUDA 13.0"
    assert found["gpu"].params["names"] == "Some card"


def test_missing_packages_are_named_with_the_command_that_brings_them(home, monkeypatch):
    monkeypatch.setattr(runtime_packages, "WORKER_PACKAGES", ("torch", "surely-not-installed"))
    found = check(home)["packages"]
    assert (found.level, found.params["missing"]) == ("broken", "surely-not-installed")
    assert "setup --repair" in found.fix_params["command"]


@pytest.mark.parametrize(("free_gib", "level"), [(0.1, "broken"), (2, "warning"), (50, "ok")])
def test_the_disk_is_judged_by_what_is_free(home, monkeypatch, free_gib, level):
    monkeypatch.setattr(doctor.atomic_io, "free_bytes", lambda _path: int(free_gib * 1024**3))
    assert check(home)["disk"].level == level


def test_a_home_that_cannot_be_written_is_broken(tmp_path):
    (tmp_path / "file").write_text("")
    assert check(Home(tmp_path / "file"))["home"].level == "broken"


def test_a_taken_port_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert doctor._port(taken.getsockname()[1]).level == "warning"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert doctor._port(port).level == "ok"


def test_missing_qt_libraries_come_with_one_line_that_installs_them(home, monkeypatch):
    lost = system_libraries.SystemLibrary("libnowhere.so.1", "libnowhere1")
    monkeypatch.setattr(system_libraries, "missing_libraries", lambda *, window: [lost])
    found = check(home)["qt"]
    assert found.level == "broken"
    assert found.fix_params["command"].endswith("--no-install-recommends libnowhere1")


def test_the_cuda_version_of_torch_is_read_without_importing_it(tmp_path, monkeypatch):
    class Distribution:
        def locate_file(self, name):
            return tmp_path / name

    (tmp_path / "torch").mkdir()
    monkeypatch.setattr(runtime_packages.metadata, "distribution", lambda _: Distribution())
    version = tmp_path / "torch" / "version.py"
    version.write_text("__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n")
    assert runtime_packages.torch_cuda_version() == "13.0"
    version.write_text("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n")
    assert runtime_packages.torch_cuda_version() is None


def test_settings_of_pip_are_shown_without_their_secrets(tmp_path, monkeypatch):
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://user:secret@mirror.example/simple\n")
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    shown = pip_settings.pip_index()
    assert "mirror.example" in shown
    assert "secret" not in shown
    assert not pip_settings.index_is_off()


def test_a_pip_without_any_source_is_noticed(monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    assert pip_settings.index_is_off()
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    assert not pip_settings.index_is_off()


def test_the_examination_never_imports_torch_or_qt():
    code = (
        "import sys; from pathlib import Path; from core.paths import Home;"
        "from core.services.doctor import DoctorService; DoctorService(Home(Path('x'))).check();"
        "sys.exit(bool({'torch', 'PySide6', 'transformers'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=False).returncode == 0
    )


def test_every_finding_has_a_sentence_in_both_languages_for_each_level_it_can_have(home):
    def fields(text):
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert set(TITLES) == set(IDS) == {name for name, _ in MESSAGES}
    for texts in MESSAGES.values():
        for words in texts:
            assert fields(words.en) == fields(words.zh)
    for finding in DoctorService(home).check():
        for language in ("en", "zh"):
            said = finding_text(finding, language)
            assert said.title
            assert said.message
            assert "–" not in said.message, finding


def test_a_finding_of_a_newer_version_is_shown_as_it_is():
    said = finding_text(Finding(id="quantum", level="warning", params={"detail": "x"}), "en")
    assert said.title == "quantum"
