// The built package with the real engine, over HTTP, against the goldens: what it answers, which experts it chooses, and
// that it fetches them when it needs them and not before. In a worker in Chromium, on each device, and in Node.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Answer, Gander, GanderError, GenerateOptions, Progress, RoutedChoice } from "gander";
import type { Browser, Page } from "playwright-core";
import { launchChromium } from "../chromium.ts";

const golden = "tests/goldens/v11_gated";

interface Expected {
  experts: string[];
  input_ids: number[];
  max_new_tokens: number;
  runs: { top_k: number; output_ids: number[]; finish: string; routing: Choice[] }[];
}

interface Choice {
  module: string;
  token: number;
  experts: string[];
  margin: number | null;
  order_margin: number | null;
}

/** Where the reference's own scores are closer than this, f32 may choose otherwise. */
const clearMargin = 1e-4;

const expected: Expected = JSON.parse(readFileSync(`${golden}/expected.json`, "utf8"));
let folder: string;
let server: { url: string; close: () => Promise<void> };

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "gander-goldens-"));
  cpSync("www/dist", join(folder, "dist"), { recursive: true });
  cpSync(`${golden}/base`, join(folder, "base"), { recursive: true });
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>goldens</title>");
  const experts = expected.experts.map((name) => join(golden, name));
  const command = ["run", "--quiet", "--locked", "--", "catalog", "build", "--base", `${golden}/base`];
  const build = (name: string, folders: string[]) => {
    const parameters = [...command, "--name", name, "-o", join(folder, name), ...folders];
    execFileSync("cargo", parameters, { stdio: "inherit" });
  };
  build("ocean", experts);
  build("first", experts.slice(0, 2));
  build("others", experts.slice(2));
  build("again", experts.slice(0, 1));
  const { serve } = await import(pathToFileURL(join(process.cwd(), "scripts/serve/server.mjs")).href);
  server = await serve({ folder, port: 0 });
});
after(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

function check(
  answer: Pick<Answer, "outputIds" | "finish"> & { routing?: Iterable<RoutedChoice> },
  run: Expected["runs"][number],
): void {
  assert.deepEqual(answer.outputIds, run.output_ids);
  assert.equal(answer.finish, run.finish);
  const choices = new Map(
    [...(answer.routing ?? [])].map((choice) => [`${choice.module} ${choice.token}`, choice.experts]),
  );
  const isClear = (margin: number | null) => margin === null || margin > clearMargin;
  const clear = run.routing.filter((choice) => isClear(choice.margin) && isClear(choice.order_margin));
  assert.ok(clear.length > 100);
  for (const choice of clear) {
    const place = `${choice.module} ${choice.token}`;
    assert.deepEqual(choices.get(place), choice.experts, place);
  }
}

/** Chromium's own GPU in software. */
const webgpu = "--enable-unsafe-webgpu";

for (const device of ["cpu", "webgpu", "webgpu+cpu"] as const)
  describe(`in a worker in Chromium, on ${device}`, () => {
    let browser: Browser;
    let page: Page;
    const paths: string[] = [];

    before(async () => {
      browser = await launchChromium(webgpu);
      page = await browser.newPage();
      page.on("request", (request) => paths.push(new URL(request.url()).pathname));
      await page.goto(server.url);
      await page.evaluate(async (device) => {
        const library = "/dist/index.js";
        const gander = (await import(library)) as { Gander: typeof Gander };
        const reports: Progress[] = [];
        const model = await gander.Gander.load({
          base: "base/",
          experts: "ocean/catalog.json",
          device,
          onProgress: (progress) => reports.push(progress),
        });
        Object.assign(globalThis, { model, reports });
      }, device);
    });
    after(() => browser?.close());

    const generate = (topK: number) => {
      const options = { topK, maxNewTokens: expected.max_new_tokens, trace: true };
      return page.evaluate(
        async ([ids, options]) => {
          const { model } = globalThis as unknown as { model: Gander };
          const { routing, ...answer } = await model.generate(ids, options);
          // What crosses to the test is plain.
          return { ...answer, routing: [...(routing ?? [])] };
        },
        [expected.input_ids, options] as [number[], GenerateOptions],
      );
    };
    const adapterRequests = () => paths.filter((path) => path.endsWith("adapter_model.safetensors"));

    test("the model says where it computes", async () => {
      const found = await page.evaluate(() => (globalThis as unknown as { model: Gander }).model.device);
      assert.equal(found.name, device);
      // On a GPU it says too whether integer dot products pay.
      assert.match(found.reason, device === "cpu" ? /^asked for$/ : /^asked for; .*integer dot products/);
    });

    test("loading brings the base, the catalogue and the gates, and no expert", () => {
      assert.deepEqual(adapterRequests(), []);
      assert.ok(paths.includes("/base/model.safetensors"));
      assert.ok(paths.includes("/ocean/gates.safetensors"));
    });

    for (const run of expected.runs) {
      test(`the answer and the choices are the reference's, with ${run.top_k} experts a token`, async () => {
        check(await generate(run.top_k), run);
      });
    }

    test("pages that are there are not fetched again", async () => {
      const before = adapterRequests().length;
      assert.ok(before > 0);
      const { stats } = await generate(2);
      assert.equal(stats.pagesFetched, 0);
      assert.equal(adapterRequests().length, before);
    });

    test("what Rust refuses arrives as a GanderError with Rust's code", async () => {
      const codes = await page.evaluate(async () => {
        const { model } = globalThis as unknown as { model: Gander };
        const codeOf = async (run: () => PromiseLike<unknown>) => {
          try {
            await run();
            return "none";
          } catch (error) {
            return `${(error as GanderError).name} ${(error as GanderError).code}`;
          }
        };
        return [
          await codeOf(() => model.generate("text")),
          await codeOf(() => model.generate([])),
          await codeOf(() => model.generate([9999, 1])),
          await codeOf(() => model.generate([5, 1], { include: ["nobody"] })),
          await codeOf(() => model.generate([5, 1], { topK: 0 })),
          await codeOf(() => model.generate([5, 1], { tempreature: 1 } as GenerateOptions)),
          await codeOf(() => model.generate([5, 1], { maxNewTokens: 2 })),
        ];
      });
      assert.deepEqual(codes, [
        "GanderError no-tokenizer",
        "GanderError empty-input",
        "GanderError token-out-of-range",
        "GanderError unknown-expert",
        "GanderError invalid-option",
        "GanderError invalid-option",
        "none",
      ]);
    });
  });

describe("in Node, without a worker", () => {
  async function load(...catalogs: string[]): Promise<Gander> {
    const library = pathToFileURL(join(process.cwd(), "www/dist/index.js")).href;
    const gander = (await import(library)) as { Gander: typeof Gander };
    const experts = catalogs.map((name) => `${server.url}${name}/catalog.json`);
    return gander.Gander.load({
      base: `${server.url}base/`,
      experts,
      cache: { folder: join(folder, "cache") },
    });
  }

  for (const catalogs of [["ocean"], ["first", "others"]]) {
    test(`the answer and the choices are the reference's, with ${catalogs.length} catalogues`, async () => {
      const model = await load(...catalogs);
      for (const run of expected.runs) {
        const options = { topK: run.top_k, maxNewTokens: expected.max_new_tokens, trace: true };
        check(await model.generate(expected.input_ids, options), run);
      }
      await model.dispose();
    });
  }

  test("an id that two catalogues have is written in full, and short it is refused", async () => {
    const model = await load("ocean", "again");
    const names = model.experts.map(({ id, catalog }) => [id, catalog]);
    const own = expected.experts.map((path) => basename(path));
    assert.deepEqual(names, [
      [`ocean/${own[0]}`, "ocean"],
      ...own.slice(1).map((id) => [id, "ocean"]),
      [`again/${own[0]}`, "again"],
    ]);
    const options = (id: string) => ({ include: [id], maxNewTokens: 1, trace: true });
    for (const id of [`again/${own[0]}`, `ocean/${own[1]}`]) {
      const { routing } = await model.generate(expected.input_ids, options(id));
      const chosen = new Set([...(routing ?? [])].flatMap((choice) => choice.experts));
      assert.deepEqual([...chosen], [id === `again/${own[0]}` ? id : own[1]]);
    }
    const short = model.generate(expected.input_ids, options(String(own[0])));
    await assert.rejects(Promise.resolve(short), { code: "unknown-expert" });
    await model.dispose();
  });
});
