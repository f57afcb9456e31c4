"""Free flags: the same for every cut and data set, kept together by symmetry, and copied from other files."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from crystint.errors import CrystintWarning, FileError, SettingError
from crystint.io.reflections.free_in import read_free_flags
from crystint.io.reflections.mtz_out import history_of, write_merged_mtz
from crystint.io.reflections.reference_in import read_reference_hkl
from crystint.model.free_set import free_numbers, lattice_group
from crystint.model.observations import Observations
from crystint.stills.files import write_stills
from crystint.stills.merging.merge import merge
from crystint.stills.step_functions import merge_files
from tests.stills.test_mtz_in import CELL, GROUP, an_mtz
from tests.stills.test_predict import an_experiment

HKL = np.array(gemmi.make_miller_array(gemmi.UnitCell(*CELL), GROUP, 3.5), dtype=np.int32)


def splitmix64(hkl, classes):
    """One reflection of an orthorhombic group by arbitrary integers: |h|, |k|, |l|, 24 times, 21 bits each."""
    key = 0
    for index in hkl:
        key = (key << 21) | (24 * abs(int(index)) + (1 << 20))
    mask = (1 << 64) - 1
    key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & mask
    key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & mask
    key ^= key >> 31
    return int((key >> 11) / 2**53 * classes)


def test_numbers_are_those_of_the_formula(rng):
    hkl = rng.integers(-40, 41, (50, 3))
    assert free_numbers(hkl, "P 21 21 21", 20).tolist() == [splitmix64(h, 20) for h in hkl]
    assert free_numbers([[1, 2, 3], [4, 0, 7], [0, 0, 5]], "C 2 2 21", 20).tolist() == [
        splitmix64(h, 20) for h in ([1, 2, 3], [4, 0, 7], [0, 0, 5])
    ]


@pytest.mark.parametrize("classes", [2, 10, 20])
def test_each_number_is_about_equally_often(classes):
    count = np.bincount(free_numbers(HKL, GROUP, classes), minlength=classes)
    assert len(count) == classes
    expected = len(HKL) / classes
    assert np.abs(count - expected).max() < 4.5 * np.sqrt(expected)
    low = np.linalg.norm(HKL / np.array(CELL[:3]), axis=1) < 0.15
    assert np.mean(free_numbers(HKL[low], GROUP, classes) == 0) == pytest.approx(1 / classes, abs=0.06)
    assert not np.array_equal(free_numbers(HKL, GROUP, classes, 1), free_numbers(HKL, GROUP, classes))


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("P 1", (50, 60, 70, 80, 95, 100)), ("I 1 2 1", (50, 60, 70, 90, 95, 90)),
        ("P 1 1 21", (50, 60, 70, 90, 90, 95)), ("P 2 21 21", (50, 60, 70, 90, 90, 90)),
        ("P 43", (79, 79, 38, 90, 90, 90)), ("P 31 1 2", (60, 60, 90, 90, 90, 120)),
        ("P 3", (60, 60, 90, 90, 90, 120)), ("P 65", (60, 60, 90, 90, 90, 120)),
        ("H 3", (80, 80, 40, 90, 90, 120)), ("R 3:R", (52, 52, 52, 95, 95, 95)),
        ("I 21 3", (90, 90, 90, 90, 90, 90)),
    ],
)  # fmt: skip
def test_equivalents_mates_and_twins_have_one_number(rng, name, cell):
    group = gemmi.SpaceGroup(name)
    hkl = rng.integers(-15, 16, (200, 3))
    own = free_numbers(hkl, group, 20)
    turns = [np.array(op.rot) // 24 for op in group.operations().sym_ops]
    laws = [np.array(op.rot) // 24 for op in gemmi.find_twin_laws(gemmi.UnitCell(*cell), group, 0.01, False)]
    assert len(laws) == {"P 43": 1, "P 31 1 2": 1, "P 3": 3, "P 65": 1, "H 3": 1, "R 3:R": 1, "I 21 3": 1}.get(name, 0)
    for turn in (*turns, *laws):
        for sign in (1, -1):
            assert np.array_equal(free_numbers(sign * hkl @ turn, group, 20), own)


def test_settings_and_groups_of_a_lattice_agree(rng):
    obverse = np.array([h for h in rng.integers(-12, 13, (300, 3)).tolist() if (-h[0] + h[1] + h[2]) % 3 == 0])
    change = gemmi.SpaceGroup("R 3:R").basisop
    primitive = rng.integers(-9, 10, (100, 3))
    hexagonal = np.array([gemmi.Op(change.triplet()).apply_to_hkl(h) for h in primitive.tolist()])
    assert np.array_equal(free_numbers(primitive, "R 3:R", 20), free_numbers(hexagonal, "R 3:H", 20))
    assert np.array_equal(free_numbers(obverse, "H 3", 20), free_numbers(obverse, "H 3 2", 20))
    assert np.array_equal(free_numbers(HKL, "P 41", 20), free_numbers(HKL, "P 43 21 2", 20))
    assert lattice_group("P 21 3").hm == "P m -3 m"


def merged_to(d_min, seed=0):
    rng = np.random.default_rng(seed)
    hkl = np.array(gemmi.make_miller_array(gemmi.UnitCell(*CELL), GROUP, d_min), dtype=np.int32)
    hkl = hkl[rng.random(len(hkl)) < 0.9]
    image = np.repeat([0, 1], len(hkl))
    truth = np.tile(rng.exponential(1e6, len(hkl)), 2)
    value = truth + 1000.0 * rng.normal(size=len(truth))
    d = gemmi.UnitCell(*CELL).calculate_d_array(hkl)
    table = Observations(image, np.tile(hkl, (2, 1)), value, np.full(len(value), 1000.0), d=np.tile(d, 2))
    return table, merge(table, space_group=GROUP, cell=CELL, error_model=None, outliers=None)


def flags_of(path, label="FreeR_flag"):
    mtz = gemmi.read_mtz_file(str(path))
    return dict(zip(map(tuple, mtz.make_miller_array().tolist()), np.array(mtz.column_with_label(label)), strict=True))


def test_neither_a_cut_nor_other_data_change_flags(tmp_path):
    for number, (d_min, seed) in enumerate(((3.5, 0), (5.0, 0), (3.0, 7))):
        write_merged_mtz(tmp_path / f"{number}.mtz", merged_to(d_min, seed)[1], free=0.05)
    first, *others = (flags_of(tmp_path / f"{number}.mtz") for number in range(3))
    for other in others:
        common = set(first) & set(other)
        assert len(common) > 500
        assert all(first[h] == other[h] for h in common)


def a_file(path, label, flag, hkl=HKL, group=GROUP):
    an_mtz(path, [("FP", "F", np.ones(len(hkl))), (label, "I", flag)], hkl)
    return path


@pytest.mark.parametrize(
    ("label", "make", "test", "words"),
    [
        ("FreeR_flag", lambda rng, n: rng.integers(0, 20, n), 0, "CCP4's, 0 to 19; 0 is the test set, "),
        ("R-free-flags", lambda rng, n: (rng.random(n) < 0.1).astype(int), 1, "0 and 1; 1 is the test set, "),
        ("FREE", lambda rng, n: (rng.random(n) > 0.05).astype(int), 0, "0 and 1; 0 is the test set, "),
        ("TEST", lambda rng, n: np.where(rng.random(n) < 0.05, -1, 1), -1, "-1 and 1; -1 is the test set, "),
    ],
)
def test_flags_are_copied_in_their_convention(tmp_path, rng, label, make, test, words):
    """Half of the reflections are in the file, in another equivalent form, as Friedel mates."""
    some = HKL[rng.random(len(HKL)) < 0.5]
    flag = make(rng, len(some))
    path = a_file(tmp_path / "r.mtz", label, flag, -some[:, [1, 0, 2]])
    copied = read_free_flags(path)
    assert (copied.label, copied.test) == (label, test)
    assert words in copied.convention
    given, count = copied.of(HKL, GROUP)
    assert count == len(some)
    rows = {tuple(h): at for at, h in enumerate(HKL.tolist())}
    assert np.array_equal(given[[rows[tuple(h)] for h in some.tolist()]], flag)
    assert set(given) == set(flag)
    rest = np.ones(len(HKL), bool)
    rest[[rows[tuple(h)] for h in some.tolist()]] = False
    assert np.mean(given[rest] == test) == pytest.approx(copied.share, abs=0.03)
    assert np.array_equal(copied.of(HKL[:100], GROUP)[0], given[:100])


def test_the_test_set_wins_where_symmetry_is_higher(tmp_path):
    hkl = np.array([[1, 2, 3], [1, 2, 4], [5, 6, 1]])
    path = a_file(tmp_path / "r.mtz", "FreeR_flag", [0, 3, 7], hkl)
    mtz = gemmi.read_mtz_file(str(path))
    mtz.spacegroup = gemmi.SpaceGroup("P 1")
    mtz.set_data(np.array([[1, 2, 3, 1, 0], [-2, 1, 3, 1, 5], [5, 6, 1, 1, 7]], dtype=np.float32))
    mtz.write_to_file(str(path))
    flag, count = read_free_flags(path).of(np.array([[2, 1, 3], [5, 6, 1]]), GROUP)
    assert (flag.tolist(), count) == ([0, 7], 2)


def test_files_without_flags(tmp_path):
    for columns, message in (
        ([("FP", "F", [1, 2, 3])], "no free flags .* it has H, K, L, FP"),
        ([("FreeR_flag", "I", [1, 1, 1])], "FreeR_flag is 1 for all reflections"),
        ([("FreeR_flag", "I", [1, 2, 3])], "1 to 3, and no 0"),
    ):
        with pytest.raises(FileError, match=message):
            read_free_flags(an_mtz(tmp_path / "r.mtz", columns, HKL[:3]))
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(FileError, match="no free flags"):
        read_free_flags(tmp_path / "x.txt")


CIF = """data_r1
_cell.length_a 79.0
_cell.length_b 79.0
_cell.length_c 38.0
_cell.angle_alpha 90
_cell.angle_beta 90
_cell.angle_gamma 90
_symmetry.space_group_name_H-M 'P 43 21 2'
loop_
_refln.index_h
_refln.index_k
_refln.index_l
_refln.F_meas_au
_refln.{name}
1 0 4 5.0 {free}
2 1 3 4.0 {work}
3 1 1 4.0 {work}
3 2 1 4.0 ?
"""


@pytest.mark.parametrize(("name", "free", "work"), [("status", "f", "o"), ("pdbx_r_free_flag", "1", "0")])
def test_flags_of_mmcif(tmp_path, name, free, work):
    path = tmp_path / "r.cif"
    path.write_text(CIF.format(name=name, free=free, work=work))
    copied = read_free_flags(path)
    assert (copied.flag == copied.test).tolist() == [True, False, False]
    assert copied.label == "FreeR_flag"


@pytest.mark.filterwarnings("ignore:.*error model:crystint.errors.CrystintWarning")
def test_merge_writes_flags_history_and_hklf4(tmp_path, rng):
    table, merged = merged_to(5.0)
    experiment = an_experiment(rng, 2, group="P 43 21 2", cell=CELL)
    write_stills(tmp_path / "a.h5", experiment=experiment, observations=table, provenance={})
    outputs = [tmp_path / "m.mtz", tmp_path / "m.hkl"]
    told = merge_files(tmp_path / "a.h5", outputs, unscaled=True, free=0.1).text
    assert "free flags by a hash of hkl: FreeR_flag 0 to 9, 0 (" in told
    assert f"{outputs[1]}: intensities and sigmas are multiplied by 0.01, to fit HKLF 4" in told
    history = gemmi.read_mtz_file(str(outputs[0])).history
    assert "inputs: a.h5" in history
    assert any(line.startswith("free flags by a hash of hkl") for line in history)
    lines = outputs[1].read_text().splitlines()
    assert lines[-2].split() == ["0", "0", "0", "0.00", "0.00"]
    assert "multiplied by 0.01" in lines[-1]
    again = read_reference_hkl(outputs[1], cell=CELL, space_group=GROUP, kind="I").match(merged.hkl)
    np.testing.assert_allclose(again, 0.01 * merged.intensity, atol=0.0051)
    own = flags_of(outputs[0])
    copy = merge_files(tmp_path / "a.h5", [tmp_path / "c.mtz"], unscaled=True, free_from=outputs[0]).text
    assert "free flags of m.mtz: FreeR_flag (CCP4's, 0 to 9; 0 is the test set" in copy
    assert flags_of(tmp_path / "c.mtz") == own
    with pytest.raises(SettingError, match="give free or free_from"):
        merge_files(tmp_path / "a.h5", [tmp_path / "d.mtz"], free=0.1, free_from=outputs[0])
    with pytest.warns(CrystintWarning, match=r"free flags are for \.mtz files"):
        merge_files(tmp_path / "a.h5", [tmp_path / "d.h5"], unscaled=True, free=0.1)


@pytest.mark.filterwarnings("ignore:.*error model:crystint.errors.CrystintWarning")
def test_mates_that_were_kept_apart_are_rows_of_hklf4(tmp_path, rng):
    table, _ = merged_to(6.0)
    both = Observations.join([table, table.replace(hkl=-table.hkl, intensity=1.2 * table.intensity + 50.0)])
    experiment = an_experiment(rng, 2, group="P 43 21 2", cell=CELL)
    write_stills(tmp_path / "a.h5", experiment=experiment, observations=both, provenance={})
    run = merge_files(tmp_path / "a.h5", [tmp_path / "m.hkl"], unscaled=True, anomalous=True, outliers=None).result
    lines = (tmp_path / "m.hkl").read_text().splitlines()
    acentric = int((~run.merged.centric).sum())
    assert len(lines) - 2 == len(run.merged) + acentric
    rows = {tuple(int(line[at : at + 4]) for at in (0, 4, 8)): float(line[12:20]) for line in lines[:-2]}
    for h, (plus, _), (minus, _), centric in zip(
        run.merged.hkl.tolist(), run.merged.plus, run.merged.minus, run.merged.centric, strict=True
    ):
        assert rows[tuple(h)] == pytest.approx(0.01 * plus, abs=0.0051)
        if not centric:
            assert rows[tuple(-at for at in h)] == pytest.approx(0.01 * minus, abs=0.0051)


def test_history_names_inputs_within_its_limits():
    """Lines of 80 characters, 30 in all, ASCII."""
    assert history_of(["/data/run 1/a.mtz", "b.mtz"]) == ["inputs: a.mtz, b.mtz"]
    names = [f"/data/a_rather_long_name_of_a_file_{number:03d}_µ.refl" for number in range(200)]
    lines = history_of(names)
    assert len(lines) == 20
    assert max(map(len, lines)) <= 80
    assert "".join(lines).isascii()
    told = "".join(lines).count(".refl")
    assert lines[-1] == f"  ... {200 - told} more; 200 in all"
