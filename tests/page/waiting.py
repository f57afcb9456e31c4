"""Expectations of a page that may come true a moment later, as everything does on a busy machine."""

from __future__ import annotations

from typing import Any


def expect(locator: Any) -> Any:
    """Playwright's expectations of an element, each with 20 s to become true."""
    from playwright.sync_api import expect as expectations

    expectations.set_options(timeout=20_000)
    return expectations(locator)
