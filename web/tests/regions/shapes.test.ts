import assert from "node:assert/strict";
import { test } from "node:test";
import { Geometry, wrapped } from "../../src/image/geometry.ts";
import { polygonOf, withoutCorner } from "../../src/regions/polygon.ts";
import type { Azimuthal, Box, Circle, Polygon, Region } from "../../src/regions/region.ts";
import { cursorOf, distanceToSegment, dragged, handles, hitOf, holds, made, nudged, outline } from "../../src/regions/shapes.ts";
import cases from "../fixtures/geometry.json";

const at = (slow: number, fast: number) => ({ slow, fast });
const geometryOf = (one: { geometry: unknown }): Geometry => Geometry.of(one.geometry as Record<string, unknown>) as Geometry;
const tilted = geometryOf(cases.tilted);
const box: Box = { name: "b", type: "box", slow_min: 10, slow_max: 19, fast_min: 20, fast_max: 24 };
const circle: Circle = { name: "c", type: "circle", center: [30.5, 41], radius: 7.5 };
const triangle: Polygon = { name: "p", type: "polygon", corners: [[0, 0], [10, 0], [0, 10]] };
const sector: Azimuthal = { name: "s", type: "azimuthal", q_min: 0.3, q_max: 0.5, phi_min_deg: 350, phi_max_deg: 40 };
const ring: Azimuthal = { name: "r", type: "azimuthal", q_min: 0.3, q_max: 0.5 };

const near = (a: number, b: number, tolerance = 1e-6): void => assert.ok(Math.abs(a - b) <= tolerance, `${a} is not ${b}`);

for (const [name, one] of Object.entries(cases)) {
  test(`pixels belong to regions as crystint has it: ${name}`, () => {
    const geometry = geometryOf(one);
    for (const region of one.rois as unknown as Region[]) {
      const inside = one.slow.map((slow, n) => Number(holds(region, at(slow + 0.5, one.fast[n]! + 0.5), geometry)));
      assert.deepEqual(inside, (one.inside as unknown as Record<string, number[]>)[region.name], region.name);
    }
  });

  test(`borders and handles of rings lie on their limits: ${name}`, () => {
    const geometry = geometryOf(one);
    for (const region of one.rois as unknown as Region[]) {
      if (region.type !== "azimuthal") continue;
      const q = [region.q_min ?? (2 * Math.PI) / region.d_max!, region.q_max ?? (2 * Math.PI) / region.d_min!];
      const phi = [region.phi_min_deg ?? 0, region.phi_max_deg ?? 360].map(wrapped) as [number, number];
      const width = wrapped(phi[1] - phi[0]) || 360;
      const full = region.phi_min_deg === undefined || region.phi_max_deg! - region.phi_min_deg >= 360;
      const { lines } = outline(region, geometry);
      assert.ok(lines.length > 0);
      for (const place of lines.flat()) {
        // a place on the border of a panel may be counted to none
        const [value, angle] = [geometry.qAt(place.slow, place.fast), geometry.phiAt(place.slow, place.fast)];
        if (Number.isNaN(value)) continue;
        const onArc = q.some((limit) => Math.abs(value - limit) < 1e-9);
        const onSpoke = !full && phi.some((limit) => Math.abs(wrapped(angle - limit + 180) - 180) < 1e-6);
        assert.ok(onArc || onSpoke, `${region.name} ${value} ${angle}`);
        if (!full) assert.ok(wrapped(angle - phi[0] + 1e-6) <= width + 2e-6, `${region.name} ${angle}`);
      }
      const all = handles(region, geometry);
      for (const handle of all.filter(({ id }) => id.startsWith("q_"))) {
        near(geometry.qAt(handle.at.slow, handle.at.fast), handle.id.startsWith("q_min") ? q[0]! : q[1]!, 1e-9);
      }
      for (const handle of all.filter(({ id }) => id.startsWith("phi"))) {
        near(wrapped(geometry.phiAt(handle.at.slow, handle.at.fast) - phi[handle.id === "phi_min" ? 0 : 1] + 180), 180);
      }
      if (full) assert.ok(all.every(({ id }) => id.startsWith("q_")));
    }
  });
}

