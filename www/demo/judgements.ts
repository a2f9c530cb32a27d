// What people thought of answers, and what that says about experts. Pure arithmetic.

import type { RoutedChoice, Stats } from "gander";
import type { Share } from "./shares.ts";

export interface Judgement {
  /** Given by the store. */
  id?: number;
  /** Milliseconds since 1970. */
  time: number;
  input: string;
  answer: string;
  helpful: boolean;
  /** The right answer, if the person gave one. */
  correction: string;
  note: string;
  /** Each expert's share of the decoder's routed weight, largest first. */
  shares: Share[];
  /** Experts that were left out. */
  excluded: string[];
  catalogue: string;
  /** The base's fingerprint. */
  base: string;
  device: string;
  stats: Stats;
}

/** The right answer: the correction, or the answer where it was helpful; undefined where nobody has said. */
export function targetOf({ helpful, correction, answer }: Judgement): string | undefined {
  if (correction !== "") return correction;
  return helpful ? answer : undefined;
}

/** One line of the export. `gander eval` and `gander-train` read `input` and `targets`; a line without `targets` has no right answer. */
export function exportLine(judgement: Judgement, routing: RoutedChoice[]): string {
  const { time, input, answer, helpful, note, shares, excluded, catalogue, base, device, stats } = judgement;
  const target = targetOf(judgement);
  const line = {
    input,
    ...(target === undefined ? {} : { targets: [target] }),
    answer,
    helpful,
    note,
    time: new Date(time).toISOString(),
    catalogue,
    base,
    device,
    excluded,
    stats,
    shares,
    routing,
  };
  return `${JSON.stringify(line)}\n`;
}

/** A rate and the interval that it lies in. */
export interface Rate {
  of: number;
  rate: number;
  low: number;
  high: number;
}

/** The 95 % interval of Wilson, which is right for few judgements too. Without any it is everything. */
export function helpfulRate(judgements: readonly Judgement[]): Rate {
  const of = judgements.length;
  if (of === 0) return { of, rate: 0, low: 0, high: 1 };
  const z = 1.959964;
  const rate = judgements.filter(({ helpful }) => helpful).length / of;
  const centre = rate + z ** 2 / (2 * of);
  const spread = z * Math.sqrt((rate * (1 - rate)) / of + z ** 2 / (4 * of ** 2));
  const scale = 1 + z ** 2 / of;
  return {
    of,
    rate,
    low: Math.max(0, (centre - spread) / scale),
    high: Math.min(1, (centre + spread) / scale),
  };
}

export interface ExpertVerdict {
  expert: string;
  /** Of the answers in which it had the largest share. */
  led: Rate;
  /** Its mean share over all judged answers. */
  share: number;
  /** Of the inputs of those answers, how many people judged both ways. */
  disagreements: number;
}

/** Every expert that took part, the largest share first. */
export function byExpert(judgements: readonly Judgement[]): ExpertVerdict[] {
  const disputed = disputedInputs(judgements);
  const shares = new Map<string, number>();
  for (const { shares: all } of judgements) {
    for (const { expert, share } of all) shares.set(expert, (shares.get(expert) ?? 0) + share);
  }
  return [...shares]
    .map(([expert, sum]) => {
      const led = judgements.filter((judgement) => judgement.shares[0]?.expert === expert);
      const inputs = new Set(led.map(({ input }) => input).filter((input) => disputed.has(input)));
      return {
        expert,
        led: helpfulRate(led),
        share: sum / judgements.length,
        disagreements: inputs.size,
      };
    })
    .sort((a, b) => b.share - a.share);
}

/** Inputs that were judged both helpful and not, or that have two right answers. */
export function disputedInputs(judgements: readonly Judgement[]): Set<string> {
  const verdicts = new Map<string, { helpful: Set<boolean>; targets: Set<string> }>();
  for (const judgement of judgements) {
    const found = verdicts.get(judgement.input) ?? { helpful: new Set(), targets: new Set() };
    found.helpful.add(judgement.helpful);
    const target = targetOf(judgement);
    if (target !== undefined) found.targets.add(target);
    verdicts.set(judgement.input, found);
  }
  const isDisputed = [...verdicts].filter(([, { helpful, targets }]) => helpful.size > 1 || targets.size > 1);
  return new Set(isDisputed.map(([input]) => input));
}

/** A stretch of time and what was judged in it. */
export interface Period {
  /** The day, or the month: `2026-11-24`, `2026-11`. */
  name: string;
  helpful: Rate;
}

/** More days than this are shown as months. */
const MOST_DAYS = 31;

/** By day where that is few, else by month; the oldest first. Local time. */
export function overTime(judgements: readonly Judgement[]): Period[] {
  const days = grouped(judgements, ({ time }) => dayOf(time));
  const groups = days.size > MOST_DAYS ? grouped(judgements, ({ time }) => dayOf(time).slice(0, 7)) : days;
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, group]) => ({ name, helpful: helpfulRate(group) }));
}

function grouped(judgements: readonly Judgement[], nameOf: (judgement: Judgement) => string) {
  const groups = new Map<string, Judgement[]>();
  for (const judgement of judgements) {
    const name = nameOf(judgement);
    const group = groups.get(name);
    if (group) group.push(judgement);
    else groups.set(name, [judgement]);
  }
  return groups;
}

function dayOf(time: number): string {
  const date = new Date(time);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}
