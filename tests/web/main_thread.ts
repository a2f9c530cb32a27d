// What a page's main thread was kept busy with, from Chromium's own trace.

import assert from "node:assert/strict";
import type { Page } from "playwright-core";

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  /** Microseconds of the thread's own time: a busy machine takes turns away from it, which is not the page's fault. */
  tdur?: number;
  args: { name?: string };
}

/** The longest that one task kept the page's main thread computing while `work` went on, in milliseconds. */
export async function longestTaskMilliseconds(page: Page, work: () => Promise<void>): Promise<number> {
  const browser = page.context().browser();
  assert.ok(browser);
  await browser.startTracing(page, { categories: ["toplevel"] });
  await work();
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as {
    traceEvents: TraceEvent[];
  };
  const threadOf = ({ pid, tid }: TraceEvent) => `${pid} ${tid}`;
  const isName = ({ name, args }: TraceEvent) => name === "thread_name" && args.name === "CrRendererMain";
  const pages = new Set(traceEvents.filter(isName).map(threadOf));
  const times = traceEvents
    .filter((event) => event.ph === "X" && event.tdur !== undefined && pages.has(threadOf(event)))
    .map(({ tdur = 0 }) => tdur / 1000);
  assert.ok(times.length > 10, "the trace has no tasks of the page");
  return times.reduce((longest, time) => Math.max(longest, time), 0);
}
