"""Write openapi.json, the contract of the web interface of ``crystint online serve``, of its routes.

Run it after a change of routes: ``python docs/make_openapi.py``. A test compares the file with the routes.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crystint.online.auth import Access, Tokens
from crystint.online.history import History
from crystint.online.openapi import openapi_text
from crystint.online.server import create_app

if __name__ == "__main__":
    path = Path(__file__).resolve().parent / "openapi.json"
    path.write_text(openapi_text(create_app(None, History(), access=Access(Tokens.new()))), encoding="utf-8")
    print(path)
