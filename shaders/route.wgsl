// The k experts whose gates fit a token best, their weights, and t_z = w_z s_z A_z u for each. One workgroup to a token and
// site.
//
// score_z = LN(u) · g_z with g_z = LN(v_z) / sqrt(d); the k best; a softmax over those k. Equal scores: the lower index.

struct Launch {
    control: Matrix,
    x: Matrix,
    norm: Matrix,
    vectors: Matrix,
    table: Matrix,
    pool: Matrix,
    flags: Matrix,
    choices: Matrix,
    deltas: Matrix,
    input: u32,
    epsilon: f32,
    sites: u32,
    top_k: u32,
    slot_words: u32,
    site_words: u32,
    experts: u32,
    first_row: u32,
    rows_per_step: u32,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<storage, read> x: array<f32>; // (tokens, d_in), gated (tokens, 2 d_in)
@group(0) @binding(2) var<storage, read> norm: array<f32>; // (1, d_in), or nothing
@group(0) @binding(3) var<storage, read> vectors: array<vec4<f32>>; // (Σ experts, d_in up to 32): g_z
@group(0) @binding(4) var<storage, read> table: array<u32>; // (1, words): first row and count of each site; entries
@group(0) @binding(5) var<storage, read> pool: array<u32>; // (1, words): where pages begin; pages
@group(0) @binding(6) var<storage, read_write> flags: array<atomic<u32>>; // (1, 1 + experts + pages)
@group(0) @binding(7) var<storage, read_write> choices: array<u32>; // (rows, 2 k): rows of the site's gates, weights
@group(0) @binding(8) var<storage, read_write> deltas: array<u32>; // (tokens, sites × site_words)
@group(0) @binding(9) var<uniform> launch: Launch;

const LAYER_NORM_EPSILON = 1e-5;

/// The words of an entry of the table.
const ENTRY_WORDS = 6u;
const EXPERT = 0u;
const PAGE = 1u;
const A = 2u;
const B = 3u;
const RANK = 4u;
const SCALE = 5u;

var<workgroup> best_scores: array<f32, THREADS>;
var<workgroup> best_rows: array<u32, THREADS>;

/// One site's part of the table.
struct Site {
    first: u32,
    count: u32,
}

/// A word of the entry of a site's gate.
fn entry(site: Site, row: u32, word: u32) -> u32 {
    return table[launch.table.offset + 2u * launch.sites + (site.first + row) * ENTRY_WORDS + word];
}

@compute @workgroup_size(THREADS)
fn route(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let token = group.x;
    let range = launch.table.offset + 2u * group.y;
    let site = Site(table[range], table[range + 1u]);
    let slots = launch.deltas.offset + (token * launch.sites + group.y) * launch.site_words;
    let scores = slots + launch.top_k * launch.slot_words;
    let step = (control.position - control.first) * launch.rows_per_step;
    let row = launch.first_row + step + group.y * launch.x.rows + token;
    let choice = launch.choices.offset + row * 2u * launch.top_k;

    let factor = input_factor(token, thread);
    score(token, factor, site, scores, thread);
    choose(site, scores, choice, thread);
    if thread == 0u {
        weigh(choice);
        look_up(site, choice, slots);
    }
    storageBarrier();
    workgroupBarrier();
    project(token, factor, site, choice, slots, thread);
}

/// LN(u) · g for every gate of the site, in the scratch behind the slots; LOWEST for experts that are not allowed.
fn score(token: u32, factor: f32, site: Site, scores: u32, thread: u32) {
    let width = input_width();
    let lane = thread % LANES;
    var sum = 0.0;
    for (var i = thread; i < width; i += THREADS) {
        sum += factor * input_value(token, i);
    }
    let mean = workgroup_sum(thread, sum) / f32(width);
    var squares = 0.0;
    for (var i = thread; i < width; i += THREADS) {
        let centred = factor * input_value(token, i) - mean;
        squares += centred * centred;
    }
    let scale = 1.0 / sqrt(workgroup_sum(thread, squares) / f32(width) + LAYER_NORM_EPSILON);
    for (var chunk = 0u; chunk < width; chunk += CHUNK) {
        stage_input(token, chunk, factor, thread);
        let length = min(CHUNK, launch.vectors.cols - chunk);
        for (var tile = 0u; tile < site.count; tile += ROWS) {
            let row = tile + thread / LANES;
            var product = 0.0;
            if row < site.count {
                let gate = ((site.first + row) * launch.vectors.cols + chunk) / 4u;
                for (var i = lane; i < length / 4u; i += LANES) {
                    let centred = vec4(u[4u * i], u[4u * i + 1u], u[4u * i + 2u], u[4u * i + 3u]) - mean;
                    product += dot(centred, vectors[gate + i]);
                }
            }
            product = scale * row_sum(thread, product);
            if row < site.count && lane == 0u {
                if chunk > 0u {
                    product += bitcast<f32>(deltas[scores + row]);
                } else if atomicLoad(&flags[launch.flags.offset + 1u + entry(site, row, EXPERT)]) == 0u {
                    product = LOWEST;
                }
                deltas[scores + row] = bitcast<u32>(product);
            }
        }
    }
    storageBarrier();
    workgroupBarrier();
}

/// The rows of the k best scores, best first, ABSENT where there are fewer; each with its score for a weight.
fn choose(site: Site, scores: u32, choice: u32, thread: u32) {
    for (var slot = 0u; slot < launch.top_k; slot++) {
        var best = LOWEST;
        var best_row = ABSENT;
        for (var row = thread; row < site.count; row += THREADS) {
            let score = bitcast<f32>(deltas[scores + row]);
            if score > best {
                best = score;
                best_row = row;
            }
        }
        best_scores[thread] = best;
        best_rows[thread] = best_row;
        for (var half = THREADS / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if thread < half {
                let other = best_scores[thread + half];
                let other_row = best_rows[thread + half];
                if other > best_scores[thread] || (other == best_scores[thread] && other_row < best_rows[thread]) {
                    best_scores[thread] = other;
                    best_rows[thread] = other_row;
                }
            }
        }
        workgroupBarrier();
        if thread == 0u {
            choices[choice + slot] = best_rows[0];
            choices[choice + launch.top_k + slot] = bitcast<u32>(best_scores[0]);
            if best_rows[0] != ABSENT {
                deltas[scores + best_rows[0]] = bitcast<u32>(LOWEST);
            }
        }
        storageBarrier();
        workgroupBarrier();
    }
}

/// From scores to weights: their softmax.
fn weigh(choice: u32) {
    let weights = choice + launch.top_k;
    let highest = bitcast<f32>(choices[weights]);
    var total = 0.0;
    for (var slot = 0u; slot < launch.top_k; slot++) {
        var weight = 0.0;
        if choices[choice + slot] != ABSENT {
            weight = exp(bitcast<f32>(choices[weights + slot]) - highest);
        }
        choices[weights + slot] = bitcast<u32>(weight);
        total += weight;
    }
    for (var slot = 0u; slot < launch.top_k; slot++) {
        if choices[choice + slot] != ABSENT {
            choices[weights + slot] = bitcast<u32>(bitcast<f32>(choices[weights + slot]) / total);
        }
    }
}

/// Where the chosen experts' B are, or that they are wanted.
fn look_up(site: Site, choice: u32, slots: u32) {
    for (var slot = 0u; slot < launch.top_k; slot++) {
        let head = slots + slot * launch.slot_words;
        deltas[head] = ABSENT;
        deltas[head + 1u] = 0u;
        let row = choices[choice + slot];
        if row != ABSENT {
            let page = entry(site, row, PAGE);
            atomicStore(&flags[launch.flags.offset + 1u + launch.experts + page], control.position + 1u);
            let start = pool[launch.pool.offset + page];
            if start == ABSENT {
                atomicStore(&flags[launch.flags.offset], 1u);
            } else {
                deltas[head] = start + entry(site, row, B);
                deltas[head + 1u] = entry(site, row, RANK);
            }
        }
    }
}

/// w s A u for every chosen expert whose page is there.
fn project(token: u32, factor: f32, site: Site, choice: u32, slots: u32, thread: u32) {
    let width = input_width();
    let lane = thread % LANES;
    let most_rank = launch.slot_words - 2u;
    for (var chunk = 0u; chunk < width; chunk += CHUNK) {
        if width > CHUNK {
            stage_input(token, chunk, factor, thread);
        }
        let length = min(CHUNK, width - chunk);
        for (var tile = 0u; tile < launch.top_k * most_rank; tile += ROWS) {
            let slot = (tile + thread / LANES) / most_rank;
            let r = (tile + thread / LANES) % most_rank;
            let head = slots + slot * launch.slot_words;
            var product = 0.0;
            var scale = 0.0;
            let here = slot < launch.top_k && r < deltas[head + 1u];
            if here {
                let expert = choices[choice + slot];
                let start = pool[launch.pool.offset + entry(site, expert, PAGE)];
                let a = start + entry(site, expert, A) + r * width + chunk;
                for (var i = lane; i < length; i += LANES) {
                    product += bitcast<f32>(pool[a + i]) * u[i];
                }
                let weight = bitcast<f32>(choices[choice + launch.top_k + slot]);
                scale = weight * bitcast<f32>(entry(site, expert, SCALE));
            }
            product = scale * row_sum(thread, product);
            if here && lane == 0u {
                if chunk > 0u {
                    product += bitcast<f32>(deltas[head + 2u + r]);
                }
                deltas[head + 2u + r] = bitcast<u32>(product);
            }
        }
    }
}
