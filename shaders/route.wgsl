// The k experts whose gates fit a token best, their weights, and t_z = w_z s_z A_z u for each: `route` for few tokens, one
// workgroup to a token and site; `route_scored` for many, whose scores `score` left, 32 threads to a token and site.
//
// score_z = LN(u) · g_z + bias_z with g_z = LN(v_z) / sqrt(d), or by another rule; the k best; a softmax over those k. Equal
// scores: the lower index. Where experts open by their gates, each weight is then multiplied with sigmoid(v_z · u).

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
    /// Whether `score` ran before.
    scored: u32,
    least_weight: f32,
    least_share: f32,
    rule: u32,
    key: u32,
    opens: u32,
    runners_up: u32,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<storage, read> x: array<f32>; // (tokens, d_in), gated (tokens, 2 d_in)
@group(0) @binding(2) var<storage, read> norm: array<f32>; // (1, d_in), or nothing
@group(0) @binding(3) var<storage, read> vectors: array<vec4<f32>>; // (Σ experts, d_in up to 32): g_z or v_z
@group(0) @binding(4) var<storage, read> table: array<u32>; // (1, words): first row and count of each site; entries
@group(0) @binding(5) var<storage, read> pool: array<u32>; // (1, words): where pages begin; pages
@group(0) @binding(6) var<storage, read_write> flags: array<atomic<u32>>; // (1, 1 + experts + pages)
@group(0) @binding(7) var<storage, read_write> choices: array<u32>; // (rows, 2 (k + runners-up)): rows of the site's gates, weights; both again
@group(0) @binding(8) var<storage, read_write> deltas: array<u32>; // (tokens, sites × site_words)
@group(0) @binding(9) var<uniform> launch: Launch;

var<workgroup> best_scores: array<f32, THREADS>;
var<workgroup> best_rows: array<u32, THREADS>;
/// Of eight threads in each group that chooses.
var<workgroup> few_scores: array<f32, THREADS / TOKEN_THREADS * 8u>;
var<workgroup> few_rows: array<u32, THREADS / TOKEN_THREADS * 8u>;

/// Threads to a token where there are many.
const TOKEN_THREADS = 32u;
const TOKENS = THREADS / TOKEN_THREADS;

/// One site's part of the table.
struct Site {
    first: u32,
    count: u32,
}

/// A word of the entry of a site's gate.
fn entry(site: Site, row: u32, word: u32) -> u32 {
    return table[launch.table.offset + 2u * launch.sites + (site.first + row) * ENTRY_WORDS + word];
}

/// Where things of a token and site are.
struct Place {
    slots: u32,
    scores: u32,
    choice: u32,
}

fn place(token: u32, index: u32) -> Place {
    let slots = launch.deltas.offset + (token * launch.sites + index) * launch.site_words;
    let step = (control.position - control.first) * launch.rows_per_step;
    let row = launch.first_row + step + index * launch.x.rows + token;
    return Place(
        slots,
        slots + launch.top_k * launch.slot_words,
        launch.choices.offset + row * 2u * (launch.top_k + launch.runners_up),
    );
}

fn site_at(index: u32) -> Site {
    let range = launch.table.offset + 2u * index;
    return Site(table[range], table[range + 1u]);
}

@compute @workgroup_size(THREADS)
fn route(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let token = group.x;
    let site = site_at(group.y);
    let at = place(token, group.y);

    let factor = score(token, group.y, site, at.scores, thread);
    let team = Team(thread, THREADS, 0u);
    let whole = choose(site, at, team, true);
    if thread == 0u {
        weigh(at.choice, whole);
        look_up(site, at.choice, at.slots);
    }
    storageBarrier();
    workgroupBarrier();
    if launch.opens != 0u {
        open(token, factor, site, at.choice, team, true);
    }
    project(token, factor, site, at.choice, at.slots, thread);
}

