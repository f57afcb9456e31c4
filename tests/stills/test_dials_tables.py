"""Reflection tables: today's, yesterday's, damaged ones and those that mean harm."""

from __future__ import annotations

import contextlib
import os
import pickle

import msgpack
import numpy as np
import pytest

from crystint.errors import FileError
from crystint.io.reflections.dials_table import read_table
from tests.conftest import shared_data
from tests.oracles import dials_files


@pytest.fixture
def columns(rng):
    n = 7
    values = rng.normal(size=n) * 10.0 ** rng.integers(-300, 300, n)
    values[:4] = [0.0, -0.0, 1.0, -1 / 3]
    return {
        "id": ("int", [0, 1, -1, 2**31 - 1, -(2**31), 255, 256]),
        "flags": ("std::size_t", [0, 1, 255, 256, 65535, 2**40, 2**63 - 1]),
        "d": ("double", values),
        "s1": ("vec3<double>", rng.normal(size=(n, 3))),
        "miller_index": ("cctbx::miller::index<>", rng.integers(-300, 300, (n, 3))),
        "bbox": ("int6", rng.integers(-3, 3000, (n, 6))),
        "entering": ("bool", [True, False, False, True, True, False, True]),
    }


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("write", [dials_files.table, dials_files.pickled])
def test_every_column_comes_back_to_the_bit(columns, tmp_path, write, version):
    path = tmp_path / "a.refl"
    path.write_bytes(write(columns, version, {0: "zero", 3: "three"}))
    table = read_table(path)
    assert len(table) == 7
    assert set(table.columns) == set(columns)
    for name, (_, values) in columns.items():
        assert np.array_equal(table[name], np.asarray(values)), name
    if not (write is dials_files.pickled and version == 1):
        assert table.identifiers == {0: "zero", 3: "three"}
    with pytest.raises(FileError, match=r"no column qe; it has bbox, d"):
        table["qe"]


def test_a_table_without_rows(tmp_path):
    path = tmp_path / "a.refl"
    for content in (dials_files.table, dials_files.pickled):
        path.write_bytes(content({"id": ("int", []), "d": ("double", [])}))
        assert len(read_table(path)) == 0


def test_columns_of_other_types_are_named(columns, tmp_path):
    path = tmp_path / "a.refl"
    data = {"shoebox": ["Shoebox<>", [1, b"abc"]], "name": ["std::string", [1, ["x"]]], "id": ["int", [1, b"\1\0\0\0"]]}
    path.write_bytes(msgpack.packb(["dials::af::reflection_table", 1, {"nrows": 1, "identifiers": {}, "data": data}]))
    table = read_table(path)
    assert table.skipped == {"shoebox": "Shoebox<>", "name": "std::string"}
    assert table["id"].tolist() == [1]


@pytest.mark.parametrize("write", [dials_files.table, dials_files.pickled])
def test_a_file_that_is_cut_off_is_damaged_wherever_it_is_cut(columns, tmp_path, write):
    content, path = write(columns), tmp_path / "a.refl"
    for length in range(0, len(content) - 1, 13):
        path.write_bytes(content[:length])
        with pytest.raises(FileError, match="damaged or not a reflection table"):
            read_table(path)


def test_wrong_bytes_never_get_through_as_another_error(columns, tmp_path, rng):
    path = tmp_path / "a.refl"
    for write in (dials_files.table, dials_files.pickled):
        content = np.frombuffer(write(columns), np.uint8)
        for _ in range(300):
            wrong = content.copy()
            wrong[rng.integers(0, len(wrong), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(wrong.tobytes())
            with contextlib.suppress(FileError):
                read_table(path)


class _Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_nothing_in_a_pickle_is_executed(tmp_path, protocol):
    path, sign = tmp_path / "a.refl", tmp_path / "harm"
    path.write_bytes(b"\x80\x02" + pickle.dumps(_Harm(sign), protocol))
    with pytest.raises(FileError, match="no table of DIALS"):
        read_table(path)
    inside = dials_files.pickled({"id": ("int", [1])})[:-1]
    path.write_bytes(inside + b"0cbuiltins\neval\n(U\x03" + b"1/0tR.")
    with pytest.raises(FileError):
        read_table(path)
    assert not sign.exists()


def test_a_pickle_cannot_ask_for_all_memory(tmp_path):
    path = tmp_path / "a.refl"
    path.write_bytes(b"\x80\x02Nr\xff\xff\xff\x7f.")
    with pytest.raises(FileError, match="memo has holes"):
        read_table(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "incomplete input"),
        (msgpack.packb([1, 2]), "another kind"),
        (msgpack.packb(["dials::af::reflection_table", 3, {}]), "version is 3"),
        (dials_files.pickled({"id": ("int", [1])}, version=5), "version is 5"),
        (b"\x91" * 100_000, "no reflection table|not a reflection table"),
    ],
)
def test_other_files_are_told_apart(tmp_path, content, message):
    path = tmp_path / "a.refl"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message):
        read_table(path)
    with pytest.raises(FileError, match="does not exist"):
        read_table(tmp_path / "none.refl")


def test_a_real_table():
    table = read_table(shared_data("stills/l_cysteine_wedge/11_integrated.refl"))
    assert len(table) == 92
    assert table.identifiers == {0: "0812526a-eca7-467f-b271-26cb05ff56f4"}
    assert (table["flags"] & 256 != 0).sum() == 63
    assert table["miller_index"].shape == (92, 3)


def _shared(depth):
    """A tuple of twice a tuple of twice a tuple, ..., as a key: 2^depth to hash."""
    opcodes = b")q\x00"
    for number in range(depth):
        opcodes += b"h" + bytes([number]) + b"h" + bytes([number]) + b"\x86q" + bytes([number + 1])
    return opcodes


ENCODE = b"c_codecs\nencode\nq\x00X\x00\x04\x00\x00" + b"x" * 1024 + b"q\x01"
TABLE = b"\x80\x02cdials_array_family_flex_ext\nreflection_table\n)R"


@pytest.mark.parametrize(
    ("opcodes", "why"),
    [
        (b"}" + _shared(60) + b"K\x01s.", "neither a name nor a number"),
        (b"}(" + _shared(60) + b"K\x01u.", "neither a name nor a number"),
        (b"(" + _shared(60) + b"tb.", "version is no number"),
        (b"\x8b" + b"\xff\xff\xff\x7f" + b".", "long4"),
        (b"\x8a\xff" + b"\x01" * 255 + b".", "absurd size"),
        (b"cos\nsystem\n(U\x04true\x85R.", "names 'os system'"),
        (b"(" * 200_000 + b".", "more than 100000 operations"),
        (b"\x95" + b"\0" * 8 + b".", "operation FRAME"),
        (ENCODE + b"h\x00h\x01\x85R" * 900 + b".", "texts are longer"),
    ],
)
def test_pickles_that_dials_never_writes_are_refused_at_once(tmp_path, opcodes, why):
    path = tmp_path / "a.refl"
    path.write_bytes(TABLE + opcodes)
    with pytest.raises(FileError, match=why):
        read_table(path)
