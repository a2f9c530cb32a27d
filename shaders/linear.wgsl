// y = scale · W u + Σ_z B_z t_z, or y += …: `rows` for one token at a time, `tiles` for many.
//
// Both take the factor of a normalised u out of the sum over its elements: W (f x) = f (W x).

struct Launch {
    control: Matrix,
    x: Matrix,
    norm: Matrix,
    values: Matrix,
    scales: Matrix,
    deltas: Matrix,
    pool: Matrix,
    y: Matrix,
    input: u32,
    epsilon: f32,
    scale: f32,
    accumulate: u32,
    /// Layers with a delta of their own; 0 where nothing is routed.
    sites: u32,
    top_k: u32,
    slot_words: u32,
    site_words: u32,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<storage, read> x: array<f32>; // (tokens, d_in), gated (tokens, 2 d_in)
@group(0) @binding(2) var<storage, read> norm: array<f32>; // (1, d_in), or nothing
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>; // (d_out, d_in up to 32)
@group(0) @binding(4) var<storage, read> scales: array<u32>; // (d_out, d_in / 32), two to a word
@group(0) @binding(5) var<storage, read> deltas: array<u32>; // (tokens, sites × site_words)
@group(0) @binding(6) var<storage, read> pool: array<u32>; // (1, words)
@group(0) @binding(7) var<storage, read_write> y: array<f32>; // (tokens, d_out)
@group(0) @binding(8) var<uniform> launch: Launch;

/// Adds a product to y, or puts it there.
fn store(token: u32, row: u32, product: f32) {
    let at = launch.y.offset + token * launch.y.cols + row;
    y[at] = select(product, y[at] + product, launch.accumulate != 0u);
}

// ---- One token: 16 rows side by side, 8 threads to a row; each workgroup takes two such sets of rows.

const THREADS = 128u;
const LANES = 8u;
const ROWS = THREADS / LANES;
const PASSES = 2u;
const CHUNK = 1024u;

var<workgroup> u: array<vec4<f32>, CHUNK / 4u>;
var<workgroup> lane_sums: array<f32, THREADS>;
var<workgroup> square_sums: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let token = group.y;
    let width = input_width();
    let lane = thread % LANES;
    let first_row = group.x * ROWS * PASSES + thread / LANES;
    var sums = array<f32, PASSES>();
    var squares = 0.0;
    for (var chunk = 0u; chunk < width; chunk += CHUNK) {
        workgroupBarrier();
        for (var i = thread; i < CHUNK / 4u; i += THREADS) {
            var four = vec4(0.0);
            for (var j = 0u; j < 4u; j++) {
                let at = chunk + i * 4u + j;
                if at < width {
                    four[j] = input_value(token, at);
                    if INPUT == NORM {
                        let raw = x[launch.x.offset + token * launch.x.cols + at];
                        squares += raw * raw;
                    }
                }
            }
            u[i] = four;
        }
        workgroupBarrier();
        let parts = (min(CHUNK, width - chunk) + 15u) / 16u;
        for (var pass_ = 0u; pass_ < PASSES; pass_++) {
            let row = first_row + pass_ * ROWS;
            if row < launch.y.cols {
                var sum = 0.0;
                for (var part = lane; part < parts; part += LANES) {
                    var weights = weights16(row, chunk / 16u + part);
                    for (var i = 0u; i < 4u; i++) {
                        sum += dot(weights[i], u[part * 4u + i]);
                    }
                }
                sums[pass_] += sum;
            }
        }
    }
    var factor = launch.scale;
    if INPUT == NORM {
        square_sums[thread] = squares;
        workgroupBarrier();
        var square_sum = 0.0;
        for (var i = 0u; i < THREADS; i++) {
            square_sum += square_sums[i];
        }
        factor *= norm_factor(square_sum);
    }
    for (var pass_ = 0u; pass_ < PASSES; pass_++) {
        let row = first_row + pass_ * ROWS;
        var sum = factor * sums[pass_];
        if row < launch.y.cols {
            sum += row_delta(token, row, lane);
        }
        workgroupBarrier();
        lane_sums[thread] = sum;
        workgroupBarrier();
        if lane == 0u && row < launch.y.cols {
            var product = 0.0;
            for (var i = 0u; i < LANES; i++) {
                product += lane_sums[thread + i];
            }
            store(token, row, product);
        }
    }
}

