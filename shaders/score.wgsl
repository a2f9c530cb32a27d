// LN(u) · g, or |u · v|, and the expert's bias, for every gate and many tokens, into the scratch behind the slots of `route`,
// which chooses from them; LOWEST for experts that are not allowed. Gates are rows like those of a weight: a tile of tokens reads them once.

struct Launch {
    control: Matrix,
    x: Matrix,
    norm: Matrix,
    vectors: Matrix,
    table: Matrix,
    flags: Matrix,
    deltas: Matrix,
    input: u32,
    epsilon: f32,
    sites: u32,
    /// Words of all slots of a site, behind which its scores are.
    slots_words: u32,
    site_words: u32,
    rule: u32,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<storage, read> x: array<f32>; // (tokens, d_in), gated (tokens, 2 d_in)
@group(0) @binding(2) var<storage, read> norm: array<f32>; // (1, d_in), or nothing
@group(0) @binding(3) var<storage, read> vectors: array<vec4<f32>>; // (Σ experts, d_in up to 32): g_z or v_z
@group(0) @binding(4) var<storage, read> table: array<u32>; // (1, words): first row and count of each site; entries
@group(0) @binding(5) var<storage, read> flags: array<u32>; // (1, 1 + experts + pages)
@group(0) @binding(6) var<storage, read_write> deltas: array<u32>; // (tokens, sites × site_words)
@group(0) @binding(7) var<uniform> launch: Launch;

/// Threads that share a token while its mean and variance are taken.
const LANES = TILE_THREADS / TILE_TOKENS;

var<workgroup> parts: array<vec2<f32>, TILE_THREADS>;

/// What makes LN(u) of an input value: factor · value − mean, times scale.
struct Normal {
    factor: f32,
    mean: f32,
    scale: f32,
}

var<workgroup> normals: array<Normal, TILE_TOKENS>;

@compute @workgroup_size(TILE_THREADS)
fn score(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let tokens = launch.x.rows;
    let gates = launch.vectors.rows;
    let width = input_width();
    let first_gate = group.x * TILE_ROWS;
    let first_token = group.y * TILE_TOKENS;
    take_normals(first_token, width, thread);

    let share = share_of(thread);
    let share_token = min(first_token + share.token, tokens - 1u);
    let gate_row = min(first_gate + share.row, gates - 1u) * launch.vectors.cols / 4u + share.half * 4u;
    var sums = mat4x4<f32>();
    for (var chunk = 0u; chunk < width; chunk += TILE_DEPTH) {
        let at = chunk + share.quad * 4u;
        // Behind the end of u a gate is 0.
        let normal = normals[share.token];
        let first = normal.factor * input_quad(share_token, at, width) - normal.mean;
        let second = normal.factor * input_quad(share_token, at + 4u, width) - normal.mean;
        let gate = gate_row + chunk / 4u;
        stage_tiles(share, first, second, array(vectors[gate], vectors[gate + 1u], vectors[gate + 2u], vectors[gate + 3u]));
        multiply_tiles(thread, &sums);
    }
    for (var j = 0u; j < 4u; j++) {
        let gate = first_gate + thread % ROW_LANES + j * ROW_LANES;
        if gate >= gates {
            break;
        }
        let expert = table[launch.table.offset + 2u * launch.sites + gate * ENTRY_WORDS + EXPERT];
        let bias = bitcast<f32>(flags[launch.flags.offset + 1u + expert]);
        var site = 0u;
        while gate - table[launch.table.offset + 2u * site] >= table[launch.table.offset + 2u * site + 1u] {
            site++;
        }
        let column = launch.slots_words + gate - table[launch.table.offset + 2u * site];
        for (var i = 0u; i < 4u; i++) {
            let tile_token = thread / ROW_LANES + i * TOKEN_LANES;
            let token = first_token + tile_token;
            if token < tokens {
                let product = normals[tile_token].scale * sums[i][j];
                let score = select(select(product, abs(product), launch.rule == ABSOLUTE) + bias, LOWEST, bias == LOWEST);
                deltas[launch.deltas.offset + (token * launch.sites + site) * launch.site_words + column] =
                    bitcast<u32>(score);
            }
        }
    }
}

/// Factor, mean and scale of each token.
fn take_normals(first_token: u32, width: u32, thread: u32) {
    let token = min(first_token + thread / LANES, launch.x.rows - 1u);
    var sum = 0.0;
    var squares = 0.0;
    for (var i = thread % LANES; i < width; i += LANES) {
        sum += input_value(token, i);
        if INPUT == NORM {
            let raw = x[launch.x.offset + token * launch.x.cols + i];
            squares += raw * raw;
        }
    }
    let totals = over_lanes(thread, vec2(sum, squares));
    var factor = 1.0;
    if INPUT == NORM {
        factor = norm_factor(totals.y);
    }
    let mean = factor * totals.x / f32(width);
    var variance = 0.0;
    for (var i = thread % LANES; i < width; i += LANES) {
        let centred = factor * input_value(token, i) - mean;
        variance += centred * centred;
    }
    variance = over_lanes(thread, vec2(variance, 0.0)).x / f32(width);
    if thread % LANES == 0u {
        var normal = Normal(factor, mean, 1.0 / sqrt(variance + LAYER_NORM_EPSILON));
        if launch.rule != NORMALISED {
            normal = Normal(factor, 0.0, 1.0);
        }
        normals[thread / LANES] = normal;
    }
    workgroupBarrier();
}

/// The sum over the threads that share a token.
fn over_lanes(thread: u32, value: vec2<f32>) -> vec2<f32> {
    workgroupBarrier();
    parts[thread] = value;
    workgroupBarrier();
    let first = thread / LANES * LANES;
    return parts[first] + parts[first + 1u] + parts[first + 2u] + parts[first + 3u];
}
