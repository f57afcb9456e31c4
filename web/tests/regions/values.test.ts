import assert from "node:assert/strict";
import { test } from "node:test";
import { documentOf, regionsOf } from "../../src/regions/files.ts";
import { maskType, shapeOfMask } from "../../src/regions/mask_panel.ts";
import type { Azimuthal, Circle, Region } from "../../src/regions/region.ts";
import { sparklinePoints } from "../../src/regions/sparkline.ts";
import { measuredAgain, measuredOf } from "../../src/regions/values.ts";
import { described, fieldsOf, inOther, withField } from "../../src/regions/words.ts";

const circle: Circle = { name: "c", type: "circle", center: [1.5, 2], radius: 3 };
const ring: Azimuthal = { name: "r", type: "azimuthal", q_min: 1, q_max: 2 };

test("values are those of the image, and sums those up to it", () => {
  const results = {
    columns: { frame: [3, 4, 5], roi_version: [1, 2, 2] },
    rois: {
      old: { pixels: [9, 9, 9], sum: [1, 2, 3], max: [1, 1, -9223372036854776000], spots: [0, 0, -1], snr: [1, null, null] },
      late: { pixels: [0, 4, 4], sum: [0, 7, 8], max: [0, 1, 2], spots: [0, 0, 1], snr: [0, 1, 2] },
    },
  };
  const measured = measuredOf(results, 5);
  assert.deepEqual(measured.rows.old, { pixels: 9, sum: 3, max: null, spots: null, snr: null });
  assert.deepEqual([measured.trends.old, measured.trends.late, measured.version], [[1, 2, 3], [null, 7, 8], 2]);
  assert.equal(measuredOf(results, 3).rows.late, undefined);
  assert.deepEqual([measuredOf(results, 6).rows, measuredOf(results, 6).version], [{}, null]);
  const again = measuredAgain(measured, { roi_version: 7, rois: { late: { sum: 1, spots: -1 } } });
  assert.deepEqual([again.rows, again.version, again.again, again.trends], [{ late: { sum: 1, spots: null } }, 7, true, measured.trends]);
});

test("a number that is typed in becomes the field's", () => {
  assert.deepEqual(withField(circle, "center.1", " 7,5 "), { ...circle, center: [1.5, 7.5] });
  assert.deepEqual(withField(circle, "radius", "1e1"), { ...circle, radius: 10 });
  assert.deepEqual([withField(circle, "radius", ""), withField(circle, "radius", "1 2"), withField(circle, "radius", "Infinity")], [null, null, null]);
  assert.deepEqual(circle.center, [1.5, 2]);
  assert.deepEqual(withField(ring, "phi_max_deg", "30"), { ...ring, phi_min_deg: -60, phi_max_deg: 30 });
  const sector = { ...ring, phi_min_deg: 0, phi_max_deg: 30 };
  assert.deepEqual(withField(sector, "phi_min_deg", "5"), { ...sector, phi_min_deg: 5 });
  assert.deepEqual(withField(sector, "phi_min_deg", ""), ring);
  for (const region of [circle, ring, sector] as Region[]) {
    for (const { key, value } of fieldsOf(region)) if (value !== "") assert.deepEqual(withField(region, key, value), region, key);
  }
});

test("q and d tell the same limits", () => {
  const spacing = inOther(ring) as Azimuthal;
  assert.ok(Math.abs(spacing.d_min! - Math.PI) < 1e-6 && Math.abs(spacing.d_max! - 2 * Math.PI) < 1e-6);
  const back = inOther(spacing) as Azimuthal;
  assert.ok(Math.abs(back.q_min! - 1) < 1e-6 && Math.abs(back.q_max! - 2) < 1e-6 && back.d_min === undefined);
  assert.equal(inOther(circle), null);
  assert.equal(described(circle), "slow 1.5, fast 2 · radius 3 px");
  assert.equal(described(ring), "q 1–2 Å⁻¹");
});

test("documents are read as they are written, others are refused in words", () => {
  assert.deepEqual(regionsOf(documentOf([circle, ring])), [circle, ring]);
  for (const [content, words] of [["{", /no JSON/], ["[]", /no list "rois"/], ['{"box": {"rois": []}}', /no list "rois"/], ['{"rois": [3]}', /region 0 has no name/]] as const) {
    assert.throws(() => regionsOf(content), words);
  }
});

test("masks are sent by the kind of their file, shapes without a name", () => {
  assert.deepEqual(["a.npy", "b.TIFF", "c.tif", "d.h5"].map(maskType), ["application/x-npy", "image/tiff", "image/tiff", null]);
  assert.deepEqual(Object.keys(shapeOfMask(circle)), ["type", "center", "radius"]);
});

test("a small curve fills its box, and has no point where there is no value", () => {
  assert.equal(sparklinePoints([0, null, 10], 12, 12), "1.0,11.0 11.0,1.0");
  assert.equal(sparklinePoints([4, 4], 12, 12), "1.0,6.0 11.0,6.0");
  assert.equal(sparklinePoints([null], 12, 12), "");
});
