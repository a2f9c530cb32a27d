// The demo page, written against the public API alone. Loads the model and hands it to the views.

import type { DeviceName } from "gander";
import { AskView } from "./ask.ts";
import { BatchView } from "./batch.ts";
import { CatalogueView } from "./catalogue.ts";
import { CostView, deviceInWords } from "./cost.ts";
import { CostRecord } from "./cost_record.ts";
import { Dashboard } from "./dashboard.ts";
import { byId } from "./elements.ts";
import { ExpertChoice } from "./expert_choice.ts";
import { hideFailure, showFailure } from "./failure_box.ts";
import { JudgeForm } from "./judge.ts";
import { type Loaded, load } from "./loading.ts";
import { keepPage, startOffline } from "./offline.ts";
import { badgeElement } from "./palette.ts";
import { Usage } from "./usage.ts";
import { goTo, startViews } from "./views.ts";
import { mountWhy } from "./why.ts";

/** `?base=…&experts=…&device=…` tries the page with files from elsewhere, or on another device. */
const parameters = new URLSearchParams(location.search);
const device = (parameters.get("device") ?? "auto") as DeviceName;

let loaded: Loaded | undefined;

const usage = new Usage();
const choice = new ExpertChoice();
const cost = new CostView();
const dashboard = new Dashboard();
const batch = new BatchView({
  choice,
  onAsk: (line) => {
    goTo("ask");
    ask.take(line);
  },
});
const ask: AskView = new AskView({
  choice,
  cost,
  usage,
  judge: new JudgeForm(() => dashboard.show()),
  onLines: (text) => {
    goTo("column");
    batch.useText(text);
  },
  onDevice: showDevice,
});
const catalogue = new CatalogueView({
  choice,
  usage,
  badge: (id) => (loaded ? badgeElement(loaded.palette.badge(id)) : ""),
  onLoad: (url, base) => use(base ?? loaded?.base ?? defaultBase, [url]),
});
choice.onChange = () => catalogue.show();

const defaultBase = parameters.get("base") ?? "./ocean/base.gguf";
const namedCatalogues = parameters.getAll("experts");

/** Loads a model and goes over to it. Until that worked, and if it does not, the page stays with the one before. */
async function use(base: string, experts: string[]): Promise<void> {
  hideFailure();
  const record = new CostRecord();
  const before = loaded;
  try {
    loaded = await load(base, experts, device, record);
  } catch (error) {
    showFailure(error, () => use(base, experts));
    return;
  }
  await usage.open(experts.map((url) => new URL(url, location.href).href).join(" "));
  choice.reset(loaded.model.experts);
  cost.setModel(loaded, record);
  catalogue.setModel(loaded);
  batch.setModel(loaded);
  dashboard.setPalette(loaded.palette);
  ask.setModel(loaded, mountWhy(byId("why"), loaded));
  showDevice();
  keepPage();
  // Last: by now nobody waits for an answer of it.
  await before?.model.dispose();
}

function showDevice(): void {
  if (loaded) byId("device").textContent = `It computes ${deviceInWords(loaded.model.device)}.`;
}

async function showExamples(): Promise<void> {
  const besideBase = new URL("examples.json", new URL(defaultBase, location.href));
  // Whoever brings a base of their own has no examples there, which is nothing to tell of.
  const response = await fetch(besideBase).catch(() => undefined);
  if (!response?.ok) return;
  const { lines } = (await response.json()) as { lines: { text: string; kinds: string[] }[] };
  ask.showExamples(lines);
  batch.setExamples(lines.map(({ text }) => text));
}

startViews((view) => {
  if (view === "judgements") dashboard.show();
  if (view === "catalogue") catalogue.show();
});
await startOffline();
// Examples are a convenience: without them the page still works.
showExamples().catch(console.warn);
batch.restore().catch(console.warn);
await use(defaultBase, namedCatalogues.length > 0 ? namedCatalogues : ["./ocean/catalog.json"]);
