// Shows what an answer changed: struck out in the line, underlined in the answer. Neither needs colour.

import { difference, type Part } from "./diff.ts";
import { element } from "./elements.ts";

export interface Comparison {
  /** The line, its removed parts marked. */
  before: Node[];
  /** The answer, its added parts marked. */
  after: Node[];
  /** The same for those who cannot see the marks. */
  words: string;
  isChanged: boolean;
}

export function compare(before: string, after: string): Comparison {
  const parts = difference(before, after);
  return {
    before: marked(parts, "removed", "del"),
    after: marked(parts, "added", "ins"),
    words: inWords(parts),
    isChanged: before !== after,
  };
}

function marked(parts: Part[], kind: Part["kind"], tag: "ins" | "del"): Node[] {
  return parts
    .filter((part) => part.kind === "same" || part.kind === kind)
    .map(({ kind, text }) => (kind === "same" ? document.createTextNode(text) : element(tag, {}, text)));
}

function inWords(parts: Part[]): string {
  const changes: string[] = [];
  parts.forEach(({ kind, text }, index) => {
    const next = parts[index + 1];
    if (kind === "removed" && next?.kind === "added") changes.push(`“${text}” became “${next.text}”`);
    else if (kind === "removed") changes.push(`“${text}” was left out`);
    else if (kind === "added" && parts[index - 1]?.kind !== "removed") changes.push(`“${text}” was put in`);
  });
  return changes.length > 0 ? `Changed: ${changes.join("; ")}.` : "Nothing was changed.";
}