test("a box snaps to whole pixels, and is right when it is turned inside out", () => {
  assert.deepEqual(dragged(box, "inside", at(0, 0), at(3.4, -1.6), null), { ...box, slow_min: 13, slow_max: 22, fast_min: 18, fast_max: 22 });
  assert.deepEqual(dragged(box, "low -", at(0, 0), at(2.6, 50), null), { ...box, slow_min: 13 });
  assert.deepEqual(dragged(box, "high high", at(20, 25), at(21.1, 27.4), null), { ...box, slow_max: 20, fast_max: 26 });
  assert.deepEqual(dragged(box, "low -", at(10, 0), at(25, 0), null), { ...box, slow_min: 20, slow_max: 24 });
  assert.deepEqual(dragged(box, "- high", at(0, 25), at(0, 20), null), { ...box, fast_max: 20 });
  assert.equal(handles(box, null).length, 8);
});

test("each type is made by a drag", () => {
  assert.deepEqual(made("box", "n", at(9.9, 3.2), at(4.1, 5.8), null), { name: "n", type: "box", slow_min: 4, slow_max: 9, fast_min: 3, fast_max: 5 });
  assert.deepEqual(made("circle", "n", at(10, 10), at(13, 14), null), { name: "n", type: "circle", center: [10, 10], radius: 5 });
  assert.equal((made("circle", "n", at(10, 10), at(10, 10), null) as Circle).radius, 0.71);
  assert.equal(made("azimuthal", "n", at(10, 10), at(13, 14), null), null);
  const [from, to] = [[0.4, 355], [0.7, 20]].map(([q, phi]) => tilted.place(tilted.twoTheta(q!), phi!)!);
  for (const [a, b] of [[from!, to!], [to!, from!]] as const) {
    const drawn = made("azimuthal", "n", a, b, tilted) as Azimuthal;
    near(drawn.q_min!, 0.4);
    near(drawn.q_max!, 0.7);
    assert.deepEqual([drawn.phi_min_deg, drawn.phi_max_deg], [355, 20]);
  }
  const straight = tilted.place(tilted.twoTheta(0.9), 356)!;
  assert.deepEqual(Object.keys(made("azimuthal", "n", from!, straight, tilted)!), ["name", "type", "q_min", "q_max"]);
});

test("a circle keeps its centre or its radius", () => {
  assert.deepEqual(dragged(circle, "center", at(30.5, 41), at(31, 40), null), { ...circle, center: [31, 40] });
  assert.deepEqual(dragged(circle, "inside", at(0, 0), at(2, 1), null), { ...circle, center: [32.5, 42] });
  assert.deepEqual(dragged(circle, "radius 1", at(30.5, 48.5), at(30.5, 51), null), { ...circle, radius: 10 });
  assert.deepEqual(dragged(circle, "radius 1", at(30.5, 48.5), at(30.5, 41), null), { ...circle, radius: 0.71 });
});

test("limits of a ring go with their handles, and stay in order", () => {
  const place = (q: number, phi: number) => tilted.place(tilted.twoTheta(q), phi)!;
  const outer = dragged(sector, "q_max 0", place(0.5, 10), place(0.6, 12), tilted) as Azimuthal;
  near(outer.q_max!, 0.6);
  assert.equal(outer.q_min, 0.3);
  assert.equal(outer.phi_min_deg, 350);
  const crossed = dragged(sector, "q_max 0", place(0.5, 10), place(0.1, 10), tilted) as Azimuthal;
  assert.ok(crossed.q_max! > 0.3);
  const below = dragged(sector, "q_min 0", place(0.3, 10), place(0.9, 10), tilted) as Azimuthal;
  assert.ok(below.q_min! < 0.5);
  const turned = dragged(sector, "phi_min", place(0.4, 350), place(0.4, 20), tilted) as Azimuthal;
  assert.deepEqual([turned.phi_min_deg, turned.phi_max_deg], [20, 40]);
  const back = dragged(sector, "phi_max", place(0.4, 40), place(0.4, 355), tilted) as Azimuthal;
  assert.deepEqual([back.phi_min_deg, back.phi_max_deg], [350, 355]);
  const both = dragged(sector, "inside", place(0.4, 0), place(0.5, 15), tilted) as Azimuthal;
  near(both.q_min!, 0.4);
  near(both.q_max!, 0.6);
  assert.deepEqual([both.phi_min_deg, both.phi_max_deg], [5, 55]);
  const inwards = dragged(sector, "inside", place(0.5, 0), place(0.01, 0), tilted) as Azimuthal;
  near(inwards.q_min!, 0);
  near(inwards.q_max!, 0.2);
  assert.equal(dragged(ring, "phi_min", place(0.4, 0), place(0.4, 20), tilted), null);
  assert.equal(dragged(sector, "inside", place(0.4, 0), place(0.5, 0), null), null);
});

