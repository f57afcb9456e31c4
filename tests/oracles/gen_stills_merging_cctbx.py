"""Merging statistics of the l-cysteine observations by cctbx and DIALS, for tests/stills/test_statistics.py.

    cctbx.python tests/oracles/gen_stills_merging_cctbx.py ../shared/data/stills/l_cysteine_observations.npz

(cctbx 2022.9, DIALS 3.9.dev0 as packaged by Debian 12) writes stills_merging_cctbx.json beside this file.
Observations: integrated and scaled by DIALS, summed intensities over the scale DIALS gave them, sigmas as recorded.
Statistics: iotbx.merging_statistics, means weighted by 1 / sigma^2. Delta-CC1/2: the class behind
dials.compute_delta_cchalf, groups of 50 images.
"""

import json
import sys
from pathlib import Path

import numpy as np
from cctbx import crystal, miller
from cctbx.array_family import flex
from dials.algorithms.statistics.delta_cchalf import PerGroupCChalfStatistics
from dials.array_family import flex as dials_flex
from iotbx import merging_statistics

CELL = (5.43, 8.14, 12.04, 90, 90, 90)

data = np.load(sys.argv[1])
flags = data["flags"]
use = (flags & (1 << 8)) != 0
for bit in (22, 23, 24):
    use &= (flags & (1 << bit)) == 0
use &= data["partiality"] > 0.4
factor = (data["dqe"][use] / data["lp"][use] * data["inverse_scale_factor"][use]).astype(float)
intensity = data["intensity_sum_value"][use] / factor
sigma = np.sqrt(data["intensity_sum_variance"][use]) / factor
hkl = data["miller_index"][use]
batch = data["sweep"][use].astype(int) * 1000 + (data["xyzcal_px"][use][:, 2] // 50).astype(int)

symmetry = crystal.symmetry(unit_cell=CELL, space_group_symbol="P212121")
indices = flex.miller_index([tuple(int(i) for i in row) for row in hkl])
array = miller.set(symmetry, indices, anomalous_flag=True).array(
    data=flex.double(intensity.tolist()), sigmas=flex.double(sigma.tolist())
)
array.set_observation_type_xray_intensity()
array = array.select(~array.sys_absent_flags().data())
stats = merging_statistics.dataset_statistics(
    array, n_bins=10, use_internal_variance=False, assert_is_not_unique_set_under_symmetry=False
)


def row(part):
    return {
        "d_max": part.d_max,
        "d_min": part.d_min,
        "observations": part.n_obs,
        "unique": part.n_uniq,
        "completeness": part.completeness,
        "mean_intensity": part.i_mean,
        "i_over_sigma": part.i_over_sigma_mean,
        "r_merge": part.r_merge,
        "r_meas": part.r_meas,
        "r_pim": part.r_pim,
        "cc_half_variance": part.cc_one_half_sigma_tau,
        "cc_half_observations": part.cc_one_half,
        "cc_anomalous": part.cc_anom,
    }


table = dials_flex.reflection_table()
table["miller_index"] = indices
table["intensity"] = dials_flex.double(intensity.tolist())
table["variance"] = dials_flex.double((sigma**2).tolist())
table["dataset"] = dials_flex.int(np.unique(batch, return_inverse=True)[1].tolist())
table["group"] = table["dataset"]
delta = PerGroupCChalfStatistics(table, symmetry.unit_cell(), symmetry.space_group())
delta.run()
without = delta._cchalf

result = {
    "shells": [row(part) for part in stats.bins],
    "overall": row(stats.overall),
    "cc_half": delta.mean_cchalf(),
    "cc_half_without": [round(without[i], 9) for i in range(len(without))],
}
target = Path(__file__).with_name("stills_merging_cctbx.json")
target.write_text(json.dumps(result, indent=1) + "\n")
