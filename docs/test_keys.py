"""The list of keys in the documentation is that of the page."""

from __future__ import annotations

import re

from make_keys import PAGE, ROOT, cap, keys_text, sections


def test_the_page_of_keys_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == keys_text(), "run: python docs/make_keys.py"


def test_every_key_of_the_table_is_read():
    table = (ROOT / "web" / "src" / "keys.ts").read_text(encoding="utf-8")
    assert sum(map(len, sections().values())) == len(re.findall(r"\{ id: ", table)) > 20


def test_keys_are_written_as_on_keyboards():
    assert [cap(key) for key in ("k", "Ctrl+k", "Ctrl+Shift+ArrowLeft", " ", "+")] == [
        "k",
        "Ctrl+K",
        "Ctrl+Shift+←",
        "Space",
        "+",
    ]
