// y = scale · W u + Σ_z B_z t_z, or y += …: `rows` for one token at a time, `tiles` for many.
//
// Both take the factor of a normalised u out of the sum over its elements: W (f x) = f (W x). How they multiply, in floats or
// in whole numbers, is in common/floats.wgsl and common/integers.wgsl: `stage_u` and `part_products`, `stage` and `multiply_tiles`.

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

/// Σ x² over elements i to i + 3 of a token's x, those behind its end left out.
fn square_sum(token: u32, i: u32, width: u32) -> f32 {
    let raw = vec4(
        raw_or_zero(token, i, width),
        raw_or_zero(token, i + 1u, width),
        raw_or_zero(token, i + 2u, width),
        raw_or_zero(token, i + 3u, width),
    );
    return dot(raw, raw);
}

fn raw_or_zero(token: u32, i: u32, width: u32) -> f32 {
    if i < width {
        return x[launch.x.offset + token * launch.x.cols + i];
    }
    return 0.0;
}

/// Adds a product to y, or puts it there.
fn store(token: u32, row: u32, product: f32) {
    let at = launch.y.offset + token * launch.y.cols + row;
    y[at] = select(product, y[at] + product, launch.accumulate != 0u);
}

// ---- One token: a workgroup computes OUTPUTS rows, LANES threads to a row, ASIDE rows side by side.

const THREADS = 64u;
const LANES = 8u;
const ASIDE = THREADS / LANES;
/// Four rows to a thread, so that it reads u once for them.
const OUTPUTS = 4u * ASIDE;
const CHUNK = 1024u;

var<workgroup> lane_sums: array<f32, OUTPUTS * LANES>;
var<workgroup> square_sums: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let token = group.y;
    let width = input_width();
    let lane = thread % LANES;
    let first_row = group.x * OUTPUTS;
    let own = thread / LANES + ASIDE * vec4(0u, 1u, 2u, 3u);
    // A row behind the last is computed as the last, and not stored.
    let numbers = min(first_row + own, vec4(launch.y.cols - 1u));
    let rows = array(row_of(numbers.x), row_of(numbers.y), row_of(numbers.z), row_of(numbers.w));
    var sums = vec4(0.0);
    var squares = 0.0;
    for (var chunk = 0u; chunk < width; chunk += CHUNK) {
        let parts = (min(CHUNK, width - chunk) + 15u) / 16u;
        squares += stage_u(token, chunk, parts, width, thread);
        for (var part = lane; part < parts; part += LANES) {
            sums += part_products(rows, chunk / 16u + part, part);
        }
    }
    let at = own * LANES + lane;
    lane_sums[at.x] = sums.x;
    lane_sums[at.y] = sums.y;
    lane_sums[at.z] = sums.z;
    lane_sums[at.w] = sums.w;
    square_sums[thread] = squares;
    workgroupBarrier();
    var factor = launch.scale;
    if INPUT == NORM {
        var square_sum = 0.0;
        for (var i = 0u; i < THREADS; i++) {
            square_sum += square_sums[i];
        }
        factor *= norm_factor(square_sum);
    }
    let row = first_row + thread;
    if thread < OUTPUTS && row < launch.y.cols {
        let at = thread * LANES;
        var sum = factor * (lane_sums[at] + lane_sums[at + 1u] + lane_sums[at + 2u] + lane_sums[at + 3u]
            + lane_sums[at + 4u] + lane_sums[at + 5u] + lane_sums[at + 6u] + lane_sums[at + 7u]);
        if launch.sites != 0u {
            let token_sites = launch.deltas.offset + token * launch.sites * launch.site_words;
            sum += output_delta(token_sites, row, launch.y.cols / launch.sites);
        }
        store(token, row, sum);
    }
}

// ---- Many tokens.

var<workgroup> square_parts: array<f32, TILE_THREADS>;
var<workgroup> factors: array<f32, TILE_TOKENS>;

