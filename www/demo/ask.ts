// One line and its answer: asked, streamed, compared with the line, explained, counted and judged.

import type { Answer, Progress } from "gander";
import type { CostView } from "./cost.ts";
import { CostRecord } from "./cost_record.ts";
import { compare } from "./diff_view.ts";
import { byId, element, say } from "./elements.ts";
import type { ExpertChoice } from "./expert_choice.ts";
import { hideFailure, showFailure } from "./failure_box.ts";
import type { JudgeForm } from "./judge.ts";
import type { Loaded } from "./loading.ts";
import { size } from "./units.ts";
import type { Usage } from "./usage.ts";
import type { Why } from "./why.ts";

/** What an answer touches beside its own view. */
export interface AskParts {
  choice: ExpertChoice;
  cost: CostView;
  judge: JudgeForm;
  usage: Usage;
  /** Several lines were pasted where one is asked for. */
  onLines: (text: string) => void;
  /** The model may have moved to another device. */
  onDevice: () => void;
}

export class AskView {
  readonly #parts: AskParts;
  readonly #line = byId<HTMLInputElement>("line");
  readonly #run = byId<HTMLButtonElement>("run");
  readonly #stop = byId<HTMLButtonElement>("stop");
  readonly #again = byId<HTMLButtonElement>("again");
  readonly #copy = byId<HTMLButtonElement>("copy");
  readonly #output = byId("output");
  readonly #progress = byId("progress");
  #loaded: Loaded | undefined;
  #why: Why | undefined;
  #running: AbortController | undefined;
  /** The line that the answer below belongs to. */
  #asked = "";

  constructor(parts: AskParts) {
    this.#parts = parts;
    byId<HTMLFormElement>("form").onsubmit = (event) => {
      event.preventDefault();
      this.answer(this.#line.value);
    };
    this.#stop.onclick = () => this.#running?.abort();
    this.#again.onclick = () => this.answer(this.#asked);
    byId("edit").onclick = () => {
      this.#line.value = this.#asked;
      this.#line.focus();
      this.#line.select();
    };
    this.#copy.onclick = () => this.#copyAnswer();
    this.#line.onpaste = (event) => this.#takeLines(event);
  }

  setModel(loaded: Loaded, why: Why): void {
    this.#running?.abort();
    this.#loaded = loaded;
    this.#why = why;
    byId("answer").hidden = true;
    this.#showRunning(false);
  }

  /** Offers a line of each kind. */
  showExamples(lines: readonly { text: string; kinds: readonly string[] }[]): void {
    const isFirstOfItsKinds = ({ kinds }: { kinds: readonly string[] }, index: number) =>
      lines.findIndex((other) => `${other.kinds}` === `${kinds}`) === index;
    const buttons = lines.filter(isFirstOfItsKinds).map(({ text, kinds }) => {
      const attributes = { type: "button", disabled: !this.#loaded, title: kinds.join(", ") };
      const button = element("button", attributes, text);
      button.onclick = () => this.take(text);
      return button;
    });
    byId("examples").replaceChildren(...buttons);
  }

  /** Asks a line that comes from elsewhere. */
  take(text: string): Promise<void> {
    this.#line.value = text;
    return this.answer(text);
  }

  async answer(text: string): Promise<void> {
    if (!this.#loaded || this.#running) return;
    const { model } = this.#loaded;
    const control = new AbortController();
    const record = new CostRecord();
    const { choice } = this.#parts;
    const excluded = choice.excluded;
    this.#running = control;
    this.#begin(text);
    try {
      const generation = model.generate(text, {
        ...choice.options(),
        trace: true,
        signal: control.signal,
        onProgress: (report) => {
          record.report(report);
          this.#showPages(report);
        },
      });
      for await (const piece of generation) {
        record.token();
        this.#output.append(piece.text);
        say(this.#progress, "Writing …");
        this.#why?.add(piece);
      }
      this.#finish(text, await generation, record, excluded);
    } catch (error) {
      if (control.signal.aborted) {
        this.#progress.textContent = "Stopped.";
      } else {
        this.#progress.textContent = "";
        showFailure(error, () => this.answer(text));
        this.#parts.onDevice();
      }
    } finally {
      this.#running = undefined;
      this.#output.removeAttribute("aria-busy");
      this.#showRunning(false);
    }
  }

  #begin(text: string): void {
    this.#asked = text;
    this.#showRunning(true);
    hideFailure();
    byId("answer").hidden = false;
    byId("original").hidden = true;
    byId("changes").textContent = "";
    this.#output.textContent = "";
    // Read out once it is whole, not letter by letter.
    this.#output.setAttribute("aria-busy", "true");
    this.#progress.textContent = "Reading the line …";
    this.#why?.clear();
    this.#parts.cost.clear();
    this.#parts.judge.clear();
  }

  #finish(text: string, answer: Answer, record: CostRecord, excluded: string[]): void {
    const loaded = this.#loaded;
    if (!loaded) return;
    if (answer.text !== null) this.#showChanges(text, answer.text);
    this.#progress.textContent = summary(answer);
    this.#parts.cost.show(answer.stats, record);
    this.#why?.finish(text, answer, this.#parts.choice.options());
    // The input's choices read the line; the output's wrote the answer, which is what is judged.
    const shares = answer.routing?.output.shares() ?? [];
    this.#parts.usage.add(shares);
    const { stats, text: written } = answer;
    this.#parts.judge.begin({
      input: text,
      answer: written ?? answer.outputIds.join(" "),
      shares,
      excluded,
      catalogue: loaded.catalogues.join(" "),
      base: loaded.model.base.fingerprint,
      device: loaded.model.device.name,
      stats,
      routing: [...(answer.routing ?? [])],
    });
  }

