import assert from "node:assert/strict";
import { test } from "node:test";
import { Geometry, wrapped } from "../src/image/geometry.ts";
import cases from "./fixtures/geometry.json";

const near = (a: number, b: number | null, name: string, tolerance = 1e-9): void => {
  if (b === null) assert.ok(Number.isNaN(a), `${name}: ${a} where there is none`);
  else assert.ok(Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b)), `${name}: ${a} is not ${b}`);
};

for (const [name, one] of Object.entries(cases)) {
  const geometry = Geometry.of(one.geometry as unknown as Record<string, unknown>) as Geometry;

  test(`q, d and phi of pixels are crystint's: ${name}`, () => {
    for (let n = 0; n < one.slow.length; n += 1) {
      const [slow, fast] = [one.slow[n]! + 0.5, one.fast[n]! + 0.5];
      near(geometry.qAt(slow, fast), one.q[n]!, "q");
      near(geometry.dAt(slow, fast), one.d[n]!, "d");
      near(geometry.twoThetaAt(slow, fast), one.two_theta[n]!, "2theta");
      near(geometry.phiAt(slow, fast), one.phi[n]!, "phi");
      const [x, y, z] = geometry.laboratory(slow, fast) ?? [NaN, NaN, NaN];
      near(x, one.x[n]!, "x", 1e-12);
      near(y, one.y[n]!, "y", 1e-12);
      near(z, one.z[n]!, "z", 1e-12);
    }
  });

  test(`a direction meets the pixel that it comes from: ${name}`, () => {
    for (let n = 0; n < one.slow.length; n += 1) {
      if (one.q[n] === null) continue;
      const place = geometry.place(geometry.twoTheta(one.q[n]!), one.phi[n]!);
      near(place?.slow ?? NaN, one.slow[n]! + 0.5, "slow", 1e-8);
      near(place?.fast ?? NaN, one.fast[n]! + 0.5, "fast", 1e-8);
    }
  });

  test(`points of an arc have its scattering angle, and lie close: ${name}`, () => {
    const angle = one.two_theta.find((value) => value !== null && value > 0.05)!;
    const lines = geometry.arc(angle, 0, 360);
    assert.ok(lines.length > 0);
    for (const line of lines) {
      for (const [n, { slow, fast }] of line.entries()) {
        if (name !== "panels") near(geometry.twoThetaAt(slow, fast), angle, "2theta", 1e-9);
        const next = line[n + 1];
        // far beside the frame a curve goes to infinity, and is not drawn so closely
        if (next === undefined || Math.hypot(slow, fast) > 500 || Math.hypot(next.slow, next.fast) > 500) continue;
        const middle = [0.5 * (slow + next.slow), 0.5 * (fast + next.fast)] as const;
        const off = geometry.place(angle, geometry.phiAt(...middle));
        if (off !== null) assert.ok(Math.hypot(off.slow - middle[0], off.fast - middle[1]) < 0.05);
      }
    }
  });
}

test("an arc over panels is broken at their borders", () => {
  const geometry = Geometry.of(cases.panels.geometry as unknown as Record<string, unknown>) as Geometry;
  const angle = geometry.twoThetaAt(10, 40);
  const lines = geometry.arc(angle, 0, 360);
  assert.ok(lines.length >= 2, String(lines.length));
  for (const line of lines) {
    const panels = new Set(line.map(({ slow }) => slow <= 30.5));
    assert.equal(panels.size, 1);
  }
});

test("nothing is met behind the sample, beside the panels, or beyond the sphere", () => {
  const flat = Geometry.of(cases.flat.geometry as unknown as Record<string, unknown>) as Geometry;
  assert.equal(flat.place(2, 0), null);
  assert.ok(Number.isNaN(flat.twoTheta(100)));
  assert.equal(flat.place(flat.twoTheta(100), 0), null);
  const panels = Geometry.of(cases.panels.geometry as unknown as Record<string, unknown>) as Geometry;
  assert.equal(panels.place(1.4, 0), null);
  assert.equal(panels.laboratory(30.5, 10), null);
  assert.equal(Geometry.of(null), null);
});

test("angles are wrapped as Python does", () => {
  assert.deepEqual([0, 360, -10, 725, -1e-20, -360].map(wrapped), [0, 0, 350, 5, 0, 0]);
});
