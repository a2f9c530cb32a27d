// The demo page, written against the public API alone.

import { type DeviceName, type Expert, Gander, GanderError, type LoadedDevice, type Progress } from "gander";
import { byId, element, say } from "./elements.ts";
import { explain } from "./failures.ts";
import { Palette } from "./palette.ts";
import { RoutingView } from "./routing_view.ts";

const form = byId<HTMLFormElement>("form");
const line = byId<HTMLInputElement>("line");
const run = byId<HTMLButtonElement>("run");
const stop = byId<HTMLButtonElement>("stop");
const output = byId("output");
const progress = byId("progress");

let model: Gander | undefined;
let palette = new Palette([]);
let view = new RoutingView(palette);
let running: AbortController | undefined;

/** `?base=…&experts=…&device=…` tries the page with files from elsewhere, or on another device. */
const parameters = new URLSearchParams(location.search);
const base = parameters.get("base") ?? "./ocean/base.gguf";
const experts = parameters.get("experts") ?? "./ocean/catalog.json";
const device = (parameters.get("device") ?? "auto") as DeviceName;

async function load(): Promise<void> {
  byId("failure").hidden = true;
  byId("loading").hidden = false;
  const reported = new Map<string, Progress>();
  try {
    model = await Gander.load({
      base,
      experts,
      device,
      onProgress: (report) => {
        reported.set(`${report.phase} ${report.file}`, report);
        showLoading([...reported.values()]);
      },
    });
  } catch (error) {
    byId("loading").hidden = true;
    showFailure(error, load);
    return;
  }
  byId("loading").hidden = true;
  palette = new Palette(model.experts);
  view = new RoutingView(palette);
  showExperts(model.experts);
  showDevice(model.device);
  showRunning(false);
}

function showLoading(reports: Progress[]): void {
  const loaded = reports.reduce((sum, report) => sum + report.loaded, 0);
  const isTotalKnown = reports.every((report) => report.total !== null);
  const total = reports.reduce((sum, report) => sum + (report.total ?? 0), 0);
  const bar = byId<HTMLProgressElement>("loading-progress");
  if (isTotalKnown && total > 0) {
    bar.max = total;
    bar.value = loaded;
  } else {
    bar.removeAttribute("value");
  }
  const isComplete = total > 0 && loaded === total;
  // The size changes many times a second and is not read out.
  say(byId("loading-text"), isComplete ? "Unpacking the model …" : "Loading the model …");
  byId("loading-size").textContent = isTotalKnown ? `${size(loaded)} of ${size(total)}` : size(loaded);
}

async function answer(text: string): Promise<void> {
  if (!model || running) return;
  const control = new AbortController();
  running = control;
  showRunning(true);
  byId("failure").hidden = true;
  byId("answer").hidden = false;
  output.textContent = "";
  // Read out once it is whole, not letter by letter.
  output.setAttribute("aria-busy", "true");
  progress.textContent = "Reading the line …";
  view.clear();
  try {
    const generation = model.generate(text, {
      trace: true,
      signal: control.signal,
      onProgress: showPages,
    });
    for await (const piece of generation) {
      output.append(piece.text);
      say(progress, "Writing …");
      view.add(piece);
    }
    const whole = await generation;
    if (whole.text !== null) output.textContent = whole.text;
    progress.textContent = summary(whole);
  } catch (error) {
    if (error instanceof GanderError && error.code === "aborted") {
      progress.textContent = "Stopped.";
    } else {
      progress.textContent = "";
      showFailure(error, () => answer(text));
      // It may have moved.
      showDevice(model.device);
    }
  } finally {
    running = undefined;
    output.removeAttribute("aria-busy");
    showRunning(false);
  }
}

function showPages({ file, loaded, total }: Progress): void {
  const names = file.split(", ").map(palette.nameOf).join(", ");
  progress.textContent = `The router asks for ${names}: ${size(loaded)} of ${size(total ?? 0)}`;
}

function summary({ stats, finish }: Awaited<ReturnType<Gander["generate"]>>): string {
  const speed = (stats.tokens * 1000) / Math.max(stats.milliseconds, 1);
  const parts = [
    `${stats.tokens} tokens in ${(stats.milliseconds / 1000).toFixed(2)} s (${speed.toFixed(0)} per s)`,
  ];
  const fetched = stats.pagesFetched;
  parts.push(
    fetched > 0 ? `${fetched} pages of experts fetched, ${size(stats.bytesFetched)}` : "nothing fetched",
  );
  if (finish === "length") parts.push("cut at the longest length");
  return `${parts.join("; ")}.`;
}

const deviceNames: Record<LoadedDevice["name"], string> = {
  cpu: "on the processor",
  webgpu: "on the graphics card, by WebGPU",
  "webgpu+cpu": "on the graphics card, by WebGPU, and on the processor",
};

function showDevice({ name, reason, adapter }: LoadedDevice): void {
  byId("device").textContent = `It computes ${deviceNames[name]}${adapter ? ` (${adapter})` : ""}.`;
  byId("device").title = reason;
}

function showRunning(isRunning: boolean): void {
  const focused = document.activeElement;
  line.disabled = !model;
  run.disabled = !model || isRunning;
  stop.disabled = !isRunning;
  // A button that is switched off must not take the keyboard's place on the page with it.
  if (isRunning && focused === run) stop.focus();
  if (!isRunning && focused === stop) run.focus();
  for (const button of byId("examples").querySelectorAll("button")) button.disabled = !model || isRunning;
}

function showFailure(error: unknown, retry: () => void): void {
  const { title, advice, details } = explain(error);
  byId("failure-title").textContent = title;
  byId("failure-advice").textContent = advice;
  byId("failure-details").textContent = details;
  byId("retry").onclick = () => {
    byId("failure").hidden = true;
    retry();
  };
  byId("failure").hidden = false;
}

function showExperts(list: readonly Expert[]): void {
  const items = list.map((expert) =>
    element(
      "li",
      {},
      element(
        "p",
        { class: "expert-title" },
        view.badge(expert.id),
        element("b", {}, ` ${expert.title || expert.id}`),
        element("span", { class: "muted" }, ` ${size(expert.bytes)}`),
      ),
      element("p", {}, expert.description),
      element("p", { class: "muted" }, [expert.licence, ...expert.tags].filter(Boolean).join(" · ")),
    ),
  );
  byId("experts").replaceChildren(
    ...(items.length > 0 ? items : [element("li", { class: "muted" }, "The catalogue has none.")]),
  );
}

async function showExamples(): Promise<void> {
  const response = await fetch("./ocean/examples.json").catch(() => undefined);
  if (!response?.ok) return;
  const { lines } = (await response.json()) as { lines: { text: string; kinds: string[] }[] };
  const isFirstOfItsKinds = ({ kinds }: { kinds: string[] }, index: number) =>
    lines.findIndex((other) => `${other.kinds}` === `${kinds}`) === index;
  const buttons = lines.filter(isFirstOfItsKinds).map(({ text, kinds }) => {
    const button = element("button", { type: "button", disabled: !model, title: kinds.join(", ") }, text);
    button.onclick = () => {
      line.value = text;
      answer(text);
    };
    return button;
  });
  byId("examples").replaceChildren(...buttons);
}

function size(bytes: number): string {
  return bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} KB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

form.onsubmit = (event) => {
  event.preventDefault();
  answer(line.value);
};
stop.onclick = () => running?.abort();

// Examples are a convenience: without them the page still works.
showExamples().catch(console.warn);
load();