/// One of LANES shares of Σ_z B_z t_z for one output.
fn row_delta(token: u32, row: u32, lane: u32) -> f32 {
    if launch.sites == 0u {
        return 0.0;
    }
    let height = launch.y.cols / launch.sites;
    let site = launch.deltas.offset + (token * launch.sites + row / height) * launch.site_words;
    var sum = 0.0;
    for (var slot = 0u; slot < launch.top_k; slot++) {
        let head = site + slot * launch.slot_words;
        let rank = deltas[head + 1u];
        if deltas[head] != ABSENT {
            let b = deltas[head] + row % height * rank;
            for (var r = lane; r < rank; r += LANES) {
                sum += bitcast<f32>(pool[b + r]) * bitcast<f32>(deltas[head + 2u + r]);
            }
        }
    }
    return sum;
}

// ---- Many tokens: 32 tokens by 32 rows to a workgroup, 4 by 4 to a thread, 32 elements of u at a time.

const TILE = 32u;
const TILE_THREADS = 64u;
const EDGE = 4u;
/// One more than TILE, so that neighbours are in different banks.
const STRIDE = 33u;

var<workgroup> u_tile: array<f32, TILE * STRIDE>;
var<workgroup> w_tile: array<f32, TILE * STRIDE>;
var<workgroup> factors: array<f32, TILE>;

@compute @workgroup_size(TILE_THREADS)
fn tiles(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let tokens = launch.y.rows;
    let outputs = launch.y.cols;
    let width = input_width();
    let first_row = group.x * TILE;
    let first_token = group.y * TILE;
    tile_factors(first_token, thread);

    let edge_row = thread % 8u * EDGE;
    let edge_token = thread / 8u * EDGE;
    var sums = array<vec4<f32>, EDGE>();
    for (var chunk = 0u; chunk < width; chunk += TILE) {
        workgroupBarrier();
        for (var i = thread; i < TILE * TILE; i += TILE_THREADS) {
            let token = first_token + i / TILE;
            let at = chunk + i % TILE;
            var value = 0.0;
            if token < tokens && at < width {
                value = input_value(token, at);
            }
            u_tile[i / TILE * STRIDE + i % TILE] = value;
        }
        // Two threads to a row, half a block each.
        let row = thread / 2u;
        let half = thread % 2u;
        var weights = array<vec4<f32>, 4>();
        if first_row + row < outputs {
            weights = weights16(first_row + row, chunk / 16u + half);
        }
        for (var i = 0u; i < 16u; i++) {
            w_tile[row * STRIDE + half * 16u + i] = weights[i / 4u][i % 4u];
        }
        workgroupBarrier();
        for (var k = 0u; k < TILE; k++) {
            let w = vec4(
                w_tile[edge_row * STRIDE + k],
                w_tile[(edge_row + 1u) * STRIDE + k],
                w_tile[(edge_row + 2u) * STRIDE + k],
                w_tile[(edge_row + 3u) * STRIDE + k],
            );
            for (var i = 0u; i < EDGE; i++) {
                sums[i] += u_tile[(edge_token + i) * STRIDE + k] * w;
            }
        }
    }
    for (var i = 0u; i < EDGE; i++) {
        let token = first_token + edge_token + i;
        if token < tokens {
            var products = factors[edge_token + i] * sums[i];
            if launch.sites != 0u {
                products += tile_delta(token, first_row + edge_row);
            }
            for (var j = 0u; j < EDGE; j++) {
                let row = first_row + edge_row + j;
                if row < outputs {
                    store(token, row, products[j]);
                }
            }
        }
    }
}

/// What each token's sums are multiplied with.
fn tile_factors(first_token: u32, thread: u32) {
    let token = first_token + thread;
    if thread < TILE {
        var factor = launch.scale;
        if INPUT == NORM && token < launch.y.rows {
            var square_sum = 0.0;
            for (var i = 0u; i < launch.x.cols; i++) {
                let raw = x[launch.x.offset + token * launch.x.cols + i];
                square_sum += raw * raw;
            }
            factor *= norm_factor(square_sum);
        }
        factors[thread] = factor;
    }
}

/// Σ_z B_z t_z for four outputs of a token.
fn tile_delta(token: u32, first_row: u32) -> vec4<f32> {
    let height = launch.y.cols / launch.sites;
    var sums = vec4(0.0);
    for (var j = 0u; j < EDGE; j++) {
        let row = first_row + j;
        if row < launch.y.cols {
            let site = launch.deltas.offset + (token * launch.sites + row / height) * launch.site_words;
            for (var slot = 0u; slot < launch.top_k; slot++) {
                let head = site + slot * launch.slot_words;
                let rank = deltas[head + 1u];
                if deltas[head] != ABSENT {
                    let b = deltas[head] + row % height * rank;
                    for (var r = 0u; r < rank; r++) {
                        sums[j] += bitcast<f32>(pool[b + r]) * bitcast<f32>(deltas[head + 2u + r]);
                    }
                }
            }
        }
    }
    return sums;
}
