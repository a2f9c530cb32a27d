// Why an answer is what it is: who wrote which part, the whole routing as a map, and what would be without some experts.

import "gander/routing-element";
import { type Answer, type GenerateOptions, type Piece, RoutingTrace } from "gander";
import { element } from "./elements.ts";
import { Explanation } from "./explanation.ts";
import type { Loaded } from "./loading.ts";
import { saveFile } from "./save_file.ts";
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
  const explanation = new Explanation(palette);
  const saveJson = element("button", { type: "button", class: "small" }, "Save as JSON");
  const saveCsv = element("button", { type: "button", class: "small" }, "Save as CSV");
  const files = element("div", { class: "actions" }, saveJson, saveCsv);
  const whatIf = new WhatIf(model, palette);
  container.replaceChildren(
    element("h2", { id: "why-title" }, "Why"),
    element("div", { class: "card" }, ...explanation.elements),
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
    explanation.show(trace);
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
