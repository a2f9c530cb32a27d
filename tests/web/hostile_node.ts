// The scripted engine behind a hostile network: every fault in every phase, in Node.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { EngineHost } from "../../www/src/engine_host.ts";
import { toGanderError } from "../../www/src/errors.ts";
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
import { ScriptedEngine } from "./scripted_engine.ts";
import { sha256, testOcean } from "./test_ocean.ts";

const never = new AbortController().signal;
const folder = mkdtempSync(join(tmpdir(), "gander-hostile-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Loads a model and answers a line with it: "text", the wrong text, or the error's code. */
async function outcome(
  server: FaultServer,
  fault: Fault,
  cacheFolder: string,
  hasIntegrity: boolean,
): Promise<string> {
  const host = new EngineHost(async () => ({
    createEngine: () => new ScriptedEngine(),
    filesOf: ScriptedEngine.filesOf,
  }));
  const [base, catalogUrl] = [server.url + phases.base, server.url + phases.catalogue];
  const { "base.gguf": baseBytes, "catalog.json": catalogBytes } = testOcean() as Record<string, Uint8Array>;
  const integrity = {
    [base]: sha256(baseBytes as Uint8Array),
    [catalogUrl]: sha256(catalogBytes as Uint8Array),
  };
  try {
    const request = {
      base: { url: base },
      catalogUrls: [catalogUrl],
      wasmUrl: "",
      device: "cpu" as const,
      network: patienceWith(fault),
      cache: { folder: cacheFolder },
      ...(hasIntegrity ? { integrity } : {}),
    };
    await host.load(request, () => {}, never);
    const events = { onPiece: () => {}, onProgress: () => {}, onDevice: () => {} };
    const { text } = await host.generate({ input: line, options: {} }, events, never);
    return text === answer ? "text" : `wrong text: ${text}`;
  } catch (error) {
    return toGanderError(error).code;
  } finally {
    await host.dispose();
  }
}

const titleOf = ({ phase, fault, isOnce, ends }: HostileCase) =>
  `${phase}: ${fault}, ${isOnce ? "once" : "always"}, ends in ${ends.join(" or ")}`;

/** @param hasIntegrity whether the hashes of base and catalogue are known */
export function testHostileNetwork(hasIntegrity: boolean): void {
  const cases = hostileCases({ isForeign: false, hasIntegrity });

  describe(hasIntegrity ? "hashes of all files are known" : "nothing is known of base and catalogue", {
    concurrency: 6,
  }, () => {
    let ended = 0;

    for (const [index, hostile] of cases.entries()) {
      test(titleOf(hostile), async () => {
        const server = await new FaultServer(testOcean()).start();
        const cacheFolder = join(folder, `${hasIntegrity}-${index}`);
        try {
          server.fail(phases[hostile.phase], hostile.fault, hostile.isOnce ? 1 : undefined);
          const start = performance.now();
          const found = await outcome(server, hostile.fault, cacheFolder, hasIntegrity);
          assert.ok(performance.now() - start < timeLimitMilliseconds);
          assert.ok(hostile.ends.includes(found), found);
          // Nothing bad was kept: with a server that has come to its senses, all is well.
          server.mend();
          assert.equal(await outcome(server, hostile.fault, cacheFolder, hasIntegrity), "text");
          ended++;
        } finally {
          await server.stop();
        }
      });
    }

    after(() => {
      console.log(`${ended} of ${cases.length} cases of a hostile network ended as they may`);
      assert.equal(ended, cases.length);
    });
  });
}