  #showChanges(line: string, answer: string): void {
    const { before, after, words, isChanged } = compare(line, answer);
    byId("original").replaceChildren(element("span", { class: "spoken" }, "The line was: "), ...before);
    byId("original").hidden = !isChanged;
    this.#output.replaceChildren(...after);
    byId("changes").textContent = words;
  }

  #showPages({ file, loaded, total }: Progress): void {
    const { palette } = this.#loaded ?? {};
    const names = file.split(", ").map((id) => palette?.nameOf(id) ?? id);
    this.#progress.textContent = `The router asks for ${names.join(", ")}: ${size(loaded)} of ${size(total ?? 0)}`;
  }

  #showRunning(isRunning: boolean): void {
    const focused = document.activeElement;
    const isReady = this.#loaded !== undefined;
    this.#run.disabled = !isReady || isRunning;
    this.#stop.disabled = !isRunning;
    this.#again.disabled = isRunning;
    this.#copy.disabled = isRunning;
    // A button that is switched off must not take the keyboard's place on the page with it.
    if (isRunning && (focused === this.#run || focused === this.#again)) this.#stop.focus();
    if (!isRunning && focused === this.#stop) this.#run.focus();
    for (const button of byId("examples").querySelectorAll("button")) button.disabled = !isReady || isRunning;
  }

  async #copyAnswer(): Promise<void> {
    const written = await navigator.clipboard.writeText(this.#output.textContent ?? "").then(
      () => "Copied",
      () => "The browser does not allow it",
    );
    this.#copy.textContent = written;
    setTimeout(() => {
      this.#copy.textContent = "Copy";
    }, 1500);
  }

  #takeLines(event: ClipboardEvent): void {
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (!/[\r\n]/.test(text.trim())) return;
    event.preventDefault();
    this.#parts.onLines(text);
  }
}

function summary({ stats, finish }: Answer): string {
  const speed = (stats.tokens * 1000) / Math.max(stats.milliseconds, 1);
  const { pagesFetched: fetched, pagesFromCache: kept } = stats;
  const parts = [
    `${stats.tokens} tokens in ${(stats.milliseconds / 1000).toFixed(2)} s (${speed.toFixed(0)} per s)`,
    fetched > 0 ? `${fetched} pages of experts fetched, ${size(stats.bytesFetched)}` : "nothing fetched",
    ...(kept > 0 ? [`${kept} were kept from before`] : []),
  ];
  if (finish === "length") parts.push("cut at the longest length");
  return `${parts.join("; ")}.`;
}
