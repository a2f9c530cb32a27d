// A folder as a shelf, for Node: one file for each entry. Several processes may share it.

import type { Shelf, ShelfEntry } from "./shelf.ts";

/** The folder may be anybody's; other files in it are neither counted nor removed. What ends in a dot and numbers is half. */
const OWN_NAME = /^[0-9a-f]{64}-(\d+|file|part)(\.\d+-\d+)?$/;

type FileSystem = typeof import("node:fs/promises");

export class DiskShelf implements Shelf {
  readonly kind = "disk";
  readonly #files: FileSystem;
  readonly #folder: string;
  #temporary = 0;

  private constructor(files: FileSystem, folder: string) {
    this.#files = files;
    this.#folder = folder;
  }

  /** @throws whatever the file system throws where the folder cannot be made */
  static async open(folder: string | undefined): Promise<DiskShelf> {
    const files = process.getBuiltinModule("node:fs/promises");
    const chosen = folder ?? defaultFolder();
    await files.mkdir(chosen, { recursive: true });
    return new DiskShelf(files, chosen);
  }

  async read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      const { buffer, byteOffset, length } = await this.#files.readFile(this.#path(name));
      return new Uint8Array(buffer as ArrayBuffer, byteOffset, length);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async write(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    // Half a file must never be seen under its name.
    const temporary = this.#path(`${name}.${process.pid}-${this.#temporary++}`);
    try {
      await this.#files.writeFile(temporary, bytes);
      await this.#files.rename(temporary, this.#path(name));
    } catch (error) {
      await this.#files.rm(temporary, { force: true });
      throw error;
    }
  }

  async remove(name: string): Promise<void> {
    await this.#files.rm(this.#path(name), { force: true });
  }

  async list(): Promise<ShelfEntry[]> {
    const names = (await this.#files.readdir(this.#folder)).filter((name) => OWN_NAME.test(name));
    const entries = names.map(async (name) => {
      const found = await this.#files.stat(this.#path(name)).catch(() => undefined);
      return found?.isFile() ? { name, bytes: found.size, lastUse: found.mtimeMs } : undefined;
    });
    return (await Promise.all(entries)).filter((entry) => entry !== undefined);
  }

  async touch(uses: ReadonlyMap<string, number>): Promise<void> {
    const touches = [...uses].map(([name, lastUse]) =>
      // Another process may have removed it.
      this.#files.utimes(this.#path(name), lastUse / 1000, lastUse / 1000).catch(() => {}),
    );
    await Promise.all(touches);
  }

  async clear(): Promise<void> {
    await Promise.all((await this.list()).map(({ name }) => this.remove(name)));
  }

  #path(name: string): string {
    return `${this.#folder}/${name}`;
  }
}

/** `$XDG_CACHE_HOME/gander-models`, or `%LOCALAPPDATA%`, or `~/.cache`. */
function defaultFolder(): string {
  const { homedir } = process.getBuiltinModule("node:os");
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  return `${XDG_CACHE_HOME || LOCALAPPDATA || `${homedir()}/.cache`}/gander-models`;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}
