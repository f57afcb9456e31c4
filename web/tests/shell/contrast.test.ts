import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

// the tests run from a bundle elsewhere; npm and build.mjs run them in web/
const sheet = readFileSync("src/styles/00-page.css", "utf8");

function variables(selector: string): Record<string, string> {
  const start = sheet.indexOf(`${selector} {`);
  assert.ok(start >= 0, selector);
  const block = sheet.slice(start, sheet.indexOf("}", start));
  return Object.fromEntries([...block.matchAll(/--([a-z0-9-]+): (#[0-9a-f]{6});/g)].map((match) => [match[1], match[2]]));
}

// WCAG 2.2: relative luminance of sRGB, and the contrast of two colours
function luminance(color: string): number {
  const [red, green, blue] = [1, 3, 5]
    .map((at) => parseInt(color.slice(at, at + 2), 16) / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a: string, b: string): number {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

const light = variables(":root");
const themes = { light, dark: { ...light, ...variables(':root[data-theme="dark"]') } };

test("contrast is computed as WCAG has it", () => {
  assert.equal(contrast("#000000", "#ffffff"), 21);
  assert.ok(Math.abs(contrast("#777777", "#ffffff") - 4.478) < 0.001);
});

for (const [name, colors] of Object.entries(themes)) {
  const check = (front: string, back: string, least: number): void => {
    const [a, b] = [colors[front], colors[back]];
    assert.ok(a !== undefined && b !== undefined, `${front} or ${back} is no variable`);
    const value = contrast(a, b);
    assert.ok(value >= least, `${name}: ${front} on ${back} has ${value.toFixed(2)}, not ${least}`);
  };

  test(`words can be read: ${name}`, () => {
    for (const back of ["ground", "surface", "raised", "field", "hover", "accent-soft", "good-soft", "warn-soft", "bad-soft"]) {
      check("ink", back, 4.5);
      if (!/-(soft)$/.test(back) || back === "accent-soft") check("ink-soft", back, 4.5);
    }
    check("accent-ink", "accent", 4.5);
    for (const state of ["good", "warn", "bad"]) for (const back of ["surface", "raised", "ground", "hover", `${state}-soft`]) check(state, back, 4.5);
    for (const back of ["surface", "raised"]) check("accent", back, 4.5);
  });

  test(`edges, the focus, curves and strips can be seen: ${name}`, () => {
    const lines = ["edge", "focus", "ok", "hit", "skipped", "failed", "missing", "late"];
    for (let number = 1; number <= 8; number += 1) lines.push(`series-${number}`);
    for (const line of lines) for (const back of ["surface", "raised", "field"]) check(line, back, 3);
  });
}

test("each colour of the light page has one of the dark page", () => {
  const dark = variables(':root[data-theme="dark"]');
  assert.deepEqual(Object.keys(dark).sort(), Object.keys(light).sort());
});

test("style sheets of the parts take their colours from variables", () => {
  // a colour of its own is one that nobody checked, or that does not change with the theme
  const frame = readFileSync("src/styles/05-frame.css", "utf8");
  assert.deepEqual(frame.match(/#[0-9a-fA-F]{3,8}\b(?=[;,) ])/g), null);
});
