// A linear layer's products in floats.

var<workgroup> u: array<vec4<f32>, CHUNK / 4u>;

/// Puts elements `chunk` and following of a token's u, 16 `parts` of them, into workgroup memory. Returns the thread's share
/// of Σ x² where u is normalised.
fn stage_u(token: u32, chunk: u32, parts: u32, width: u32, thread: u32) -> f32 {
    var squares = 0.0;
    workgroupBarrier();
    for (var i = thread; i < parts * 4u; i += THREADS) {
        u[i] = input_quad(token, chunk + i * 4u, width);
        if INPUT == NORM {
            squares += square_sum(token, chunk + i * 4u, width);
        }
    }
    workgroupBarrier();
    return squares;
}

/// Weights 16 `part` and the 15 behind them of four rows, times what is staged from element 16 `staged_part` on.
fn part_products(rows: array<Row, 4>, part: u32, staged_part: u32) -> vec4<f32> {
    let at = staged_part * 4u;
    let staged = mat4x4(u[at], u[at + 1u], u[at + 2u], u[at + 3u]);
    return vec4(
        part_product(rows[0], part, staged),
        part_product(rows[1], part, staged),
        part_product(rows[2], part, staged),
        part_product(rows[3], part, staged),
    );
}

/// The scale of a block stays outside the sum.
fn part_product(row: Row, part: u32, staged: mat4x4<f32>) -> f32 {
    let quants = quants16(row, part);
    let sum = dot(quants[0], staged[0]) + dot(quants[1], staged[1]) + dot(quants[2], staged[2]) + dot(quants[3], staged[3]);
    return block_scale(row, part >> 1u) * sum;
}

/// Fills the tiles: two quads of u of a token, and weights 16 `part` and following of a row.
fn stage(share: Share, first: vec4<f32>, second: vec4<f32>, row: Row, part: u32, thread: u32) {
    stage_tiles(share, first, second, weights16(row, part));
}
