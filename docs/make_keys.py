"""Write page/keys.md, the keys of the page for browsers, of the table that the page itself has.

Run it after a change of web/src/keys.ts: ``python docs/make_keys.py``. A test compares the file with the table.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "page" / "keys.md"
CAPS = {" ": "Space", "Escape": "Esc", "ArrowLeft": "←", "ArrowRight": "→", "ArrowUp": "↑", "ArrowDown": "↓"}
HEAD = """# Keys of the page

`?` shows this list on the page. A key of a part of the page works when that part has the focus, by a click or by
`F6`; the others work wherever nothing is typed, and `Ctrl+K`, `F6`, `F9` and `Ctrl+Shift+` arrows also there. What has
no key is in the menus, which the keyboard reaches by Tab, and in the list that `Ctrl+K` searches.
"""


def words(name: str) -> dict[str, str]:
    """A map of texts of text.ts, such as the titles of the sections."""
    source = (ROOT / "web" / "src" / "text.ts").read_text(encoding="utf-8")
    body = re.search(rf"^    {name}: \{{(.*?)\}},?$", source, re.MULTILINE | re.DOTALL)
    if body is None:
        raise ValueError(f"web/src/text.ts has no {name} where they were")
    pairs = re.findall(r'("?)(\w*)\1: ("(?:[^"\\]|\\.)*")', body[1])
    return {key: json.loads(value) for _, key, value in pairs}


def sections() -> dict[str, list[dict[str, str]]]:
    """Keys by section, as keys.ts has them: keys, text and where."""
    source = (ROOT / "web" / "src" / "keys.ts").read_text(encoding="utf-8")
    table = source[source.index("export const KEYS") : source.index("};", source.index("export const KEYS"))]
    made: dict[str, list[dict[str, str]]] = {}
    for line in table.splitlines()[1:]:
        if start := re.match(r"  (\w+): \[", line):
            made[start[1]] = []
        if entry := re.search(r'keys: (\[.*?\]), text: ("(?:[^"\\]|\\.)*"), where: ("\w*")', line):
            caps = [f"`{cap(key)}`" for key in json.loads(entry[1])]
            keys = " ".join(caps) if len(caps) < 7 else f"{caps[0]} to {caps[-1]}"
            made[[*made][-1]].append({"keys": keys, "text": json.loads(entry[2]), "where": json.loads(entry[3])})
        elif "id:" in line:
            raise ValueError(f"web/src/keys.ts: not understood: {line.strip()}")
    return made


def cap(key: str) -> str:
    """A key as it is on keyboards."""
    parts = re.split(r"\+(?=.)", key)
    return "+".join(CAPS.get(part, part.upper() if len(part) == 1 and len(parts) > 1 else part) for part in parts)


def keys_text() -> str:
    """The page."""
    titles, places = words("sections"), words("places")
    parts = [HEAD]
    for section, keys in sections().items():
        if not keys:
            continue
        parts.append(f"\n## {titles[section]}\n\n| key | does |\n|---|---|\n")
        for key in keys:
            where = f" ({places[key['where']]})" if key["where"] else ""
            caps = key["keys"].replace("|", "\\|")
            parts.append(f"| {caps} | {key['text']}{where} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(keys_text(), encoding="utf-8")
    print(PAGE)
