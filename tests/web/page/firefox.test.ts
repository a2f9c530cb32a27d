// The demo's main path in Firefox, with the real engine and the ocean that comes with the repository.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { serveBuiltSite } from "../built_site.ts";
import { nativeAnswer, ocean } from "../native_answer.ts";
import { WebDriver } from "../web_driver.ts";

const geckodriver = process.env.GANDER_GECKODRIVER ?? assert.fail("run this by npm test -- --only page");

let server: { url: string; close: () => Promise<void> };
let firefox: WebDriver;
let downloads: string;

before(async () => {
  server = await serveBuiltSite();
  downloads = mkdtempSync(join(tmpdir(), "gander-firefox-"));
  firefox = await WebDriver.firefox(geckodriver, {
    "browser.download.folderList": 2,
    "browser.download.dir": downloads,
  });
});
after(async () => {
  await firefox?.stop();
  await server?.close();
  if (downloads) rmSync(downloads, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
});

const { lines } = JSON.parse(readFileSync(join(ocean, "examples.json"), "utf8")) as {
  lines: { text: string }[];
};
const line = lines[0]?.text ?? "";
const { experts } = JSON.parse(readFileSync(join(ocean, "catalog.json"), "utf8")) as {
  experts: { id: string; title: string }[];
};

/** The file's lines, once all are there: Firefox begins with an empty file. */
async function downloaded(name: string): Promise<string> {
  const file = join(downloads, name);
  for (let wait = 0; wait < 100; wait++) {
    const text = existsSync(file) ? readFileSync(file, "utf8") : "";
    if (text.endsWith("\n")) return text;
    await new Promise((go) => setTimeout(go, 100));
  }
  return assert.fail(`${name} was not downloaded`);
}

/** What a page keeps of what went on in it, for the test to ask for. */
interface Watched {
  lengths: number[];
  problems: string[];
}

test("in Firefox a line is asked, answered as it comes, explained, counted and judged; the judgement is exported", async () => {
  await firefox.open(server.url);
  await firefox.until(() => document.querySelector("#run:not([disabled])") !== null);
  await firefox.run(() => {
    const watched: Watched = { lengths: [], problems: [] };
    Object.assign(window, { watched });
    window.addEventListener("error", ({ message }) => watched.problems.push(message));
    window.addEventListener("unhandledrejection", ({ reason }) => watched.problems.push(String(reason)));
    document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
      watched.problems.push(`${violatedDirective}: ${blockedURI}`),
    );
    const output = document.querySelector("#output") ?? document.body;
    new MutationObserver(() => watched.lengths.push(output.textContent?.length ?? 0)).observe(output, {
      childList: true,
    });
  });

  await firefox.type("#line", line);
  await firefox.click("#run");
  await firefox.until(() => /tokens in/.test(document.querySelector("#progress")?.textContent ?? ""));
  const { text: expected } = nativeAnswer(line);
  assert.equal(await firefox.text("#output"), expected);
  const { lengths } = await firefox.run(() => (window as unknown as { watched: Watched }).watched);
  assert.ok(new Set(lengths).size >= 5, `the answer did not come bit by bit, but by lengths ${lengths}`);

  const titles = experts.map(({ title }) => title);
  const isOneOf = (text: string) => titles.some((title) => text.includes(title));
  assert.match(await firefox.text("#why .sentences"), /(wrote|led) “.+” ?(:|with) ?\d+/);
  const label = () =>
    document
      .querySelector("#why gander-routing")
      ?.shadowRoot?.querySelector("[role=gridcell]")
      ?.getAttribute("aria-label") ?? "";
  assert.ok(isOneOf(await firefox.run(label)), await firefox.run(label));
  await firefox.click("#why .what-if .switch");
  await firefox.until(() => document.querySelectorAll("#why .columns article").length === 2);

  const cost = (await firefox.text("#cost")).replaceAll(/\s+/g, " ");
  assert.match(cost, /\d+ tokens per second .* on the processor/);
  assert.ok(isOneOf(await firefox.text("#cost .waterfall tbody")), "the waterfall names no expert");

  await firefox.click("nav a[href='#catalogue']");
  await firefox.until((count) => document.querySelectorAll("#experts > li").length === count, experts.length);
  await firefox.type("#catalogue-search", titles[0] ?? "");
  await firefox.until(() => document.querySelectorAll("#experts > li").length === 1);
  assert.ok((await firefox.text("#experts")).includes(titles[0] ?? ""));

  await firefox.click("nav a[href='#ask']");
  await firefox.click("//button[.='Not helpful']");
  await firefox.type("#judge-correction", "what is right");
  await firefox.type("#judge-note", "a note");
  await firefox.click("//button[.='Keep']");
  await firefox.until(() => document.querySelector("#judge a") !== null);
  await firefox.click("#judge a");
  await firefox.until(() => document.querySelector("#dashboard table") !== null);
  await firefox.click("//button[starts-with(., 'Download all')]");
  const judged = JSON.parse(await downloaded("judgements.jsonl"));
  const { input, answer, helpful, note, shares, routing } = judged;
  assert.deepEqual(
    { input, targets: judged.targets, answer, helpful, note },
    { input: line, targets: ["what is right"], answer: expected, helpful: false, note: "a note" },
  );
  assert.ok(shares.length > 0 && routing.length > 0);

  const { problems } = await firefox.run(() => (window as unknown as { watched: Watched }).watched);
  assert.deepEqual(problems, []);
});
