// An answer as it leaves the engine's side: plain data, its routing packed.

import type { Step } from "./engine.ts";
import type { PlainAnswer } from "./host.ts";
import type { PackedRouting } from "./packed_routing.ts";
import { packTrace, type TracedToken } from "./trace_data.ts";
import type { Stats } from "./types.ts";

export function answerOf(
  done: Extract<Step, { kind: "done" }>,
  written: WrittenTokens | undefined,
  stats: Stats,
): PlainAnswer {
  const { text, finish, inputIds, outputIds } = done;
  const answer: PlainAnswer = { text, finish, inputIds, outputIds, stats };
  if (written) {
    const inputTokens = inputIds.map((id, token) => ({ id, text: done.inputTexts?.[token] ?? null }));
    const parts = done.encoderRouting ? [done.encoderRouting, ...written.parts] : written.parts;
    // Without a tokenizer the pieces are empty, which is not to say that the tokens are.
    const outputTokens = written.tokens.map((token) => (text === null ? { ...token, text: null } : token));
    answer.routing = packTrace(parts, written.expertIds, inputTokens, outputTokens);
  }
  return answer;
}

/** The tokens of a traced answer, with their routing. */
export class WrittenTokens {
  readonly tokens: TracedToken[] = [];
  readonly parts: PackedRouting[] = [];
  readonly expertIds: readonly string[];

  constructor(expertIds: readonly string[]) {
    this.expertIds = expertIds;
  }

  add({ tokenId, text, routing }: Extract<Step, { kind: "token" }>): void {
    this.tokens.push({ id: tokenId, text });
    if (routing) this.parts.push(routing);
  }
}
