// A small catalogue with its files, for tests against the scripted engine.

import { createHash } from "node:crypto";

export interface TestFile {
  bytes: Uint8Array;
}

const pageBytes = 64;

/**
 * The files of an ocean by name. Each expert has two pages, which its file holds one after the other; another seed makes
 * other bytes.
 */
export function testOcean(ids: string[] = ["letters", "signs"], seed = 1): Record<string, Uint8Array> {
  const gates = filled(100, 7);
  const experts = ids.map((id, index) => {
    const file = filled(2 * pageBytes, index + seed);
    const pages = [0, pageBytes].map((offset, block) => ({
      block: `encoder.block.${block}`,
      offset,
      bytes: pageBytes,
      sha256: sha256(file.subarray(offset, offset + pageBytes)),
    }));
    return { id, file, pages };
  });
  const catalog = {
    format: "gander-catalog",
    version: "1.0",
    name: "test ocean",
    base: { name: "scripted", fingerprint: "scripted" },
    router: { top_k: 2 },
    gates: { url: "gates.safetensors", bytes: gates.length, sha256: sha256(gates) },
    experts: experts.map(({ id, file, pages }) => ({
      id,
      title: `The ${id}`,
      description: `Serves ${id}.`,
      licence: "CC0-1.0",
      tags: [id],
      source: "made for tests",
      evaluation: {},
      adapter: { url: `experts/${id}.safetensors`, bytes: file.length, sha256: sha256(file) },
      pages,
    })),
  };
  return {
    "base.gguf": new TextEncoder().encode(`GGUF${"x".repeat(1996)}`),
    "catalog.json": new TextEncoder().encode(JSON.stringify(catalog)),
    "gates.safetensors": gates,
    ...Object.fromEntries(experts.map(({ id, file }) => [`experts/${id}.safetensors`, file])),
  };
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Bytes that differ from place to place, so that a wrong offset shows. */
export function filled(length: number, seed: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + seed * 101) % 256);
}
