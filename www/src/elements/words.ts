// What the element shows and says of tokens and cells.

import { percent } from "../explain.ts";
import { layerInWords } from "../layers.ts";
import type { ExpertShare, ExpertWeight, RoutingTable } from "../routing_table.ts";
import type { TracedToken } from "../trace_data.ts";

/** A place in the map. Row 0 is all layers together; row n is the module n - 1. */
export interface Place {
  token: number;
  row: number;
}

/** White space made visible, and something to see for a token that writes nothing. */
export function visibleText({ id, text }: TracedToken): string {
  if (text === null) return `[${id}]`;
  const trimmed = text.trim();
  if (trimmed !== "") return trimmed;
  return text === "" ? "·" : text.replaceAll(/[ \t]/g, "␣").replaceAll(/[\r\n]+/g, "⏎");
}

export function spokenText({ id, text }: TracedToken): string {
  if (text === null) return `number ${id}`;
  if (text === "") return "without text";
  return text.trim() === "" ? "white space" : `“${text.trim()}”`;
}

/** The shares of a place: of a cell, its weights. */
export function sharesAt(table: RoutingTable, { token, row }: Place): ExpertShare[] {
  if (row === 0) return table.byToken(token);
  return table.at(token, row - 1).map(({ expert, weight }) => ({ expert, share: weight }));
}

/** The runners-up of a cell; none of all layers together. */
export function nextAt(table: RoutingTable, { token, row }: Place): ExpertWeight[] {
  return row === 0 ? [] : table.runnersUpAt(token, row - 1);
}

export function rowInWords(table: RoutingTable, row: number): string {
  return row === 0 ? "all layers" : layerInWords(table.modules[row - 1] ?? "");
}

/** `Token 3 “2021”, decoder block 0, self q: Dates 75 %, Times 25 %; next Amounts of money` */
export function placeInWords(table: RoutingTable, place: Place, nameOf: (expert: string) => string): string {
  const token = table.tokens[place.token];
  const named = sharesAt(table, place).map(({ expert, share }) => `${nameOf(expert)} ${percent(share)}`);
  const experts = named.length > 0 ? named.join(", ") : "the base model alone";
  const spoken = token ? ` ${spokenText(token)}` : "";
  const next = nextAt(table, place).map(({ expert }) => nameOf(expert));
  const behind = next.length > 0 ? `; next ${next.join(", ")}` : "";
  return `Token ${place.token + 1}${spoken}, ${rowInWords(table, place.row)}: ${experts}${behind}`;
}
