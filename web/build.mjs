// Builds the page into crystint/online/static: `node build.mjs`. Names have a hash of what is in the files, and each
// file stands there packed as well. `node build.mjs --test [PART OF A NAME]` runs the unit tests of tests/ instead.
import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "..", "crystint", "online", "static");
const common = { bundle: true, format: "esm", target: "es2022", charset: "utf8", legalComments: "none", absWorkingDir: here };

function hashed(name, content) {
  const [stem, suffix] = name.split(".");
  return `${stem}-${createHash("sha256").update(content).digest("hex").slice(0, 12)}.${suffix}`;
}

// The ES module of dockview has no styles; its script for browsers has, as a text that it puts into a <style>, which a
// strict content security policy refuses. Its themes are left out: 00-page.css has ours.
function dockviewStyles() {
  const script = readFileSync(join(here, "node_modules/dockview-core/dist/dockview-core.js"), "utf8");
  const match = /s\.textContent = ("(?:[^"\\]|\\.)*");/.exec(script);
  if (match === null) throw new Error("dockview-core.js holds no styles where they were: look at its new version");
  return JSON.parse(match[1]).replace(/^\.dockview-theme-[^{}]*\{[^{}]*\}/gm, "");
}

// dockview without what the page has no use for: windows of their own, strips at the edges, groups of tabs, and a menu
// that the page has itself.
const smallerDockview = {
  name: "smaller dockview",
  setup({ onLoad }) {
    onLoad({ filter: /dockview-core[/\\]dist[/\\]package[/\\]main\.esm\.mjs$/ }, ({ path }) => {
      const list = /^const AllModules = \[[^\]]*\];$/m;
      const source = readFileSync(path, "utf8");
      if (!list.test(source)) throw new Error("dockview lists its modules where they are not looked for: look at its new version");
      const modules = ["FloatingGroup", "Watermark", "RootDropTarget", "HeaderActions", "LiveRegion", "AdvancedDnD"];
      const pure = source.replace(/^const (\w+Module) = defineModule\(/gm, "const $1 = /* @__PURE__ */ defineModule(");
      return { contents: pure.replace(list, `const AllModules = [${modules.map((name) => `${name}Module`).join(", ")}];`), loader: "js" };
    });
  },
};

async function bundled(entry, options = {}) {
  const result = await build({ ...common, ...options, plugins: [smallerDockview], mangleProps: /^_[a-zA-Z]/, entryPoints: [entry], minify: true, write: false });
  return Buffer.from(result.outputFiles[0].contents);
}

async function page() {
  const files = new Map();
  const add = (name, content) => {
    const named = hashed(name, content);
    files.set(named, content);
    return `static/${named}`;
  };
  const worker = add("worker.js", await bundled("src/image/worker.ts"));
  const main = add("main.js", await bundled("src/main.ts", { define: { WORKER_ADDRESS: JSON.stringify(worker) } }));
  const sheets = [dockviewStyles(), readFileSync(join(here, "node_modules/uplot/dist/uPlot.min.css"), "utf8")];
  for (const name of readdirSync(join(here, "src/styles")).sort()) {
    if (name.endsWith(".css")) sheets.push(readFileSync(join(here, "src/styles", name), "utf8"));
  }
  const styles = await build({ ...common, stdin: { contents: sheets.join("\n"), loader: "css" }, minify: true, write: false });
  const sheet = add("page.css", Buffer.from(styles.outputFiles[0].contents));
  const html = readFileSync(join(here, "src/index.html"), "utf8").replace("PAGE_CSS", sheet).replace("MAIN_JS", main);
  files.set("index.html", Buffer.from(html));
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  let packed = 0;
  for (const [name, content] of files) {
    const gzip = gzipSync(content, { level: 9 });
    packed += gzip.length;
    writeFileSync(join(target, name), content);
    writeFileSync(join(target, `${name}.gz`), gzip);
    const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
    writeFileSync(join(target, `${name}.br`), brotliCompressSync(content, quality));
  }
  console.log(`page: ${files.size} files, ${(packed / 1000).toFixed(0)} kB packed (gzip)`);
  if (packed > 250_000) throw new Error("the page is larger than 250 kB packed");
}

async function tests(part) {
  const folder = mkdtempSync(join(tmpdir(), "crystint-page-"));
  try {
    const names = readdirSync(join(here, "tests"), { recursive: true }).map(String);
    const entries = names.filter((name) => name.endsWith(".test.ts") && name.includes(part)).map((name) => join("tests", name));
    if (entries.length === 0) throw new Error(`no tests whose name has ${part}`);
    await build({
      ...common, entryPoints: entries, outdir: folder, outExtension: { ".js": ".mjs" }, platform: "node", sourcemap: "inline",
      define: { WORKER_ADDRESS: '""' },
    });
    const made = readdirSync(folder, { recursive: true }).map(String).filter((name) => name.endsWith(".mjs"));
    const paths = made.map((name) => join(folder, name));
    return spawnSync(process.execPath, ["--enable-source-maps", "--test", "--test-reporter=dot", ...paths], { stdio: "inherit" }).status ?? 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const at = process.argv.indexOf("--test");
process.exitCode = at < 0 ? (await page(), 0) : await tests(process.argv[at + 1] ?? "");
