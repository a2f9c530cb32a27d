// A colour, a pattern and a letter for each expert: nobody has to tell the experts apart by colour alone.

/** Okabe and Ito's colours, which people with any colour vision can tell apart, with a light grey for their black. */
const bright = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#c4c4c4"];

/** The same hues, darker, and again told apart with any colour vision. */
const dark = ["#8f5f00", "#1f6f9f", "#00573f", "#a39a1a", "#00386b", "#6b1f00", "#8a3f6a", "#7a7a7a"];

/** What lies over the bright ones, the dark ones, and both again; after the last, the letters alone tell them apart. */
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
      const round = Math.floor(index / bright.length);
      const colour = (round % 2 === 0 ? bright : dark)[index % bright.length] ?? unknownColour;
      this.#badges.set(id, {
        letter: letterAt(index),
        colour,
        ink: inkOn(colour),
        pattern: patterns[round % patterns.length] ?? "plain",
        name: title || id,
      });
    });
  }

  badge(expert: string): Badge {
    return this.#badges.get(expert) ?? unknownBadge(expert);
  }

  nameOf = (expert: string): string => this.badge(expert).name;
}

const unknownColour = "#999999";

function unknownBadge(expert: string): Badge {
  return { letter: "?", colour: unknownColour, ink: "#000000", pattern: "plain", name: expert };
}

/** A to Z, then A2 to Z2. */
function letterAt(index: number): string {
  const round = Math.floor(index / 26);
  return String.fromCharCode(65 + (index % 26)) + (round > 0 ? round + 1 : "");
}

/** Black or white: which of them differs more in luminance, as the web's guidelines for contrast reckon it. */
function inkOn(colour: string): string {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((start) => {
    const part = Number.parseInt(colour.slice(start, start + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) ? "#000000" : "#ffffff";
}
