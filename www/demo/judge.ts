// Asks what a person thinks of the answer above it, and keeps that.

import type { RoutedChoice } from "gander";
import { byId, element } from "./elements.ts";
import { thumb } from "./icons.ts";
import { keepJudgement } from "./judge_store.ts";
import type { Judgement } from "./judgements.ts";

/** An answer that can be judged. */
export type Judged = Omit<Judgement, "id" | "time" | "helpful" | "correction" | "note"> & {
  routing: RoutedChoice[];
};

export class JudgeForm {
  readonly #form = byId<HTMLFormElement>("judge");
  /** Called whenever something was kept. */
  readonly #onKept: () => void;

  constructor(onKept: () => void) {
    this.#onKept = onKept;
  }

  clear(): void {
    this.#form.hidden = true;
    this.#form.replaceChildren();
  }

  begin(judged: Judged): void {
    const pressed = { type: "button", "aria-pressed": "false" };
    const yes = element("button", pressed, thumb("up"), "Helpful");
    const no = element("button", pressed, thumb("down"), "Not helpful");
    const correction = element("textarea", { id: "judge-correction", rows: 2, spellcheck: "false" });
    const note = element("input", { id: "judge-note", type: "text" });
    const save = element("button", { type: "submit" }, "Keep");
    const said = element("p", { class: "muted", role: "status" });
    const more = element(
      "div",
      { class: "more", hidden: true },
      element("label", { for: "judge-correction" }, "The right answer, if you know it"),
      correction,
      element("label", { for: "judge-note" }, "A note"),
      note,
      save,
    );
    let helpful: boolean | undefined;
    let id: number | undefined;

    const keep = async (): Promise<void> => {
      if (helpful === undefined) return;
      const { routing, ...facts } = judged;
      const judgement: Judgement = {
        ...(id === undefined ? {} : { id }),
        ...facts,
        time: Date.now(),
        helpful,
        // Left as it was, it corrects nothing.
        correction: correction.value === judged.answer ? "" : correction.value.trim(),
        note: note.value.trim(),
      };
      save.disabled = true;
      try {
        id = await keepJudgement(judgement, routing);
        said.replaceChildren(
          "Kept in this browser, and nowhere else. ",
          element("a", { href: "#judgements" }, "See all"),
        );
        this.#onKept();
      } catch (error) {
        said.textContent = `This browser window keeps nothing: ${error instanceof Error ? error.message : error}`;
      } finally {
        save.disabled = false;
      }
    };
    const judge = (value: boolean) => {
      helpful = value;
      yes.setAttribute("aria-pressed", String(value));
      no.setAttribute("aria-pressed", String(!value));
      if (!value && correction.value === "") correction.value = judged.answer;
      more.hidden = false;
      if (!value) correction.focus();
      // One click is a judgement; what is written below it is added to the same one.
      return keep();
    };
    yes.onclick = () => judge(true);
    no.onclick = () => judge(false);
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      keep();
    };
    this.#form.replaceChildren(
      element("div", { class: "actions", role: "group", "aria-label": "Was this answer helpful?" }, yes, no),
      more,
      said,
    );
    this.#form.hidden = false;
  }
}
