// Draws the part of the heat map that is in view. A cell is shared among its experts as their weights are.

import type { ExpertShare, RoutingTable } from "../routing_table.ts";
import { lastAtOrBefore, type MapLayout, margin } from "./map_layout.ts";
import type { ExpertPalette, Pattern } from "./palette.ts";
import { type Place, sharesAt } from "./words.ts";

export interface MapColours {
  text: string;
  muted: string;
  background: string;
  empty: string;
  accent: string;
}

export interface MapScene {
  table: RoutingTable;
  layout: MapLayout;
  palette: ExpertPalette;
  colours: MapColours;
  tokenFont: string;
  labelFont: string;
  letterFont: string;
  /** What is in view, in CSS pixels. */
  left: number;
  top: number;
  width: number;
  height: number;
  /** Device pixels for a CSS pixel. */
  scale: number;
  /** The place under the pointer or the keyboard. */
  current: Place | undefined;
  /** All but this expert are dimmed. */
  highlighted: string | undefined;
}

export function drawMap(context: CanvasRenderingContext2D, scene: MapScene): void {
  const { layout, colours, left, top, width, height, scale } = scene;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.fillStyle = colours.background;
  context.fillRect(0, 0, width, height);
  const tokens = visible(layout.columns, left + layout.labelWidth, left + width, layout.texts.length);
  const rows = visible(layout.rows, top + layout.headHeight, top + height, layout.labels.length);
  within(context, layout.labelWidth, layout.headHeight, width, height, () =>
    drawCells(context, scene, tokens, rows),
  );
  within(context, layout.labelWidth, 0, width, layout.headHeight, () => drawTexts(context, scene, tokens));
  within(context, 0, layout.headHeight, layout.labelWidth, height, () => drawLabels(context, scene, rows));
  drawCross(context, scene);
}

function drawCells(
  context: CanvasRenderingContext2D,
  scene: MapScene,
  tokens: number[],
  rows: number[],
): void {
  const { table, layout, left, top } = scene;
  context.font = scene.letterFont;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const token of tokens) {
    const x = (layout.columns[token] ?? 0) - left;
    const width = (layout.columns[token + 1] ?? 0) - (layout.columns[token] ?? 0) - 2;
    for (const row of rows) {
      const y = (layout.rows[row] ?? 0) - top;
      drawCell(context, scene, sharesAt(table, { token, row }), x, y, width, layout.rowHeight - 2);
    }
  }
}

function drawCell(
  context: CanvasRenderingContext2D,
  { palette, colours, highlighted }: MapScene,
  shares: ExpertShare[],
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  context.fillStyle = colours.empty;
  context.fillRect(x, y, width, height);
  let start = x;
  for (const [index, { expert, share }] of shares.entries()) {
    const badge = palette.badge(expert);
    const isDimmed = highlighted !== undefined && highlighted !== expert;
    context.globalAlpha = isDimmed ? 0.15 : 1;
    context.fillStyle = badge.colour;
    context.fillRect(start, y, width * share, height);
    drawPattern(context, badge.pattern, start, y, width * share, height);
    const letterWidth = 6 * badge.letter.length + 3;
    if (index === 0 && height >= 11 && width * share >= letterWidth) {
      if (badge.pattern !== "plain") {
        // A letter is not read on white marks.
        context.fillStyle = badge.colour;
        context.fillRect(start + (width * share - letterWidth) / 2, y + 1, letterWidth, height - 2);
      }
      context.fillStyle = badge.ink;
      context.fillText(badge.letter, start + (width * share) / 2, y + height / 2 + 0.5);
    }
    start += width * share;
  }
  context.globalAlpha = 1;
}

function drawPattern(
  context: CanvasRenderingContext2D,
  pattern: Pattern,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  if (pattern === "plain") return;
  within(context, x, y, x + width, y + height, () => {
    context.strokeStyle = context.fillStyle = "rgb(255 255 255 / 70%)";
    context.lineWidth = 1.5;
    context.beginPath();
    if (pattern === "stripes") {
      for (let at = -height; at < width; at += 5) {
        context.moveTo(x + at, y + height);
        context.lineTo(x + at + height, y);
      }
    } else if (pattern === "grid") {
      for (let at = 2; at < width; at += 5) context.rect(x + at, y - 1, 0, height + 2);
      for (let at = 2; at < height; at += 5) context.rect(x - 1, y + at, width + 2, 0);
    } else {
      for (let across = 2; across < width; across += 4) {
        for (let down = 2; down < height; down += 4) context.fillRect(x + across, y + down, 1.5, 1.5);
      }
    }
    context.stroke();
  });
}

function drawTexts(context: CanvasRenderingContext2D, scene: MapScene, tokens: number[]): void {
  const { layout, colours, left, current } = scene;
  context.font = scene.tokenFont;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const token of tokens) {
    const start = layout.columns[token] ?? 0;
    const width = (layout.columns[token + 1] ?? 0) - start - 2;
    context.fillStyle = token === current?.token ? colours.accent : colours.text;
    context.fillText(layout.texts[token] ?? "", start - left + width / 2, layout.headHeight / 2, width);
  }
}

function drawLabels(context: CanvasRenderingContext2D, scene: MapScene, rows: number[]): void {
  const { layout, colours, top, current } = scene;
  context.font = scene.labelFont;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const row of rows) {
    context.fillStyle = row === current?.row ? colours.accent : colours.muted;
    const middle = (layout.rows[row] ?? 0) - top + layout.rowHeight / 2 - 1;
    context.fillText(layout.labels[row] ?? "", layout.labelWidth - 6, middle);
  }
  context.textAlign = "left";
  context.fillStyle = colours.text;
  for (const group of layout.groups) context.fillText(group.title, margin, group.top - top + 12);
}

/** Frames the current cell, its token and its row. */
function drawCross(context: CanvasRenderingContext2D, scene: MapScene): void {
  const { layout, colours, left, top, width, height, current } = scene;
  if (!current) return;
  const x = (layout.columns[current.token] ?? 0) - left;
  const y = (layout.rows[current.row] ?? 0) - top;
  const cellWidth = (layout.columns[current.token + 1] ?? 0) - (layout.columns[current.token] ?? 0) - 2;
  within(context, layout.labelWidth - 2, layout.headHeight - 2, width, height, () => {
    context.strokeStyle = colours.text;
    context.lineWidth = 2;
    context.strokeRect(x - 0.5, y - 0.5, cellWidth + 1, layout.rowHeight - 1);
  });
}

function visible(starts: number[], from: number, to: number, count: number): number[] {
  const first = lastAtOrBefore(starts, from);
  const last = Math.min(lastAtOrBefore(starts, to), count - 1);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
}

function within(
  context: CanvasRenderingContext2D,
  left: number,
  top: number,
  right: number,
  bottom: number,
  draw: () => void,
): void {
  context.save();
  context.beginPath();
  context.rect(left, top, right - left, bottom - top);
  context.clip();
  draw();
  context.restore();
}
