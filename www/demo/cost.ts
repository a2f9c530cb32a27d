// What an answer cost: what was fetched for it and when, what was computed, where, and how much memory that takes.

import type { LoadedDevice, Stats } from "gander";
import type { CostRecord, Transfer } from "./cost_record.ts";
import { byId, element, scrollBox } from "./elements.ts";
import type { Loaded } from "./loading.ts";
import { memoryInUse } from "./memory.ts";
import { counted, size } from "./units.ts";

/** So many experts of a download are named, and one more rather than "1 more". */
const MOST_NAMES = 2;

export class CostView {
  readonly #section = byId("cost");
  readonly #body = byId("cost-body");
  #loaded: Loaded | undefined;
  #loading: CostRecord | undefined;
  /** Pages of experts, since the model was loaded. */
  #bytesFetched = 0;

  setModel(loaded: Loaded, loading: CostRecord): void {
    this.#loaded = loaded;
    this.#loading = loading;
    this.#bytesFetched = 0;
    this.clear();
  }

  clear(): void {
    this.#section.hidden = true;
  }

  show(stats: Stats, record: CostRecord): void {
    if (!this.#loaded) return;
    this.#bytesFetched += stats.bytesFetched;
    const memory = element("dd", {}, "being measured …");
    const all = this.#loaded.model.experts.reduce((sum, expert) => sum + expert.bytes, 0);
    this.#body.replaceChildren(
      this.#facts(stats, memory),
      ...(all > 0 ? [this.#bytes(stats, all)] : []),
      this.#waterfall("While it answered", record, stats.milliseconds),
    );
    if (this.#loading) {
      const details = element("details", {}, element("summary", {}, "While the model was loaded"));
      details.append(this.#waterfall("While the model was loaded", this.#loading));
      this.#body.append(details);
    }
    this.#section.hidden = false;
    memoryInUse().then((words) => {
      memory.textContent = words;
    });
  }

  #facts(stats: Stats, memory: HTMLElement): HTMLElement {
    const speed = (stats.tokens * 1000) / Math.max(stats.milliseconds, 1);
    const fact = (name: string, value: string | HTMLElement) =>
      element(
        "div",
        {},
        element("dt", {}, name),
        value instanceof HTMLElement ? value : element("dd", {}, value),
      );
    const facts = [
      fact("Speed", `${speed.toFixed(0)} tokens per second`),
      fact("First token", `after ${stats.firstTokenMilliseconds.toFixed(0)} ms`),
      fact("Runs of the model", `${stats.passes}, for ${counted(stats.tokens, "token")}`),
      fact("Pages wanted", `${stats.pagesWanted}, ${size(stats.bytesWanted)}`),
      fact("Pages fetched", `${stats.pagesFetched}, ${size(stats.bytesFetched)}`),
      fact("From earlier visits", `${stats.pagesFromCache}, ${size(stats.bytesFromCache)}`),
      fact("Waited for pages", `${stats.waitMilliseconds.toFixed(0)} ms`),
      ...(stats.pagesSkipped > 0 ? [fact("Pages done without", String(stats.pagesSkipped))] : []),
      fact("Memory of the page", memory),
      ...(this.#loaded ? [fact("Device", deviceFact(this.#loaded.model.device))] : []),
    ];
    this.#addCache(facts);
    return element("dl", { class: "facts card" }, ...facts);
  }

  /** Where the package keeps files between visits, how much that is and a way to be rid of it. */
  #addCache(facts: HTMLElement[]): void {
    const cache = this.#loaded?.model.cache;
    if (!cache) return;
    const value = element("dd", {}, "…");
    facts.push(element("div", {}, element("dt", {}, "Kept for the next visit"), value));
    const show = async (): Promise<void> => {
      const { kind, bytes, entries, problem } = await cache.usage();
      const clear = element("button", { type: "button", class: "small" }, "Clear");
      clear.onclick = () => cache.clear().then(show);
      const where = kind === "browser" ? "" : ", in memory alone";
      value.replaceChildren(`${size(bytes)} in ${counted(entries, "piece")}${where} `, clear);
      if (problem) value.append(element("p", { class: "muted" }, problem));
    };
    show().catch((error) => {
      value.textContent = error instanceof Error ? error.message : String(error);
    });
  }

  /** How little of the experts was needed. */
  #bytes(stats: Stats, all: number): HTMLElement {
    const row = (name: string, bytes: number) => {
      const part = element("span", { class: "part" });
      part.style.width = `${Math.min(100, (bytes / all) * 100)}%`;
      return element(
        "div",
        { class: "measure" },
        element("span", {}, name),
        element("span", { class: "track", "aria-hidden": "true" }, part),
        element("span", { class: "number" }, size(bytes)),
      );
    };
    return element(
      "div",
      { class: "measures" },
      row("For this answer", stats.bytesFetched),
      row("Fetched so far", this.#bytesFetched),
      row("All experts", all),
    );
  }

  /** A row for each download, its time as a bar under the same scale. */
  #waterfall(title: string, record: CostRecord, milliseconds?: number): HTMLElement {
    const last = Math.max(0, ...record.transfers.map(({ end }) => end));
    const whole = Math.max(milliseconds ?? 0, last, 1);
    const rows = record.transfers.map((transfer) => this.#transferRow(transfer, whole));
    if (rows.length === 0) {
      const words = "Nothing was fetched: every page was there already.";
      rows.push(element("tr", {}, element("td", { colspan: 3, class: "muted" }, words)));
    }
    if (record.tokens.length > 0) rows.push(tokenRow(record, whole));
    const head = ["What", "Size", "When"].map((name) => element("th", { scope: "col" }, name));
    head.at(-1)?.append(element("span", { class: "muted" }, ` 0 to ${whole.toFixed(0)} ms`));
    const table = element(
      "table",
      { class: "waterfall" },
      element("caption", { class: "spoken" }, title),
      element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...rows),
    );
    return scrollBox(title, table);
  }

  #transferRow({ what, phase, start, end, bytes, isComplete }: Transfer, whole: number): HTMLElement {
    const names = phase === "pages" ? what.map((id) => this.#loaded?.palette.nameOf(id) ?? id) : what;
    const bar = element("span", { class: isComplete ? `bar-${phase}` : "bar-broken" });
    place(bar, start, Math.max(end - start, whole / 200), whole);
    const words = `from ${start.toFixed(0)} to ${end.toFixed(0)} ms${isComplete ? "" : ", not to its end"}`;
    return element(
      "tr",
      {},
      element("th", { scope: "row", title: names.join(", ") }, fewOf(names)),
      element("td", {}, size(bytes)),
      element(
        "td",
        { title: words },
        element("span", { class: "spoken" }, words),
        element("span", { class: "track", "aria-hidden": "true" }, bar),
      ),
    );
  }
}

/** A first run may want pages of all experts. */
function fewOf(names: readonly string[]): string {
  const more = names.length - MOST_NAMES;
  if (more <= 1) return names.join(", ");
  return `${names.slice(0, MOST_NAMES).join(", ")} and ${more} more`;
}

function tokenRow({ tokens }: CostRecord, whole: number): HTMLElement {
  const marks = tokens.map((time) => {
    const mark = element("span", { class: "bar-token" });
    place(mark, time, 0, whole);
    return mark;
  });
  const words = `the first at ${tokens[0]?.toFixed(0)} ms, the last at ${tokens.at(-1)?.toFixed(0)} ms`;
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, "Tokens"),
    element("td", {}, String(tokens.length)),
    element(
      "td",
      { title: words },
      element("span", { class: "spoken" }, words),
      element("span", { class: "track", "aria-hidden": "true" }, ...marks),
    ),
  );
}

/** Set through the object model: a style attribute would fall to the page's content policy. */
function place(bar: HTMLElement, start: number, length: number, whole: number): void {
  bar.style.left = `${(start / whole) * 100}%`;
  if (length > 0) bar.style.width = `${(length / whole) * 100}%`;
}

const deviceNames: Record<LoadedDevice["name"], string> = {
  cpu: "on the processor",
  webgpu: "on the graphics card, by WebGPU",
  "webgpu+cpu": "on the graphics card, by WebGPU, and on the processor",
};

export function deviceInWords({ name, adapter }: LoadedDevice): string {
  return `${deviceNames[name]}${adapter ? ` (${adapter})` : ""}`;
}

/** The reason is the driver's own words, and may be long. */
function deviceFact(device: LoadedDevice): HTMLElement {
  const why = element("details", {}, element("summary", {}, "Why there"));
  why.append(element("p", { class: "muted" }, device.reason));
  return element("dd", {}, deviceInWords(device), why);
}
