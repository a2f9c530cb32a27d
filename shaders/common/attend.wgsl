// One query of one head over keys and values, a tile of keys at a time (the softmax online: Milakov and Gimelshein 2018).
// The shader has the binding `bias`, `launch` with its place, and says what `key_value(at)` is.

const THREADS = 64u;
/// The widest head, in units of THREADS.
const MOST_PARTS = 4u;

var<workgroup> query: array<f32, 256>;
var<workgroup> probabilities: array<f32, THREADS>;
var<workgroup> eight: array<f32, 8>;

/// What to attend with, and to what: element indices of the head's first lane.
struct Attend {
    head: u32,
    heads: u32,
    d_kv: u32,
    /// Position of the query.
    at: u32,
    key_count: u32,
    /// Of key 0 and value 0, and from one to the next.
    key: u32,
    value: u32,
    stride: u32,
}

/// `Σ_j softmax_j(q · k_j + bias[j − at]) v_j`: lane `thread + THREADS · part` of the head in element `part`. The query is
/// in workgroup memory already.
fn attend(a: Attend, thread: u32) -> array<f32, MOST_PARTS> {
    var sums = array<f32, MOST_PARTS>();
    var highest = LOWEST;
    var total = 0.0;
    for (var tile = 0u; tile < a.key_count; tile += THREADS) {
        let j = tile + thread;
        var score = LOWEST;
        if j < a.key_count {
            score = position_bias(a, j);
            let key = a.key + j * a.stride;
            for (var lane = 0u; lane < a.d_kv; lane++) {
                score += query[lane] * key_value(key + lane);
            }
        }
        let new_highest = max(highest, workgroup_max(thread, score));
        let probability = select(0.0, exp(score - new_highest), j < a.key_count);
        // Of the first tile nothing was summed before: the factor does not matter, but must not be NaN.
        let keep = select(exp(highest - new_highest), 0.0, tile == 0u);
        highest = new_highest;
        workgroupBarrier();
        probabilities[thread] = probability;
        workgroupBarrier();
        let keys = min(THREADS, a.key_count - tile);
        var tile_total = 0.0;
        for (var i = 0u; i < keys; i++) {
            tile_total += probabilities[i];
        }
        total = total * keep + tile_total;
        for (var part = 0u; part * THREADS < a.d_kv; part++) {
            let lane = thread + part * THREADS;
            var sum = 0.0;
            if lane < a.d_kv {
                for (var i = 0u; i < keys; i++) {
                    sum += probabilities[i] * key_value(a.value + (tile + i) * a.stride + lane);
                }
            }
            sums[part] = sums[part] * keep + sum;
        }
    }
    for (var part = 0u; part < MOST_PARTS; part++) {
        sums[part] /= total;
    }
    return sums;
}

/// By distance, whose table ends where all distances share a bucket. Nothing where there is no table.
fn position_bias(a: Attend, j: u32) -> f32 {
    if launch.bias.rows == 0u {
        return 0.0;
    }
    let reach = i32(launch.bias.rows / 2u);
    let row = u32(reach + clamp(i32(j) - i32(a.at), -reach, reach));
    return bias[launch.bias.offset + row * a.heads + a.head];
}

fn workgroup_max(thread: u32, value: f32) -> f32 {
    workgroupBarrier();
    probabilities[thread] = value;
    workgroupBarrier();
    if thread < 8u {
        var highest = probabilities[thread];
        for (var i = thread + 8u; i < THREADS; i += 8u) {
            highest = max(highest, probabilities[i]);
        }
        eight[thread] = highest;
    }
    workgroupBarrier();
    var highest = eight[0];
    for (var i = 1u; i < 8u; i++) {
        highest = max(highest, eight[i]);
    }
    return highest;
}
