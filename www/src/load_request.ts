// What is to be loaded, from the options as people give them to plain data with absolute addresses.

import { checkBudget } from "./budget.ts";
import { GanderError } from "./errors.ts";
import type { LoadRequest } from "./host.ts";
import { inWords } from "./options.ts";
import type { CacheOptions, DeviceName, LoadOptions } from "./types.ts";

/**
 * @param wasmUrl where the package's own WebAssembly for so many threads is
 * @throws GanderError `invalid-option`
 */
export function loadRequest(options: LoadOptions, threads: number, wasmUrl: string): LoadRequest {
  const request: LoadRequest = {
    base: loadableBase(options.base),
    device: knownDevice(options.device ?? "auto"),
    wasmUrl: options.wasmUrl === undefined ? wasmUrl : absoluteUrl(options.wasmUrl, "wasmUrl", wasmSchemes),
  };
  if (threads > 1) request.threads = threads;
  checkBudget("budget", options.budget);
  if (options.budget) request.budget = options.budget;
  if (options.adapterPoolBytes !== undefined) {
    request.adapterPoolBytes = positive("adapterPoolBytes", options.adapterPoolBytes);
  }
  const catalogs = [options.experts ?? []].flat();
  if (catalogs.length > 0) request.catalogUrls = catalogs.map((url) => absoluteUrl(url, "experts"));
  if (options.network !== undefined) request.network = checkedNumbers("network", options.network);
  if (options.integrity !== undefined) request.integrity = checkedHashes(options.integrity);
  request.cache = options.cache !== false && checkedCache(options.cache ?? {});
  return request;
}

/** The types already say so; not everybody writes TypeScript. */
function knownDevice(device: DeviceName): DeviceName {
  const known = ["auto", "webgpu", "cpu", "webgpu+cpu"];
  if (known.includes(device)) return device;
  throw new GanderError("invalid-option", "device", `"${device}" is not a device`, known.join(", "));
}

function checkedCache(options: CacheOptions): CacheOptions {
  const { folder, ...numbers } = options;
  return { ...checkedNumbers("cache", numbers), ...(folder === undefined ? {} : { folder }) };
}

/** Besides what is fetched from a server: a file, in Node, and what lies in an extension's own folder. */
const wasmSchemes = [
  ...["https:", "http:", "blob:", "data:", "file:"],
  ...["chrome-extension:", "moz-extension:", "safari-web-extension:"],
];

/** Options that are all numbers above 0; those set to undefined are left out. */
function checkedNumbers<Options extends object>(option: string, options: Options): Options {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  for (const [name, value] of given) positive(`${option}.${name}`, value);
  return Object.fromEntries(given) as Options;
}

function positive(place: string, value: unknown): number {
  if (typeof value === "number" && value > 0) return value;
  throw new GanderError("invalid-option", place, `it is ${value}`, "a number above 0");
}

function checkedHashes(integrity: Record<string, string>): Record<string, string> {
  const hashes = Object.entries(integrity).map(([url, sha256]) => {
    if (/^[0-9a-f]{64}$/i.test(sha256)) return [absoluteUrl(url, "integrity"), sha256.toLowerCase()];
    throw new GanderError("invalid-option", `integrity["${url}"]`, `"${sha256}" is no SHA-256`, "64 digits");
  });
  return Object.fromEntries(hashes);
}

function loadableBase(base: LoadOptions["base"]): LoadRequest["base"] {
  if (typeof base === "string" || base instanceof URL) return { url: absoluteUrl(base, "base") };
  if (base instanceof Blob) return { gguf: base, name: base instanceof File ? base.name : "base.gguf" };
  if (base instanceof ArrayBuffer) return { gguf: base, name: "base.gguf" };
  throw new GanderError(
    "invalid-option",
    "base",
    `it is ${inWords(base)}`,
    "a URL, a File or Blob, or an ArrayBuffer",
  );
}

/** Something to fetch. Relative to the page: the worker's own address would be the wrong one to start from. */
function absoluteUrl(
  url: string | URL,
  option: string,
  schemes = ["https:", "http:", "blob:", "data:"],
): string {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  const expected = base === undefined ? "an absolute http or https URL" : "an http or https URL";
  const wrong = (problem: string, cause?: unknown) =>
    new GanderError("invalid-option", option, problem, expected, { cause });
  if (typeof url !== "string" && !(url instanceof URL)) throw wrong(`it is ${inWords(url)}`);
  let resolved: URL;
  try {
    resolved = new URL(url, base);
  } catch (cause) {
    throw wrong(`it is ${inWords(url)}`, cause);
  }
  if (!schemes.includes(resolved.protocol)) throw wrong(`${resolved.protocol} URLs are not fetched`);
  return resolved.href;
}
