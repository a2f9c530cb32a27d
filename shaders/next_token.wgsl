// The next token, committed, or a halt. One workgroup in all.

struct Launch {
    control: Matrix,
    logits: Matrix,
    ends: Matrix,
    flags: Matrix,
    seen: Matrix,
    produced: Matrix,
    /// 0 for the most likely token.
    temperature: f32,
    repetition_penalty: f32,
    /// 0 for all.
    top_k: u32,
    top_p: f32,
    seed_low: u32,
    seed_high: u32,
}

@group(0) @binding(0) var<storage, read_write> control: Control;
@group(0) @binding(1) var<storage, read> logits: array<f32>; // (1, vocabulary)
@group(0) @binding(2) var<storage, read> ends: array<u32>; // (1, n)
@group(0) @binding(3) var<storage, read> flags: array<u32>; // (1, …): first whether a page was missed
@group(0) @binding(4) var<storage, read_write> seen: array<u32>; // (1, vocabulary / 32): a bit for each token
@group(0) @binding(5) var<storage, read_write> produced: array<u32>; // (1, most tokens)
@group(0) @binding(6) var<uniform> launch: Launch;

const THREADS = 256u;

var<workgroup> verdict: u32;
var<workgroup> bad: atomic<u32>;
var<workgroup> best_values: array<f32, THREADS>;
var<workgroup> best_ids: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn next_token(@builtin(local_invocation_index) thread: u32) {
    if thread == 0u {
        atomicStore(&bad, 0u);
    }
    workgroupBarrier();
    for (var id = thread; id < launch.logits.cols; id += THREADS) {
        // By its bits: a shader may assume that no float is NaN or infinite.
        if (bitcast<u32>(logits[launch.logits.offset + id]) & 0x7f800000u) == 0x7f800000u {
            atomicStore(&bad, 1u);
        }
    }
    workgroupBarrier();
    if thread == 0u {
        verdict = control.halted;
        if verdict == GO {
            if flags[launch.flags.offset] != 0u {
                verdict = MISSED;
            } else if atomicLoad(&bad) != 0u {
                verdict = NOT_FINITE;
            }
            control.halted = verdict;
        }
    }
    if workgroupUniformLoad(&verdict) != GO {
        return;
    }
    let token = draw(thread);
    if thread == 0u {
        commit(token);
    }
}

fn commit(token: u32) {
    seen[launch.seen.offset + token / 32u] |= 1u << (token % 32u);
    produced[launch.produced.offset + control.position] = token;
    control.position += 1u;
    control.token = token;
    if control.position == launch.produced.cols {
        control.halted = FINISHED;
    }
    for (var i = 0u; i < launch.ends.cols; i++) {
        if ends[launch.ends.offset + i] == token {
            control.halted = FINISHED;
        }
    }
}

/// The most likely token, or one drawn by the rules; among equals the lowest id.
fn draw(thread: u32) -> u32 {
    var least = 0u;
    if launch.temperature != 0.0 {
        least = threshold(thread);
    }
    var best = LOWEST;
    var best_id = ABSENT;
    for (var id = thread; id < launch.logits.cols; id += THREADS) {
        var value = logit(id);
        if launch.temperature != 0.0 {
            // The greatest of logit + Gumbel noise is distributed as the softmax.
            if order(value) < least {
                continue;
            }
            value += gumbel(id);
        }
        if value > best || best_id == ABSENT {
            best = value;
            best_id = id;
        }
    }
    best_values[thread] = best;
    best_ids[thread] = best_id;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            let value = best_values[thread + half];
            let id = best_ids[thread + half];
            if value > best_values[thread] || (value == best_values[thread] && id < best_ids[thread]) {
                best_values[thread] = value;
                best_ids[thread] = id;
            }
        }
    }
    workgroupBarrier();
    return best_ids[0];
}

/// A token's logit after penalty and temperature.
fn logit(id: u32) -> f32 {
    var value = logits[launch.logits.offset + id];
    if ((seen[launch.seen.offset + id / 32u] >> (id % 32u)) & 1u) != 0u {
        value = select(value / launch.repetition_penalty, value * launch.repetition_penalty, value < 0.0);
    }
    if launch.temperature != 0.0 {
        value /= launch.temperature;
    }
    return value;
}

/// A whole number that is ordered as the floats are.
fn order(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

/// The least logit that may be drawn, by its order: found bit by bit from the top, since what lies above a number is
/// counted in one pass and sorting is not.
fn threshold(thread: u32) -> u32 {
    var least = 0u;
    if launch.top_k > 0u && launch.top_k < launch.logits.cols {
        for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
            var count = 0.0;
            for (var id = thread; id < launch.logits.cols; id += THREADS) {
                count += select(0.0, 1.0, order(logit(id)) >= (least | bit));
            }
            if workgroup_sum(thread, count) >= f32(launch.top_k) {
                least |= bit;
            }
        }
    }
    if launch.top_p >= 1.0 {
        return least;
    }
    let highest = highest_logit(thread);
    let whole = mass_above(least, highest, thread);
    var nucleus = 0u;
    for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
        let candidate = nucleus | bit;
        if mass_above(max(candidate, least), highest, thread) >= launch.top_p * whole {
            nucleus = candidate;
        }
    }
    return max(nucleus, least);
}

fn mass_above(least: u32, highest: f32, thread: u32) -> f32 {
    var mass = 0.0;
    for (var id = thread; id < launch.logits.cols; id += THREADS) {
        let value = logit(id);
        mass += select(0.0, exp(value - highest), order(value) >= least);
    }
    return workgroup_sum(thread, mass);
}

fn highest_logit(thread: u32) -> f32 {
    var highest = LOWEST;
    for (var id = thread; id < launch.logits.cols; id += THREADS) {
        highest = max(highest, logit(id));
    }
    best_values[thread] = highest;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            best_values[thread] = max(best_values[thread], best_values[thread + half]);
        }
    }
    workgroupBarrier();
    return best_values[0];
}

/// Noise from the seed, the position and the token, without a state.
fn gumbel(id: u32) -> f32 {
    let bits = hash(launch.seed_low, launch.seed_high, control.position, id);
    let uniform_ = (f32(bits >> 9u) + 0.5) / 8388608.0;
    // The tokens that win have numbers near 1, whose logarithms are small, and WGSL promises no small relative error there.
    let rest = 1.0 - uniform_;
    let series = rest * (1.0 + rest * (1.0 / 2.0 + rest * (1.0 / 3.0 + rest * (1.0 / 4.0 + rest / 5.0))));
    return -log(select(-log(uniform_), series, rest < 0.03));
}
