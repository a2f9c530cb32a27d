// Loads a model and shows how far that is.

import { type DeviceName, Gander, type Progress } from "gander";
import type { CostRecord } from "./cost_record.ts";
import { byId, say } from "./elements.ts";
import { Palette } from "./palette.ts";
import { size } from "./units.ts";

/** A model with its catalogues, and where they came from. */
export interface Loaded {
  model: Gander;
  palette: Palette;
  base: string;
  catalogues: string[];
}

/** @throws GanderError those of `Gander.load` */
export async function load(
  base: string,
  catalogues: string[],
  device: DeviceName,
  record: CostRecord,
): Promise<Loaded> {
  const reported = new Map<string, Progress>();
  byId("loading").hidden = false;
  try {
    const onProgress = (report: Progress) => {
      reported.set(`${report.phase} ${report.file}`, report);
      record.report(report);
      showLoading([...reported.values()]);
    };
    const model = await Gander.load({ base, experts: catalogues, device, onProgress });
    return { model, palette: new Palette(model.experts), base, catalogues };
  } finally {
    byId("loading").hidden = true;
  }
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