@compute @workgroup_size(THREADS)
fn route_scored(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let lane = thread % TOKEN_THREADS;
    // A token behind the last is worked on as the last, and nothing of it is stored.
    let unclamped = group.x * TOKENS + thread / TOKEN_THREADS;
    let is_there = unclamped < launch.x.rows;
    let token = min(unclamped, launch.x.rows - 1u);
    let site = site_at(group.y);
    let at = place(token, group.y);

    var squares = 0.0;
    if INPUT == NORM {
        for (var i = lane; i < launch.x.cols; i += TOKEN_THREADS) {
            let value = x[launch.x.offset + token * launch.x.cols + i];
            squares += value * value;
        }
    }
    let factor = token_factor(thread, squares);
    let team = Team(lane, TOKEN_THREADS, thread / TOKEN_THREADS);
    let whole = choose(site, at, team, is_there);
    if lane == 0u && is_there {
        weigh(at.choice, whole);
        look_up(site, at.choice, at.slots);
    }
    storageBarrier();
    workgroupBarrier();
    if launch.opens != 0u {
        open(token, factor, site, at.choice, team, is_there);
    }
    project_scored(token, factor, site, at, thread, is_there);
}

/// The factor of the norm, from the shares of a token's threads; 1 without.
fn token_factor(thread: u32, squares: f32) -> f32 {
    if INPUT != NORM {
        return 1.0;
    }
    lane_sums[thread] = squares;
    workgroupBarrier();
    let first = thread / TOKEN_THREADS * TOKEN_THREADS;
    var sum = 0.0;
    for (var i = 0u; i < TOKEN_THREADS; i++) {
        sum += lane_sums[first + i];
    }
    return norm_factor(sum);
}

/// The score and the bias for every gate of the site, in the scratch behind the slots; LOWEST for experts that are not allowed.
/// Returns the factor of the norm.
fn score(token: u32, site_index: u32, site: Site, scores: u32, thread: u32) -> f32 {
    let width = input_width();
    let lane = thread % LANES;
    var sum = 0.0;
    var squares = 0.0;
    for (var i = thread; i < width; i += THREADS) {
        sum += input_value(token, i);
        if INPUT == NORM {
            let raw = x[launch.x.offset + token * launch.x.cols + i];
            squares += raw * raw;
        }
    }
    var factor = 1.0;
    if INPUT == NORM {
        factor = norm_factor(workgroup_sum(thread, squares));
    }
    var mean = factor * workgroup_sum(thread, sum) / f32(width);
    squares = 0.0;
    for (var i = thread; i < width; i += THREADS) {
        let centred = factor * input_value(token, i) - mean;
        squares += centred * centred;
    }
    var scale = 1.0 / sqrt(workgroup_sum(thread, squares) / f32(width) + LAYER_NORM_EPSILON);
    if launch.rule != NORMALISED {
        mean = 0.0;
        scale = 1.0;
    }
    for (var chunk = 0u; chunk < width; chunk += CHUNK) {
        stage_input(token, chunk, factor, thread);
        let length = min(CHUNK, launch.vectors.cols - chunk);
        for (var tile = 0u; tile < site.count; tile += ROWS) {
            let row = tile + thread / LANES;
            var product = 0.0;
            if row < site.count && launch.rule <= ABSOLUTE {
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
                }
                if chunk + CHUNK >= width {
                    let expert = entry(site, row, EXPERT);
                    let bias = bitcast<f32>(atomicLoad(&flags[launch.flags.offset + 1u + expert]));
                    if launch.rule == ABSOLUTE {
                        product = abs(product);
                    } else if launch.rule == NOISE {
                        product = f32(hash(launch.key, site_index, control.position + token, expert) >> 8u) / 16777216.0;
                    }
                    product = select(product + bias, LOWEST, bias == LOWEST);
                }
                deltas[scores + row] = bitcast<u32>(product);
            }
        }
    }
    storageBarrier();
    workgroupBarrier();
    return factor;
}

/// Threads that choose for one token and site.
struct Team {
    lane: u32,
    size: u32,
    /// Which of the workgroup's teams.
    index: u32,
}

