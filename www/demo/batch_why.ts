// Why one row of a column became what it is.

import { RoutingTrace, type TraceData } from "gander";
import { compare } from "./diff_view.ts";
import { element } from "./elements.ts";
import { Explanation } from "./explanation.ts";
import type { Loaded } from "./loading.ts";
import { count } from "./units.ts";

export interface ExplainedRow {
  row: number;
  text: string;
  answer: string;
  routing: TraceData;
}

export class BatchWhy {
  readonly element = element("section", {
    class: "card batch-why",
    "aria-labelledby": "batch-why-title",
    hidden: true,
  });

  /** @param onClose told when a person closes it */
  show({ row, text, answer, routing }: ExplainedRow, { model, palette }: Loaded, onClose: () => void): void {
    const trace = new RoutingTrace(routing);
    const explanation = new Explanation(palette);
    explanation.show(trace);
    const map = element("gander-routing");
    map.experts = model.experts;
    map.trace = trace;
    const title = element("h3", { id: "batch-why-title", tabindex: -1 }, `Why row ${count(row + 1)} is so`);
    const close = element("button", { type: "button", class: "small" }, "Close");
    close.onclick = () => {
      this.clear();
      onClose();
    };
    const { before, after } = compare(text, answer);
    this.element.replaceChildren(
      element("div", { class: "batch-why-head" }, title, close),
      element("p", { class: "original" }, element("bdi", {}, ...before)),
      element("p", { class: "output" }, element("bdi", {}, ...after)),
      ...explanation.elements,
      map,
    );
    this.element.hidden = false;
    title.focus();
  }

  clear(): void {
    this.element.hidden = true;
    this.element.replaceChildren();
  }
}
