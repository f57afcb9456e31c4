"""The reference names every public name, and docstrings say what a caller must know, with an example that runs."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import functools
import inspect
import itertools
import re
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="Sphinx is not installed: the reference is not checked")
sys.path.append(str(Path(__file__).resolve().parent))

from public_names import PACKAGES, PublicName, public_names

REFERENCE = Path(__file__).resolve().parent / "reference"
NAMES = public_names()
_MADE = re.compile(r"[Mm]ade by `(\w+)`")
CALLED = [name for name in NAMES if name.kind in ("function", "class")]
RESULTS = [name for name in CALLED if name.kind == "class" and _MADE.search(name.doc)]
"""Classes that a public function makes: its example is theirs."""
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _ids(name: PublicName) -> str:
    return name.path


def _section(doc: str, heading: str) -> str:
    """The lines of a section of a docstring; empty where it has none."""
    found = re.search(rf"^{heading}\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def _parameters(name: PublicName) -> list[str]:
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [key for key, value in inspect.signature(name.value).parameters.items() if value.kind not in kinds]


@functools.cache
def _field_docs(cls: type) -> set[str]:
    """Fields of a dataclass that are followed by a string."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    assert isinstance(tree.body[0], ast.ClassDef)
    body = tree.body[0].body
    return {
        first.target.id
        for first, second in itertools.pairwise(body)
        if isinstance(first, ast.AnnAssign)
        and isinstance(first.target, ast.Name)
        and isinstance(second, ast.Expr)
        and isinstance(second.value, ast.Constant)
    }


def test_the_reference_lists_exactly_the_public_names():
    text = "\n".join(path.read_text(encoding="utf-8") for path in REFERENCE.glob("*.md"))
    listed = re.findall(r"^\.\. auto(\w+):: (\S+)$", text, re.MULTILINE)
    assert sorted(listed) == sorted((name.kind, name.path) for name in NAMES)


def test_every_package_has_a_page():
    pages = {path.stem for path in REFERENCE.glob("*.md")} - {"index"}  # the list of the pages
    pages = {"index" if page == "indexing" else page for page in pages}
    assert pages == {package.rpartition(".")[2] for package in PACKAGES}


@pytest.mark.parametrize("name", NAMES, ids=_ids)
def test_a_name_is_described(name):
    assert name.doc.strip()
    if inspect.isclass(name.value):
        for key, member in vars(name.value).items():
            if not key.startswith("_") and (inspect.isroutine(member) or isinstance(member, property)):
                assert inspect.getdoc(getattr(name.value, key)), f"{name.path}.{key} has no docstring"


@pytest.mark.parametrize("name", [name for name in NAMES if name.kind == "function"], ids=_ids)
def test_a_function_says_what_it_takes_gives_and_refuses(name):
    takes = _section(name.doc, "Parameters")
    for parameter in _parameters(name):
        assert re.search(rf"\b{parameter}\b", takes), f"Parameters of {name.path} do not name {parameter}"
    if inspect.signature(name.value).return_annotation not in ("None", None):
        assert _section(name.doc, "Returns") or _section(name.doc, "Yields"), f"{name.path} has no section Returns"
    if re.search(r"^\s+raise ", inspect.getsource(name.value), re.MULTILINE):
        assert _section(name.doc, "Raises"), f"{name.path} has no section Raises"


@pytest.mark.parametrize("name", [name for name in NAMES if name.kind == "class"], ids=_ids)
def test_a_class_says_what_it_holds(name):
    if dataclasses.is_dataclass(name.value):
        fields = {field.name for field in dataclasses.fields(name.value) if not field.name.startswith("_")}
        described = {field for cls in name.value.__mro__[:-1] for field in _field_docs(cls)}
        missing = fields - described
        assert not missing, f"fields of {name.path} without a word: {missing}"
    elif "__init__" in vars(name.value):
        takes = _section(name.doc, "Parameters")
        missing = {parameter for parameter in _parameters(name) if not re.search(rf"\b{parameter}\b", takes)}
        assert not missing or name in RESULTS, f"{name.path} says neither what it takes ({missing}) nor what makes it"


@pytest.mark.parametrize("name", RESULTS, ids=_ids)
def test_a_result_names_what_makes_it(name):
    made_by = _MADE.search(name.doc)
    assert made_by is not None
    assert f"{name.path.rpartition('.')[0]}.{made_by[1]}" in {other.path for other in CALLED}


@pytest.mark.parametrize("name", [name for name in CALLED if name not in RESULTS], ids=_ids)
def test_the_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    doc = _section(name.doc, "Examples")
    examples = doctest.DocTestParser().get_doctest(doc, {}, name.path, name.path, 0)
    assert examples.examples, f"{name.path} has no example"
    told: list[str] = []
    doctest.DocTestRunner(optionflags=_FLAGS).run(examples, out=told.append)
    assert not told, "".join(told)
