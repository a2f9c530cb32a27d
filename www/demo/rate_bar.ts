// A rate as a mark, the interval that it lies in as a bar. Its numbers stand beside it as words.

import { element } from "./elements.ts";
import type { Rate } from "./judgements.ts";
import { percent } from "./shares.ts";

export function rateBar({ of, rate, low, high }: Rate): HTMLElement {
  const track = element("span", { class: "track", "aria-hidden": "true" });
  if (of === 0) return track;
  const interval = element("span", { class: "interval" });
  interval.style.left = `${low * 100}%`;
  interval.style.width = `${(high - low) * 100}%`;
  const mark = element("span", { class: "mark" });
  mark.style.left = `${rate * 100}%`;
  track.append(interval, mark);
  return track;
}

/** "75 % (30 to 95)" */
export function rateInWords({ of, rate, low, high }: Rate): string {
  if (of === 0) return "not judged";
  return `${percent(rate)} (${Math.round(low * 100)} to ${Math.round(high * 100)})`;
}
