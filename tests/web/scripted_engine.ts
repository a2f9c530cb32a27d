// An engine that plays by the contract of src/web.rs without a model: it answers a line with itself in capitals, one
// character a token. Letters are routed to the first expert, all else to the last; the first block's page serves both.
// Bytes that are not the test ocean's spoil its answers, as they would a model's.

import { hexSha256 } from "../../www/src/digest.ts";
import type {
  CatalogFiles,
  Engine,
  MissingPage,
  NamedFiles,
  ScoreStep,
  StartRequest,
  Step,
} from "../../www/src/engine.ts";
import { type PackedRouting, packRouting } from "../../www/src/packed_routing.ts";
import type { Base, DeviceName, Expert, Input, LoadedDevice } from "../../www/src/types.ts";

interface CatalogPage {
  block: string;
  offset: number;
  bytes: number;
  sha256: string;
}

interface CatalogExpert extends Omit<Expert, "pages" | "bytes"> {
  adapter: { url: string; bytes: number };
  pages: CatalogPage[];
}

interface ScriptedFile {
  name: string;
  /** The bytes, where they are to be hashed: the tests' files are small. */
  hashed: number[] | undefined;
  length: number;
  head: string;
}

interface Running {
  characters: string[];
  request: StartRequest;
  position: number;
  passes: number;
  pagesProvided: number;
  bytesProvided: number;
  wanted: Set<number>;
  /** Pages that the answer does without, and those of them that a step wanted. */
  waived: Set<number>;
  skipped: Set<number>;
  /** The answers to be scored, if that is what runs. */
  choices: Input[] | undefined;
}

export class ScriptedEngine implements Engine {
  static onPanic(): void {}

  static filesOf(name: string, catalogJson: Uint8Array): NamedFiles {
    try {
      const { format, gates, base } = JSON.parse(new TextDecoder().decode(catalogJson));
      if (format === "gander-catalog" && typeof gates.url === "string") {
        return { gates, baseSha256: base.sha256 ?? null };
      }
    } catch {
      // Said below.
    }
    throw plain("invalid-file", name, "it is no catalogue", "a gander-catalog with gates");
  }

  readonly resident = new Set<number>();
  /** Those that were added, in order. */
  readonly vectors: { catalog: string; strategy: string; url: string; bytes: number }[] = [];
  freed = false;
  poolBytes: number | undefined;
  #loading: { kind: "gguf" | "folder"; names: string[]; weightFiles?: number } | undefined;
  #file: ScriptedFile | undefined;
  #base: Base | undefined;
  #experts: CatalogExpert[] = [];
  #running: Running | undefined;

  /** Bytes came that no test server holds; a real engine would have computed with them. */
  #isSpoilt = false;

  reopened = 0;
  #device: LoadedDevice["name"] = "cpu";

  async openDevice(choice: DeviceName): Promise<void> {
    if (choice === "webgpu") throw plain("no-gpu", "gpu", "a script has none", "the CPU");
    this.#device = choice === "webgpu+cpu" ? choice : "cpu";
  }