/// The rows of the k best scores, best first, ABSENT where there are fewer, then those of the runners-up; each with its score for a
/// weight. Returns what
/// a softmax over all of the site divides by, if somebody wants to know.
fn choose(site: Site, at: Place, team: Team, is_there: bool) -> f32 {
    let thread = team.index * team.size + team.lane;
    let few = team.index * 8u;
    var highest = LOWEST;
    // The one chosen last: those behind it are still to be had.
    var last = -LOWEST;
    var last_row = 0u;
    for (var slot = 0u; slot < launch.top_k + launch.runners_up; slot++) {
        var best = LOWEST;
        var best_row = ABSENT;
        for (var row = team.lane; row < site.count; row += team.size) {
            let score = bitcast<f32>(deltas[at.scores + row]);
            let is_behind = score < last || (score == last && row > last_row);
            if score > best && is_behind {
                best = score;
                best_row = row;
            }
        }
        best_scores[thread] = best;
        best_rows[thread] = best_row;
        workgroupBarrier();
        if team.lane < 8u {
            for (var i = team.lane + 8u; i < team.size; i += 8u) {
                let other = best_scores[thread - team.lane + i];
                let other_row = best_rows[thread - team.lane + i];
                if other > best || (other == best && other_row < best_row) {
                    best = other;
                    best_row = other_row;
                }
            }
            few_scores[few + team.lane] = best;
            few_rows[few + team.lane] = best_row;
        }
        workgroupBarrier();
        best = few_scores[few];
        best_row = few_rows[few];
        for (var i = 1u; i < 8u; i++) {
            let other = few_scores[few + i];
            let other_row = few_rows[few + i];
            if other > best || (other == best && other_row < best_row) {
                best = other;
                best_row = other_row;
            }
        }
        if team.lane == 0u && is_there {
            let told = told_at(at.choice, slot);
            choices[told.row] = best_row;
            choices[told.weight] = bitcast<u32>(best);
        }
        last = best;
        last_row = best_row;
        highest = max(highest, best);
        workgroupBarrier();
    }
    var whole = 0.0;
    if launch.least_share > 0.0 {
        for (var row = team.lane; row < site.count; row += team.size) {
            let score = bitcast<f32>(deltas[at.scores + row]);
            if score != LOWEST {
                whole += weight_of(score, highest);
            }
        }
        best_scores[thread] = whole;
        workgroupBarrier();
        whole = 0.0;
        for (var i = 0u; i < team.size; i++) {
            whole += best_scores[team.index * team.size + i];
        }
    }
    return whole;
}

/// Where a choice is told, or a runner-up behind all choices.
struct Told {
    row: u32,
    weight: u32,
}

fn told_at(choice: u32, slot: u32) -> Told {
    if slot < launch.top_k {
        return Told(choice + slot, choice + launch.top_k + slot);
    }
    let row = choice + launch.top_k + slot;
    return Told(row, row + launch.runners_up);
}

/// Of a score, before the weights are made to sum to 1.
fn weight_of(score: f32, highest: f32) -> f32 {
    return select(exp(score - highest), 1.0, launch.rule == NOISE);
}

/// From scores to weights: their softmax, without those that are too weak.
fn weigh(choice: u32, whole: f32) {
    let weights = choice + launch.top_k;
    let highest = bitcast<f32>(choices[weights]);
    var total = 0.0;
    for (var slot = 0u; slot < launch.top_k; slot++) {
        var weight = 0.0;
        if choices[choice + slot] != ABSENT {
            weight = weight_of(bitcast<f32>(choices[weights + slot]), highest);
        }
        choices[weights + slot] = bitcast<u32>(weight);
        total += weight;
    }
    for (var slot = launch.top_k; slot < launch.top_k + launch.runners_up; slot++) {
        let told = told_at(choice, slot);
        var weight = 0.0;
        if choices[told.row] != ABSENT {
            weight = weight_of(bitcast<f32>(choices[told.weight]), highest);
            weight /= total + weight;
        }
        choices[told.weight] = bitcast<u32>(weight);
    }
    let is_decisive = total >= launch.least_share * whole;
    var kept = 0.0;
    for (var slot = 0u; slot < launch.top_k; slot++) {
        let weight = bitcast<f32>(choices[weights + slot]);
        if is_decisive && (slot == 0u || weight >= launch.least_weight * total) {
            kept += weight;
        } else {
            choices[choice + slot] = ABSENT;
            choices[weights + slot] = 0u;
        }
    }
    for (var slot = 0u; slot < launch.top_k; slot++) {
        if choices[choice + slot] != ABSENT {
            choices[weights + slot] = bitcast<u32>(bitcast<f32>(choices[weights + slot]) / kept);
        }
    }
}

