// Which experts are listed, in which order, and which a rule leaves out. Pure.

import type { Expert } from "gander";

/** Leaves out experts whose figure is below a value. An expert without that figure is not judged by it. */
export interface Rule {
  figure: string;
  least: number;
}

/** `title`, `chosen`, `size`, or `figure:<name>`. */
export type Order = string;

/** A catalogue may say anything; so many figures are shown. */
const MOST_FIGURES = 12;

/** An expert's evaluation figures that are numbers, in the catalogue's order. */
export function figuresOf(expert: Expert): [name: string, value: number][] {
  const evaluation: unknown = expert.evaluation;
  if (typeof evaluation !== "object" || evaluation === null) return [];
  return Object.entries(evaluation)
    .filter((entry): entry is [string, number] => typeof entry[1] === "number" && Number.isFinite(entry[1]))
    .slice(0, MOST_FIGURES);
}

export function figureOf(expert: Expert, name: string): number | undefined {
  return figuresOf(expert).find(([figure]) => figure === name)?.[1];
}

/** The names of all figures that some expert has. */
export function figureNames(experts: readonly Expert[]): string[] {
  return [...new Set(experts.flatMap((expert) => figuresOf(expert).map(([name]) => name)))];
}

/** `routed_exact` is a part of one, `test_lines` is a number of lines. */
export function isRate(experts: readonly Expert[], name: string): boolean {
  return experts.every((expert) => {
    const value = figureOf(expert, name) ?? 0;
    return value >= 0 && value <= 1;
  });
}

export function isBelow(expert: Expert, rule: Rule | undefined): boolean {
  const value = rule && figureOf(expert, rule.figure);
  return rule !== undefined && value !== undefined && value < rule.least;
}

/** Those that have every word in some text of theirs. */
export function search(experts: readonly Expert[], words: string): Expert[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return experts.filter(({ id, title, description, licence, source, tags }) => {
    const texts = [id, title, description, licence, source, ...tags].join("\n").toLowerCase();
    return wanted.every((word) => texts.includes(word));
  });
}

/** Titles from A, numbers from the highest; those without the number last. */
export function sorted(
  experts: readonly Expert[],
  order: Order,
  chosenShare: (id: string) => number,
): Expert[] {
  const byTitle = (a: Expert, b: Expert) => (a.title || a.id).localeCompare(b.title || b.id, "en");
  const numberOf = (expert: Expert): number => {
    if (order === "chosen") return chosenShare(expert.id);
    if (order === "size") return expert.bytes;
    return figureOf(expert, order.replace("figure:", "")) ?? Number.NEGATIVE_INFINITY;
  };
  if (order === "title") return experts.toSorted(byTitle);
  return experts.toSorted((a, b) => numberOf(b) - numberOf(a) || byTitle(a, b));
}
