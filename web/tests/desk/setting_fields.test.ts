import assert from "node:assert/strict";
import { test } from "node:test";
import { changesOf, conflictsOf } from "../../src/desk/setting_fields.ts";

test("what is changed, and who else changed it", () => {
  const before = { snr: 5, d_min: null, rings: 100 };
  const now = { snr: 6, d_min: null, rings: 200 };
  const changes = changesOf(before, { snr: 4.5, d_min: null, rings: 100 });
  assert.deepEqual(changes, { snr: 4.5 });
  assert.deepEqual(conflictsOf(before, now, changes), [{ name: "snr", theirs: 6, mine: 4.5 }, { name: "rings", theirs: 200, mine: undefined }]);
});
