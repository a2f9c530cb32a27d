// What stands beside the map in words: one place, the legend, and a table for those whom a map does not serve.

import { percent } from "../explain.ts";
import type { ExpertShare, RoutingTable } from "../routing_table.ts";
import { make } from "./make.ts";
import type { Badge, ExpertPalette, Pattern } from "./palette.ts";
import { nextAt, type Place, rowInWords, sharesAt, spokenText, visibleText } from "./words.ts";

/** An expert's letter on its colour and pattern, with the class `badge`. Its name is to stand beside it. */
export function badgeElement(badge: Badge): HTMLElement {
  const made = make("span", "badge", badge.letter);
  made.setAttribute("aria-hidden", "true");
  paint(made, badge);
  made.style.color = badge.ink;
  if (badge.pattern !== "plain") {
    // A letter is not read on white marks: it has a ground of its own.
    const { backgroundImage, backgroundSize } = made.style;
    made.style.backgroundImage = `linear-gradient(${badge.colour} 0 0), ${backgroundImage}`;
    made.style.backgroundSize = `calc(100% - 0.6rem) 100%, ${backgroundSize}`;
    made.style.backgroundPosition = "center";
    made.style.backgroundRepeat = "no-repeat, repeat";
  }
  return made;
}

const marks = "rgb(255 255 255 / 70%)";
const patternImages: Record<Pattern, [image: string, size: string]> = {
  plain: ["none", "auto"],
  stripes: [`repeating-linear-gradient(135deg, transparent 0 3px, ${marks} 3px 4.5px)`, "auto"],
  dots: [`radial-gradient(${marks} 1px, transparent 1.2px)`, "4px 4px"],
  grid: [
    `repeating-linear-gradient(transparent 0 3px, ${marks} 3px 4.5px), repeating-linear-gradient(90deg, transparent 0 3px, ${marks} 3px 4.5px)`,
    "auto",
  ],
};

/** Gives an element an expert's colour and pattern. Through the object model: a style attribute would fall to a strict content policy. */
export function paint(element: HTMLElement, { colour, pattern }: Badge): void {
  const [image, size] = patternImages[pattern];
  element.style.backgroundColor = colour;
  element.style.backgroundImage = image;
  element.style.backgroundSize = size;
}

/** The experts of one place, with their weights. */
export function placeDetails(table: RoutingTable, place: Place, palette: ExpertPalette): Node[] {
  const token = table.tokens[place.token];
  if (!token) return [];
  const shares = sharesAt(table, place);
  const where = make(
    "p",
    "where",
    make("span", "token", visibleText(token)),
    `, ${rowInWords(table, place.row)}`,
  );
  const position = `token ${place.token + 1} of ${table.tokens.length}`;
  const module = place.row === 0 ? position : `${position} · ${table.modules[place.row - 1]}`;
  const weights = shares.map(({ expert, share }) => {
    const badge = palette.badge(expert);
    const bar = make("div", "bar");
    bar.style.width = `${share * 100}%`;
    paint(bar, badge);
    return make(
      "li",
      "",
      badgeElement(badge),
      make("span", "name", badge.name),
      make("span", "number", percent(share)),
      bar,
    );
  });
  return [
    where,
    make("p", "module", module),
    weights.length > 0
      ? make("ul", "weights", ...weights)
      : make("p", "", "No expert here: the base model computes alone."),
    ...runnersUp(table, place, palette),
  ];
}

/** Who would have been next in a cell, and with what weight. */
function runnersUp(table: RoutingTable, place: Place, palette: ExpertPalette): Node[] {
  const next = nextAt(table, place);
  if (next.length === 0) return [];
  const items = next.map(({ expert, weight }) => {
    const { name } = palette.badge(expert);
    return make("li", "", make("span", "name", name), make("span", "number", percent(weight)));
  });
  const title = make("p", "next", "Not chosen, with the weight that each would have had as one more:");
  return [title, make("ul", "next", ...items)];
}

/** The experts of a table, largest share first, as buttons that show where each one is. */
export function legend(
  shares: readonly ExpertShare[],
  palette: ExpertPalette,
  onHighlight: (expert: string | undefined) => void,
): HTMLElement[] {
  const buttons = shares.map(({ expert, share }) => {
    const badge = palette.badge(expert);
    const button = make(
      "button",
      "",
      badgeElement(badge),
      make("span", "name", badge.name),
      make("span", "number", percent(share)),
    );
    button.type = "button";
    button.title = `Show ${badge.name} alone`;
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const isOn = button.getAttribute("aria-pressed") !== "true";
      for (const other of buttons) other.setAttribute("aria-pressed", String(isOn && other === button));
      onHighlight(isOn ? expert : undefined);
    });
    return button;
  });
  return buttons.map((button) => make("li", "", button));
}

/** Every token with its experts over all layers. */
export function shareTable(table: RoutingTable, palette: ExpertPalette): HTMLTableElement {
  const head = ["Token", "Text", "Experts over all layers"].map((title) => {
    const cell = make("th", "", title);
    cell.scope = "col";
    return cell;
  });
  const rows = table.tokens.map((token, index) => {
    const number = make("th", "", String(index + 1));
    number.scope = "row";
    const named = table
      .byToken(index)
      .map(({ expert, share }) => `${palette.nameOf(expert)} ${percent(share)}`);
    const text = make("td", "", spokenText(token));
    return make("tr", "", number, text, make("td", "", named.join(", ") || "the base model alone"));
  });
  return make("table", "", make("thead", "", make("tr", "", ...head)), make("tbody", "", ...rows));
}
