// Which addresses are followed: what a catalogue or a redirect names must not lead anywhere else.

import { GanderError } from "./errors.ts";

/** `blob:` and `data:` can only come from the page itself. */
const schemes = ["https:", "http:", "blob:", "data:"];

/** @throws GanderError `unsafe-url` */
export function checkAddress(url: string): void {
  const { protocol, username, password } = new URL(url);
  if (!schemes.includes(protocol)) refuse(url, `"${protocol}" is not fetched`, "https or http");
  if (username || password) refuse(url, "it carries a name or a password", "an address without them");
}

/**
 * Looks at where a request ended. Empty: not known.
 * @throws GanderError `unsafe-url`
 */
export function checkRedirect(url: string, landedAt: string): void {
  if (landedAt === "" || landedAt === url) return;
  const [from, to] = [new URL(url), new URL(landedAt)];
  if (to.protocol !== from.protocol && to.protocol !== "https:") {
    refuse(url, `it leads to ${to.protocol}//${to.host}`, "no way from https to anything else");
  }
  if (to.username || to.password) refuse(url, "it leads to an address with a name or a password", "neither");
}

/** A file that another origin's catalogue names is fetched as a stranger, also from the page's own origin. */
export function credentialsFor(url: string, catalogUrl: string): RequestCredentials {
  return new URL(url).origin === new URL(catalogUrl).origin ? "same-origin" : "omit";
}

function refuse(url: string, problem: string, expected: string): never {
  // The password is nobody's business.
  const shown = new URL(url);
  shown.username = shown.password = "";
  throw new GanderError("unsafe-url", shown.href, problem, expected);
}
