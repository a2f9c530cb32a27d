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

/// Weights 16 (`first` + `part`) and the 15 behind them of four rows, times elements 16 `part` and following of what is staged.
fn part_products(rows: vec4<u32>, first: u32, part: u32) -> vec4<f32> {
    let staged = mat4x4(u[part * 4u], u[part * 4u + 1u], u[part * 4u + 2u], u[part * 4u + 3u]);
    return vec4(
        part_product(rows.x, first + part, staged),
        part_product(rows.y, first + part, staged),
        part_product(rows.z, first + part, staged),
        part_product(rows.w, first + part, staged),
    );
}

/// The scale of a block stays outside the sum.
fn part_product(row: u32, part: u32, staged: mat4x4<f32>) -> f32 {
    if FORMAT == Q8_0 {
        let quants = values[launch.values.offset / 4u + (row * launch.values.cols + part * 16u) / 16u];
        let sum = dot(bytes(quants.x), staged[0]) + dot(bytes(quants.y), staged[1])
            + dot(bytes(quants.z), staged[2]) + dot(bytes(quants.w), staged[3]);
        return block_scale(row, part / 2u) * sum;
    }
    let weights = weights16(row, part);
    return dot(weights[0], staged[0]) + dot(weights[1], staged[1]) + dot(weights[2], staged[2])
        + dot(weights[3], staged[3]);
}

/// Fills the tiles: two quads of u of a token, and weights 16 `part` and following of a row.
fn stage(share: Share, first: vec4<f32>, second: vec4<f32>, row: u32, part: u32, thread: u32) {
    stage_tiles(share, first, second, weights16(row, part));
}
