// Why an answer is what it is: who wrote which part, the whole routing as a map, and what would be without some experts.

import "gander/routing-element";
import { type Answer, type ExplainedPart, type GenerateOptions, type Piece, RoutingTrace } from "gander";
import { element } from "./elements.ts";
import type { Loaded } from "./loading.ts";
import { badgeElement, type Palette, paint } from "./palette.ts";
import { saveFile } from "./save_file.ts";
import { inSentences } from "./sentences.ts";
import { percent } from "./shares.ts";
import { WhatIf } from "./what_if.ts";

/** Between two drawings of a map that still grows. */
const drawMilliseconds = 150;

export interface Why {
  clear(): void;
  /** One more token of an answer in the making. */
  add(piece: Piece): void;
  /** @param options those of the answer's that choose its experts */
  finish(line: string, answer: Answer, options: Pick<GenerateOptions, "exclude" | "strategy">): void;
}

/** Fills the section; it is shown as soon as there is something to explain. */
export function mountWhy(container: HTMLElement, { model, palette }: Loaded): Why {
  const map = element("gander-routing");
  map.experts = model.experts;
  const parts = element("ol", { class: "parts", "aria-label": "Who wrote which part" });
  const sentences = element("p", { class: "sentences" });
  const saveJson = element("button", { type: "button", class: "small" }, "Save as JSON");
  const saveCsv = element("button", { type: "button", class: "small" }, "Save as CSV");
  const files = element("div", { class: "actions" }, saveJson, saveCsv);
  const whatIf = new WhatIf(model, palette);
  container.replaceChildren(
    element("h2", { id: "why-title" }, "Why"),
    element("div", { class: "card" }, sentences, parts),
    element("h3", {}, "Every token, every layer"),
    element(
      "p",
      { class: "muted" },
      "Each cell is one token in one layer, divided as the weights of its experts are. Touch a cell, or go from cell to cell with the arrow keys.",
    ),
    element("div", { class: "card" }, map, files),
    whatIf.element,
  );
  container.hidden = true;

  const choices: NonNullable<Piece["routing"]> = [];
  const tokens: { id: number; text: string }[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const show = (trace: RoutingTrace): void => {
    const explained = trace.explain({ nameOf: palette.nameOf });
    sentences.textContent = inSentences(explained);
    parts.replaceChildren(...explained.map((part) => partElement(part, palette)));
    map.trace = trace;
    container.hidden = false;
  };

  return {
    clear: () => {
      clearTimeout(timer);
      timer = undefined;
      choices.length = tokens.length = 0;
      container.hidden = true;
      files.hidden = true;
      map.trace = null;
      map.view = "output";
      whatIf.clear();
    },
    add: ({ tokenId, text, routing }) => {
      if (!routing) return;
      choices.push(...routing);
      tokens.push({ id: tokenId, text });
      timer ??= setTimeout(() => {
        timer = undefined;
        show(RoutingTrace.fromChoices(choices, [], tokens));
      }, drawMilliseconds);
    },
    finish: (line, answer, options) => {
      clearTimeout(timer);
      timer = undefined;
      const { routing } = answer;
      if (!routing) return;
      show(routing);
      files.hidden = false;
      saveJson.onclick = () => saveFile("routing.json", "application/json", [JSON.stringify(routing)]);
      saveCsv.onclick = () => saveFile("routing.csv", "text/csv", [routing.toCsv()]);
      whatIf.offer(line, answer, options);
    },
  };
}

/** A part of the answer over a bar of its writer's colour. */
function partElement({ text, expert, share, others }: ExplainedPart, palette: Palette): HTMLElement {
  const bar = element("span", { class: "part-bar" });
  const writer = element("span", { class: "writer" });
  if (expert === null) {
    writer.append("base alone");
  } else {
    const badge = palette.badge(expert);
    paint(bar, badge);
    writer.append(
      badgeElement(badge),
      ` `,
      element("span", { class: "writer-name" }, `${badge.name} `),
      percent(share),
    );
  }
  const rest = others.map((other) => `${palette.nameOf(other.expert)} ${percent(other.share)}`).join(", ");
  const title = rest === "" ? "nobody else" : `beside it: ${rest}`;
  return element("li", { title }, element("span", { class: "written" }, text.trim()), bar, writer);
}
