// The package in a browser, in its worker, behind a hostile network of another origin. The engine is the scripted one; bytes
// that are not the test ocean's spoil its answers.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Gander, GanderError } from "gander";
import { BrowserAgent, type BrowserName } from "./browser_agent.ts";
import { type Fault, FaultServer } from "./fault_server.ts";
import {
  answer,
  type HostileCase,
  hostileCases,
  line,
  patienceWith,
  phases,
  timeLimitMilliseconds,
} from "./hostile_cases.ts";
import { testOcean } from "./test_ocean.ts";

interface Visit {
  url: string;
  line: string;
  network: ReturnType<typeof patienceWith>;
  /** Of the cache, before. */
  isFresh: boolean;
}

/** In the browser: loads a model and answers a line with it. The text, or the error's code. */
async function visit({ url, line, network, isFresh }: Visit): Promise<string> {
  if (isFresh) for (const name of await caches.keys()) await caches.delete(name);
  const library = "/index.js";
  const gander = (await import(library)) as { Gander: typeof Gander };
  let model: Gander | undefined;
  try {
    model = await gander.Gander.load({
      base: `${url}base.gguf`,
      experts: `${url}catalog.json`,
      device: "cpu",
      network,
    });
    return `text ${(await model.generate(line)).text}`;
  } catch (error) {
    return (error as GanderError).code ?? String(error);
  } finally {
    await model?.dispose();
  }
}

/** The tests of one browser, which is given some of the cases. */
export function testHostileNetworkIn(browser: BrowserName, isTried: (hostile: HostileCase) => boolean): void {
  const cases = hostileCases({ isForeign: true, hasIntegrity: false }).filter(isTried);

  describe(`a hostile network, in ${browser}`, () => {
    const folder = mkdtempSync(join(tmpdir(), "gander-hostile-page-"));
    let agent: BrowserAgent;
    let server: FaultServer;
    let ended = 0;

    before(async () => {
      const script = join(process.cwd(), "scripts/build/package.mjs");
      const { bundlePackage } = await import(pathToFileURL(script).href);
      await bundlePackage(folder, { "#engine": join(process.cwd(), "tests/web/scripted_engine_module.ts") });
      server = await new FaultServer(testOcean()).start();
      agent = await new BrowserAgent(folder).start(browser);
      // To start, and to load a model for the first time, takes a browser longer than any fault.
      await outcome("drops", true);
    });
    after(async () => {
      await agent?.stop();
      await server?.stop();
      rmSync(folder, { recursive: true, force: true });
      console.log(`${ended} of ${cases.length} cases of a hostile network ended as they may in ${browser}`);
      assert.equal(ended, cases.length);
    });

    const outcome = async (fault: Fault, isFresh: boolean) => {
      const found = await agent.run(visit, { url: server.url, line, network: patienceWith(fault), isFresh });
      return found === `text ${answer}` ? "text" : found;
    };

    for (const hostile of cases) {
      const { phase, fault, isOnce, ends } = hostile;
      test(`${phase}: ${fault}, ${isOnce ? "once" : "always"}, ends in ${ends.join(" or ")}`, async () => {
        server.mend();
        server.fail(phases[phase], fault, isOnce ? 1 : undefined);
        const start = performance.now();
        const found = await outcome(fault, true);
        assert.ok(performance.now() - start < timeLimitMilliseconds);
        assert.ok(ends.includes(found), found);
        // Nothing bad was kept: with a server that has come to its senses, all is well.
        server.mend();
        assert.equal(await outcome(fault, false), "text");
        ended++;
      });
    }

    test("what was loaded once answers without a network", async () => {
      server.mend();
      assert.equal(await outcome("drops", true), "text");
      await server.stop();
      assert.equal(await outcome("drops", false), "text");
    });
  });
}
