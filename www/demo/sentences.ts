// Who wrote an answer, in a few sentences.

import type { ExplainedPart } from "gander";

/** What is clear in sentences; where nothing is, what is clearest. */
export function inSentences(parts: readonly ExplainedPart[]): string {
  const clear = parts.filter(({ share, expert }) => expert === null || share >= 0.5);
  const most = [...parts].sort((a, b) => b.share - a.share).slice(0, 1);
  return (clear.length > 0 ? clear : most)
    .map(({ sentence }) => `${capital(sentence)}.`)
    .join(" ")
    .replaceAll(" %", "\u00a0%");
}

function capital(sentence: string): string {
  return sentence.slice(0, 1).toUpperCase() + sentence.slice(1);
}
