"""Devices that are there but of no use, and Intel's runtime as the way out."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crystint.cli import main
from crystint.engine import add_intel, device, devices, find_device, intel, left_out
from crystint.errors import DeviceError
from tests.conftest import ROOT

HAS_AVX512 = device._has_avx512.__wrapped__
POCL = "OpenCL 3.0 PoCL HSTR: pthread-"


@dataclass
class Handle:
    """What is asked of a pyopencl.Device."""

    name: str
    version: str
    type: int = 2  # CL_DEVICE_TYPE_CPU
    available: bool = True
    compiler_available: bool = True
    endian_little: bool = True
    global_mem_size: int = 2**33
    max_mem_alloc_size: int = 2**31
    max_compute_units: int = 2
    max_work_group_size: int = 4096
    driver_version: str = "3.0-rc2"


@dataclass
class Platform:
    """What is asked of a pyopencl.Platform."""

    handles: list[Handle]
    name: str = "Portable Computing Language"

    def get_devices(self) -> list[Handle]:
        return self.handles


def there_are(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Let the loader know one device of each name, with these versions."""
    platforms: list[Any] = [Platform([Handle(name, version)]) for name, version in versions.items()]
    monkeypatch.setattr(device, "_platforms", lambda: platforms)


@pytest.fixture(autouse=True)
def avx512(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Whatever processor the tests run on, it is one without AVX-512 unless they say otherwise."""
    monkeypatch.setattr(device, "_has_avx512", lambda: getattr(request, "param", False))


@pytest.mark.parametrize(
    "version",
    [
        f"{POCL}x86_64-pc-linux-gnu-skylake-avx512",
        f"{POCL}x86_64-unknown-linux-gnu-znver4",
        f"{POCL}aarch64-unknown-linux-gnu-generic",
        "OpenCL 3.0 PoCL HSTR: cpu-x86_64-pc-linux-gnu-x86-64-generic",
        "OpenCL 3.0 CUDA",
        "OpenCL 3.0 (Build 0)",
    ],
)
def test_devices_with_a_target_are_usable(monkeypatch, version):
    there_are(monkeypatch, one=version)
    assert [one.name for one in devices()] == ["one"]
    assert left_out() == []


@pytest.mark.parametrize("head", [POCL, "OpenCL 3.0 PoCL HSTR: cpu-"])
def test_pocl_that_does_not_know_the_processor_is_left_out(monkeypatch, head):
    there_are(monkeypatch, new=f"{head}x86_64-unknown-linux-gnu-generic", old=f"{POCL}x86_64-pc-linux-gnu-znver3")
    assert [one.id for one in devices()] == ["1:0"]
    assert find_device().name == "old"
    (line,) = left_out()
    assert line.startswith("0:0 new (PoCL 3.0-rc2) is left out: ")
    with pytest.raises(DeviceError, match=r"there are: 1:0 cpu old; 0:0 new .* is left out"):
        find_device("0:0")
    with pytest.raises(DeviceError, match=r"there are: 1:0 cpu old$"):
        find_device("gpu")
    shown = CliRunner().invoke(main, ["devices"])
    assert shown.exit_code == 0
    assert "old" in shown.stdout
    assert "new" not in shown.stdout
    assert shown.stderr == f"crystint: warning: {line}\n"


@pytest.mark.parametrize(
    ("avx512", "target", "driver", "usable"),
    [
        (True, "znver3", "3.0-rc2", False),  # Zen 4, which LLVM 14 takes for Zen 3: it would end the process
        (False, "znver3", "3.0-rc2", True),
        (True, "znver3", "3.1", True),
        (True, "znver4", "3.0-rc2", True),
        (True, "skylake-avx512", "3.0-rc2", True),
    ],
    indirect=["avx512"],
)
def test_pocl_that_takes_zen_4_for_zen_3_is_left_out(monkeypatch, avx512, target, driver, usable):
    one = Handle("one", f"{POCL}x86_64-unknown-linux-gnu-{target}", driver_version=driver)
    monkeypatch.setattr(device, "_platforms", lambda: [Platform([one])])
    assert len(devices()) == usable
    assert len(left_out()) == (not usable)


@pytest.mark.parametrize(
    ("text", "has"),
    [("processor: 0\nflags\t\t: fpu avx2 avx512f\n", True), ("flags: fpu avx2\n", False), ("Features: neon\n", False)],
)
def test_avx512_is_read_from_what_linux_says(monkeypatch, tmp_path, text, has):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr("builtins.open", lambda _: (tmp_path / "cpuinfo").open())
    assert HAS_AVX512() is has


def test_without_proc_there_is_no_avx512_to_be_seen(monkeypatch):
    def none(_):
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", none)
    assert HAS_AVX512() is False


def test_nothing_but_such_a_device_says_why_and_what_to_do(monkeypatch):
    there_are(monkeypatch, new=f"{POCL}x86_64-unknown-linux-gnu-generic")
    shown = CliRunner().invoke(main, ["devices"])
    assert shown.exit_code == 1
    assert shown.stdout == ""
    for words in (
        "no usable OpenCL device found; 0:0 new (PoCL 3.0-rc2) is left out",
        "older than the processor",
        "pip install 'crystint[intel]', then crystint devices --add-intel",
    ):
        assert words in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def test_a_platform_without_its_hardware_is_passed_over(monkeypatch):
    import pyopencl as cl

    class Empty(Platform):
        def get_devices(self) -> list[Handle]:
            raise cl.LogicError("clGetDeviceIDs failed: DEVICE_NOT_FOUND")

    found: list[Any] = [Empty([]), Platform([Handle("one", "OpenCL 3.0")])]
    monkeypatch.setattr(device, "_platforms", lambda: found)
    assert [one.id for one in devices()] == ["1:0"]


@pytest.fixture
def environment(monkeypatch, tmp_path) -> Path:
    """An environment with PyOpenCL and Intel's runtime, as their wheels install them."""
    packages = tmp_path / "lib" / "python3" / "site-packages"
    (packages / "pyopencl" / ".libs").mkdir(parents=True)
    (packages / "pyopencl" / ".libs" / "libOpenCL-5519dec5.so.1.0.0").touch()
    (tmp_path / "lib" / "libintelocl.so").touch()
    about = packages / "intel_opencl_rt-2026.2.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: intel-opencl-rt\nVersion: 2026.2.0\n")
    (about / "RECORD").write_text("../../cl.cfg,,\n../../libintelocl.so,,\n")
    runtime = metadata.Distribution.at(about)

    def files(name: str) -> list[metadata.PackagePath] | None:
        if name != "intel-opencl-rt" or not about.exists():
            raise metadata.PackageNotFoundError(name)
        return runtime.files

    spec = ModuleSpec("pyopencl", None, origin=str(packages / "pyopencl" / "__init__.py"))
    monkeypatch.setattr(intel.metadata, "files", files)
    monkeypatch.setattr(intel, "find_spec", lambda name: spec)
    return packages


