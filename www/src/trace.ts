// Which experts served which token in which layer of one answer: the numbers, and how to ask them.

import { type ExplainedPart, type ExplainOptions, explain } from "./explain.ts";
import { Numbering } from "./numbering.ts";
import { packChoice } from "./packed_routing.ts";
import { RoutingTable } from "./routing_table.ts";
import { packTrace, type TraceData, type TracedToken } from "./trace_data.ts";
import { type TraceJson, traceFromJson, traceToCsv, traceToJson } from "./trace_files.ts";
import type { RoutedChoice } from "./types.ts";

/** Which experts served which token in which layer of one answer, as typed arrays with the questions that people ask of them. */
export class RoutingTrace implements TraceData, Iterable<RoutedChoice> {
  /** Ids of the experts that were chosen anywhere, in the order of their first choice; then of those that were next. */
  readonly experts: readonly string[];
  /** The encoder's layers, and the cross-attention's keys and values, over the tokens of the input. */
  readonly input: RoutingTable;
  /** The decoder's other layers over the tokens of the output. */
  readonly output: RoutingTable;

  constructor({ experts, input, output }: TraceData) {
    this.experts = experts;
    this.input = new RoutingTable(experts, input);
    this.output = new RoutingTable(experts, output);
  }

  /**
   * From choices in any order, such as those of pieces while they come, or of `gander generate --json --trace`. Choices for
   * tokens that are not given are left out.
   */
  static fromChoices(
    choices: readonly RoutedChoice[],
    inputTokens: readonly TracedToken[],
    outputTokens: readonly TracedToken[],
  ): RoutingTrace {
    const ids = new Numbering<string>();
    const parts = choices.map((choice) => packChoice(choice, ids.numberOf));
    return new RoutingTrace(packTrace(parts, ids.list, inputTokens, outputTokens));
  }

  /**
   * Reads what `JSON.stringify(trace)` wrote, parsed.
   * @throws GanderError `invalid-file`, if it is something else
   */
  static fromJSON(json: unknown): RoutingTrace {
    return new RoutingTrace(traceFromJson(json));
  }

  /** Every choice: the input's, then the output's, token by token. Those without an expert are among them. */
  *[Symbol.iterator](): Iterator<RoutedChoice> {
    for (const table of [this.input, this.output]) {
      for (const token of table.tokens.keys()) {
        for (const [index, module] of table.modules.entries()) {
          const chosen = table.at(token, index);
          yield {
            module,
            token,
            experts: chosen.map(({ expert }) => expert),
            weights: chosen.map(({ weight }) => weight),
          };
        }
      }
    }
  }

  /** Who wrote which part of the output, in plain words. */
  explain(options: ExplainOptions = {}): ExplainedPart[] {
    return explain(this.output, options);
  }

  /** What `JSON.stringify` writes. */
  toJSON(): TraceJson {
    return traceToJson(this);
  }

  /** One line per chosen expert: side, token, token_id, text, module, rank, expert, weight. */
  toCsv(): string {
    return traceToCsv(this);
  }
}
