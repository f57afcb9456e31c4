"""Settings: what they accept, and the one line they answer with when they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from crystint.errors import FileError, SettingError
from crystint.separation.settings import Settings


def test_defaults_are_those_of_the_documentation():
    settings = Settings()
    assert (settings.rings, settings.error_model, settings.cycles, settings.clip) == (1000, "hybrid", 5, None)
    assert (settings.snr, settings.snr_pick, settings.snr_peak, settings.noise) == (None, 2.0, 5.0, 0.0)
    assert (settings.patch, settings.connected, settings.solid_angle) == (3, 3, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.351", 0.351),
        (0.351, 0.351),
        ("351mm", 0.351),
        ("351 mm", 0.351),
        ("35.1cm", 0.351),
        ("351000um", 0.351),
        ("0.351m", 0.351),
    ],
)
def test_lengths_may_have_a_unit(text, expected):
    assert Settings.of({"distance": text}).distance == pytest.approx(expected, rel=1e-15)


def test_pixel_size_is_one_length_or_two():
    assert Settings.of({"pixel_size": "172um"}).pixel_size == (0.000172, 0.000172)
    assert Settings.of({"pixel_size": "172um,75um"}).pixel_size == (0.000172, 0.000075)
    assert Settings.of({"pixel_size": 172e-6}).pixel_size == (172e-6, 172e-6)


def test_text_of_the_command_line_becomes_numbers():
    settings = Settings.of(
        {
            "beam": "1306.96,1261.61",
            "snr_clip": "4",
            "polarization": "0.99",
            "saturation": "none",
            "rings": "500",
        }
    )
    assert settings.beam == (1306.96, 1261.61)
    assert (settings.clip, settings.polarization, settings.saturation, settings.rings) == (
        4.0,
        0.99,
        "none",
        500,
    )
    assert Settings.of({"snr_clip": "auto"}).clip is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"error_model": "gauss"}, ("error_model", "'gauss'", "poisson", "azimuthal", "hybrid")),
        ({"patch": 4}, ("patch", "4", "3 or 5")),
        ({"snr": "x"}, ("snr", "'x'", "number")),
        ({"snr": -1}, ("snr", "-1", "greater than 0")),
        ({"snr_pick": 0}, ("snr_pick", "0")),
        ({"snr_clip": "aut"}, ("snr_clip", "auto", "number")),
        ({"snr_clip": float("nan")}, ("snr_clip", "nan", "finite")),
        ({"noise": -0.1}, ("noise", "-0.1")),
        ({"rings": 0}, ("rings", "0")),
        ({"rings": 1.5}, ("rings", "1.5")),
        ({"rings": 70000}, ("rings", "70000")),
        ({"cycles": -1}, ("cycles", "-1")),
        ({"beam": "12"}, ("beam", "SLOW,FAST")),
        ({"beam": "a,b"}, ("beam", "'a'")),
        ({"distance": "351 furlongs"}, ("distance", "351 furlongs", "mm")),
        ({"distance": 0}, ("distance", "0")),
        ({"wavelength": "-1"}, ("wavelength", "-1")),
        ({"pixel_size": "0"}, ("pixel_size", "0")),
        ({"polarization": 2}, ("polarization", "2", "none")),
        ({"connected": 10}, ("connected", "10", "9 pixels")),
        ({"d_min": 3.0, "d_max": 2.0}, ("d_min", "d_max")),
        ({"cuont": 3}, ("cuont", "no such setting", "connected")),
    ],
)
def test_what_is_impossible_is_refused_in_one_line(values, words):
    with pytest.raises(SettingError) as caught:
        Settings.of(values)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Settings().rings = 3  # type: ignore[misc]


def test_toml_has_the_same_names_and_gives_way(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('snr = 6\nsnr-pick = 2.5\nmask = "bad.tif"\nbeam = [10, 20]\nerror_model = "poisson"\n')
    settings = Settings.of({"snr": "7", "mask": (), "rings": None}, file)
    assert (settings.snr, settings.snr_pick, settings.error_model) == (7.0, 2.5, "poisson")
    assert settings.mask == (tmp_path / "bad.tif",)
    assert settings.beam == (10.0, 20.0)


def test_toml_keeps_absolute_file_names(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('geometry = "/data/detector.poni"\n')
    assert Settings.of(config=file).geometry == Path("/data/detector.poni")


@pytest.mark.parametrize("text", ["snr = ", "snr == 3", b"\xff\xfe"])
def test_what_is_not_toml_is_an_error_that_names_the_file(tmp_path, text):
    file = tmp_path / "run.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(FileError, match=r"run\.toml"):
        Settings.of(config=file)


def test_a_missing_config_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileError, match=r"none\.toml"):
        Settings.of(config=tmp_path / "none.toml")


def test_an_error_in_toml_names_file_and_setting(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("patch = 4\nsnr = -1\n")
    with pytest.raises(SettingError, match=r"run\.toml: .*snr.*patch|run\.toml: .*patch.*snr"):
        Settings.of(config=file)


def test_plain_is_json_able_and_makes_the_same_settings():
    import json

    settings = Settings.of({"mask": ("a.tif",), "beam": (1, 2), "snr_clip": 3})
    plain = json.loads(json.dumps(settings.plain()))
    assert Settings.of(plain) == settings
