// A colour, a pattern and a letter for each expert: nobody has to tell the experts apart by colour alone.

/** Okabe and Ito's colours, which people with any colour vision can tell apart, without their black. */
const colours = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999"];

/** What lies over the colours when they come again; after the last, the letters alone tell them apart. */
const patterns = ["plain", "stripes", "dots", "grid"] as const;

export type Pattern = (typeof patterns)[number];

export interface Badge {
  letter: string;
  colour: string;
  /** Black or white, whichever is readable on the colour. */
  ink: string;
  pattern: Pattern;
  name: string;
}

/** Badges by the experts' order in the catalogue. */
export class ExpertPalette {
  readonly #badges = new Map<string, Badge>();

  constructor(experts: readonly { id: string; title: string }[]) {
    experts.forEach(({ id, title }, index) => {
      const colour = colours[index % colours.length] ?? "#999999";
      this.#badges.set(id, {
        letter: letterAt(index),
        colour,
        ink: inkOn(colour),
        pattern: patterns[Math.floor(index / colours.length) % patterns.length] ?? "plain",
        name: title || id,
      });
    });
  }

  badge(expert: string): Badge {
    return this.#badges.get(expert) ?? unknownBadge(expert);
  }

  nameOf = (expert: string): string => this.badge(expert).name;
}

function unknownBadge(expert: string): Badge {
  return { letter: "?", colour: "#999999", ink: "#000000", pattern: "plain", name: expert };
}

/** A to Z, then A2 to Z2. */
function letterAt(index: number): string {
  const round = Math.floor(index / 26);
  return String.fromCharCode(65 + (index % 26)) + (round > 0 ? round + 1 : "");
}

function inkOn(colour: string): string {
  const [red, green, blue] = [1, 3, 5].map((start) => Number.parseInt(colour.slice(start, start + 2), 16));
  const luminance = 0.299 * (red ?? 0) + 0.587 * (green ?? 0) + 0.114 * (blue ?? 0);
  return luminance > 110 ? "#000000" : "#ffffff";
}
