"""Intel's CPU runtime of PyPI, made known to the OpenCL loader that PyOpenCL's wheels bring."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from crystint.errors import DeviceError

__all__ = ["add_intel"]


def add_intel() -> Path:
    """Write the file that tells the loader where Intel's runtime is, once per environment.

    The runtime's wheel registers itself with a path of the machine it was built on. PyOpenCL's loader reads the
    ``.icd`` files beside itself, where PoCL from PyPI registers, too. A process that has asked for devices before
    does not see the runtime: the loader reads once.

    Returns
    -------
    Path
        The file; it stays as it is where it is right.

    Raises
    ------
    DeviceError
        If the runtime is not installed, PyOpenCL brings no loader, or the file cannot be written.
    """
    runtime, file = _runtime(), _loader_folder() / "intel.icd"
    line = f"{runtime}\n"
    try:
        if not file.is_file() or file.read_text() != line:
            file.write_text(line)
    except OSError as error:
        raise DeviceError(f"{file} cannot be written ({error.strerror}); it needs the line {runtime}") from None
    return file


def _runtime() -> Path:
    """The library of the runtime that is installed in this environment."""
    try:
        files = metadata.files("intel-opencl-rt") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate())).resolve()
        if file.name == "libintelocl.so" and path.is_file():
            return path
    raise DeviceError("Intel's CPU runtime is not installed here; pip install 'crystint[intel]'")


def _loader_folder() -> Path:
    """The folder of the OpenCL loader that PyOpenCL brings."""
    spec = find_spec("pyopencl")
    if spec is None or spec.origin is None:
        raise DeviceError("PyOpenCL is not installed; pip install pyopencl")
    folder = Path(spec.origin).parent / ".libs"
    if not any(folder.glob("libOpenCL*")):
        raise DeviceError(
            f"this PyOpenCL brings no OpenCL loader of its own (there is none in {folder}); write an .icd file with "
            f"the line {_runtime()} where the loader of the system looks, such as /etc/OpenCL/vendors"
        )
    return folder