  deviceInfo(): LoadedDevice {
    const reason = this.reopened > 0 ? "reopened" : "scripted";
    return { name: this.#device, reason, adapter: null, wasmBuild: "plain", threads: 1 };
  }

  async reopen(): Promise<void> {
    this.reopened++;
    this.resident.clear();
  }

  beginGguf(): void {
    this.#loading = { kind: "gguf", names: [] };
  }

  beginFolder(smallFiles: Record<string, Uint8Array>, weightFiles: number): void {
    this.#loading = { kind: "folder", names: Object.keys(smallFiles), weightFiles };
  }

  beginFile(name: string, _bytes: number | undefined, isHashed: boolean): void {
    if (!this.#loading) throw plain("invalid-state", "beginFile", "nothing is loaded", "a begin before it");
    this.#file = { name, hashed: isHashed ? [] : undefined, length: 0, head: "" };
    this.#isSpoilt = false;
  }

  /** As bytes come, like the real one: nothing is collected. */
  push(chunk: Uint8Array): void {
    const file = this.#openFile();
    file.hashed?.push(...chunk);
    if (this.#loading?.kind === "gguf") this.#readGguf(file, chunk);
    file.length += chunk.length;
  }

  async endFile(): Promise<string | undefined> {
    const file = this.#openFile();
    const { name, length } = file;
    if (this.#loading?.kind === "gguf" && length < 2000) {
      throw plain("invalid-file", name, `${length} bytes`, "2000");
    }
    this.#loading?.names.push(name);
    this.#file = undefined;
    return file.hashed && hexSha256(Uint8Array.from(file.hashed));
  }

  async finishBase(name: string): Promise<void> {
    const loading = this.#loading;
    const weights = loading?.names.filter((file) => /\.(gguf|safetensors)$/.test(file)).length ?? 0;
    if (!loading || this.#file || weights < (loading.weightFiles ?? 1)) {
      throw plain("invalid-state", "finishBase", "not all files have come", "all of them");
    }
    this.#loading = undefined;
    this.#setBase(loading.kind === "gguf" ? name : `${name} ${loading.names.sort().join(" ")}`);
  }

  setPoolBytes(bytes: number): void {
    this.poolBytes = bytes;
  }

  #openFile(): ScriptedFile {
    if (!this.#file) throw plain("invalid-state", "push", "no file has begun", "beginFile before it");
    return this.#file;
  }

  #readGguf(file: ScriptedFile, chunk: Uint8Array): void {
    const start = file.length;
    for (let at = start; at < 4 && at - start < chunk.length; at++) {
      file.head += String.fromCharCode(chunk[at - start] ?? 0);
    }
    if (!"GGUF".startsWith(file.head)) {
      throw plain("invalid-file", file.name, `it begins with "${file.head}"`, '"GGUF"');
    }
    const body = chunk.subarray(Math.max(4 - start, 0), Math.max(2000 - start, 0));
    this.#isSpoilt ||= body.some((byte) => byte !== 0x78);
  }

  baseInfo(): Base {
    if (!this.#base) throw plain("invalid-state", "engine", "no base", "load first");
    return this.#base;
  }

  addVectors(catalog: string, strategy: string, url: string, bytes: Uint8Array): void {
    this.vectors.push({ catalog, strategy, url, bytes: bytes.length });
  }

  async addCatalogs(catalogs: CatalogFiles[]): Promise<Expert[][]> {
    const lists: CatalogExpert[][] = catalogs.map(({ url, json, gates }) => {
      this.#isSpoilt ||= gates.length !== 100 || !isFilled(gates, 0, 7);
      const { name, base, experts } = JSON.parse(new TextDecoder().decode(json));
      if (base.fingerprint !== "scripted") throw plain("wrong-base", url, base.fingerprint, "scripted");
      return experts.map((expert: CatalogExpert) => ({ ...expert, catalog: name }));
    });
    const ids = lists.flat().map(({ id }) => id);
    const isAlone = (id: string) => ids.indexOf(id) === ids.lastIndexOf(id);
    const named = lists.map((experts) =>
      experts.map((expert) => ({
        ...expert,
        id: isAlone(expert.id) ? expert.id : `${expert.catalog}/${expert.id}`,
      })),
    );
    this.#experts = named.flat();
    return named.map((experts) =>
      experts.map(({ adapter, pages, ...expert }) => ({
        ...expert,
        bytes: adapter.bytes,
        pages: pages.length,
      })),
    );
  }

  start(request: StartRequest): void {
    if (this.#running) throw plain("invalid-state", "start", "another generation runs", "one at a time");
    if (!request.text?.trim()) throw plain("empty-input", "text", "there is none", "a line of text");
    if (request.text.includes("panic")) throw new WebAssembly.RuntimeError("unreachable");
    const unknown = [...(request.include ?? []), ...(request.exclude ?? [])].find(
      (id) => !this.#experts.some((expert) => expert.id === id),
    );
    if (unknown) throw plain("unknown-expert", "include", unknown, "an expert of the catalogue");
    this.#running = {
      characters: [...request.text.toUpperCase()],
      request,
      position: 0,
      passes: 0,
      pagesProvided: 0,
      bytesProvided: 0,
      wanted: new Set(),
      waived: new Set(request.onMiss === "skip" ? this.#pages().keys() : []),
      skipped: new Set(),
      choices: undefined,
    };
  }

  startScoring(request: StartRequest, choices: readonly Input[]): void {
    if (choices.length === 0) throw plain("empty-input", "choices", "there are none", "at least one");
    this.start(request);
    if (this.#running) this.#running.choices = [...choices];
  }

  /** Every character is as likely as the number of the choice. */
  async nextScore(): Promise<ScoreStep> {
    const running = this.#running;
    if (!running?.choices)
      throw plain("invalid-state", "score", "nothing is scored", "startScoring before it");
    running.passes++;
    const missing = this.#missingFor(running.characters[0] ?? "");
    if (missing.length > 0 && running.request.strategy !== "none") return { kind: "missing", pages: missing };
    const choice = running.choices.shift();
    if (choice === undefined) {
      this.#running = undefined;
      return { kind: "done", passes: running.passes };
    }
    running.position++;
    const ids = typeof choice === "string" ? [...choice].map(codeOf) : [...choice];
    const skipped = this.#skippedBy(running, running.characters[0] ?? "");
    return { kind: "scored", ids, logLikelihoods: ids.map(() => -running.position), ...skipped };
  }

  async step(): Promise<Step> {
    const running = this.#running;
    if (!running) throw plain("invalid-state", "step", "nothing runs", "start before it");
    if (running.request.text?.includes("slowly")) computeFor(20);
    if (running.request.text?.includes("unplug") && this.reopened === 0) {
      throw plain("device-lost", "gpu", "it was unplugged", "a device that stays");
    }
    running.passes++;
    const { characters, request, position } = running;
    const limit = Math.min(characters.length, request.maxNewTokens ?? 200);
    if (position === limit) {
      this.#running = undefined;
      return {
        kind: "done",
        finish: limit === characters.length ? "eos" : "length",
        text: this.#isSpoilt ? "spoilt" : characters.slice(0, limit).join(""),
        inputIds: characters.map(codeOf),
        outputIds: characters.slice(0, limit).map(codeOf),
        ...(request.trace && this.#experts.length > 0
          ? {
              encoderRouting: this.#route("encoder", 0, characters),
              inputTexts: characters,
            }
          : {}),
        passes: running.passes,
        pagesWanted: running.wanted.size,
        bytesWanted: this.#pages().reduce(
          (sum, page, index) => sum + (running.wanted.has(index) ? page.bytes : 0),
          0,
        ),
        pagesSkipped: running.skipped.size,
        pagesProvided: running.pagesProvided,
        bytesProvided: running.bytesProvided,
      };
    }
    const character = this.#isSpoilt ? "✗" : (characters[position] ?? "");
    if (request.strategy !== "none")
      for (const { page } of this.#wantedFor(character)) running.wanted.add(page);
    const missing = this.#missingFor(character);
    if (missing.length > 0 && request.strategy !== "none") return { kind: "missing", pages: missing };
    running.position++;
    return {
      kind: "token",
      tokenId: codeOf(character),
      text: character,
      ...this.#skippedBy(running, character),
      ...(request.trace && this.#experts.length > 0
        ? { routing: this.#route("decoder", position, [character]) }
        : {}),
    };
  }

  /** What a step did without for the first time. */
  #skippedBy(running: Running, character: string): { skipped?: MissingPage[] } {
    const skipped = this.#wantedFor(character).filter(
      ({ page }) => running.waived.has(page) && !this.resident.has(page) && !running.skipped.has(page),
    );
    for (const { page } of skipped) running.skipped.add(page);
    return skipped.length > 0 ? { skipped } : {};
  }

  provide(page: number, bytes: Uint8Array): void {
    const expected = this.#pages()[page]?.bytes;
    if (bytes.length !== expected)
      throw plain("page-mismatch", `page ${page}`, `${bytes.length}`, `${expected}`);
    const seed = Math.floor(page / 2) + 1;
    this.#isSpoilt ||= !isFilled(bytes, this.#pages()[page]?.offset ?? 0, seed);
    this.resident.add(page);
    if (this.#running) {
      this.#running.pagesProvided++;
      this.#running.bytesProvided += bytes.length;
    }
  }

  waive(page: number): void {
    if (!this.#running) throw plain("invalid-state", "waive", "nothing runs", "start before it");
    this.#running.waived.add(page);
  }

  cancel(): void {
    this.#running = undefined;
  }

  free(): void {
    this.freed = true;
  }

  #setBase(name: string): void {
    this.#base = {
      name,
      fingerprint: "scripted",
      vocabSize: 256,
      encoderBlocks: 2,
      decoderBlocks: 2,
      hasTokenizer: true,
    };
  }

  #pages(): MissingPage[] {
    return this.#experts.flatMap((expert) =>
      expert.pages.map((page) => ({ ...page, expert: expert.id, url: expert.adapter.url, page: 0 })),
    );
  }

  #wantedFor(character: string): MissingPage[] {
    const experts = this.#choose(character);
    return this.#pages()
      .map((page, index) => ({ ...page, page: index }))
      .filter((page) => experts.includes(page.expert));
  }

