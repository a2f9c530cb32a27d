// Products of many tokens with many rows: 32 tokens by 64 rows to a workgroup, 4 by 4 to a thread, 32 elements of u at a
// time. The tiles are of vec4, whose loads are few; a thread's rows lie ROW_LANES apart, so that neighbours write next to
// one another and read different banks.

const TILE_TOKENS = 32u;
const TILE_ROWS = 64u;
const TILE_DEPTH = 32u;
const TILE_THREADS = 128u;
const ROW_LANES = 16u;
const TOKEN_LANES = 8u;
/// Quads of a row of a tile, and one more against bank conflicts.
const STRIDE = 9u;

var<workgroup> u_tile: array<vec4<f32>, TILE_TOKENS * STRIDE>;
var<workgroup> w_tile: array<vec4<f32>, TILE_ROWS * STRIDE>;

/// What a thread brings to the tiles: a quad of u of two tokens, and half a block of a row.
struct Share {
    quad: u32,
    upper: u32,
    lower: u32,
    row: u32,
    half: u32,
}

fn share_of(thread: u32) -> Share {
    return Share(thread % 8u, thread / 8u, thread / 8u + 16u, thread / 2u, thread % 2u);
}

/// Fills the tiles, once nobody multiplies with what was in them.
fn stage_tiles(share: Share, upper: vec4<f32>, lower: vec4<f32>, weights: array<vec4<f32>, 4>) {
    workgroupBarrier();
    u_tile[share.upper * STRIDE + share.quad] = upper;
    u_tile[share.lower * STRIDE + share.quad] = lower;
    let at = share.row * STRIDE + share.half * 4u;
    w_tile[at] = weights[0];
    w_tile[at + 1u] = weights[1];
    w_tile[at + 2u] = weights[2];
    w_tile[at + 3u] = weights[3];
    workgroupBarrier();
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

/// Adds the product of the two tiles. Element `i` of `sums` is of token `thread / ROW_LANES + i TOKEN_LANES`, its lane `j`
/// of row `thread % ROW_LANES + j ROW_LANES`. Unrolled by hand: a loop that a shader compiler must guard costs as much as
/// what is in it.
fn multiply_tiles(thread: u32, sums: ptr<function, mat4x4<f32>>) {
    let row = thread % ROW_LANES * STRIDE;
    let token = thread / ROW_LANES * STRIDE;
    var s0 = (*sums)[0];
    var s1 = (*sums)[1];
    var s2 = (*sums)[2];
    var s3 = (*sums)[3];
    for (var k = 0u; k < TILE_DEPTH / 4u; k++) {
        let w0 = w_tile[row + k];
        let w1 = w_tile[row + ROW_LANES * STRIDE + k];
        let w2 = w_tile[row + 2u * ROW_LANES * STRIDE + k];
        let w3 = w_tile[row + 3u * ROW_LANES * STRIDE + k];
        let u0 = u_tile[token + k];
        let u1 = u_tile[token + TOKEN_LANES * STRIDE + k];
        let u2 = u_tile[token + 2u * TOKEN_LANES * STRIDE + k];
        let u3 = u_tile[token + 3u * TOKEN_LANES * STRIDE + k];
        s0 += vec4(dot(u0, w0), dot(u0, w1), dot(u0, w2), dot(u0, w3));
        s1 += vec4(dot(u1, w0), dot(u1, w1), dot(u1, w2), dot(u1, w3));
        s2 += vec4(dot(u2, w0), dot(u2, w1), dot(u2, w2), dot(u2, w3));
        s3 += vec4(dot(u3, w0), dot(u3, w1), dot(u3, w2), dot(u3, w3));
    }
    *sums = mat4x4(s0, s1, s2, s3);
}
