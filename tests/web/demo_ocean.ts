// An ocean for tests of the demo's views: two experts with figures, and catalogues that nobody should publish.

import { testOcean } from "./test_ocean.ts";

/** What a hostile catalogue would like to be. */
export const markup = `<img src=x onerror="document.title='taken'"><script>document.title='taken'</script>`;

export function demoOcean(): Record<string, Uint8Array | string> {
  const files = testOcean(["letters", "signs"]);
  const catalogue = JSON.parse(new TextDecoder().decode(files["catalog.json"]));
  const [letters, signs] = catalogue.experts;
  letters.evaluation = { exact: 0.9, lines: 200 };
  signs.evaluation = { exact: 0.4 };
  const hostile = structuredClone(catalogue);
  hostile.experts[0] = {
    ...letters,
    id: markup,
    title: markup,
    description: `${markup}\u202Egnp.exe`,
    licence: markup,
    tags: [markup],
    source: "javascript:document.title='taken'",
    evaluation: { [markup]: 1, nested: { a: markup } },
  };
  const lines = [
    { text: "abc 1", kinds: ["letters"] },
    { text: markup, kinds: [markup] },
  ];
  return {
    ...files,
    "catalog.json": JSON.stringify(catalogue),
    "hostile.json": JSON.stringify(hostile),
    "wrong-base.json": JSON.stringify({ ...catalogue, base: { name: "other", fingerprint: "other" } }),
    "examples.json": JSON.stringify({ lines }),
  };
}
