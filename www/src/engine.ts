// The WebAssembly engine as TypeScript sees it: the contract of `src/web.rs`. It computes and never fetches.

import type { PackedRouting } from "./packed_routing.ts";
import type { Base, DeviceName, Expert, Finish, GenerateOptions, Input, LoadedDevice } from "./types.ts";

/** A file that a catalogue names. `url`: absolute, or relative to the catalogue. */
export interface NamedFile {
  url: string;
  bytes: number;
  sha256: string;
}

/** What a catalogue says of other files. */
export interface NamedFiles {
  gates: NamedFile;
  /** Where the catalogue insists on one base file. */
  baseSha256: string | null;
}

/** The files of a catalogue that the engine reads. */
export interface CatalogFiles {
  /** The catalogue's own address. */
  url: string;
  json: Uint8Array;
  gates: Uint8Array;
}

/** What `start` wants: text, or token ids for a base without a tokenizer. */
export type StartRequest = { text?: string; inputIds?: readonly number[] } & EngineOptions;

/** The options that reach the engine; the others are the host's. */
export type EngineOptions = Omit<GenerateOptions, "signal" | "onProgress" | "budget" | "prefetch">;

/** One expert's LoRA weights for one block: a byte range of a file. */
export interface MissingPage {
  page: number;
  expert: string;
  block: string;
  /** Absolute, or relative to the catalogue. */
  url: string;
  offset: number;
  bytes: number;
  /** Null for a page that no catalogue describes. */
  sha256: string | null;
}

export type Step =
  | {
      kind: "token";
      tokenId: number;
      text: string;
      routing?: PackedRouting;
      /** Pages that steps did without so far, each told once. */
      skipped?: MissingPage[];
    }
  | { kind: "missing"; pages: MissingPage[] }
  | {
      kind: "done";
      finish: Finish;
      text: string | null;
      inputIds: number[];
      outputIds: number[];
      encoderRouting?: PackedRouting;
      /** What each input id adds to the text, where the routing is told and the base has a tokenizer. */
      inputTexts?: string[];
      passes: number;
      pagesWanted: number;
      bytesWanted: number;
      pagesSkipped: number;
      pagesProvided: number;
      bytesProvided: number;
    };

/** One token of a scoring, a whole choice, or the end. */
export type ScoreStep =
  | { kind: "token"; skipped?: MissingPage[] }
  | { kind: "missing"; pages: MissingPage[] }
  | { kind: "scored"; ids: number[]; logLikelihoods: number[]; skipped?: MissingPage[] }
  | { kind: "done"; passes: number };

/** One object, one caller, no call while another runs. Methods throw plain data with a code, or trap on a bug. */
export interface Engine {
  /** Opens and tests the device that the next base goes to. */
  openDevice(choice: DeviceName): Promise<void>;
  /** Where the base is. */
  deviceInfo(): LoadedDevice;
  /** After the device failed or went away: another for the same base and experts. */
  reopen(): Promise<void>;
  /** Begins a base that is one GGUF file; what has come of another is dropped. Then its file, and `finishBase`. */
  beginGguf(): void;
  /** Begins a base that is a Hugging Face folder: its small files by name, and how many files of weights will follow. */
  beginFolder(smallFiles: Record<string, Uint8Array>, weightFiles: number): void;
  /** Begins a file of weights, of so many bytes if that is known. `isHashed`: its end tells its SHA-256. */
  beginFile(name: string, bytes: number | undefined, isHashed: boolean): void;
  /** The file's next bytes. What is wrong with it is thrown as soon as it shows. */
  push(chunk: Uint8Array): void;
  /** The file has no more bytes. Its SHA-256, if that was wanted. */
  endFile(): Promise<string | undefined> | string | undefined;
  /** All files have come. */
  finishBase(name: string): Promise<void>;
  /** Memory for experts' pages, in bytes of 32-bit factors. */
  setPoolBytes(bytes: number): void;
  baseInfo(): Base;
  /** Adds the experts of catalogues. Returns them catalogue by catalogue, under the names that set all of them apart. */
  addCatalogs(catalogs: CatalogFiles[]): Promise<Expert[][]>;
  /** Adds what a strategy tells the experts of a catalogue apart by; the catalogue goes by its name. */
  addVectors(catalog: string, strategy: string, url: string, bytes: Uint8Array): void;
  start(request: StartRequest): void;
  /** Computes the next token, or says what it lacks for it. Repeat it once everything was provided. */
  step(): Promise<Step>;
  /** Begins to score the choices; `nextScore` goes on. */
  startScoring(request: StartRequest, choices: readonly Input[]): void;
  nextScore(): Promise<ScoreStep>;
  provide(page: number, bytes: Uint8Array): void;
  /** Goes on without a missing page, until the answer is complete. */
  waive(page: number): void;
  /** Forgets the running generation. */
  cancel(): void;
  free(): void;
}

/** The WebAssembly module, started. */
export interface EngineModule {
  createEngine(): Engine;
  /** Reads a catalogue, checks it and says which files it names. */
  filesOf(catalogName: string, catalogJson: Uint8Array): NamedFiles;
}