def test_intels_runtime_is_added_once(environment):
    file = add_intel()
    assert file == environment / "pyopencl" / ".libs" / "intel.icd"
    assert file.read_text() == f"{(environment.parents[1] / 'libintelocl.so').resolve()}\n"
    os.utime(file, (1, 1))
    assert add_intel() == file
    assert file.stat().st_mtime == 1, "a right file is written again"


def test_a_runtime_that_has_moved_is_corrected(environment):
    file = environment / "pyopencl" / ".libs" / "intel.icd"
    file.write_text("/opt/elsewhere/libintelocl.so\n")
    add_intel()
    assert "elsewhere" not in file.read_text()


def test_the_command_adds_it_and_lists(environment):
    shown = CliRunner().invoke(main, ["devices", "--add-intel", "--json"])
    assert "intel.icd" in shown.stderr
    assert devices()[0].id in shown.stdout
    assert (environment / "pyopencl" / ".libs" / "intel.icd").is_file()


@pytest.mark.parametrize("lost", ["intel_opencl_rt-2026.2.0.dist-info/RECORD", "intel_opencl_rt-2026.2.0.dist-info"])
def test_without_the_runtime_it_says_what_to_install(environment, lost):
    (environment / lost).rename(environment / "away")
    with pytest.raises(DeviceError, match=r"not installed here; pip install 'crystint\[intel\]'"):
        add_intel()


def test_without_a_loader_of_pyopencl_it_says_where_the_line_belongs(environment):
    (environment / "pyopencl" / ".libs" / "libOpenCL-5519dec5.so.1.0.0").unlink()
    with pytest.raises(DeviceError, match=r"no OpenCL loader of its own .*the line .*libintelocl\.so .*/etc/OpenCL"):
        add_intel()


def test_a_file_that_cannot_be_written_is_said(environment):
    (environment / "pyopencl" / ".libs" / "intel.icd").mkdir()
    with pytest.raises(DeviceError, match=r"intel\.icd cannot be written .*it needs the line .*libintelocl\.so"):
        add_intel()


def test_make_installs_nothing_more_where_a_device_is_usable(tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$*" = "-m crystint devices" ]\n')  # 0 there, and nothing else may be asked
    python.chmod(0o755)
    script = [ROOT / "scripts" / "cpu-device", python, "no-such-package"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_make_installs_intels_runtime_where_there_is_none(tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n[ "$*" != "-m crystint devices" ]\n')
    python.chmod(0o755)
    script = [ROOT / "scripts" / "cpu-device", python, "--editable", ".[intel]"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    first, *rest = done.stdout.splitlines()
    assert "installing Intel's CPU runtime" in first
    assert rest == ["-m pip install --quiet --editable .[intel]", "-m crystint devices --add-intel"]
