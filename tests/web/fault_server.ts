// A loopback server with files, and with every way in which a server can be unhelpful.

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * A number: that status. Of the answer: "ignores-range" 200 and the whole file; "wrong-range" 206 with other bytes; "short"
 * and "long" one byte too few or too many; "altered" and "altered-first" one byte changed, in the middle or at the start;
 * "truncated" half of it, as if that were all; "endless" bytes without end; "changed" another version than the time before.
 * Of the connection: "hangs" no answer; "stalls" headers and no body; "trickles" a byte now and then; "drops" a byte and
 * then a broken connection; "cut" the same in the middle; "changes-after-cut" that, and other versions afterwards.
 * "delayed" and "throttled" are slow, and in the end all right. Of manners: "busy" 429 with a Retry-After of one second,
 * "busy-for-hours"; "refuses-cors"; "redirects" to where the file is, "redirects-to-nothing", "redirects-in-a-circle",
 * "redirects-with-password", "redirects-to-file".
 */
export type Fault =
  | (typeof faultNames)[number]
  /** A status. */
  | number;

export const faultNames = [
  "ignores-range",
  "wrong-range",
  "short",
  "long",
  "altered",
  "altered-first",
  "truncated",
  "endless",
  "changed",
  "hangs",
  "stalls",
  "trickles",
  "drops",
  "cut",
  "changes-after-cut",
  "delayed",
  "throttled",
  "busy",
  "busy-for-hours",
  "refuses-cors",
  "redirects",
  "redirects-to-nothing",
  "redirects-in-a-circle",
  "redirects-with-password",
  "redirects-to-file",
] as const;

/** A query that no fault befalls. */
const ELSEWHERE = "?elsewhere";

/** What a request asked for. */
export interface Seen {
  path: string;
  headers: IncomingMessage["headers"];
}

export class FaultServer {
  readonly files: Record<string, Uint8Array>;
  /** Paths of all requests, in order. */
  readonly requests: string[] = [];
  /** All requests, in order. */
  readonly seen: Seen[] = [];
  /** How many requests ran at once, at most. */
  mostAtOnce = 0;
  /** Bytes of bodies sent. */
  bytesSent = 0;
  url = "";
  /** Of every answer; or what says so for the next. */
  delayMilliseconds: number | (() => number) = 0;
  /** Whether answers say which version of a file they are of. */
  hasVersions = true;
  readonly #faults = new Map<string, { fault: Fault; times: number }>();
  readonly #server = createServer((request, response) => this.#answer(request, response));
  #running = 0;
  #changes = 0;

  constructor(files: Record<string, Uint8Array>) {
    this.files = files;
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Misbehaves for one file, for so many requests. */
  fail(name: string, fault: Fault, times = Number.POSITIVE_INFINITY): void {
    this.#faults.set(name, { fault, times });
    this.#changes = 0;
  }

  /** Behaves again, for all files. */
  mend(): void {
    this.#faults.clear();
  }

  count(name: string): number {
    return this.requests.filter((path) => path === name).length;
  }

  #takeFault(name: string): Fault | undefined {
    const entry = this.#faults.get(name);
    if (!entry || entry.times === 0) return undefined;
    entry.times--;
    return entry.fault;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, search } = new URL(request.url ?? "/", this.url);
    const name = decodeURIComponent(pathname.slice(1));
    this.requests.push(name);
    this.seen.push({ path: name, headers: request.headers });
    this.#running++;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#running);
    response.on("close", () => this.#running--);
    const delay = this.delayMilliseconds;
    const milliseconds = typeof delay === "number" ? delay : delay();
    if (milliseconds > 0) await sleep(milliseconds);

    const fault = search === ELSEWHERE ? undefined : this.#takeFault(name);
    if (fault !== "refuses-cors") response.setHeader("access-control-allow-origin", "*");
    // Browsers want to know what a page and a script are.
    if (name.endsWith(".html")) response.setHeader("content-type", "text/html");
    if (name.endsWith(".js")) response.setHeader("content-type", "text/javascript");
    const file = this.files[name];
    const target = redirectOf(fault, this.url, name);
    if (target !== undefined) response.writeHead(302, { location: target }).end();
    else if (fault === "busy") response.writeHead(429, { "retry-after": "1" }).end();
    else if (fault === "busy-for-hours") response.writeHead(429, { "retry-after": "7200" }).end();
    else if (typeof fault === "number") response.writeHead(fault).end("no");
    else if (!file) response.writeHead(404).end("not found");
    else if (fault === "endless") this.#sendWithoutEnd(response);
    else if (fault !== "hangs") await this.#send(file, request, fault, response);
  }

