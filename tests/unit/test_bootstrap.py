"""The launcher and the set-up, with stand-ins for the heavy parts: nothing is installed here."""

import os
import re
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest

from core.environment import system_libraries
from core.paths import PROJECT_ROOT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the POSIX launcher")

TOOLS = ("sh", "dirname", "readlink", "cmp", "env", "apt-get")


@pytest.fixture(scope="module", autouse=True)
def _modules():
    sys.path.insert(0, str(PROJECT_ROOT / "packaging"))
    yield
    sys.path.remove(str(PROJECT_ROOT / "packaging"))


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


@pytest.fixture
def project(tmp_path):
    """A project whose environment is ready and whose programs only say that they were called."""
    root = tmp_path / "deep deck 深"
    (root / "packaging").mkdir(parents=True)
    shutil.copy(PROJECT_ROOT / "deepdeck", root)
    (root / "pyproject.toml").write_text("version 1")
    (root / "packaging" / "bootstrap.py").write_text(
        "import sys; print('bootstrap', *sys.argv[1:])"
    )
    script(root / ".venv" / "bin" / "python", 'echo "app $* path=$PYTHONPATH"')
    (root / ".venv" / "deepdeck-setup").mkdir()
    (root / ".venv" / "deepdeck-setup" / "runtime.toml").write_text("version 1")
    return root


def start(project, *arguments, **how):
    env = {**os.environ, "DEEPDECK_PYTHON": sys.executable, **how.pop("env", {})}
    command = [str(how.pop("launcher", project / "deepdeck")), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, **how)


def test_a_ready_environment_is_started_at_once_from_anywhere(project, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "app").mkdir(parents=True)  # must not be taken for ours
    done = start(project, "runs", "show", "a b", cwd=elsewhere)
    assert done.stdout == f"app -P -m app runs show a b path={project}\n"


def test_the_launcher_works_through_a_link(project, tmp_path):
    link = tmp_path / "bin" / "deepdeck"
    link.parent.mkdir()
    link.symlink_to(project / "deepdeck")
    relative = tmp_path / "bin" / "again"
    relative.symlink_to("deepdeck")
    assert "app -P -m app runs" in start(project, "runs", launcher=relative).stdout


@pytest.mark.parametrize(
    ("arguments", "wants"),
    [
        ((), True),
        (("--lang", "zh"), True),
        (("demo",), True),
        (("demo", "--out", "x"), True),
        (("demo", "--headless"), False),
        (("demo", "--help"), False),
        (("runs", "list"), False),
        (("--help",), False),
        (("--version",), False),
    ],
)
def test_only_a_window_waits_for_the_libraries_of_a_window(project, arguments, wants):
    from bootstrap import wants_window

    assert wants_window(list(arguments)) == wants
    assert start(project, *arguments).stdout.startswith("bootstrap" if wants else "app")
    (project / ".venv" / "deepdeck-setup" / "window").touch()
    assert start(project, *arguments).stdout.startswith("app")


@pytest.mark.parametrize("command", ["test", "setup"])
def test_setting_up_never_takes_the_short_way(project, command):
    assert start(project, command, "-k", "x").stdout == f"bootstrap {command} -k x\n"


def test_changed_requirements_are_set_up_again(project):
    (project / "pyproject.toml").write_text("version 2")
    assert start(project, "runs").stdout == "bootstrap runs\n"


def test_an_environment_whose_python_vanished_is_set_up_again(project):
    (project / ".venv" / "bin" / "python").unlink()
    (project / ".venv" / "bin" / "python").symlink_to("/nowhere/python3.11")
    assert start(project, "runs").stdout == "bootstrap runs\n"


@pytest.fixture
def bare_path(tmp_path):
    """A PATH with the launcher's tools and no Python."""
    folder = tmp_path / "bare"
    folder.mkdir()
    for tool in TOOLS:
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    return folder


def test_without_a_fitting_python_both_languages_say_what_to_do(project, bare_path):
    (project / "pyproject.toml").write_text("version 2")
    script(bare_path / "python3", "exit 1")  # an old one
    done = start(project, "runs", env={"PATH": str(bare_path), "DEEPDECK_PYTHON": ""})
    assert done.returncode == 1
    assert "3.11, 3.12 or 3.13" in done.stderr
    assert "未找到" in done.stderr
    assert ("apt-get install" in done.stderr) == (bare_path / "apt-get").exists()


def test_an_old_python3_is_passed_over_for_a_newer_one(project, bare_path):
    (project / "pyproject.toml").write_text("version 2")
    script(bare_path / "python3", "exit 1")
    (bare_path / "python3.12").symlink_to(sys.executable)
    done = start(project, "runs", env={"PATH": str(bare_path), "DEEPDECK_PYTHON": ""})
    assert done.stdout == "bootstrap runs\n"


def packages(folder, whole=True, name="thing"):
    """A site-packages with one package as pip leaves it."""
    (folder / f"{name}-1.0.dist-info").mkdir(parents=True)
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("x = 1\n" if whole else "")
    record = (
        f"{name}/__init__.py,sha256=x,6\n{name}/__init__.pyc,,\n{name}-1.0.dist-info/RECORD,,\n"
    )
    (folder / f"{name}-1.0.dist-info" / "RECORD").write_text(record)
    (folder / f"{name}-1.0.dist-info" / "INSTALLER").write_text("pip")


