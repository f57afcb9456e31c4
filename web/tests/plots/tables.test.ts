import assert from "node:assert/strict";
import { test } from "node:test";
import { squeezed, partQuery } from "../../src/plots/histogram.ts";
import { shownValue, valueOf } from "../../src/plots/images.ts";
import { PAGE, Pages } from "../../src/plots/pages.ts";
import { placesOf } from "../../src/plots/profile.ts";
import { centred } from "../../src/plots/show.ts";
import { chosenSpots, flagNames } from "../../src/plots/spots.ts";

test("pages are asked for once, and the oldest go", () => {
  const pages = new Pages<string>(3);
  assert.deepEqual(pages.missing(0, PAGE + 1), [0, 1]);
  assert.deepEqual(pages.missing(0, PAGE + 1), []);
  assert.equal(pages.of(3), undefined);
  pages.put(0, "a");
  pages.put(1, "b");
  assert.deepEqual(pages.of(PAGE + 3), ["b", 3]);
  for (let page = 2; page < 9; page += 1) {
    pages.missing(page * PAGE, page * PAGE + 1);
    pages.put(page, "c");
  }
  assert.equal(pages.size, 3);
  assert.equal(pages.of(0), undefined);
  assert.deepEqual(pages.missing(0, 1), [0]);
  pages.drop(0);
  assert.deepEqual(pages.missing(0, 1), [0]);
});

test("cells of results, those of regions as well", () => {
  const answer = { columns: { frame: [3, 4], n_spots: [-1, 2], shells: [[1, 2], [3, 4]] }, rois: { "a:b": { sum: [7, 8] } } };
  assert.equal(valueOf(answer, "n_spots", 1), 2);
  assert.equal(valueOf(answer, "a:b:sum", 0), 7);
  assert.equal(valueOf(answer, "c:sum", 0), null);
  assert.equal(valueOf(answer, "shells", 1), "3 4");
  assert.equal(shownValue("n_spots", -1), "–");
  assert.equal(shownValue("a:sum", -1), "-1");
  assert.equal(shownValue("status", 3), "skipped");
  assert.equal(shownValue("hit", 1), "yes");
  assert.equal(shownValue("t_start", 1e18 + 1.5e9), "01:46:41.500");
});

test("spots are chosen by a flag", () => {
  const spots = { slow: [1, 2, 3, 4], flags: [0, 1, 8, 9] };
  assert.deepEqual(chosenSpots(spots, null), [0, 1, 2, 3]);
  assert.deepEqual(chosenSpots(spots, ""), [0]);
  assert.deepEqual(chosenSpots(spots, "ice"), [2, 3]);
  assert.deepEqual(chosenSpots(spots, "saturated"), [1, 3]);
  assert.deepEqual(chosenSpots(spots, "nonsense"), []);
  assert.equal(flagNames(9), "saturated, ice");
  assert.equal(flagNames(0), "");
});

test("spacings stand between the rings whose spacings are known", () => {
  const d = [null, 10, 5, 4, 2];
  const q = d.map((each) => (each === null ? null : 1 / each));
  const [at] = placesOf([2.5], d, q);
  assert.ok(Math.abs(at! - 0.4) < 1e-12);
  assert.deepEqual(placesOf([1.5, 20], d, q), []);
  const back = placesOf([2.5], [2, 4, 5, 10], [0.5, 0.25, 0.2, 0.1]);
  assert.ok(Math.abs(back[0]! - 0.4) < 1e-12);
});

test("a part is asked for as whole pixels within the detector", () => {
  assert.deepEqual(partQuery({ slow0: -5, slow1: 10.2, fast0: 3.7, fast1: 900 }, [100, 200]), { slow: "0:11", fast: "3:200" });
  assert.deepEqual(partQuery(null, [100, 200]), {});
  assert.equal(squeezed(0), 0);
});

test("a spot goes to the middle, and the part keeps its size", () => {
  assert.deepEqual(centred({ slow0: 0, slow1: 10, fast0: 0, fast1: 20 }, 50, 60), { slow0: 45, slow1: 55, fast0: 50, fast1: 70 });
  const near = centred(null, 50, 60);
  assert.equal((near.slow0 + near.slow1) / 2, 50);
});
