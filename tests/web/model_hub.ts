// A repository of models as hubs serve it, on loopback: files are named by commit, large ones lie in a store on another
// origin, under addresses that are signed anew for each request, and small ones behind a redirect at home.

import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { sha256 } from "./test_ocean.ts";

/** What a request asked for, and what it got. */
export interface HubRequest {
  name: string;
  method: string;
  range: string | undefined;
  status: number;
  /** What nobody but the visitor may know: cookies and tokens. */
  secrets: string[];
}

const LARGE = /\.(gguf|safetensors)$/;

export class ModelHub {
  readonly files: Record<string, Uint8Array>;
  /** Of both servers. */
  readonly requests: HubRequest[] = [];
  /** Addresses that the store accepts. */
  readonly #signed = new Map<string, string>();
  readonly #home: Server;
  readonly #store: Server;

  constructor(files: Record<string, Uint8Array>) {
    this.files = files;
    this.#home = createServer((request, response) => this.#answerAtHome(request, response));
    this.#store = createServer((request, response) => this.#answerFromStore(request, response));
  }

  async start(): Promise<this> {
    for (const server of [this.#home, this.#store]) {
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    }
    return this;
  }

  async stop(): Promise<void> {
    for (const server of [this.#home, this.#store]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** The address of a file of the repository, as its owner passes it on. */
  address(name: string): string {
    return `${originOf(this.#home)}/somebody/an-ocean/resolve/0123abcd/${name}`;
  }

  #answerAtHome(request: IncomingMessage, response: ServerResponse): void {
    const path = new URL(request.url ?? "/", originOf(this.#home)).pathname;
    const [, kind, name = ""] =
      /^\/(somebody\/an-ocean\/resolve|api\/resolve-cache)\/0123abcd\/(.+)$/.exec(path) ?? [];
    const file = this.files[name];
    allowEverybody(response);
    if (request.method !== "GET" || !file || !kind) {
      this.#end(name, request, response, request.method === "GET" ? 404 : 405);
    } else if (LARGE.test(name)) {
      const signature = randomUUID();
      this.#signed.set(signature, name);
      response.setHeader("location", `${originOf(this.#store)}/blobs/${sha256(file)}?signature=${signature}`);
      response.setHeader("x-linked-etag", `"${sha256(file)}"`);
      this.#end(name, request, response, 302);
    } else if (kind === "api/resolve-cache") {
      response.setHeader("etag", `"${sha256(file)}"`);
      this.#send(name, file, request, response);
    } else {
      response.setHeader("location", `/api/resolve-cache/0123abcd/${name}`);
      this.#end(name, request, response, 307);
    }
  }

  #answerFromStore(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? "/", originOf(this.#store));
    const name = this.#signed.get(searchParams.get("signature") ?? "") ?? "";
    const file = this.files[name];
    allowEverybody(response);
    if (request.method !== "GET") this.#end(name, request, response, 405);
    else if (!file || pathname !== `/blobs/${sha256(file)}`) this.#end(name, request, response, 403);
    else {
      response.setHeader("etag", `"${sha256(file).slice(0, 32)}"`);
      this.#send(name, file, request, response);
    }
  }

  #send(name: string, file: Uint8Array, request: IncomingMessage, response: ServerResponse): void {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const start = Number(first ?? 0);
    const end = Math.min(last ? Number(last) + 1 : file.length, file.length);
    if (first !== undefined) response.setHeader("content-range", `bytes ${start}-${end - 1}/${file.length}`);
    this.#end(name, request, response, first === undefined ? 200 : 206, file.subarray(start, end));
  }

  #end(
    name: string,
    request: IncomingMessage,
    response: ServerResponse,
    status: number,
    body?: Uint8Array,
  ): void {
    const { range, cookie, authorization } = request.headers;
    const secrets = [cookie, authorization].filter((header) => header !== undefined);
    this.requests.push({ name, method: request.method ?? "", range, status, secrets });
    response.writeHead(status).end(body);
  }
}

function allowEverybody(response: ServerResponse): void {
  response.setHeader("access-control-allow-origin", "*");
  response.setHeader("access-control-expose-headers", "ETag, Accept-Ranges, Content-Range");
}

function originOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
