// What scoring and choosing know of gates. The table begins with each site's first row and number of rows in `vectors`;
// then, for each row, an entry.

const LAYER_NORM_EPSILON = 1e-5;

/// How experts are scored. The fifth rule is the CPU's alone.
const NORMALISED = 0u;
const ABSOLUTE = 1u;
const EQUAL = 2u;
const NOISE = 3u;

/// Its place in the pool, for a page that the answer does without.
const WAIVED = ABSENT - 1u;

/// The words of an entry of the table.
const ENTRY_WORDS = 8u;
const EXPERT = 0u;
const PAGE = 1u;
const A = 2u;
const B = 3u;
const RANK = 4u;
const SCALE = 5u;
const GATE_MEAN = 6u;
const GATE_LENGTH = 7u;
