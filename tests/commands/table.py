"""The table of all commands: how each is called, what it reads and writes, and what holds for it.

A new command gets a row here; `tests.commands.test_contract` then checks that it keeps the contract of all commands.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import click

from crystint.cli import main

__all__ = ["BY_PATH", "ROWS", "Row", "groups", "leaves"]


@dataclass(frozen=True)
class Row:
    """A command.

    Attributes
    ----------
    path : str
        As it is typed, without ``crystint``.
    line : str
        Arguments that work on the files of the fixture `inputs`, all inputs in it; without the output.
    output : str
        A file to write; empty = the command writes none.
    formats : tuple of str
        Suffixes of outputs, when they are the format.
    reads : tuple of str
        Files of `line` that are read, frames first.
    frames : bool
        Goes frame by frame.
    missing : str
        Arguments with a frame that cannot be read, number 1.
    long : str
        Arguments that take seconds.
    key, value : str, object
        A setting of TOML that is not its default; `value` is a number or a word.
    settings : bool
        Is told what to do by settings, which --config gives as well.
    device : bool
        Takes --device.
    folder : bool
        The output is a folder of files.
    inside : tuple of str
        Files that it writes there.
    own_record : bool
        The output tells of this run; otherwise it keeps what its input tells.
    process : bool
        Runs until it is stopped, or talks to one that does: its line is not run here.
    wrong : str
        Arguments of a process that make it fail with exit code 1.
    """

    path: str
    line: str
    output: str = ""
    formats: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    frames: bool = False
    missing: str = ""
    long: str = ""
    key: str = ""
    value: object = None
    settings: bool = True
    device: bool = True
    folder: bool = False
    inside: tuple[str, ...] = ()
    own_record: bool = True
    process: bool = False
    wrong: str = ""

    @property
    def words(self) -> list[str]:
        """The command and its arguments, without an output."""
        return shlex.split(f"{self.path} {self.line}")

    def writing(self, output: str) -> list[str]:
        """The command and its arguments, with an output."""
        return [*self.words, "-o", output]

    @property
    def command(self) -> click.Command:
        """The command as click has it."""
        return leaves()[self.path]


_PICTURES = (".png", ".pdf", ".svg")
_SEPARATION = "-g geometry.json -m mask.npy --dark dark.npy --flat flat.npy --normalization norm.npy --rings 60"
_OF_SEPARATION = ("frames.h5", "geometry.json", "mask.npy", "dark.npy", "flat.npy", "norm.npy")
_RINGS = "--radii 40,60 --azimuths 60"
_LONG = " ".join(["many.h5"] * 40)

ROWS = (
    Row("devices", "", settings=False, device=False),
    Row("info", "frames.h5", reads=("frames.h5",), settings=False, device=False),
    Row("verify", "sparse.h5", reads=("sparse.h5",), settings=False, device=False),
    Row(
        "peaks",
        f"frames.h5 {_SEPARATION}",
        output="o.cxi",
        formats=(".cxi", ".refl", ".h5", ".json", ".jsonl", ".csv"),
        reads=_OF_SEPARATION,
        frames=True,
        missing="damaged.h5 --rings 60",
        long=f"{_LONG} --rings 60",
        key="snr-pick",
        value=2.5,
    ),
    Row(
        "sparsify",
        f"frames.h5 {_SEPARATION}",
        output="o.h5",
        reads=_OF_SEPARATION,
        frames=True,
        missing="damaged.h5 --rings 60",
        long=f"{_LONG} --rings 60",
        key="cycles",
        value=3,
    ),
    Row(
        "densify",
        "sparse.h5",
        output="o.h5",
        reads=("sparse.h5",),
        frames=True,
        missing="damaged-sparse.h5",
        long="many-sparse.h5",
        key="seed",
        value=7,
    ),
    Row(
        "mask",
        f"frames.h5 {_SEPARATION}",
        output="o.h5",
        formats=(".h5", ".tif", ".npy", *_PICTURES),
        reads=_OF_SEPARATION,
        frames=True,
        missing="damaged.h5 --rings 60",
        long=f"{_LONG} --rings 60",
        key="margin",
        value=3,
    ),
    Row(
        "roi",
        f"frames.h5 {_SEPARATION} --rois rois.json",
        output="o.h5",
        formats=(".h5", ".csv"),
        reads=(*_OF_SEPARATION, "rois.json"),
        frames=True,
        missing="damaged.h5 --rings 60 --rois rois.json",
        long=f"{_LONG} --rings 60 --rois rois.json",
        key="cycles",
        value=3,
    ),
    Row(
        "frames",
        "peaks.cxi",
        output="o.csv",
        formats=(".csv", ".h5", *_PICTURES),
        reads=("peaks.cxi",),
        key="hit-peaks",
        value=3,
    ),
    Row(
        "sum",
        "frames.h5 -m mask.npy",
        output="o.h5",
        formats=(".h5", ".tif", ".npy", *_PICTURES),
        reads=("frames.h5", "mask.npy"),
        frames=True,
        missing="damaged.h5",
        long=_LONG,
        key="min-valid",
        value=1,
    ),
    Row(
        "merge-parts",
        "peaks.part-000-of-002.h5 peaks.part-001-of-002.h5",
        output="o.cxi",
        reads=("peaks.part-000-of-002.h5", "peaks.part-001-of-002.h5"),
        key="virtual",
        value=False,
        own_record=False,
    ),
    Row("convert", "sparse.h5", output="o.h5", reads=("sparse.h5",), key="compact", value=False, own_record=False),
    Row(
        "compare",
        "frames.h5 sparse.h5",
        output="o.png",
        formats=(*_PICTURES, ".json"),
        reads=("frames.h5", "sparse.h5"),
        frames=True,
        missing="damaged.h5 sparse.h5",
        long="many.h5 many.h5 many.h5 many.h5 many-sparse.h5",
        key="shells",
        value=4,
    ),
    Row(
        "plot",
        f"frames.h5 {_SEPARATION} --peaks peaks.cxi",
        output="o.png",
        formats=_PICTURES,
        reads=(*_OF_SEPARATION, "peaks.cxi"),
        key="frame",
        value=2,
    ),
    Row(
        "demo",
        "--frames 1",
        output="o",
        folder=True,
        inside=("frames.h5", "peaks.cxi", "sparse.h5", "dense.h5"),
        key="frames",
        value=2,
    ),
    Row("bench", "frames.h5 --rounds 1 --only copy", reads=("frames.h5",), key="rounds", value=2),
    Row(
        "index",
        "peaks.cxi --cell 60,70,80,90,90,90 --space-group P212121",
        output="o.h5",
        formats=(".expt", ".refl", ".stream", ".h5"),
        reads=("peaks.cxi",),
        key="lattices",
        value=2,
    ),
    Row(
        "stills predict",
        "frames.expt --d-min 4 --domain 1e-3",
        output="o.h5",
        formats=(".refl", ".csv", ".h5"),
        reads=("frames.expt",),
        key="band",
        value=1.5,
    ),
    Row(
        "stills integrate",
        "frames.expt frames.h5 --d-min 4 -m mask.npy -r reference.mtz",
        output="o.h5",
        formats=(".h5", ".mtz"),
        reads=("frames.h5", "frames.expt", "mask.npy", "reference.mtz"),
        frames=True,
        missing="damaged.expt damaged.h5 --d-min 4",
        long="many.expt many.h5",
        key="noise",
        value=0.5,
    ),
    Row(
        "stills refine",
        "integrated.h5",
        output="o.h5",
        formats=(".h5",),
        reads=("integrated.h5",),
        key="min-spots",
        value=5,
    ),
    Row(
        "stills scale",
        "integrated.h5 -r reference.mtz",
        output="o.h5",
        formats=(".h5", ".mtz"),
        reads=("integrated.h5", "reference.mtz"),
        key="min-partiality",
        value=0.2,
    ),
    Row(
        "stills merge",
        "scaled.h5 -r reference.mtz",
        output="o.h5",
        formats=(".mtz", ".h5", ".txt", *_PICTURES),
        reads=("scaled.h5", "reference.mtz"),
        key="shells",
        value=4,
    ),
    Row(
        "stills simulate",
        "--frames 2 --shape 200,210 --distance 0.05 --d-min 4",
        output="o",
        folder=True,
        inside=("truth.h5", "frames.h5", "frames.expt", "reference.mtz"),
        key="seed",
        value=7,
    ),
    Row("cbc simulate", "--frames 2 --d-min 5", output="o.h5", formats=(".h5",), key="seed", value=7),
    Row(
        "cbc scale",
        "table.h5 --setup setup.h5 --symmetry mmm --bandwidth 2e-3 --grid 12,12 --iterations 2 --no-errors",
        output="o.h5",
        formats=(".h5",),
        reads=("table.h5", "setup.h5"),
        key="steps",
        value=5,
    ),
    Row(
        "cbc merge",
        "cbc-scaled.h5",
        output="o.txt",
        formats=(".mtz", ".hkl", ".txt"),
        reads=("cbc-scaled.h5",),
        key="friedel",
        value=False,
    ),
    Row(
        "cbc plot",
        "cbc-scaled.h5 -r reference.mtz",
        output="o.png",
        formats=_PICTURES,
        reads=("cbc-scaled.h5", "reference.mtz"),
        key="title",
        value="other",
    ),
    Row(
        "correlate center",
        "frames.h5 -g geometry.json -m mask.npy",
        output="o.json",
        formats=(".poni", ".json", *_PICTURES),
        reads=("frames.h5", "geometry.json", "mask.npy"),
        frames=True,
        missing="damaged.h5 --beam 100,105",
        long=f"{_LONG} --beam 100,105",
        key="reach",
        value=15.0,
    ),
    Row(
        "correlate polar",
        f"frames.h5 -g geometry.json -m mask.npy {_RINGS}",
        output="o.h5",
        formats=(".h5",),
        reads=("frames.h5", "geometry.json", "mask.npy"),
        frames=True,
        missing=f"damaged.h5 --beam 100,105 {_RINGS}",
        long=f"{_LONG} --beam 100,105",
        key="method",
        value="nearest",
    ),
    Row(
        "correlate correlate",
        f"frames.h5 -g geometry.json -m mask.npy {_RINGS} --outliers 0 --add earlier.h5",
        output="o.h5",
        formats=(".h5",),
        reads=("frames.h5", "geometry.json", "mask.npy", "earlier.h5"),
        frames=True,
        missing=f"damaged.h5 --beam 100,105 {_RINGS} --outliers 0",
        long=f"{_LONG} --beam 100,105 --outliers 0",
        key="curve",
        value="chebyshev",
    ),
    Row(
        "correlate plot",
        "correlation.h5",
        output="o.png",
        formats=_PICTURES,
        reads=("correlation.h5",),
        key="title",
        value="other",
    ),
    Row(
        "view",
        "frames.h5 --no-open",
        process=True,
        wrong="none.h5 --no-open",
    ),
    Row(
        "online serve",
        "--stream tcp://127.0.0.1:31001",
        process=True,
        wrong="--stream tcp://127.0.0.1:31001 --device nonsense",
    ),
    Row(
        "online head",
        "",
        process=True,
        wrong="--bind 127.0.0.1:0 --device nonsense",
    ),
    Row(
        "online node",
        "--stream tcp://127.0.0.1:31001",
        process=True,
        wrong="--stream tcp://127.0.0.1:31001 --device nonsense",
    ),
    Row(
        "online write",
        "tcp://127.0.0.1:5604 -o written",
        key="images_per_file",
        value=20,
        device=False,
        process=True,
        wrong="tcp://127.0.0.1:5604 -o frames.h5",
    ),
    Row(
        "online simulate",
        "--size 64x64 --frames 20 --stream tcp://127.0.0.1:31002",
        key="frames",
        value=30,
        device=False,
        process=True,
        wrong="--size 64x64 --faults none.yaml -q",
    ),
    Row(
        "online send",
        "frames.h5 --to tcp://127.0.0.1:31002",
        key="speed",
        value=2.0,
        device=False,
        process=True,
        wrong="none.h5",
    ),
    Row(
        "online check",
        "--size 64x64 --seconds 2",
        key="seconds",
        value=3.0,
        process=True,
        wrong="--size 64x64 --device nonsense -q",
    ),
    Row(
        "online record",
        "--stream tcp://127.0.0.1:31002 -o dump",
        key="series",
        value=2,
        device=False,
        process=True,
        wrong="-o .",
    ),
    *(
        Row(f"online {name}", line, process=True, device=False, wrong=f"{line} --token-file absent")
        for name, line in {
            "status": "",
            "stop": "",
            "abort": "",
            "set": "snr=4.5",
            "roi": "rois.json",
            "mask": "mask.npy",
            "watch": "",
        }.items()
    ),
)
BY_PATH = {row.path: row for row in ROWS}


def _walk(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        place = f"{path} {name}".strip()
        yield place, command
        if isinstance(command, click.Group):
            yield from _walk(command, place)


def leaves() -> dict[str, click.Command]:
    """All commands that do something, by how they are typed."""
    return {path: command for path, command in _walk(main, "") if not isinstance(command, click.Group)}


def groups() -> list[str]:
    """All commands that have commands; the empty one is ``crystint`` itself."""
    return ["", *(path for path, command in _walk(main, "") if isinstance(command, click.Group))]
