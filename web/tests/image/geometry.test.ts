import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Geometry } from "../../src/image/geometry.ts";
import { mappingOf } from "../../src/image/laboratory.ts";
import { niceSpacings, parseSpacings, twoThetaOf } from "../../src/image/spacings.ts";

interface Case {
  geometry: Record<string, unknown>;
  direct_beam: (number | null)[];
  slow: number[];
  fast: number[];
  two_theta: (number | null)[];
  q: (number | null)[];
  d: (number | null)[];
}

// random ones, and what crystint.Geometry says of them: make_data.py
const cases = JSON.parse(readFileSync("tests/image/data/geometries.json", "utf8")) as Case[];
const geometryOf = (values: Record<string, unknown>): Geometry => Geometry.of(values) as Geometry;

const close = (made: number, expected: number, scale = Math.abs(expected)): void =>
  assert.ok(Math.abs(made - expected) <= 1e-9 * Math.max(scale, 1e-12), `${made} is not ${expected}`);

test("angles, q and d on detectors of any tilt are those of Python", () => {
  for (const each of cases) {
    const geometry = geometryOf(each.geometry);
    each.slow.forEach((slow, at) => {
      const made = [geometry.twoThetaAt(slow, each.fast[at]!), geometry.qAt(slow, each.fast[at]!), geometry.dAt(slow, each.fast[at]!)];
      [each.two_theta, each.q, each.d].forEach((column, index) => {
        if (column[at] === null) assert.ok(Number.isNaN(made[index]));
        else close(made[index]!, column[at]!);
      });
    });
    if (each.geometry.panels !== undefined) continue;
    const beam = geometry.place(0, 0);
    if (each.direct_beam[0] === null) assert.equal(beam, null);
    else if (beam !== null) {
      close(beam.slow, each.direct_beam[0]!, geometry.shape[0]);
      close(beam.fast, each.direct_beam[1]!, geometry.shape[1]);
    } else assert.ok(Math.abs(each.direct_beam[0]!) > 1e6 || Math.abs(each.direct_beam[1]!) > 1e6);
  }
});

test("every point of a ring has its spacing", () => {
  let points = 0;
  for (const each of cases) {
    const geometry = geometryOf(each.geometry);
    for (const d of [20, 3.5, 1.2]) {
      const twoTheta = twoThetaOf(geometry, d);
      if (twoTheta === null) continue;
      for (const { slow, fast } of geometry.arc(twoTheta, 0, 360).flat()) {
        const made = geometry.dAt(Math.min(Math.max(slow, -1e9), 1e9), fast);
        if (Number.isNaN(made)) continue; // on the border of a panel
        assert.ok(Math.abs(made / d - 1) < 1e-7, `${made} is not ${d}`);
        points += 1;
      }
    }
  }
  assert.ok(points > 1000, `${points}`);
});

test("panels are drawn along the rays: places go to the plane and come back", () => {
  const panel = (slow0: number, y: number, z: number): object => ({
    slow: [slow0, slow0 + 40], fast: [0, 60], origin: [-3e-3, y, z], slow_vector: [0, 9.8e-5, 2e-5], fast_vector: [1e-4, 0, 0],
  });
  const geometry = geometryOf({
    shape: [80, 60], pixel_size: [1e-4, 1e-4], distance: 0.1, beam_center: [40, 30], wavelength: 1, rotation: [0, 0, 0],
    panels: [panel(0, -5e-3, 0.1), panel(40, 1e-3, 0.11)],
  });
  const mapping = mappingOf(geometry, { shape: [120, 70], pixel_size: [1e-4, 1e-4], beam_center: [55, 32], distance: 0.1 });
  for (const [slow, fast] of [[0.5, 0.5], [39.9, 59.9], [40.1, 3], [79, 30]] as const) {
    const shown = mapping.toShown(slow, fast)!;
    const [x, y, z] = geometry.laboratory(slow, fast)!;
    close(shown.slow, 55 + (1000 * y) / z, 100);
    close(shown.fast, 32 + (1000 * x) / z, 100);
    const back = mapping.toDetector(shown.slow, shown.fast)!;
    close(back.slow, slow, 100);
    close(back.fast, fast, 100);
  }
  assert.equal(mapping.toShown(90, 3), null);
  assert.equal(mapping.toDetector(55, 32), null);
});

test("rings are at round spacings inside what is seen", () => {
  const flat = geometryOf({ shape: [1000, 1000], pixel_size: [1e-4, 1e-4], distance: 0.1, beam_center: [500, 500], wavelength: 1, rotation: [0, 0, 0] });
  const made = niceSpacings(flat, 0, 0.6, 6);
  assert.ok(made.length >= 4 && made.length <= 6);
  assert.deepEqual([...made].sort((a, b) => b - a), made);
  for (const d of made) assert.ok(twoThetaOf(flat, d)! < 0.66);
  assert.equal(twoThetaOf(flat, 0.49), null);
  close(twoThetaOf(flat, 1)!, Math.PI / 3);
  const unknown = geometryOf({ shape: [9, 9], pixel_size: [1e-4, 1e-4], distance: 0.1, beam_center: [5, 5], wavelength: null, rotation: [0, 0, 0] });
  assert.deepEqual(niceSpacings(unknown, 0, 1), []);
});

test("spacings are read as people write them", () => {
  assert.deepEqual(parseSpacings("3.5, 2;1.4  1"), [3.5, 2, 1.4, 1]);
  assert.deepEqual(parseSpacings(" "), []);
  for (const wrong of ["0", "-1", "x", "1,2,NaN"]) assert.equal(parseSpacings(wrong), null);
});
