"""Ctrl-C where no frames are worked on: while the program is loading, and where its KeyboardInterrupt was lost."""

from __future__ import annotations

import signal
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest

from crystint.commands.signals import INTERRUPTED, Interruption, ctrl_c_came, noting_ctrl_c
from tests.processes import LONG, ROOT, end_all, heeding_sigint, started


def test_a_ctrl_c_that_comes_in_a_destructor_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    with heeding_sigint():
        before = signal.getsignal(signal.SIGINT)
        with noting_ctrl_c():
            Dying()
            assert ctrl_c_came()
            with pytest.raises(KeyboardInterrupt), Interruption().watched():
                raise AssertionError("frames were worked on")
        assert not ctrl_c_came()
        assert signal.getsignal(signal.SIGINT) is before


def test_one_that_is_noted_is_raised_as_well() -> None:
    with heeding_sigint(), noting_ctrl_c():
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("it was not raised")
        assert ctrl_c_came()


_AT_IMPORT = """
import runpy, signal, sys
class Sender:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Sender())
sys.argv = ["crystint", "devices"]
runpy.run_module("crystint", run_name="__main__", alter_sys=True)
"""
"""A program in which Ctrl-C comes when a module is about to be imported."""


@pytest.mark.parametrize(
    "module",
    ["crystint.cli", "click", "numpy", "pydantic", "crystint.commands.main", "crystint.engine.device", "pyopencl"],
)
def test_ctrl_c_while_the_program_is_still_loading_is_one_line(module: str, tmp_path: Path) -> None:
    process = started([sys.executable, "-c", _AT_IMPORT.format(module=module)], tmp_path)
    try:
        out, err = process.communicate(timeout=LONG)
    finally:
        end_all()
    assert (process.returncode, out) == (130, "")
    assert err == f"crystint: error: {INTERRUPTED}\n"


def test_an_ignored_ctrl_c_stays_ignored_from_the_first_moment(tmp_path: Path) -> None:
    text = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" + _AT_IMPORT.format(module="click")
    process = started([sys.executable, "-c", text.replace('"devices"', '"--version"')], tmp_path)
    try:
        out, err = process.communicate(timeout=LONG)
    finally:
        end_all()
    assert (process.returncode, err) == (0, "")
    assert out.startswith("crystint")


def test_the_program_is_the_one_that_is_installed() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["scripts"] == {"crystint": "crystint.__main__:run"}