@compute @workgroup_size(TILE_THREADS)
fn tiles(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let tokens = launch.y.rows;
    let outputs = launch.y.cols;
    let width = input_width();
    let first_row = group.x * TILE_ROWS;
    let first_token = group.y * TILE_TOKENS;

    let share = share_of(thread);
    let share_token = min(first_token + share.token, tokens - 1u);
    let row = row_of(min(first_row + share.row, outputs - 1u));
    var sums = mat4x4<f32>();
    var squares = 0.0;
    for (var chunk = 0u; chunk < width; chunk += TILE_DEPTH) {
        let at = chunk + share.quad * 4u;
        let first = input_quad(share_token, at, width);
        let second = input_quad(share_token, at + 4u, width);
        if INPUT == NORM {
            squares += square_sum(share_token, at, width) + square_sum(share_token, at + 4u, width);
        }
        stage(share, first, second, row, chunk / 16u + share.half, thread);
        multiply_tiles(thread, &sums);
    }
    square_parts[thread] = squares;
    workgroupBarrier();
    if thread < TILE_TOKENS {
        var factor = launch.scale;
        if INPUT == NORM {
            var square_sum = 0.0;
            for (var i = 0u; i < TOKEN_SHARES; i++) {
                square_sum += square_parts[thread * TOKEN_SHARES + i];
            }
            factor *= norm_factor(square_sum);
        }
        factors[thread] = factor;
    }
    workgroupBarrier();
    for (var i = 0u; i < 4u; i++) {
        let tile_token = thread / ROW_LANES + i * TOKEN_LANES;
        let token = first_token + tile_token;
        let first = first_row + thread % ROW_LANES;
        if token < tokens {
            var products = factors[tile_token] * sums[i];
            if launch.sites != 0u {
                products += four_deltas(token, vec4(first) + vec4(0u, ROW_LANES, 2u * ROW_LANES, 3u * ROW_LANES));
            }
            for (var j = 0u; j < 4u; j++) {
                if first + j * ROW_LANES < outputs {
                    store(token, first + j * ROW_LANES, products[j]);
                }
            }
        }
    }
}

/// Σ_z B_z t_z for four outputs of a token, in ascending order. Those behind the last are of no use.
fn four_deltas(token: u32, outputs: vec4<u32>) -> vec4<f32> {
    let height = launch.y.cols / launch.sites;
    let rows = min(outputs, vec4(launch.y.cols - 1u));
    let token_sites = launch.deltas.offset + token * launch.sites * launch.site_words;
    let sites = vec4(token_sites) + rows / height * launch.site_words;
    var sums = vec4(0.0);
    for (var slot = 0u; slot < launch.top_k; slot++) {
        let heads = sites + slot * launch.slot_words;
        if sites.x == sites.w {
            let rank = deltas[heads.x + 1u];
            let b = vec4(deltas[heads.x]) + rows % height * rank;
            for (var r = 0u; r < rank; r++) {
                sums += bitcast<f32>(deltas[heads.x + 2u + r])
                    * bitcast<vec4<f32>>(vec4(pool[b.x + r], pool[b.y + r], pool[b.z + r], pool[b.w + r]));
            }
            continue;
        }
        // An absent expert's rank is 0.
        let ranks = vec4(deltas[heads.x + 1u], deltas[heads.y + 1u], deltas[heads.z + 1u], deltas[heads.w + 1u]);
        let b = vec4(deltas[heads.x], deltas[heads.y], deltas[heads.z], deltas[heads.w]) + rows % height * ranks;
        let most = max(max(ranks.x, ranks.y), max(ranks.z, ranks.w));
        for (var r = 0u; r < most; r++) {
            let is_there = vec4(r) < ranks;
            let at = select(vec4(0u), b + r, is_there);
            let t = vec4(
                deltas[heads.x + 2u + r],
                deltas[heads.y + 2u + r],
                deltas[heads.z + 2u + r],
                deltas[heads.w + 2u + r],
            );
            let factors = vec4(pool[at.x], pool[at.y], pool[at.z], pool[at.w]);
            // Multiplied and added as above, so that it rounds as above.
            sums += bitcast<vec4<f32>>(select(vec4(0u), t, is_there))
                * bitcast<vec4<f32>>(select(vec4(0u), factors, is_there));
        }
    }
    return sums;
}

/// The same for one output.
fn output_delta(token_sites: u32, row: u32, height: u32) -> f32 {
    let site = token_sites + row / height * launch.site_words;
    var sum = 0.0;
    for (var slot = 0u; slot < launch.top_k; slot++) {
        let head = site + slot * launch.slot_words;
        let rank = deltas[head + 1u];
        if deltas[head] != ABSENT {
            let b = deltas[head] + row % height * rank;
            for (var r = 0u; r < rank; r++) {
                sum += bitcast<f32>(pool[b + r]) * bitcast<f32>(deltas[head + 2u + r]);
            }
        }
    }
    return sum;
}
