// How much each expert had to say.

/** An expert's part of a whole; all parts sum to 1. */
export type { ExpertShare as Share } from "gander";

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
