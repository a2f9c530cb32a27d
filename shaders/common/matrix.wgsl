// What every shader knows: where its tensors are in their buffers, and what the steps of a generation tell one another.

/// A row-major matrix. `offset` counts words of 32 bits, `rows` and `cols` elements.
struct Matrix {
    offset: u32,
    rows: u32,
    cols: u32,
    unused: u32,
}

struct Control {
    /// Position of the step's token in the decoder.
    position: u32,
    /// Anything but GO and no shader does anything any more.
    halted: u32,
    /// The position of the first step since the host looked.
    first: u32,
    /// The decoder's input.
    token: u32,
}

const GO = 0u;
const FINISHED = 1u;
const MISSED = 2u;
const NOT_FINITE = 3u;

/// In a table of indices: there is none.
const ABSENT = 0xffffffffu;

/// Below every score and logit that counts.
const LOWEST = -3.4e38;
