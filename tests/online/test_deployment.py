"""The files for those who run the service for good: what they name is there, and systemd takes the unit."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from configparser import RawConfigParser

import pytest

from crystint.cli import main
from crystint.online.settings import ServeSettings
from tests.conftest import ROOT

FOLDER = ROOT / "docs" / "online"


def _options():
    """Of `crystint online serve`."""
    command = main.commands["online"].get_command(None, "serve")
    return {name for parameter in command.params for name in parameter.opts}


def _unit():
    parser = RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read(FOLDER / "crystint-online.service")
    return parser


def test_the_settings_are_those_of_the_service():
    settings = ServeSettings.of({}, FOLDER / "online.toml")
    assert settings.stream == ("tcp://DCU:31001",)
    assert settings.memory == 16 * 10**9


def test_the_unit_starts_the_service_with_its_settings_and_stops_it_gently():
    service = _unit()["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert program.endswith("/bin/crystint")
    assert words[:2] == ["online", "serve"]
    assert {word for word in words if word.startswith("-")} <= _options()
    assert service["KillSignal"] == "SIGINT"
    settings = ServeSettings.of({}, FOLDER / "online.toml")
    assert settings.out is not None
    assert settings.state_dir is not None
    assert service["ReadWritePaths"] == str(settings.out)
    assert settings.state_dir.name == service["StateDirectory"]
    assert settings.token_file is not None
    assert settings.token_file.parent == settings.state_dir


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path):
    """With a program and a user that are there."""
    text = (FOLDER / "crystint-online.service").read_text()
    text = text.replace("/opt/crystint/bin/crystint", "/bin/true").replace("User=crystint\nGroup=crystint", "User=root")
    (tmp_path / "crystint-online.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "crystint-online.service")], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "crystint-online" in line]
    assert not ours, ours
    assert done.returncode == 0, done.stderr


def test_the_container_runs_the_service_as_a_user():
    text = (FOLDER / "Containerfile").read_text().replace("\\\n", " ")
    steps = re.findall(r"^([A-Z]+) +(.*)$", text, re.MULTILINE)
    names = [name for name, _ in steps]
    assert names.count("FROM") == 2
    assert names.index("USER") < names.index("ENTRYPOINT")
    (entry,) = (rest for name, rest in steps if name == "ENTRYPOINT")
    words = re.findall(r'"([^"]+)"', entry)
    assert words[:3] == ["crystint", "online", "serve"]
    assert {word for word in words if word.startswith("--")} <= _options()
    assert ("STOPSIGNAL", "SIGINT") in steps
    assert all(name not in ("ADD", "MAINTAINER") for name in names)
    assert "healthz" in next(rest for name, rest in steps if name == "HEALTHCHECK")
    assert 'pip install --no-cache-dir ".[online,cpu]"' in text
