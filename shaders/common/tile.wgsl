// Products of many tokens with many rows: 32 tokens by 64 rows to a workgroup, 4 by 4 to a thread, 32 elements of u at a
// time. A thread's rows lie ROW_LANES apart, so that neighbours write next to one another and read different banks.

const TILE_TOKENS = 32u;
const TILE_ROWS = 64u;
const TILE_DEPTH = 32u;
const TILE_THREADS = 128u;
const ROW_LANES = 16u;
const TOKEN_LANES = 8u;
/// Threads that bring u of one token.
const TOKEN_SHARES = 4u;

/// What a thread brings to the tiles: two quads of u of a token, and half a block of a row.
struct Share {
    token: u32,
    quad: u32,
    row: u32,
    half: u32,
}

fn share_of(thread: u32) -> Share {
    return Share(thread / TOKEN_SHARES, thread % TOKEN_SHARES * 2u, thread / 2u, thread % 2u);
}

/// Elements i to i + 3 of a token's u, zeros behind its end; of a normalised one, before the factor.
fn input_quad(token: u32, i: u32, width: u32) -> vec4<f32> {
    return vec4(
        input_or_zero(token, i, width),
        input_or_zero(token, i + 1u, width),
        input_or_zero(token, i + 2u, width),
        input_or_zero(token, i + 3u, width),
    );
}

fn input_or_zero(token: u32, i: u32, width: u32) -> f32 {
    if i < width {
        return input_value(token, i);
    }
    return 0.0;
}
