// Tiles of floats, of vec4, whose loads are few.

/// Quads of a row of a tile, and one more against bank conflicts.
const STRIDE = 9u;

var<workgroup> u_tile: array<vec4<f32>, TILE_TOKENS * STRIDE>;
var<workgroup> w_tile: array<vec4<f32>, TILE_ROWS * STRIDE>;

/// Fills the tiles, once nobody multiplies with what was in them.
fn stage_tiles(share: Share, first: vec4<f32>, second: vec4<f32>, weights: array<vec4<f32>, 4>) {
    workgroupBarrier();
    u_tile[share.token * STRIDE + share.quad] = first;
    u_tile[share.token * STRIDE + share.quad + 1u] = second;
    let at = share.row * STRIDE + share.half * 4u;
    w_tile[at] = weights[0];
    w_tile[at + 1u] = weights[1];
    w_tile[at + 2u] = weights[2];
    w_tile[at + 3u] = weights[3];
    workgroupBarrier();
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
