// Shows who wrote an answer: the whole line, token by token, and for one token layer by layer.

import type { Piece, RoutedChoice } from "gander";
import { byId, element } from "./elements.ts";
import type { Palette } from "./palette.ts";
import { inWords, layerOf, percent, type Share, sharesOf } from "./shares.ts";

export class RoutingView {
  readonly #palette: Palette;
  readonly #tokens = byId("tokens");
  readonly #shares = byId("shares");
  readonly #layers = byId("layers");
  readonly #section = byId("routing");
  #choices: RoutedChoice[] = [];

  constructor(palette: Palette) {
    this.#palette = palette;
    this.#tokens.onkeydown = (event) => this.#moveByKey(event);
  }

  clear(): void {
    this.#choices = [];
    this.#tokens.replaceChildren();
    this.#shares.replaceChildren();
    this.#layers.replaceChildren();
    this.#section.hidden = true;
  }

  /** Adds one token. Nothing is shown where no expert took part. */
  add(piece: Piece): void {
    const choices = piece.routing ?? [];
    if (choices.length === 0) return;
    this.#section.hidden = false;
    this.#choices.push(...choices);
    this.#tokens.append(element("li", {}, this.#tokenButton(piece.text, choices)));
    this.#showShares(sharesOf(this.#choices));
  }

  #tokenButton(text: string, choices: readonly RoutedChoice[]): HTMLButtonElement {
    const shares = sharesOf(choices);
    const position = this.#tokens.childElementCount + 1;
    const spoken = `Token ${position}, ${spokenText(text)}: ${inWords(shares, this.#palette.nameOf)}`;
    const isFirst = position === 1;
    const button = element(
      "button",
      {
        type: "button",
        "aria-label": spoken,
        "aria-pressed": "false",
        tabindex: isFirst ? 0 : -1,
        title: spoken,
      },
      element("span", { class: "token-text" }, visibleText(text)),
      this.#bar(shares),
    );
    button.onclick = () => this.#choose(button, text, choices);
    return button;
  }

  /** A bar whose parts are as wide as the shares. Its words are beside it, so readers of words can pass it over. */
  #bar(shares: readonly Share[]): HTMLElement {
    const parts = shares.map(({ expert, share }) => {
      const { colour, striped } = this.#palette.badge(expert);
      const part = element("span", { class: striped ? "striped" : "" });
      // Set through the object model: a style attribute would fall to a strict content policy.
      part.style.flexGrow = String(share);
      part.style.backgroundColor = colour;
      return part;
    });
    return element("span", { class: "bar", "aria-hidden": "true" }, ...parts);
  }

  #showShares(shares: readonly Share[]): void {
    this.#shares.replaceChildren(this.#bar(shares), this.#legend(shares));
  }

  #legend(shares: readonly Share[]): HTMLElement {
    const items = shares.map(({ expert, share }) =>
      element(
        "li",
        {},
        this.badge(expert),
        ` ${this.#palette.nameOf(expert)} `,
        element("b", {}, percent(share)),
      ),
    );
    return element("ul", { class: "legend" }, ...items);
  }

  /** An expert's letter on its colour. */
  badge(expert: string): HTMLElement {
    const { letter, colour, ink, striped } = this.#palette.badge(expert);
    const made = element(
      "span",
      { class: striped ? "badge striped" : "badge", "aria-hidden": "true" },
      letter,
    );
    made.style.backgroundColor = colour;
    made.style.color = ink;
    return made;
  }

  #choose(button: HTMLButtonElement, text: string, choices: readonly RoutedChoice[]): void {
    for (const other of this.#tokens.querySelectorAll("button")) {
      other.setAttribute("aria-pressed", String(other === button));
      other.tabIndex = other === button ? 0 : -1;
    }
    this.#layers.replaceChildren(
      element("h3", {}, `Layers of ${spokenText(text)}`),
      this.#legend(sharesOf(choices)),
      element(
        "div",
        { class: "scroll", role: "region", "aria-label": "Experts by layer", tabindex: 0 },
        this.#layerTable(choices),
      ),
    );
  }

  /** Blocks downwards, a block's layers across, the chosen experts in the cells. */
  #layerTable(choices: readonly RoutedChoice[]): HTMLTableElement {
    const placed = choices.map((choice) => ({ choice, layer: layerOf(choice.module) }));
    // A layer that no expert adapts in one block is in its place where it is in another: the fullest block gives the order.
    const inBlock = (block: number) => placed.filter(({ layer }) => layer.block === block).length;
    const fullestFirst = [...placed].sort((a, b) => inBlock(b.layer.block) - inBlock(a.layer.block));
    const names = [...new Set(fullestFirst.map(({ layer }) => layer.name))];
    const blocks = [...new Set(placed.map(({ layer }) => layer.block))].sort((a, b) => a - b);
    const rows = blocks.map((block) => {
      const cells = names.map((name) => {
        const found = placed.find(({ layer }) => layer.block === block && layer.name === name);
        return element("td", {}, ...(found ? this.#cell(found.choice) : ["–"]));
      });
      return element("tr", {}, element("th", { scope: "row" }, `block ${block}`), ...cells);
    });
    const heads = names.map((name) => element("th", { scope: "col" }, name));
    return element(
      "table",
      {},
      element("thead", {}, element("tr", {}, element("td"), ...heads)),
      element("tbody", {}, ...rows),
    );
  }

  #cell(choice: RoutedChoice): HTMLElement[] {
    return choice.experts.map((expert, index) =>
      element(
        "span",
        { class: "choice", title: this.#palette.nameOf(expert) },
        this.badge(expert),
        element("span", { class: "spoken" }, this.#palette.nameOf(expert)),
        ` ${percent(choice.weights[index] ?? 0)}`,
      ),
    );
  }

  #moveByKey(event: KeyboardEvent): void {
    const buttons = [...this.#tokens.querySelectorAll("button")];
    const current = buttons.indexOf(event.target as HTMLButtonElement);
    const targets: Record<string, number> = {
      ArrowRight: current + 1,
      ArrowLeft: current - 1,
      Home: 0,
      End: buttons.length - 1,
    };
    const target = buttons[targets[event.key] ?? -1];
    if (!target || current < 0) return;
    event.preventDefault();
    target.focus();
    target.click();
  }
}

function visibleText(text: string): string {
  return text === "" ? "·" : text.replaceAll(" ", "␣").replaceAll("\n", "⏎");
}

function spokenText(text: string): string {
  if (text === "") return "no text";
  return text.trim() === "" ? "space" : `“${text}”`;
}
