// The catalogue: every expert with what is known of it, to be found, put in order, and left out.

import type { Expert } from "gander";
import { figureNames, figuresOf, isRate, search, sorted } from "./catalogue_rules.ts";
import { byId, element, labelled, say } from "./elements.ts";
import type { ExpertChoice } from "./expert_choice.ts";
import type { Loaded } from "./loading.ts";
import { percent } from "./shares.ts";
import { count, counted, size } from "./units.ts";
import type { Usage } from "./usage.ts";

/** So many are shown at once; catalogues may have thousands. */
const PAGE = 60;

export interface CatalogueParts {
  choice: ExpertChoice;
  usage: Usage;
  /** An expert's letter on its colour. */
  badge: (id: string) => HTMLElement | string;
  onLoad: (catalogue: string, base: string | undefined) => void;
}

export class CatalogueView {
  readonly #parts: CatalogueParts;
  readonly #list = byId("experts");
  readonly #more = byId<HTMLButtonElement>("catalogue-more");
  #loaded: Loaded | undefined;
  #words = "";
  #order = "title";
  #shown = PAGE;

  constructor(parts: CatalogueParts) {
    this.#parts = parts;
    this.#more.onclick = () => {
      this.#shown += PAGE;
      this.show();
    };
    byId<HTMLFormElement>("catalogue-form").onsubmit = (event) => {
      event.preventDefault();
      const base = byId<HTMLInputElement>("catalogue-base").value.trim();
      parts.onLoad(byId<HTMLInputElement>("catalogue-url").value.trim(), base || undefined);
    };
  }

  setModel(loaded: Loaded): void {
    this.#loaded = loaded;
    this.#words = "";
    this.#order = "title";
    this.#shown = PAGE;
    this.#showControls(loaded.model.experts);
    this.show();
  }

  /** Everything that may have changed: the choice, the usage, the search. */
  show(): void {
    if (!this.#loaded) return;
    const { choice, usage } = this.#parts;
    const { experts } = this.#loaded.model;
    const hidden = experts.filter((expert) => choice.isHidden(expert)).length;
    const found = sorted(
      search(experts, this.#words).filter((expert) => !choice.isHidden(expert)),
      this.#order,
      usage.shareOf,
    );
    const items = found.slice(0, this.#shown).map((expert) => this.#card(expert));
    const none = experts.length === 0 ? "The catalogue has none." : "None is like that.";
    this.#list.replaceChildren(...(items.length > 0 ? items : [element("li", { class: "muted" }, none)]));
    this.#more.hidden = found.length <= this.#shown;
    const parts = [`${count(found.length)} of ${counted(experts.length, "expert")}`];
    if (hidden > 0) parts.push(`${count(hidden)} below the figure, and so left out`);
    const off = experts.filter(({ id }) => !choice.isSwitchedOn(id)).length;
    if (off > 0) parts.push(`${count(off)} switched off`);
    say(byId("catalogue-count"), `${parts.join("; ")}.`);
  }

  #showControls(experts: readonly Expert[]): void {
    const { choice } = this.#parts;
    const figures = figureNames(experts);
    const words = element("input", { id: "catalogue-search", type: "search", autocomplete: "off" });
    words.oninput = () => {
      this.#words = words.value;
      this.#shown = PAGE;
      this.show();
    };
    const options = [
      ["title", "name"],
      ["chosen", "chosen here, most first"],
      ["size", "size, largest first"],
      ...figures.map((figure) => [`figure:${figure}`, `${figureTitle(figure)}, highest first`]),
    ];
    const order = element(
      "select",
      { id: "catalogue-order" },
      ...options.map(([value, text]) => element("option", { value: value ?? "" }, text ?? "")),
    );
    order.onchange = () => {
      this.#order = order.value;
      this.show();
    };
    byId("catalogue-controls").replaceChildren(
      labelled("Search", words),
      labelled("Sort by", order),
      ...(figures.length > 0 ? [this.#ruleControls(experts, figures)] : []),
      this.#switches(experts),
    );
    choice.rule = undefined;
  }

  /** "Leave out those below …" */
  #ruleControls(experts: readonly Expert[], figures: string[]): HTMLElement {
    const { choice } = this.#parts;
    const figure = element(
      "select",
      { id: "rule-figure" },
      element("option", { value: "" }, "no figure"),
      ...figures.map((name) => element("option", { value: name }, figureTitle(name))),
    );
    const least = element("input", { id: "rule-least", type: "number", step: "any", min: 0, disabled: true });
    const apply = () => {
      choice.rule =
        figure.value === "" || least.value === ""
          ? undefined
          : { figure: figure.value, least: Number(least.value) };
    };
    figure.onchange = () => {
      least.disabled = figure.value === "";
      least.value = figure.value === "" ? "" : isRate(experts, figure.value) ? "0.5" : "0";
      least.step = isRate(experts, figure.value) ? "0.05" : "any";
      apply();
    };
    least.oninput = apply;
    return element(
      "div",
      { class: "rule" },
      labelled("Hide and leave out below", figure),
      labelled("this value", least),
    );
  }

  #switches(experts: readonly Expert[]): HTMLElement {
    const { choice } = this.#parts;
    const button = (text: string, isOn: boolean) => {
      const made = element("button", { type: "button" }, text);
      made.onclick = () => {
        for (const { id } of experts) choice.switchOn(id, isOn);
      };
      return made;
    };
    const parts = [button("Switch all on", true), button("Switch all off", false)];
    const cache = this.#loaded?.model.cache;
    if (cache && experts.length > 0) {
      const bytes = experts.reduce((sum, expert) => sum + expert.bytes, 0);
      const bring = element("button", { type: "button" }, `Bring all now (${size(bytes)})`);
      bring.onclick = async () => {
        bring.disabled = true;
        const onProgress = ({ loaded }: { loaded: number }) => {
          bring.textContent = `${size(loaded)} of ${size(bytes)}`;
        };
        const ids = experts.map(({ id }) => id);
        bring.textContent = await cache.prefetch(ids, { onProgress }).then(
          () => "All are here",
          (error) => String(error?.message ?? error),
        );
      };
      parts.push(bring);
    }
    return element("div", { class: "actions" }, ...parts);
  }

  #card(expert: Expert): HTMLElement {
    const { choice, usage, badge } = this.#parts;
    const isOn = choice.isSwitchedOn(expert.id);
    const name = expert.title || expert.id;
    const used = element("input", { type: "checkbox", checked: isOn, "aria-label": `Use ${name}` });
    used.onchange = () => choice.switchOn(expert.id, used.checked);
    const share = usage.shareOf(expert.id);
    const chosen =
      usage.answers === 0 ? "not asked yet" : `${percent(share)} of ${counted(usage.answers, "answer")}`;
    const part = element("span", { class: "part" });
    part.style.width = `${share * 100}%`;
    return element(
      "li",
      { class: isOn ? "" : "off" },
      element(
        "p",
        { class: "expert-title" },
        badge(expert.id),
        element("b", {}, element("bdi", {}, name)),
        element("label", { class: "switch" }, used, "use"),
      ),
      element("p", {}, element("bdi", {}, expert.description)),
      figureTable(expert),
      element(
        "div",
        { class: "measure" },
        element("span", {}, "Chosen here"),
        element("span", { class: "track", "aria-hidden": "true" }, part),
        element("span", { class: "number" }, chosen),
      ),
      element(
        "p",
        { class: "muted" },
        element("bdi", {}, [expert.licence, ...expert.tags].filter(Boolean).join(" · ")),
        ` · ${size(expert.bytes)} in ${counted(expert.pages, "page")}`,
      ),
      ...(expert.source ? [element("p", { class: "muted" }, "Source: ", sourceOf(expert.source))] : []),
    );
  }
}

function figureTable(expert: Expert): HTMLElement {
  const figures = figuresOf(expert).map(([name, value]) =>
    element(
      "div",
      {},
      element("dt", {}, element("bdi", {}, figureTitle(name))),
      element("dd", {}, figureInWords(value)),
    ),
  );
  if (figures.length === 0) return element("p", { class: "muted" }, "No figures were published.");
  return element("dl", { class: "expert-figures" }, ...figures);
}

/** `routed_exact` as "routed exact": the names are the catalogue's own. */
function figureTitle(name: string): string {
  return name.replaceAll("_", " ");
}

function figureInWords(value: number): string {
  return Number.isInteger(value) && value > 1 ? count(value) : String(Number(value.toPrecision(3)));
}

/** A web address becomes a link; whatever else stands there is text. */
function sourceOf(source: string): HTMLElement {
  const isWeb = /^https?:\/\//i.test(source) && URL.canParse(source);
  if (!isWeb) return element("bdi", {}, source);
  return element(
    "a",
    { href: source, rel: "noopener noreferrer nofollow", target: "_blank" },
    element("bdi", {}, source),
  );
}
