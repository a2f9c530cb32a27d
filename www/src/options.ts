// Options as people give them: is there such an option, and is its value of the right kind? Types say so already, but not
// everybody writes TypeScript. Whether a number is in range is for those to say who use it.

import type { EngineOptions } from "./engine.ts";
import { GanderError } from "./errors.ts";
import type { GenerateOptions, LoadOptions } from "./types.ts";

interface Kind {
  /** For people: `a number`. */
  name: string;
  includes: (value: unknown) => boolean;
}

const string: Kind = { name: "a string", includes: (value) => typeof value === "string" };
const number: Kind = { name: "a number", includes: (value) => typeof value === "number" };
const boolean: Kind = { name: "true or false", includes: (value) => typeof value === "boolean" };
const callback: Kind = { name: "a function", includes: (value) => typeof value === "function" };
const count: Kind = {
  name: "a whole number from 0",
  includes: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
};
const countFromOne: Kind = {
  name: "a whole number from 1",
  includes: (value) => count.includes(value) && (value as number) >= 1,
};
const strings: Kind = { name: "a list of strings", includes: (value) => isListOf(value, string) };
const object: Kind = {
  name: "an object",
  includes: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};
const numbersById: Kind = {
  name: "an object with a number for each id",
  includes: (value) => object.includes(value) && isListOf(Object.values(value as object), number),
};
const signal: Kind = {
  name: "an AbortSignal",
  // Not instanceof: one from another window, or from a library for old browsers, is as good.
  includes: (value) => typeof (value as Partial<AbortSignal> | null)?.addEventListener === "function",
};
const input: Kind = {
  name: "a string or a list of token ids",
  includes: (value) => string.includes(value) || isListOf(value, count),
};
/** What is checked where it is used. */
const anything: Kind = { name: "anything", includes: () => true };

const engineOptions: Record<keyof EngineOptions, Kind> = {
  maxNewTokens: count,
  topK: count,
  strategy: string,
  include: strings,
  exclude: strings,
  bias: numbersById,
  minWeight: number,
  minShare: number,
  onMiss: string,
  temperature: number,
  samplingTopK: count,
  topP: number,
  repetitionPenalty: number,
  seed: count,
  stop: strings,
  trace: boolean,
};

const generateOptions: Record<keyof GenerateOptions, Kind> = {
  ...engineOptions,
  budget: object,
  prefetch: boolean,
  signal,
  onProgress: callback,
};

const loadOptions: Record<keyof LoadOptions, Kind> = {
  base: anything,
  experts: anything,
  device: string,
  onProgress: callback,
  budget: object,
  adapterPoolBytes: number,
  cache: anything,
  network: anything,
  integrity: anything,
  signal,
  inline: boolean,
  threads: countFromOne,
  wasmUrl: anything,
};

/** @throws GanderError `invalid-option` */
export function checkLoadOptions(options: LoadOptions): void {
  check(options, "load", loadOptions);
}

/** @throws GanderError `invalid-option` */
export function checkRun(input: unknown, options: GenerateOptions): void {
  checkInput("input", input);
  check(options, "options", generateOptions);
}

/** @throws GanderError `invalid-option` */
export function checkInput(place: string, value: unknown): void {
  checkKind(place, value, input);
}

/** The options for the engine. One that is undefined is one left out. */
export function engineOptionsOf(options: GenerateOptions): EngineOptions {
  const given = Object.entries(options);
  const isForEngine = (name: string) => Object.hasOwn(engineOptions, name);
  return Object.fromEntries(given.filter(([name, value]) => value !== undefined && isForEngine(name)));
}

function check(options: object, place: string, kinds: Record<string, Kind>): void {
  checkKind(place, options, object);
  for (const [name, value] of Object.entries(options)) {
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (kind === undefined) {
      const expected = `one of ${Object.keys(kinds).join(", ")}`;
      throw new GanderError("invalid-option", name, "there is no such option", expected);
    }
    if (value !== undefined) checkKind(name, value, kind);
  }
}

function checkKind(place: string, value: unknown, kind: Kind): void {
  if (kind.includes(value)) return;
  throw new GanderError("invalid-option", place, `it is ${inWords(value)}`, kind.name);
}

/** A value, or what it is, in a message. */
export function inWords(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (Array.isArray(value)) {
    const items = value.slice(0, 4).map(inWords);
    return `[${items.join(", ")}${value.length > items.length ? ", …" : ""}]`;
  }
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  return Object.prototype.toString.call(value).slice("[object ".length, -1);
}

function isListOf(value: unknown, kind: Kind): boolean {
  return Array.isArray(value) && value.every(kind.includes);
}