  async #send(
    original: Uint8Array,
    request: IncomingMessage,
    fault: Exclude<Fault, number> | undefined,
    response: ServerResponse,
  ): Promise<void> {
    const isCut = fault === "cut" || (fault === "changes-after-cut" && this.#changes === 0);
    const file = fault === "changed" || fault === "changes-after-cut" ? this.#changed(original) : original;
    const version = `"${createHash("sha256").update(file).digest("hex").slice(0, 16)}"`;
    if (this.hasVersions) response.setHeader("etag", version);
    const { range, "if-range": condition } = request.headers;
    const isStale = condition !== undefined && condition !== version;
    const match = fault === "ignores-range" || isStale ? null : /^bytes=(\d+)-(\d*)$/.exec(range ?? "");
    const shift = fault === "wrong-range" ? 1 : 0;
    const start = match ? Number(match[1]) + shift : 0;
    let end = match?.[2] ? Number(match[2]) + 1 + shift : file.length;
    if (match && start >= file.length) {
      response.writeHead(416, { "content-range": `bytes */${file.length}` }).end();
      return;
    }
    if (match) response.setHeader("content-range", `bytes ${start}-${end - 1}/${file.length}`);
    if (fault === "short") end--;
    const body = Buffer.concat([file.subarray(start, end), Buffer.alloc(fault === "long" ? 1 : 0)]);
    if (fault === "altered") flip(body, body.length >> 1);
    if (fault === "altered-first") flip(body, 0);
    if (fault !== "truncated" && fault !== "short" && fault !== "long") {
      response.setHeader("content-length", body.length);
    }
    if (fault === "delayed") await sleep(150);
    response.writeHead(match ? 206 : 200);
    await this.#sendBody(body, isCut ? "cut" : fault, response);
  }

  /** Longer each time, and for those who read it the same: JSON may end in spaces, and the tests' base in any number of x. */
  #changed(file: Uint8Array): Uint8Array {
    const filler = file[0] === 0x7b ? " " : "x";
    return Buffer.concat([file, Buffer.from(filler.repeat(this.#changes++))]);
  }

  async #sendBody(body: Buffer, fault: Fault | undefined, response: ServerResponse): Promise<void> {
    const middle = body.length >> 1;
    this.bytesSent += body.length;
    switch (fault) {
      case "stalls":
        response.flushHeaders();
        break;
      case "trickles":
        for (const byte of body) {
          if (response.destroyed) return;
          response.write(Uint8Array.of(byte));
          await sleep(50);
        }
        response.end();
        break;
      case "throttled":
        for (let start = 0; start < body.length; start += Math.ceil(body.length / 4)) {
          response.write(body.subarray(start, start + Math.ceil(body.length / 4)));
          await sleep(30);
        }
        response.end();
        break;
      case "drops":
        response.write(body.subarray(0, 1), () => response.destroy());
        break;
      case "cut":
        // Given a moment, so that what was sent is seen before the break.
        response.write(body.subarray(0, middle));
        await sleep(20);
        response.destroy();
        break;
      case "truncated":
        response.end(body.subarray(0, middle));
        break;
      default:
        response.end(body);
    }
  }

  #sendWithoutEnd(response: ServerResponse): void {
    response.writeHead(200);
    const more = () => {
      while (!response.destroyed && response.write(new Uint8Array(65536)));
    };
    response.on("drain", more);
    more();
  }
}

function flip(body: Buffer, index: number): void {
  if (body.length > 0) body[index] = (body[index] ?? 0) ^ 1;
}

function redirectOf(fault: Fault | undefined, home: string, name: string): string | undefined {
  switch (fault) {
    case "redirects":
      return `/${name}${ELSEWHERE}`;
    case "redirects-to-nothing":
      return "http://127.0.0.1:9/";
    case "redirects-in-a-circle":
      return `/${name}`;
    case "redirects-with-password":
      return new URL(name, home.replace("//", "//somebody:secret@")).href;
    case "redirects-to-file":
      return "file:///etc/passwd";
    default:
      return undefined;
  }
}
