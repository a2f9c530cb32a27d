// A loopback server with files, and with every way in which a server can be unhelpful.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * ignores-range: 200 and the whole file. wrong-range: 206 with other bytes. short and long: one byte too few or too
 * many. altered: one byte changed. endless: bytes without end. stalls: headers and no body. drops: the connection
 * breaks in the body. A number: that status.
 */
export type Fault =
  | "ignores-range"
  | "wrong-range"
  | "short"
  | "long"
  | "altered"
  | "endless"
  | "stalls"
  | "drops"
  | number;

export class FaultServer {
  readonly files: Record<string, Uint8Array>;
  /** Paths of all requests, in order. */
  readonly requests: string[] = [];
  /** How many requests ran at once, at most. */
  mostAtOnce = 0;
  url = "";
  delayMilliseconds = 0;
  readonly #faults = new Map<string, { fault: Fault; times: number }>();
  readonly #server = createServer((request, response) => this.#answer(request, response));
  #running = 0;

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
    const name = decodeURIComponent(new URL(request.url ?? "/", this.url).pathname.slice(1));
    this.requests.push(name);
    this.#running++;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#running);
    response.on("close", () => this.#running--);
    if (this.delayMilliseconds > 0) await new Promise((wake) => setTimeout(wake, this.delayMilliseconds));

    const file = this.files[name];
    const fault = this.#takeFault(name);
    if (typeof fault === "number") response.writeHead(fault).end("no");
    else if (!file) response.writeHead(404).end("not found");
    else if (fault === "endless") this.#sendWithoutEnd(response);
    else this.#send(file, request.headers.range, fault, response);
  }

  #send(
    file: Uint8Array,
    range: string | undefined,
    fault: Exclude<Fault, number> | undefined,
    response: ServerResponse,
  ): void {
    const match = fault === "ignores-range" ? null : /^bytes=(\d+)-(\d+)$/.exec(range ?? "");
    const shift = fault === "wrong-range" ? 1 : 0;
    const start = match ? Number(match[1]) + shift : 0;
    let end = match ? Number(match[2]) + 1 + shift : file.length;
    if (match && !fault) response.setHeader("content-range", `bytes ${start}-${end - 1}/${file.length}`);
    if (match && shift) response.setHeader("content-range", `bytes ${start}-${end - 1}/${file.length}`);
    if (fault === "short") end--;
    const body = Buffer.concat([file.subarray(start, end), Buffer.alloc(fault === "long" ? 1 : 0)]);
    if (fault === "altered") body[0] = (body[0] ?? 0) ^ 1;
    if (fault === "stalls" || fault === "drops") response.setHeader("content-length", body.length);
    response.writeHead(match ? 206 : 200);
    if (fault === "stalls") response.flushHeaders();
    else if (fault === "drops") response.write(body.subarray(0, 1), () => response.destroy());
    else response.end(body);
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