/// Multiplies the weights of the chosen with sigmoid(v · u), v their gates before these were normalised.
fn open(token: u32, factor: f32, site: Site, choice: u32, team: Team, is_there: bool) {
    let width = input_width();
    let first = team.index * team.size;
    for (var slot = 0u; slot < launch.top_k; slot++) {
        let row = choices[choice + slot];
        var product = 0.0;
        if row != ABSENT {
            let mean = bitcast<f32>(entry(site, row, GATE_MEAN));
            let length = bitcast<f32>(entry(site, row, GATE_LENGTH));
            let gate = (site.first + row) * launch.vectors.cols;
            for (var i = team.lane; i < width; i += team.size) {
                let v = mean + length * vectors[(gate + i) / 4u][(gate + i) % 4u];
                product += v * factor * input_value(token, i);
            }
        }
        lane_sums[first + team.lane] = product;
        workgroupBarrier();
        if team.lane == 0u && is_there && row != ABSENT {
            for (var i = 1u; i < team.size; i++) {
                product += lane_sums[first + i];
            }
            // The exponential of a large number is infinite, and its sigmoid 0; some drivers make that NaN.
            let weight = bitcast<f32>(choices[choice + launch.top_k + slot]);
            choices[choice + launch.top_k + slot] = bitcast<u32>(weight / (1.0 + exp(-clamp(product, -80.0, 80.0))));
        }
        workgroupBarrier();
    }
    storageBarrier();
    workgroupBarrier();
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
            } else if start != WAIVED {
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

/// The same with the 32 threads of a token: 8 to a row of A, 4 rows side by side, 8 such rows one after another in the
/// registers of a thread.
fn project_scored(token: u32, factor: f32, site: Site, at: Place, thread: u32, is_there: bool) {
    let width = input_width();
    let lane = thread % LANES;
    let side = thread % TOKEN_THREADS / LANES;
    let count = launch.top_k * (launch.slot_words - 2u);
    for (var tile = 0u; tile < count; tile += TOKEN_THREADS) {
        let row = tile + side;
        let low = vec4(
            row_of_a(site, at, row, width),
            row_of_a(site, at, row + 4u, width),
            row_of_a(site, at, row + 8u, width),
            row_of_a(site, at, row + 12u, width),
        );
        let high = vec4(
            row_of_a(site, at, row + 16u, width),
            row_of_a(site, at, row + 20u, width),
            row_of_a(site, at, row + 24u, width),
            row_of_a(site, at, row + 28u, width),
        );
        var low_sums = vec4(0.0);
        var high_sums = vec4(0.0);
        for (var i = lane; i < width; i += LANES) {
            let value = factor * input_value(token, i);
            low_sums += value * bitcast<vec4<f32>>(vec4(pool[low.x + i], pool[low.y + i], pool[low.z + i], pool[low.w + i]));
            high_sums += value * bitcast<vec4<f32>>(vec4(pool[high.x + i], pool[high.y + i], pool[high.z + i], pool[high.w + i]));
        }
        workgroupBarrier();
        let own = thread * 8u;
        u[own] = low_sums.x;
        u[own + 1u] = low_sums.y;
        u[own + 2u] = low_sums.z;
        u[own + 3u] = low_sums.w;
        u[own + 4u] = high_sums.x;
        u[own + 5u] = high_sums.y;
        u[own + 6u] = high_sums.z;
        u[own + 7u] = high_sums.w;
        workgroupBarrier();
        // Now a thread to a row.
        let index = thread % TOKEN_THREADS;
        let first = (thread - index + index % 4u * LANES) * 8u + index / 4u;
        let sum = u[first] + u[first + 8u] + u[first + 16u] + u[first + 24u]
            + u[first + 32u] + u[first + 40u] + u[first + 48u] + u[first + 56u];
        let slot = (tile + index) / (launch.slot_words - 2u);
        let r = (tile + index) % (launch.slot_words - 2u);
        let head = at.slots + slot * launch.slot_words;
        if is_there && slot < launch.top_k && r < deltas[head + 1u] {
            let weight = bitcast<f32>(choices[at.choice + launch.top_k + slot]);
            let scale = weight * bitcast<f32>(entry(site, choices[at.choice + slot], SCALE));
            deltas[head + 2u + r] = bitcast<u32>(scale * sum);
        }
    }
}

/// Where a row of the chosen experts' A begins in the pool; its beginning for rows that there are not, whose sums nobody
/// uses.
fn row_of_a(site: Site, at: Place, index: u32, width: u32) -> u32 {
    let slot = index / (launch.slot_words - 2u);
    let r = index % (launch.slot_words - 2u);
    if slot < launch.top_k && r < deltas[at.slots + slot * launch.slot_words + 1u] {
        let expert = choices[at.choice + slot];
        return pool[launch.pool.offset + entry(site, expert, PAGE)] + entry(site, expert, A) + r * width;
    }
    return launch.pool.offset;
}
