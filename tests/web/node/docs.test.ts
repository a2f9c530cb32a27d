import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";

const pages = [...readdirSync("."), ...readdirSync("docs").map((name) => join("docs", name))].filter((name) =>
  name.endsWith(".md"),
);

/** The anchors that GitHub and npm make of a page's headings. */
function anchorsOf(page: string): Set<string> {
  const headings = readFileSync(page, "utf8").matchAll(/^#+ (.*)$/gm);
  const slug = (heading: string) => heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "");
  return new Set(Array.from(headings, ([, heading]) => slug(heading ?? "").replaceAll(" ", "-")));
}

for (const page of pages.filter((name) => name !== join("docs", "api.md"))) {
  test(`every link of ${page} leads somewhere`, () => {
    const links = readFileSync(page, "utf8").matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)/g);
    for (const [whole, path, anchor] of links) {
      const target = path ? join(dirname(page), path) : page;
      assert.ok(existsSync(target), `${whole}: there is no ${target}`);
      if (anchor && statSync(target).isFile()) {
        assert.ok(anchorsOf(target).has(anchor), `${whole}: ${target} has no such heading`);
      }
    }
  });
}

test("every code of an error is explained", () => {
  const union = /\*\*GanderErrorCode\*\* = (.*)/.exec(readFileSync("docs/api.md", "utf8"))?.[1] ?? "";
  const codes = Array.from(union.matchAll(/"([a-z-]+)"/g), ([, code]) => code);
  assert.ok(codes.length > 20);
  const rows =
    readFileSync("docs/troubleshooting.md", "utf8")
      .match(/^\| `.*?\|/gm)
      ?.join() ?? "";
  for (const code of codes)
    assert.ok(rows.includes(`\`${code}\``), `docs/troubleshooting.md has no row for ${code}`);
});

test("every option of an answer is in the reference, with its default where it has one", () => {
  const reference = readFileSync("docs/api.md", "utf8");
  const table = /### GenerateOptions\n(.*?)\n(?:## |\*\*\*)/s.exec(reference)?.[1] ?? "";
  const rows = table.match(/^\| <a .*$/gm) ?? [];
  assert.ok(rows.length > 15);
  const withoutDefault = rows
    .filter((row) => !/default/i.test(row))
    .map((row) => /`(\w+)\??`/.exec(row)?.[1]);
  assert.deepEqual(withoutDefault.sort(), ["budget", "onProgress", "signal"]);
});
