// What the judgements say: in all, by expert, over time; and the judgements themselves, to be exported or removed.

import { byId, element, scrollBox } from "./elements.ts";
import { thumb } from "./icons.ts";
import { allJudgements, exportJudgements, removeAllJudgements, removeJudgement } from "./judge_store.ts";
import {
  byExpert,
  disputedInputs,
  helpfulRate,
  type Judgement,
  overTime,
  type Rate,
  targetOf,
} from "./judgements.ts";
import type { Palette } from "./palette.ts";
import { rateBar, rateInWords } from "./rate_bar.ts";
import { saveFile } from "./save_file.ts";
import { percent } from "./shares.ts";
import { counted } from "./units.ts";

/** So many of the latest are listed; all are counted and exported. */
const MOST_LISTED = 50;

export class Dashboard {
  readonly #place = byId("dashboard");
  #palette: Palette | undefined;

  setPalette(palette: Palette): void {
    this.#palette = palette;
  }

  async show(): Promise<void> {
    let judgements: Judgement[];
    try {
      judgements = await allJudgements();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#place.replaceChildren(
        element("p", { class: "card" }, `This browser window keeps nothing: ${reason}`),
      );
      return;
    }
    if (judgements.length === 0) {
      const empty = "Nothing was judged yet. Below each answer there are two thumbs.";
      this.#place.replaceChildren(
        element("p", { class: "card" }, empty, " ", element("a", { href: "#ask" }, "Ask something")),
      );
      return;
    }
    this.#place.replaceChildren(
      this.#summary(judgements),
      this.#actions(),
      element("h3", {}, "By expert"),
      element(
        "p",
        { class: "muted" },
        "Helpful: of the answers in which the expert had the largest share, with the interval (95 %, Wilson) that the true rate is likely in. Share: of the routed weight, over all judged answers. Disputed: its lines that were judged both ways, or have two right answers.",
      ),
      this.#expertTable(judgements),
      element("h3", {}, "Over time"),
      periodTable(judgements),
      element("h3", {}, judgements.length > MOST_LISTED ? `The latest ${MOST_LISTED}` : "All of them"),
      this.#list(judgements),
    );
  }

  #summary(judgements: Judgement[]): HTMLElement {
    const rate = helpfulRate(judgements);
    const corrected = judgements.filter(({ correction }) => correction !== "").length;
    const disputed = disputedInputs(judgements).size;
    const figure = (value: string, name: string) =>
      element("div", {}, element("dd", {}, value), element("dt", {}, name));
    return element(
      "dl",
      { class: "figures card" },
      figure(String(judgements.length), judgements.length === 1 ? "judgement" : "judgements"),
      figure(percent(rate.rate), `helpful (${Math.round(rate.low * 100)} to ${Math.round(rate.high * 100)})`),
      figure(String(corrected), "corrected"),
      figure(String(disputed), "disputed"),
    );
  }

  #actions(): HTMLElement {
    const download = (text: string, withTargetOnly: boolean) => {
      const button = element("button", { type: "button" }, text);
      button.onclick = async () =>
        saveFile("judgements.jsonl", "application/jsonl", await exportJudgements(withTargetOnly));
      return button;
    };
    const remove = element("button", { type: "button", class: "alarm" }, "Remove all …");
    remove.onclick = async () => {
      // The second click means it.
      if (remove.dataset.armed) await removeAllJudgements().then(() => this.show());
      remove.dataset.armed = "yes";
      remove.textContent = "Really remove all";
    };
    return element(
      "div",
      { class: "actions" },
      download("Download all (JSONL)", false),
      download("Only those with a right answer", true),
      remove,
    );
  }

  #expertTable(judgements: Judgement[]): HTMLElement {
    const rows = byExpert(judgements).map(({ expert, led, share, disagreements }) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, this.#nameOf(expert)),
        element("td", {}, String(led.of)),
        ...rateCells(led),
        element("td", {}, percent(share)),
        element("td", {}, String(disagreements)),
      ),
    );
    return table("Judgements by expert", ["Expert", "Led", "Helpful", "", "Share", "Disputed"], rows);
  }

  #list(judgements: Judgement[]): HTMLElement {
    const items = judgements
      .toReversed()
      .slice(0, MOST_LISTED)
      .map((judgement) => this.#item(judgement));
    return element("ul", { class: "judged" }, ...items);
  }

  #item(judgement: Judgement): HTMLElement {
    const { input, answer, helpful, note, shares, time, id } = judgement;
    const remove = element(
      "button",
      { type: "button", class: "small", "aria-label": `Remove the judgement of ${input}` },
      "Remove",
    );
    remove.onclick = async () => {
      if (id !== undefined) await removeJudgement(id);
      await this.show();
    };
    const target = targetOf(judgement);
    const lead = shares[0];
    const facts = [
      new Date(time).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" }),
      ...(lead ? [`led by ${this.#nameOf(lead.expert)}, ${percent(lead.share)}`] : []),
    ];
    return element(
      "li",
      { class: "card" },
      element(
        "p",
        {},
        thumb(helpful ? "up" : "down"),
        element("span", { class: "spoken" }, helpful ? "Helpful: " : "Not helpful: "),
        element("bdi", {}, input),
        " → ",
        element("b", {}, element("bdi", {}, answer)),
      ),
      ...(target !== undefined && target !== answer
        ? [element("p", {}, "Right would be: ", element("b", {}, element("bdi", {}, target)))]
        : []),
      ...(note ? [element("p", {}, "Note: ", element("bdi", {}, note))] : []),
      element("p", { class: "muted" }, facts.join(" · "), " ", remove),
    );
  }

  #nameOf(expert: string): string {
    return this.#palette?.nameOf(expert) ?? expert;
  }
}

function periodTable(judgements: Judgement[]): HTMLElement {
  const rows = overTime(judgements).map(({ name, helpful }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      element("td", {}, counted(helpful.of, "answer")),
      ...rateCells(helpful),
    ),
  );
  return table("Judgements over time", ["When", "Judged", "Helpful", ""], rows);
}

function rateCells(rate: Rate): HTMLElement[] {
  return [element("td", {}, rateInWords(rate)), element("td", { class: "wide" }, rateBar(rate))];
}

function table(caption: string, heads: string[], rows: HTMLElement[]): HTMLElement {
  // A head without a name stands over a picture of the column before it.
  const cells = heads.map((head) =>
    head === "" ? element("td", {}) : element("th", { scope: "col" }, head),
  );
  return scrollBox(
    caption,
    element(
      "table",
      {},
      element("caption", { class: "spoken" }, caption),
      element("thead", {}, element("tr", {}, ...cells)),
      element("tbody", {}, ...rows),
    ),
  );
}
