// Who wrote which part of an answer: in a few sentences, and part by part over bars of the writers' colours.

import type { ExplainedPart, RoutingTrace } from "gander";
import { element } from "./elements.ts";
import { badgeElement, type Palette, paint } from "./palette.ts";
import { inSentences } from "./sentences.ts";
import { percent } from "./shares.ts";

export class Explanation {
  readonly #palette: Palette;
  readonly #sentences = element("p", { class: "sentences" });
  readonly #parts = element("ol", { class: "parts", "aria-label": "Who wrote which part" });

  constructor(palette: Palette) {
    this.#palette = palette;
  }

  get elements(): HTMLElement[] {
    return [this.#sentences, this.#parts];
  }

  show(trace: RoutingTrace): void {
    const explained = trace.explain({ nameOf: this.#palette.nameOf });
    this.#sentences.textContent = inSentences(explained);
    this.#parts.replaceChildren(...explained.map((part) => partElement(part, this.#palette)));
  }
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
