"""A Ctrl-C whose KeyboardInterrupt was lost before frames are worked on."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress

import pytest

from crystint.commands.signals import Interruption, ctrl_c_came, noting_ctrl_c
from tests.processes import heeding_sigint


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
