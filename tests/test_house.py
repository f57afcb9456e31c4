"""What holds for the house as a whole: kernel headers, files that must exist, a light import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import crystint
from tests.conftest import ROOT

KERNELS = sorted((ROOT / "kernels").glob("*.cl"))
FIELDS = ("Launch", "In", "Out", "Defines", "Exact", "Limits", "Method", "Oracle")


def _header(path: Path) -> str:
    comment = re.match(r"/\*(.*?)\*/", path.read_text(encoding="utf-8"), re.DOTALL)
    assert comment is not None, f"{path.name} does not begin with a comment"
    return comment[1]


def _field(header: str, name: str) -> str:
    field = re.search(rf"^ \* {name}\b[ \t]+(.+?)(?=^ \* [A-Z][a-z]+\b  |\Z)", header, re.MULTILINE | re.DOTALL)
    assert field is not None, f"no field {name}"
    return field[1]


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_a_kernel_has_its_header(path):
    header = _header(path)
    assert header.strip().startswith(f"{path.name} - "), "the first line is '<file> - <what it does>'"
    for name in FIELDS:
        assert _field(header, name).strip(), f"{path.name}: empty field {name}"


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_a_kernel_has_an_oracle_that_knows_nothing_of_the_package(path):
    oracles = re.findall(r"tests/oracles/\w+\.py", _field(_header(path), "Oracle"))
    assert oracles, f"{path.name}: the field Oracle names no file of tests/oracles"
    for name in oracles:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import) crystint", text, re.MULTILINE), f"{name} imports crystint"


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_a_kernel_is_named_like_its_file(path):
    assert re.search(rf"\b{path.stem}\s*\(", path.read_text(encoding="utf-8").split("*/", 1)[1])


def test_kernels_and_python_modules_name_each_other():
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "crystint").rglob("*.py"))
    named = set(re.findall(r'"(\w+\.cl)"', text))
    assert named == {path.name for path in KERNELS}


def test_every_header_file_is_included_once_over():
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "kernels").iterdir() if path.is_file()}
    included = {name for text in sources.values() for name in re.findall(r'#include "(\S+)"', text)}
    headers = {path.name for path in sources if path.suffix == ".h"}
    assert included == headers
    for path, text in sources.items():
        if path.suffix == ".h":
            assert re.search(r"#ifndef (\w+)\s+#define \1\b", text), f"{path.name} has no include guard"


TOP = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "CITATION.cff",
    "LICENSE",
    "Makefile",
    ".ci/run",
    "pyproject.toml",
)


@pytest.mark.parametrize("name", TOP)
def test_what_a_project_needs_is_there(name):
    assert (ROOT / name).stat().st_size > 0


def _files() -> list[Path]:
    """Files under version control or about to be; empty where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return [ROOT / name for name in listed.stdout.splitlines()]


def test_no_file_speaks_of_the_machine_it_was_written_on():
    words = [re.compile(rf"(?<![\w.]){re.escape(place)}") for place in ("/" + "work/", "/" + "tmp/", "/" + "root/")]
    places = []
    for path in _files():
        if path.suffix in {".png", ".h5", ".npz", ".npy", ".bz2", ".cbf"} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        places += [f"{path.relative_to(ROOT)}: {word.pattern}" for word in words if word.search(text)]
    assert not places


VAGUE = {"dear", "found", "given", "kept", "known", "lent", "said"}
"""Words that say how a thing came about, never what it is."""


def _vague_names(text: str) -> list[str]:
    """Line and name of every variable, attribute, parameter and private function with a vague name, "_" aside."""
    names = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                pass
            case ast.arg(arg=name):
                pass
            case ast.FunctionDef(name=name) if name.startswith("_"):
                pass
            case _:
                continue
        if name.strip("_") in VAGUE:
            names.append(f"{node.lineno}: {name}")
    return names


def test_names_say_what_a_thing_is():
    package = ROOT / "crystint"
    vague = []
    for path in sorted(package.rglob("*.py")):
        names = _vague_names(path.read_text(encoding="utf-8"))
        vague += [f"{path.relative_to(package)}:{name}" for name in names]
    assert not vague, f"name these after what they are (peaks, geometry, options, ...): {', '.join(vague)}"


def test_vague_names_are_seen():
    text = "for found in x: pass\ndef _known(given, *kept_, lent=1): self.said = found\nfound_peaks = x.known(dear=1)\n"
    assert sorted(_vague_names(text)) == ["1: found", "2: _known", "2: given", "2: kept_", "2: lent", "2: said"]


def test_version_is_the_same_everywhere():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{crystint.__version__}"' in text
    assert crystint.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {crystint.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


PACKAGES = (crystint, crystint.cbc, crystint.correlate, crystint.stills)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_is_there_and_hides_no_module(package):
    modules = {path.stem for path in Path(package.__path__[0]).iterdir()} - {"__init__"}
    for name in package.__all__:
        assert getattr(package, name) is not None
        is_module = isinstance(getattr(package, name), ModuleType)
        assert is_module or name not in modules, f"{package.__name__}.{name} is a module as well: the later import wins"
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="attribute nonsense"):
        _ = package.nonsense


HEAVY = (
    "pyopencl",
    "h5py",
    "hdf5plugin",
    "fabio",
    "scipy",
    "matplotlib",
    "pydantic",
    "pyFAI",
    "rich",
)


def _loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_is_light():
    assert _loaded_by("import crystint") == set()


def test_the_geometry_needs_neither_device_nor_files():
    assert _loaded_by("import crystint; crystint.Geometry") == set()


def test_help_of_the_commands_needs_neither_device_nor_files():
    heavy = {"pyopencl", "h5py", "fabio", "scipy", "matplotlib", "rich"}
    assert not _loaded_by("import crystint.cli") & heavy


ALLOWED_CIRCLE = ("crystint.model.geometry", "crystint.io.geometry.files")
"""`Geometry.read` and `Geometry.write`: the public door to the file formats, which are looked up when it is opened."""


def _circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import one another, round about or directly (Tarjan 1972)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for other in imports[module]:
            if other not in number:
                visit(other)
            if other in stack:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == number[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for module in imports:
        if module not in number:
            visit(module)
    return groups


def test_no_modules_import_one_another_in_a_circle():
    """Imports inside functions and for type checkers count as well: a circle is a naming of layers not finished."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("crystint", exclude_type_checking_imports=False, cache_dir=None)
    imports = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    importer, imported = ALLOWED_CIRCLE
    imports[importer].discard(imported)
    assert _circles(imports) == []
    assert _circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


READS_HDF5 = {"io/hdf5/checked.py", "io/hdf5/files.py"}
"""Where HDF5 files are opened for reading; whoever else wants one calls `open_hdf5`."""


def _opened_hdf5(text: str) -> list[str]:
    """Mode of every call of h5py.File, and of the class that checks what is read."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    names = {id(call): ast.unparse(call.func) for call in calls}
    opened = [call for call in calls if names[id(call)] in ("h5py.File", "File", "CheckedFile", "h5py.h5f.open")]
    return ["r" if len(call.args) < 2 else ast.literal_eval(call.args[1]) for call in opened]


def test_hdf5_is_opened_in_one_way():
    package = ROOT / "crystint"
    texts = {str(path.relative_to(package)): path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    readers = {name for name, text in texts.items() if set(_opened_hdf5(text)) - {"w"}}
    assert readers == READS_HDF5
    assert _opened_hdf5("h5py.File(x, 'r'); h5py.File(x); File(y, 'w'); open_hdf5(x)") == ["r", "r", "w"]
