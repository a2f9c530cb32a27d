// A routing trace as files: JSON, which can be read back, and CSV for spreadsheets.

import { GanderError } from "./errors.ts";
import type { RoutingTable } from "./routing_table.ts";
import { noExpert, type TableData, type TraceData, type TracedToken } from "./trace_data.ts";

const format = "gander-routing-trace";
const version = "1.0";

/** One table of a trace as JSON. */
export interface TableJson {
  modules: readonly string[];
  tokens: readonly TracedToken[];
  topK: number;
  /** (tokens, modules, topK): index into `experts`, or -1 for none. */
  choices: number[];
  /** (tokens, modules, topK) */
  weights: number[];
  /** Left out: none. */
  runnersUp?: number;
  /** (tokens, modules, runnersUp): as `choices`. */
  nextChoices?: number[];
  /** (tokens, modules, runnersUp) */
  nextWeights?: number[];
}

/** A trace as JSON. */
export interface TraceJson {
  format: typeof format;
  version: typeof version;
  experts: readonly string[];
  input: TableJson;
  output: TableJson;
}

export function traceToJson({ experts, input, output }: TraceData): TraceJson {
  return { format, version, experts, input: tableToJson(input), output: tableToJson(output) };
}

function tableToJson(table: TableData): TableJson {
  const { modules, tokens, topK, runnersUp, nextChoices, nextWeights } = table;
  const indexes = (choices: Uint16Array) =>
    Array.from(choices, (choice) => (choice === noExpert ? -1 : choice));
  const numbers = (weights: Float32Array) => Array.from(weights, shortest);
  const json = { modules, tokens, topK, choices: indexes(table.choices), weights: numbers(table.weights) };
  if (!runnersUp || !nextChoices || !nextWeights) return json;
  return { ...json, runnersUp, nextChoices: indexes(nextChoices), nextWeights: numbers(nextWeights) };
}

/** Nine digits tell any two 32-bit floats apart. */
function shortest(weight: number): number {
  return Number(weight.toPrecision(9));
}

/** One line per chosen expert, by RFC 4180. Texts are as the model wrote them, with nothing taken for a formula taken out. */
export function traceToCsv(tables: { input: RoutingTable; output: RoutingTable }): string {
  const lines = [["side", "token", "token_id", "text", "module", "rank", "expert", "weight"]];
  for (const side of ["input", "output"] as const) {
    const table = tables[side];
    for (const [token, { id, text }] of table.tokens.entries()) {
      for (const [module, name] of table.modules.entries()) {
        for (const [rank, { expert, weight }] of table.at(token, module).entries()) {
          const numbers = [rank + 1, expert, shortest(weight)].map(String);
          lines.push([side, String(token), String(id), text ?? "", name, ...numbers]);
        }
      }
    }
  }
  return lines.map((fields) => `${fields.map(csvField).join(",")}\r\n`).join("");
}

function csvField(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

/**
 * Reads what {@link traceToJson} made, or somebody else.
 * @throws GanderError `invalid-file`
 */
export function traceFromJson(json: unknown): TraceData {
  const fields = recordAt("trace", json);
  if (fields.format !== format) throw wrong("format", `it is ${inWords(fields.format)}`, `"${format}"`);
  if (fields.version !== version) throw wrong("version", `it is ${inWords(fields.version)}`, `"${version}"`);
  const experts = stringsAt("experts", fields.experts);
  if (experts.length > noExpert) {
    throw wrong("experts", `there are ${experts.length}`, `at most ${noExpert}`);
  }
  const input = tableFromJson("input", fields.input, experts.length);
  const output = tableFromJson("output", fields.output, experts.length);
  return { experts, input, output };
}

function tableFromJson(place: string, json: unknown, expertCount: number): TableData {
  const fields = recordAt(place, json);
  const modules = stringsAt(`${place}.modules`, fields.modules);
  const tokens = listAt(`${place}.tokens`, fields.tokens).map((token, index) =>
    tokenAt(`${place}.tokens[${index}]`, token),
  );
  const count = (name: "topK" | "runnersUp", value: unknown) => {
    if (isWhole(value) && value >= 0) return value;
    throw wrong(`${place}.${name}`, `it is ${inWords(value)}`, "a whole number");
  };
  const numbers = (name: string, per: string, most: number, expected: string, isRight: IsRight) => {
    const list = listAt(`${place}.${name}`, fields[name]);
    const cells = tokens.length * modules.length * most;
    if (list.length !== cells) {
      throw wrong(`${place}.${name}`, `${list.length} numbers`, `${cells}: tokens × modules × ${per}`);
    }
    return list.map((value, index) => {
      if (typeof value === "number" && isRight(value)) return value;
      throw wrong(`${place}.${name}[${index}]`, `it is ${inWords(value)}`, expected);
    });
  };
  const isChoice = (value: number) => isWhole(value) && value >= -1 && value < expertCount;
  const choices = (name: string, per: string, most: number) => {
    const indexes = numbers(name, per, most, `-1, or an index below ${expertCount}`, isChoice);
    return Uint16Array.from(indexes, (index) => (index === -1 ? noExpert : index));
  };
  const isWeight = (value: number) => value >= 0 && value <= 1;
  const weights = (name: string, per: string, most: number) =>
    Float32Array.from(numbers(name, per, most, "a number from 0 to 1", isWeight));

  const topK = count("topK", fields.topK);
  const table = {
    modules,
    tokens,
    topK,
    choices: choices("choices", "topK", topK),
    weights: weights("weights", "topK", topK),
  };
  const runnersUp = count("runnersUp", fields.runnersUp ?? 0);
  if (runnersUp === 0) return table;
  const nextChoices = choices("nextChoices", "runnersUp", runnersUp);
  return { ...table, runnersUp, nextChoices, nextWeights: weights("nextWeights", "runnersUp", runnersUp) };
}

type IsRight = (value: number) => boolean;

function tokenAt(place: string, json: unknown): TracedToken {
  const { id, text } = recordAt(place, json);
  if (isWhole(id) && (text === null || typeof text === "string")) return { id, text };
  throw wrong(place, `it is ${inWords(json)}`, "an id and a text, or null for the text");
}

function recordAt(place: string, json: unknown): Record<string, unknown> {
  if (typeof json === "object" && json !== null && !Array.isArray(json)) {
    return json as Record<string, unknown>;
  }
  throw wrong(place, `it is ${inWords(json)}`, "an object");
}

function listAt(place: string, json: unknown): unknown[] {
  if (Array.isArray(json)) return json;
  throw wrong(place, `it is ${inWords(json)}`, "a list");
}

function stringsAt(place: string, json: unknown): string[] {
  const list = listAt(place, json);
  const odd = list.findIndex((entry) => typeof entry !== "string");
  if (odd < 0) return list as string[];
  throw wrong(`${place}[${odd}]`, `it is ${inWords(list[odd])}`, "a string");
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function inWords(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 60);
}

function wrong(place: string, problem: string, expected: string): GanderError {
  return new GanderError("invalid-file", `routing trace, ${place}`, problem, expected);
}
