"""GPU and machine facts: what is not known is said to be not known."""

import json
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from core.hardware import TraceBackend, gpu_backend, machine, rss_gib
from core.hardware.gpu import GpuSample
from core.hardware.nvml import open_nvml
from core.hardware.process import ProcessMeter
from core.hardware.trace import record

pynvml = pytest.importorskip("pynvml")
GIB = 1024**3


class Driver:
    """The functions of a driver, each answering or raising as told; errors are pynvml's own."""

    NVMLError = pynvml.NVMLError

    def __init__(self, init_error=None, count=1, **answers):
        self.init_error = init_error
        self.count = count
        self.answers = answers
        self.opened = 0

    def nvmlInit(self):
        if self.init_error is not None:
            raise pynvml.NVMLError(self.init_error)
        self.opened += 1

    def nvmlShutdown(self):
        self.opened -= 1

    def nvmlDeviceGetCount(self):
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def __getattr__(self, name):
        if name.startswith("NVML_"):
            return getattr(pynvml, name)
        if name not in self.answers:
            return self._not_supported
        return lambda *_: self.answers[name]

    def _not_supported(self, *_):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "gpu.no_library"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "gpu.driver_not_loaded"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "gpu.version_mismatch"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "gpu.no_permission"),
        (pynvml.NVML_ERROR_UNKNOWN, "gpu.failed"),
    ],
)
def test_a_driver_that_does_not_answer_is_told_with_its_reason(error, reason):
    backend = open_nvml(Driver(init_error=error))
    assert backend.reason == reason
    assert backend.sample() == []


def test_a_driver_without_cards_says_so_and_is_let_go():
    driver = Driver(count=0)
    assert open_nvml(driver).reason == "gpu.no_device"
    assert driver.opened == 0


def test_what_a_card_does_not_support_is_none_and_never_zero():
    memory = SimpleNamespace(used=3 * GIB, total=24 * GIB)
    (card,) = open_nvml(
        Driver(nvmlDeviceGetName="Test card", nvmlDeviceGetMemoryInfo=memory)
    ).sample()
    assert (card.name, card.memory_used_gib, card.memory_total_gib) == ("Test card", 3.0, 24.0)
    assert card.utilization is None
    assert card.temperature_c is None
    assert card.slowdowns is None
    assert card.process_memory_gib is None


def test_an_idle_card_has_a_utilization_of_zero_not_none():
    rates = SimpleNamespace(gpu=0, memory=0)
    (card,) = open_nvml(Driver(nvmlDeviceGetUtilizationRates=rates)).sample()
    assert card.utilization == 0.0


def test_units_are_ratios_watts_and_named_slowdowns():
    (card,) = open_nvml(
        Driver(
            nvmlDeviceGetUtilizationRates=SimpleNamespace(gpu=73, memory=10),
            nvmlDeviceGetPowerUsage=251_300,
            nvmlDeviceGetCurrentClocksEventReasons=0x1 | 0x4 | 0x40,  # idle bit is no slowdown
            nvmlDeviceGetComputeRunningProcesses=[SimpleNamespace(pid=7, usedGpuMemory=GIB)],
        )
    ).sample()
    assert card.utilization == pytest.approx(0.73)
    assert card.power_w == pytest.approx(251.3)
    assert card.slowdowns == ("power_cap", "thermal_hardware")
    assert card.process_memory_gib == {7: 1.0}


def test_process_memory_under_wddm_is_not_available_rather_than_wrong():
    hidden = [SimpleNamespace(pid=7, usedGpuMemory=None)]
    (card,) = open_nvml(Driver(nvmlDeviceGetComputeRunningProcesses=hidden)).sample()
    assert card.process_memory_gib is None


def test_a_closed_backend_opens_again_at_the_next_sample():
    driver = Driver()
    backend = open_nvml(driver)
    backend.close()
    assert driver.opened == 0
    assert len(backend.sample()) == 1
    assert driver.opened == 1


def test_a_driver_that_is_updated_while_running_turns_into_a_reason():
    driver = Driver()
    backend = open_nvml(driver)
    backend.close()
    driver.init_error = pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
    assert backend.sample() == []
    assert backend.reason == "gpu.version_mismatch"


def test_a_recording_plays_back_what_was_recorded(tmp_path):
    path = tmp_path / "trace.jsonl"
    first = GpuSample(0, "card", slowdowns=("thermal",), process_memory_gib={12: 1.5})
    second = GpuSample(0, "card", utilization=0.5, compute_capability=(9, 0))
    source = TraceBackend([[first], [second]])
    record(source, path, 0.0)
    record(source, path, 1.0)
    played = TraceBackend.read(path)
    assert [played.sample(), played.sample(), played.sample()] == [[first], [second], [second]]


def test_a_recording_of_a_newer_version_is_still_read(tmp_path):
    path = tmp_path / "trace.jsonl"
    gpu = {"index": 0, "name": "card", "from_the_future": 1}
    path.write_text(json.dumps({"time_s": 0, "gpus": [gpu]}) + "\n")
    assert TraceBackend.read(path).sample() == [GpuSample(0, "card")]


def test_a_machine_without_a_card_has_a_reason_and_one_with_cards_has_none():
    found = machine()
    assert bool(found.gpus) == (found.reason_no_gpu is None)
    assert found.cores >= 1
    assert 0 < found.ram_available_gib <= psutil.virtual_memory().total / GIB
    assert found.os
    assert found.cpu


def test_a_process_that_is_gone_has_no_figures():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert rss_gib(child.pid) is None
    assert ProcessMeter(child.pid).cpu_percent() is None
    assert rss_gib() > 0


def test_looking_at_the_hardware_never_imports_torch():
    code = "import sys, core.hardware as h; h.machine(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.gpu
def test_a_real_card_tells_its_memory():
    backend = gpu_backend()
    if backend.reason is not None:
        pytest.skip(f"no NVIDIA card: {backend.reason}")
    assert all(card.memory_total_gib > 0 for card in backend.sample())
