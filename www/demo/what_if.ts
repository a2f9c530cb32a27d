// What the answer would be with some experts switched off, with one alone, or with none: beside what it is.

import { type Answer, type Gander, GanderError, type GenerateOptions, type StrategyName } from "gander";
import { compare } from "./diff_view.ts";
import { element, say } from "./elements.ts";
import { badgeElement, type Palette } from "./palette.ts";
import { inSentences } from "./sentences.ts";
import { strategiesBeside, wordsFor } from "./strategies.ts";
import { size } from "./units.ts";

/** Before the id of an expert that is to answer alone. */
const ALONE = "alone:";

/** Those options that choose experts. */
type ExpertOptions = Pick<GenerateOptions, "include" | "exclude" | "strategy">;

export class WhatIf {
  readonly element: HTMLElement;
  readonly #model: Gander;
  readonly #palette: Palette;
  readonly #switches = element("div", {
    class: "actions",
    role: "group",
    "aria-label": "Experts of the answer",
  });
  readonly #strategy = element("select", {
    id: "what-if-strategy",
    "aria-describedby": "what-if-explanation",
  });
  readonly #explanation = element("p", { id: "what-if-explanation", class: "muted" });
  readonly #status = element("p", { class: "muted", role: "status" });
  readonly #columns = element("div", { class: "columns" });
  readonly #off = new Set<string>();
  #line = "";
  #answer: Answer | undefined;
  #options: ExpertOptions = {};
  #running: AbortController | undefined;

  constructor(model: Gander, palette: Palette) {
    this.#model = model;
    this.#palette = palette;
    this.#strategy.onchange = () => this.#choose();
    this.element = element(
      "section",
      { class: "what-if", "aria-labelledby": "what-if-title", hidden: true },
      element("h3", { id: "what-if-title" }, "What if?"),
      element(
        "div",
        { class: "card" },
        element("p", {}, "Switch an expert off, and the line is answered again without it."),
        this.#switches,
        element("label", { for: "what-if-strategy" }, "Or answer it another way"),
        this.#strategy,
        this.#explanation,
        this.#status,
      ),
      this.#columns,
    );
  }

  clear(): void {
    this.#running?.abort();
    this.#off.clear();
    this.#answer = undefined;
    this.#columns.replaceChildren();
    this.#status.textContent = "";
    this.element.hidden = true;
  }

  /** Offers variants of an answer, if experts took part in it. */
  offer(line: string, answer: Answer, options: ExpertOptions): void {
    this.clear();
    const experts = answer.routing?.output.shares().map(({ expert }) => expert) ?? [];
    if (experts.length === 0) return;
    this.#line = line;
    this.#answer = answer;
    this.#options = options;
    this.#switches.replaceChildren(...experts.map((expert) => this.#switch(expert)));
    const option = (value: string, text: string) => element("option", { value }, text);
    this.#strategy.replaceChildren(
      option("", "as above"),
      ...strategiesBeside(options.strategy ?? "phatgoose").map((name) => option(name, wordsFor(name).option)),
      ...experts.map((expert) => option(ALONE + expert, `by ${this.#palette.nameOf(expert)} alone`)),
    );
    this.#explanation.textContent = "";
    this.element.hidden = false;
  }

  #switch(expert: string): HTMLButtonElement {
    const badge = this.#palette.badge(expert);
    const button = element("button", { type: "button", class: "switch" }, badgeElement(badge), badge.name);
    const show = () => {
      const isOn = !this.#off.has(expert);
      button.setAttribute("aria-pressed", String(isOn));
      button.title = isOn ? `Switch ${badge.name} off` : `Switch ${badge.name} on again`;
    };
    show();
    button.onclick = () => {
      if (!this.#off.delete(expert)) this.#off.add(expert);
      this.#strategy.value = "";
      show();
      this.#choose();
    };
    return button;
  }

  /** Answers the line as it is now chosen. */
  #choose(): void {
    const chosen = this.#strategy.value;
    const isStrategy = chosen !== "" && !chosen.startsWith(ALONE);
    this.#explanation.textContent = isStrategy ? wordsFor(chosen).explanation : "";
    this.#running?.abort();
    if (isStrategy) {
      this.#run(wordsFor(chosen).title, { ...this.#options, strategy: chosen as StrategyName });
    } else if (chosen !== "") {
      const expert = chosen.slice(ALONE.length);
      this.#run(`With ${this.#palette.nameOf(expert)} alone`, { include: [expert] });
    } else if (this.#off.size > 0) {
      const names = [...this.#off].map(this.#palette.nameOf).join(", ");
      const exclude = [...(this.#options.exclude ?? []), ...this.#off];
      const isNoneLeft = exclude.length >= this.#model.experts.length;
      this.#run(`Without ${names}`, isNoneLeft ? { strategy: "none" } : { exclude });
    } else {
      this.#columns.replaceChildren();
      this.#status.textContent = "";
    }
  }

  async #run(title: string, options: ExpertOptions): Promise<void> {
    const answer = this.#answer;
    if (!answer) return;
    const control = new AbortController();
    this.#running = control;
    say(this.#status, "Answering again …");
    try {
      const other = await this.#model.generate(this.#line, {
        ...options,
        trace: true,
        signal: control.signal,
        onProgress: ({ loaded, total }) =>
          say(this.#status, `Fetching experts: ${size(loaded)} of ${size(total ?? 0)}`),
      });
      if (control.signal.aborted) return;
      const { before, after, isChanged } = compare(textOf(answer), textOf(other));
      say(this.#status, isChanged ? "The answer is another." : "The answer is the same.");
      this.#columns.replaceChildren(
        this.#column("As it was asked", before, answer),
        this.#column(title, after, other),
      );
    } catch (error) {
      if (error instanceof GanderError && error.code === "aborted") return;
      // Not every catalogue has what every strategy needs.
      say(this.#status, `${title}: not here. ${error instanceof Error ? error.message : error}`);
      this.#columns.replaceChildren();
    }
  }

  #column(title: string, text: Node[], { routing }: Answer): HTMLElement {
    const map = element("gander-routing");
    map.experts = this.#model.experts;
    map.trace = routing ?? null;
    const sentences = routing ? inSentences(routing.explain({ nameOf: this.#palette.nameOf })) : "";
    return element(
      "article",
      { class: "card" },
      element("h4", {}, title),
      element("p", { class: "output" }, ...text),
      element("p", { class: "sentences" }, sentences),
      map,
    );
  }
}

function textOf({ text, outputIds }: Answer): string {
  return text ?? outputIds.join(" ");
}