test("spacings stay spacings", () => {
  const region: Azimuthal = { name: "d", type: "azimuthal", d_min: 10, d_max: 20 };
  const [from, to] = [10, 12.5].map((d) => tilted.place(tilted.twoTheta((2 * Math.PI) / d), 30)!);
  const after = dragged(region, "q_max 0", from!, to!, tilted) as Azimuthal;
  near(after.d_min!, 12.5, 1e-5);
  near(after.d_max!, 20, 1e-5);
  assert.equal(after.q_min, undefined);
});

test("corners are moved, put in and taken out", () => {
  assert.deepEqual((dragged(triangle, "corner 1", at(10, 0), at(12, 1), null) as Polygon).corners, [[0, 0], [12, 1], [0, 10]]);
  assert.deepEqual((dragged(triangle, "edge 0", at(5, 0), at(5, -3), null) as Polygon).corners, [[0, 0], [5, -3], [10, 0], [0, 10]]);
  assert.deepEqual((dragged(triangle, "edge 2", at(0, 5), at(1, 5), null) as Polygon).corners, [[0, 0], [10, 0], [0, 10], [1, 5]]);
  assert.equal(withoutCorner(triangle, 0), null);
  const four = polygonOf("p", [at(0, 0), at(9.999, 0), at(5, 5), at(0, 10)]);
  assert.deepEqual(withoutCorner(four, 2)?.corners, [[0, 0], [10, 0], [0, 10]]);
});

test("arrows move by a pixel, rings by what that is in q, and turn by half a degree", () => {
  assert.deepEqual(nudged(box, 1, -10, null), { ...box, slow_min: 0, slow_max: 9, fast_min: 21, fast_max: 25 });
  assert.deepEqual((nudged(circle, -1, 0, null) as Circle).center, [30.5, 40]);
  assert.deepEqual((nudged(triangle, 0, 1, null) as Polygon).corners, [[1, 0], [11, 0], [1, 10]]);
  const on = nudged(sector, 1, 0, tilted) as Azimuthal;
  assert.deepEqual([on.phi_min_deg, on.phi_max_deg, on.q_min], [350.5, 40.5, 0.3]);
  const out = nudged(sector, 0, -1, tilted) as Azimuthal;
  const middle = tilted.place(tilted.twoTheta(0.4), 15)!;
  const moved = tilted.place(tilted.twoTheta(0.4 + out.q_min! - 0.3), 15)!;
  near(Math.hypot(moved.slow - middle.slow, moved.fast - middle.fast), 1, 0.02);
});

test("a press takes hold of what is nearest to it", () => {
  const regions: Region[] = [circle, { ...box, slow_min: 25, slow_max: 40, fast_min: 35, fast_max: 60 }];
  const all = regions.map((region) => ({ region, outline: outline(region, null), handles: handles(region, null) }));
  const toScreen = (slow: number, fast: number) => ({ x: 4 * fast, y: 4 * slow });
  const hit = (slow: number, fast: number, selected: string | null) =>
    hitOf(all, selected, toScreen(slow, fast), at(slow, fast), toScreen, null);
  assert.deepEqual(hit(30.5, 42, null), { name: "c", handle: "inside", along: null, inside: true });
  assert.deepEqual(hit(30.5, 49.2, "c"), { name: "c", handle: "radius 1", along: [0, 1], inside: false });
  assert.deepEqual(hit(30.5, 49.2, null), { name: "c", handle: "inside", along: null, inside: false });
  assert.equal(hit(26, 59, null)?.name, "b");
  assert.equal(hit(30.5, 42, "b")?.name, "b");
  assert.equal(hit(41, 61, "b")?.handle, "high high");
  assert.equal(hit(5, 5, "b"), null);
  const far = (slow: number, fast: number) => ({ x: 0.5 * fast, y: 0.5 * slow });
  assert.equal(hitOf(all, "c", far(30.5, 43.5), at(30.5, 43.5), far, null)?.handle, "center");
});

test("cursors show the way on the screen", () => {
  assert.equal(cursorOf(null), "move");
  assert.deepEqual([cursorOf([0, 1]), cursorOf([1, 0]), cursorOf([1, 1]), cursorOf([-1, 1])], ["ew-resize", "ns-resize", "nwse-resize", "nesw-resize"]);
  assert.equal(cursorOf([0, -1]), "ew-resize");
  assert.equal(distanceToSegment({ x: 0, y: 5 }, { x: 0, y: 0 }, { x: 10, y: 0 }), 5);
  assert.equal(distanceToSegment({ x: 13, y: 4 }, { x: 0, y: 0 }, { x: 10, y: 0 }), 5);
});