class Said:
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)

    log = detail = phase = say


def test_half_installed_packages_are_found_and_their_metadata_taken_away(tmp_path, monkeypatch):
    import bootstrap_env

    monkeypatch.setattr(bootstrap_env, "_site_packages", lambda: tmp_path)
    packages(tmp_path, name="whole")
    packages(tmp_path, name="emptied", whole=False)
    packages(tmp_path, name="norecord")
    (tmp_path / "norecord-1.0.dist-info" / "RECORD").unlink()
    packages(tmp_path, name="noinstaller")
    (tmp_path / "noinstaller-1.0.dist-info" / "INSTALLER").unlink()
    packages(tmp_path, name="lost")
    (tmp_path / "lost" / "__init__.py").unlink()
    (tmp_path / "~ld").mkdir()
    bootstrap_env._remove_damaged(Said())
    left = sorted(p.name for p in tmp_path.iterdir())
    assert [name for name in left if name.endswith(".dist-info")] == ["whole-1.0.dist-info"]
    assert "~ld" not in left


def test_the_progress_tells_package_megabytes_and_count(tmp_path, monkeypatch):
    import bootstrap_env

    monkeypatch.setattr(bootstrap_env, "_site_packages", lambda: tmp_path)
    monkeypatch.setenv("LC_ALL", "C")
    said = Said()
    watch = bootstrap_env._Watch(said)
    watch.line("Collecting torch==2.13.*")
    watch.line("  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (190.0 MB)")
    watch.line("Progress 95000000 of 190000000")
    watch.line("Installing collected packages: mpmath, torch, peft")
    packages(tmp_path)
    watch.tick()
    assert said.lines == [
        "looking for torch",
        "downloading torch",
        "downloading torch 95 / 190 MB",
        "installing 1 of 3 packages",
    ]


@pytest.mark.parametrize(
    ("tail", "hint"),
    [
        ("ERROR: [Errno 28] No space left on device", "disk is full"),
        ("WARNING: Retrying ... NewConnectionError('...')", "could not be reached"),
        ("ERROR: No matching distribution found for torch==2.13.*", "does not have this package"),
        ("error: subprocess-exited-with-error", "setup --repair"),
    ],
)
def test_each_failure_gets_its_own_advice(tail, hint, monkeypatch):
    import bootstrap

    monkeypatch.setenv("LC_ALL", "C")
    assert hint in bootstrap._hint(tail)


def test_a_failing_command_brings_its_last_lines(tmp_path):
    from bootstrap_console import Console, StepFailed, run

    log = tmp_path / "setup.log"
    with (tmp_path / "terminal").open("w") as terminal:
        console = Console(log, terminal)
        console.phase("Packages")
        code = "for i in range(30): print('line', i)\nraise SystemExit(3)"
        with pytest.raises(StepFailed) as failed:
            run(console, [sys.executable, "-c", code])
    assert failed.value.phase == "Packages"
    assert failed.value.tail[-1] == "line 29"
    assert "line 0\n" in log.read_text()


WAIT_FOR_LOCK = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
import bootstrap
from pathlib import Path
bootstrap.LOCK = Path(sys.argv[3])
class Console:
    def say(self, line): print("waiting", flush=True)
with bootstrap._lock(Console()):
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_a_second_set_up_waits_for_the_first_even_when_that_is_killed(tmp_path):
    command = [sys.executable, "-c", WAIT_FOR_LOCK, str(PROJECT_ROOT / "packaging"),
               str(PROJECT_ROOT), str(tmp_path / "setup.lock")]  # fmt: skip
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as first:
        assert first.stdout.readline() == "locked\n"
        with subprocess.Popen(command, **pipes) as second:
            assert second.stdout.readline() == "waiting\n"
            first.kill()
            assert second.stdout.readline() == "locked\n"
            second.communicate("\n")


def test_both_languages_have_the_same_texts_with_the_same_facts():
    from bootstrap_text import TEXTS

    def fields(text):
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for key, (english, chinese) in TEXTS.items():
        assert fields(english) == fields(chinese), key


def test_a_library_that_is_nowhere_is_missing_and_a_loaded_one_is_not():
    missing = system_libraries.SystemLibrary("libdeepdeck-nowhere.so.1", "x")
    assert not system_libraries._loads(missing.soname)
    assert system_libraries._loads("libc.so.6")


def test_no_index_is_named_in_what_is_installed_or_run():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    hosts = re.compile(
        r"pypi\.org|download\.pytorch\.org|pypi\.tuna|mirrors\.aliyun|/simple/?[\"']"
    )
    code = [
        n for n in listed.stdout.splitlines() if n.endswith((".py", ".toml", ".cmd", "deepdeck"))
    ]
    assert len(code) > 50
    naming = [
        name
        for name in code
        if not name.startswith("tests/")
        and hosts.search(Path(PROJECT_ROOT, name).read_text(encoding="utf-8"))
    ]
    assert naming == []
