"""Kernels of the product are known to the tools that look at the form that GPUs run."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

ROWS = {
    match[1]: [int(cell) for cell in match[2].split(" | ")]
    for match in re.finditer(
        r"^\| `(\w+)` \| ([\d |]+) \|$", (ROOT / "benchmarks" / "GPU.md").read_text(), re.MULTILINE
    )
}
CPUS_ALONE = "reqd_work_group_size(1, 1, 1)"
KERNELS = sorted(path.stem for path in (ROOT / "kernels").glob("*.cl") if CPUS_ALONE not in path.read_text())


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_is_in_the_table_of_gpus(kernel):
    assert kernel in ROWS, "make ptx writes benchmarks/GPU.md anew; a kernel needs a case in tests/gpu_form/cases.py"


def test_the_table_has_no_other_rows_and_no_spills():
    assert sorted(ROWS) == KERNELS
    assert {kernel: row[4] for kernel, row in ROWS.items() if row[4]} == {}
