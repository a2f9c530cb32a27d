// Ways of choosing experts, in the words of somebody who has read nothing of them.

import { type StrategyName, strategies } from "gander";

export interface StrategyWords {
  /** Over an answer. */
  title: string;
  /** Among others, after "answer it". */
  option: string;
  explanation: string;
}

/** What the package offers is shown, in its order; a name without words of its own is shown as it is. */
const words: Record<string, StrategyWords> = {
  phatgoose: {
    title: "By trained gates",
    option: "by trained gates (PHATGOOSE)",
    explanation:
      "Each expert brings a gate that learned which inputs are its own. The gates choose for every token and layer.",
  },
  gated: {
    title: "By trained gates, half open",
    option: "by trained gates, each expert as open as its gate",
    explanation:
      "The gates choose as before. An expert that was chosen for lack of a better one has little part in the answer.",
  },
  none: {
    title: "Without any expert",
    option: "by the base model, without any expert",
    explanation: "What the experts add is what differs.",
  },
  merged: {
    title: "By all experts at once",
    option: "by all experts at once, equally",
    explanation: "Every expert has the same part in every token and layer. Nobody chooses.",
  },
  random: {
    title: "By lot",
    option: "by experts drawn by lot",
    explanation:
      "Experts are drawn for every token and layer. What is better than this comes from choosing well.",
  },
  "average-activation": {
    title: "By likeness to the average",
    option: "by likeness to each expert's average input",
    explanation: "An expert is chosen where the input is most like the mean of its own examples' inputs.",
  },
  arrow: {
    title: "By the direction of most change",
    option: "by the direction that each expert changes most (Arrow)",
    explanation:
      "An expert is chosen where the input points the way in which its weights change most. No gate is trained.",
  },
  spectr: {
    title: "By the amount of change",
    option: "by how much each expert would change (SpectR)",
    explanation:
      "An expert is chosen where its weights would change most. That needs the weights of all experts, so all are fetched.",
  },
  retrieval: {
    title: "By the most similar example",
    option: "by the most similar example",
    explanation: "One expert answers the whole line: the one with the example that is most like it.",
  },
};

export function wordsFor(strategy: string): StrategyWords {
  return words[strategy] ?? { title: strategy, option: `by ${strategy}`, explanation: "" };
}

/** All but one. */
export function strategiesBeside(current: string): StrategyName[] {
  return strategies.filter((name) => name !== current);
}
