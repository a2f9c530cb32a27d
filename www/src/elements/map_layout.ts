// Where everything on the heat map is: tokens across, as wide as their texts; layers down, in groups by block.

import { layerOf } from "../layers.ts";
import type { RoutingTable } from "../routing_table.ts";
import { type Place, visibleText } from "./words.ts";

/** Lengths in CSS pixels. */
export interface MapLayout {
  /** Where the labels of the rows end and the tokens begin. */
  labelWidth: number;
  /** Where the texts of the tokens end and the rows begin. */
  headHeight: number;
  rowHeight: number;
  texts: string[];
  /** Where each token begins; behind the last, where it ends. */
  columns: number[];
  labels: string[];
  /** Where each row begins. */
  rows: number[];
  /** Titles of the blocks, and where they are. */
  groups: { title: string; top: number }[];
  width: number;
  height: number;
}

export interface MapFonts {
  /** The width of a token's text. */
  ofToken: (text: string) => number;
  ofLabel: (text: string) => number;
}

const narrowest = 20;
const widest = 150;
const gap = 8;
/** Before the labels, and behind the last token. */
export const margin = 8;
const groupHeight = 20;

export function layOut(table: RoutingTable, fonts: MapFonts, rowHeight: number): MapLayout {
  const headHeight = 28;
  const groups: MapLayout["groups"] = [];
  const labels = ["all layers"];
  const rows = new Array<number>(table.modules.length + 1).fill(0);
  let top = headHeight;
  rows[0] = top;
  top += rowHeight;
  table.modules.forEach((module, index) => {
    const { stack, block, name } = layerOf(module);
    const title = stack === null ? "other layers" : `${stack} block ${block}`;
    if (groups.at(-1)?.title !== title) {
      groups.push({ title, top });
      top += groupHeight;
    }
    labels.push(name.replace("feed forward", "ff"));
    rows[index + 1] = top;
    top += rowHeight;
  });
  const titles = [...labels, ...groups.map(({ title }) => title)];
  const labelWidth = Math.ceil(Math.max(...titles.map(fonts.ofLabel))) + margin + gap;
  const texts = table.tokens.map(visibleText);
  const columns = new Array<number>(texts.length + 1).fill(0);
  columns[0] = labelWidth;
  texts.forEach((text, token) => {
    const width = Math.min(widest, Math.max(narrowest, Math.ceil(fonts.ofToken(text)) + gap));
    columns[token + 1] = (columns[token] ?? 0) + width;
  });
  const width = (columns[texts.length] ?? labelWidth) + margin;
  return {
    labelWidth,
    headHeight,
    rowHeight,
    texts,
    columns,
    labels,
    rows,
    groups,
    width,
    height: top + margin,
  };
}

/** The place at a point of the whole map, if there is one. The texts of the tokens stand for all layers. */
export function placeAt(layout: MapLayout, x: number, y: number): Place | undefined {
  if (x < layout.labelWidth || x >= layout.width - margin || y < 0) return undefined;
  const token = lastAtOrBefore(layout.columns, x);
  const row = y < layout.headHeight ? 0 : lastAtOrBefore(layout.rows, y);
  const isBetweenGroups = y >= (layout.rows[row] ?? 0) + layout.rowHeight;
  return isBetweenGroups ? undefined : { token, row };
}

/** Index of the last start that is not behind a position. */
export function lastAtOrBefore(starts: number[], position: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((starts[middle] ?? 0) <= position) low = middle;
    else high = middle - 1;
  }
  return low;
}
