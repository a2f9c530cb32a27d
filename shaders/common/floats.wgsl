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

/// Weights 16 (`first` + `part`) and the 15 behind them of a row, times elements 16 `part` and following of what is staged. The
/// scale of a block stays outside the sum.
fn part_product(row: u32, first: u32, part: u32) -> f32 {
    let at = part * 4u;
    if FORMAT == Q8_0 {
        let quants = values[launch.values.offset / 4u + (row * launch.values.cols + (first + part) * 16u) / 16u];
        let sum = dot(bytes(quants.x), u[at]) + dot(bytes(quants.y), u[at + 1u])
            + dot(bytes(quants.z), u[at + 2u]) + dot(bytes(quants.w), u[at + 3u]);
        return block_scale(row, (first + part) / 2u) * sum;
    }
    let weights = weights16(row, first + part);
    return dot(weights[0], u[at]) + dot(weights[1], u[at + 1u]) + dot(weights[2], u[at + 2u]) + dot(weights[3], u[at + 3u]);
}

/// Fills the tiles: two quads of u of a token, and weights 16 `part` and following of a row.
fn stage(share: Share, first: vec4<f32>, second: vec4<f32>, row: u32, part: u32, thread: u32) {
    stage_tiles(share, first, second, weights16(row, part));
}
