// Every fault of the test server in every phase of an answer, and how each may end: with the right text or with a named
// error. For tests in Node and in browsers.

import { type Fault, faultNames } from "./fault_server.ts";

/** What each phase fetches. */
export const phases = {
  base: "base.gguf",
  catalogue: "catalog.json",
  gates: "gates.safetensors",
  page: "experts/letters.safetensors",
} as const;

export type Phase = keyof typeof phases;

export interface HostileCase {
  phase: Phase;
  fault: Fault;
  /** For one request, or for all. */
  isOnce: boolean;
  /** "text", or the code of an error. Where there are two, it depends on what the server lets a stranger see. */
  ends: readonly string[];
}

/** With the patience below, every case takes less than this, also on a busy machine. */
export const timeLimitMilliseconds = 20_000;

/** Short where nothing comes; long where something does, so that a busy machine is not taken for a dead server. */
export function patienceWith(fault: Fault) {
  const isDead = fault === "hangs" || fault === "stalls" || fault === "trickles";
  return {
    attempts: 3,
    backoffMilliseconds: 1,
    stallMilliseconds: isDead ? 300 : 5000,
    longestWaitMilliseconds: 1500,
  };
}

export const line = "abc!";
export const answer = "ABC!";

export interface Conditions {
  /** Whether the browser asks the server's leave: it is of another origin than the page. */
  isForeign: boolean;
  /** Whether the hashes of base and catalogue are known. */
  hasIntegrity: boolean;
}

export function hostileCases(conditions: Conditions): HostileCase[] {
  const faults: Fault[] = [...faultNames, 403, 404, 416, 500];
  return faults.flatMap((fault) =>
    (Object.keys(phases) as Phase[]).flatMap((phase) =>
      [true, false].flatMap((isOnce) => {
        const ends = endsOf(fault, phase, isOnce, conditions);
        return ends === undefined ? [] : [{ phase, fault, isOnce, ends }];
      }),
    ),
  );
}

/** Undefined where nobody can do anything: a changed byte in a file of which nothing is known but its address. */
function endsOf(
  fault: Fault,
  phase: Phase,
  isOnce: boolean,
  conditions: Conditions,
): readonly string[] | undefined {
  const isPage = phase === "page";
  const isHashed = isPage || phase === "gates" || conditions.hasIntegrity;
  const text = ["text"];
  /** Right after another attempt, else that error. */
  const unlessOnce = (...codes: string[]) => (isOnce ? text : codes);
  switch (fault) {
    case "ignores-range":
    case "changed":
    case "delayed":
    case "throttled":
    case "redirects":
      return text;
    case "wrong-range":
      return isPage ? unlessOnce("page-mismatch") : text;
    case "truncated":
    case "short":
      // The engine says what is wrong with a base before its hash could.
      return isHashed ? unlessOnce(phase === "base" ? "invalid-file" : "page-mismatch") : ["invalid-file"];
    case "long":
      if (phase === "gates") return ["invalid-file"];
      // Chromium finds it by itself, and calls it a network error.
      if (isPage && conditions.isForeign) return unlessOnce("page-mismatch", "network");
      if (isHashed) return unlessOnce("page-mismatch");
      return phase === "base" ? text : ["invalid-file"];
    case "altered":
      return isHashed ? unlessOnce("page-mismatch") : undefined;
    case "altered-first":
      return isHashed ? unlessOnce(phase === "base" ? "invalid-file" : "page-mismatch") : ["invalid-file"];
    case "endless":
      if (phase === "base" && isHashed) return unlessOnce("invalid-file");
      return isPage ? unlessOnce("page-mismatch") : ["invalid-file"];
    case "changes-after-cut":
      if (isOnce || isPage) return text;
      if (phase === "gates") return ["invalid-file"];
      return isHashed ? ["page-mismatch"] : text;
    case "busy":
      return unlessOnce("http");
    case "busy-for-hours":
      // A stranger is not told for how long.
      return isOnce && conditions.isForeign ? text : ["http"];
    case "refuses-cors":
      return conditions.isForeign ? unlessOnce("network") : text;
    case "redirects-with-password":
      return conditions.isForeign ? unlessOnce("network") : unlessOnce("network", "unsafe-url", "text");
    case "hangs":
    case "stalls":
    case "trickles":
    case "drops":
    case "cut":
    case "redirects-to-nothing":
    case "redirects-in-a-circle":
    case "redirects-to-file":
      return unlessOnce("network");
    case 404:
      return ["not-found"];
    case 500:
      return unlessOnce("http");
    case 403:
    case 416:
      return ["http"];
    default:
      throw new Error(`no expectation for ${fault}`);
  }
}