  #missingFor(character: string): MissingPage[] {
    const waived = this.#running?.waived;
    return this.#wantedFor(character).filter(({ page }) => !this.resident.has(page) && !waived?.has(page));
  }

  #choose(character: string): string[] {
    const ids = this.#experts.map((expert) => expert.id);
    const ordered = /\p{Letter}/u.test(character) ? ids : ids.toReversed();
    return ordered.slice(0, 2);
  }

  #route(stack: string, firstToken: number, characters: string[]): PackedRouting {
    const modules = ["block.0.layer.0.SelfAttention.q", "block.1.layer.0.SelfAttention.v"];
    const ids = this.#experts.map(({ id }) => id);
    const topK = Math.min(2, ids.length);
    const chosen = characters.flatMap((character) => this.#choose(character).map((id) => ids.indexOf(id)));
    const weights = characters.flatMap(() => (topK === 1 ? [1] : [0.75, 0.25]));
    const layers = modules.map((module) => `${stack}.${module}`);
    const packed = packRouting(layers, {
      firstToken,
      tokens: characters.length,
      topK,
      runnersUp: 0,
      choices: modules.flatMap(() => chosen),
      weights: modules.flatMap(() => weights),
    });
    // One array is for many steps.
    const array = new Uint32Array(1000 + packed.words.length);
    array.set(packed.words, 500);
    return { ...packed, words: array.subarray(500, 500 + packed.words.length) };
  }
}

/** Whether bytes are those of `filled` in test_ocean.ts, from some offset. */
function isFilled(bytes: Uint8Array, offset: number, seed: number): boolean {
  return bytes.every((byte, index) => byte === ((offset + index) * 31 + seed * 101) % 256);
}

/** Keeps the thread busy, as a model does. */
function computeFor(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

function codeOf(character: string): number {
  return character.codePointAt(0) ?? 0;
}

/** What the engine throws: plain data with a code. */
function plain(code: string, place: string, problem: string, expected: string) {
  return { code, place, problem, expected, message: `${place}: ${problem}; expected ${expected} [${code}]` };
}
