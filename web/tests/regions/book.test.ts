import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, type Request } from "../../src/api.ts";
import { Book } from "../../src/regions/book.ts";
import type { Circle, Regions } from "../../src/regions/region.ts";

const circle = (name: string, radius = 5): Circle => ({ name, type: "circle", center: [10, 20], radius });

/** A service that others use as well. */
class Service {
  regions: Regions;
  revision = 3;
  puts = 0;
  refusal: ApiError | null = null;
  /** called before an answer is made */
  meanwhile: () => void = () => {};

  constructor(regions: Regions) {
    this.regions = regions;
  }

  json = async <T>(_path: string, request: Request = {}): Promise<T> => {
    await Promise.resolve();
    this.meanwhile();
    if (request.method === "PUT") {
      this.puts += 1;
      if (request.revision !== this.revision) throw new ApiError(412, "conflict", "somebody else");
      if (this.refusal !== null) throw this.refusal;
      this.others((request.body as { rois: Regions }).rois);
      return { first_image: 17, version: this.revision, revision: this.revision, details: {} } as T;
    }
    return { document: { rois: this.regions }, version: 1, revision: this.revision, details: {} } as T;
  };

  others(regions: Regions): void {
    this.regions = JSON.parse(JSON.stringify(regions)) as Regions;
    this.revision += 1;
  }
}

async function begun(regions: Regions): Promise<{ service: Service; book: Book; words: string[]; failures: unknown[] }> {
  const service = new Service(regions);
  const words: string[] = [];
  const failures: unknown[] = [];
  const book = new Book(service, (text) => words.push(text), (error) => failures.push(error));
  await book.refresh();
  return { service, book, words, failures };
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

test("a change is shown at once, sent, and told from which image on", async () => {
  const { service, book, words } = await begun([circle("a")]);
  book.edit([circle("a"), circle("b")]);
  assert.equal(book.regions.value.length, 2);
  assert.equal(book.busy, true);
  await settled();
  assert.deepEqual(service.regions, [circle("a"), circle("b")]);
  assert.deepEqual(book.effect.value, { image: 17, version: 4 });
  assert.equal(book.revision, service.revision);
  assert.deepEqual([book.busy, words], [false, []]);
});

test("changes during a request are sent after it, the last document alone", async () => {
  const { service, book } = await begun([]);
  for (const radius of [1, 2, 3, 4]) book.edit([circle("a", radius)]);
  await settled();
  assert.deepEqual([service.puts, service.regions], [2, [circle("a", 4)]]);
});

test("undo and redo send what was", async () => {
  const { service, book } = await begun([circle("a")]);
  book.edit([circle("a", 7)]);
  book.edit([circle("a", 7), circle("b")]);
  book.undo();
  book.undo();
  await settled();
  assert.deepEqual(service.regions, [circle("a")]);
  assert.deepEqual(book.steps.value, { undo: false, redo: true });
  book.redo();
  await settled();
  assert.deepEqual(service.regions, [circle("a", 7)]);
  book.edit([]);
  assert.deepEqual(book.steps.value, { undo: true, redo: false });
  await settled();
});

test("steps with a key are sent and undone as one", async () => {
  const { service, book } = await begun([circle("a")]);
  for (const radius of [6, 7, 8]) book.edit([circle("a", radius)], "nudge a");
  assert.equal(service.puts, 0);
  book.edit([circle("a", 8), circle("b")]);
  await settled();
  assert.equal(service.puts, 1);
  book.undo();
  book.undo();
  await settled();
  assert.deepEqual([service.regions, book.steps.value.undo], [[circle("a")], false]);
});

test("undo is not over what somebody else changed, and leaves the rest of it", async () => {
  const { service, book, words } = await begun([circle("a"), circle("b")]);
  book.edit([circle("a", 7), circle("b")]);
  await settled();
  service.others([circle("a", 7), circle("b", 9)]);
  await book.follow(service.revision);
  assert.equal(words.length, 1);
  assert.match(words[0]!, /changed the regions: b/);
  book.undo();
  await settled();
  assert.deepEqual(service.regions, [circle("a"), circle("b", 9)]);
  book.redo();
  await settled();
  service.others([circle("a", 1), circle("b", 9)]);
  await book.follow(service.revision);
  const puts = service.puts;
  book.undo();
  await settled();
  assert.match(words.at(-1)!, /changed a since/);
  assert.deepEqual([service.puts, service.regions[0]], [puts, circle("a", 1)]);
});

test("the loser of a conflict sees theirs, is told what they changed, and can put its own again", async () => {
  const { service, book, words } = await begun([circle("a"), circle("b")]);
  book.holding = true;
  service.others([circle("a", 8), circle("b"), circle("c")]);
  await book.follow(service.revision);
  book.holding = false;
  book.edit([circle("a", 7), circle("b")]);
  await settled();
  assert.deepEqual(book.regions.value, service.regions);
  assert.deepEqual(book.conflict.value?.rows, [
    { name: "a", field: "radius", before: "5", mine: "7", theirs: "8" },
    { name: "c", field: "", before: "not there", mine: "not there", theirs: "circle" },
  ]);
  assert.equal(words.length, 1);
  assert.deepEqual(book.steps.value, { undo: false, redo: false });
  book.settle("mine");
  await settled();
  assert.deepEqual(service.regions, [circle("a", 7), circle("b"), circle("c")]);
  assert.equal(book.conflict.value, null);
  book.undo();
  await settled();
  assert.deepEqual(service.regions[0], circle("a", 8));
});

test("theirs can be taken", async () => {
  const { service, book } = await begun([circle("a")]);
  service.others([circle("a", 8)]);
  book.edit([circle("a", 7)]);
  await settled();
  book.settle("theirs");
  await settled();
  assert.deepEqual([book.regions.value, service.regions, book.busy], [[circle("a", 8)], [circle("a", 8)], false]);
});

test("what the service refuses is put back, and its field told", async () => {
  const { service, book, failures } = await begun([circle("a"), circle("b")]);
  service.refusal = new ApiError(400, "bad_value", "radius is -1, expected px above 0", "rois.1.radius");
  book.edit([circle("a"), circle("b", -1)]);
  await settled();
  assert.deepEqual(book.regions.value, [circle("a"), circle("b")]);
  assert.deepEqual(book.refusal.value, { words: "radius is -1, expected px above 0", name: "b", field: "radius" });
  assert.deepEqual([failures.length, book.steps.value.undo, book.busy], [1, false, false]);
  service.refusal = null;
  book.edit([circle("a")]);
  await settled();
  assert.deepEqual([service.regions, book.refusal.value], [[circle("a")], null]);
});

test("an answer that is older than a change is not taken", async () => {
  const { service, book } = await begun([circle("a")]);
  service.others([circle("a"), circle("z")]);
  let once = true;
  service.meanwhile = () => {
    if (once) book.edit([circle("a", 3)]);
    once = false;
  };
  await book.follow(service.revision);
  assert.deepEqual(book.regions.value, [circle("a", 3)]);
  await settled();
  assert.notEqual(book.conflict.value, null);
});
