// Attention of many queries on a CPU that plays a GPU: four to a thread, neighbours to neighbouring threads, which so load the
// same keys and values. Nothing is shared, so nobody waits.

const FOUR_THREADS = 8u;
/// The widest head.
const MOST_LANES = 256u;

@compute @workgroup_size(FOUR_THREADS)
fn attention_four(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let head = group.x;
    let d_kv = launch.out.cols / launch.heads;
    let own = vec4((group.y * FOUR_THREADS + thread) * 4u) + vec4(0u, 1u, 2u, 3u);
    // A query behind the last is computed as the last, and not stored.
    let at = min(own, vec4(launch.out.rows - 1u));
    let first = vec4(launch.q.offset) + at * launch.q.cols + launch.q_column + head * d_kv;
    var queries = array<vec4<f32>, MOST_LANES>();
    for (var lane = 0u; lane < d_kv; lane++) {
        queries[lane] = vec4(q[first.x + lane], q[first.y + lane], q[first.z + lane], q[first.w + lane]);
    }
    let key_count = launch.keys.rows;
    let keys_begin = launch.keys.offset + launch.k_column + head * d_kv;
    let values_begin = launch.keys.offset + launch.v_column + head * d_kv;
    var sums = array<vec4<f32>, MOST_LANES>();
    var highest = vec4(LOWEST);
    var total = vec4(0.0);
    for (var j = 0u; j < key_count; j += 4u) {
        // Keys behind the last are the last again, and weigh nothing.
        let keys4 = min(vec4(j) + vec4(0u, 1u, 2u, 3u), vec4(key_count - 1u));
        let k = keys_begin + keys4 * launch.keys.cols;
        var s0 = four_biases(head, at, keys4.x);
        var s1 = four_biases(head, at, keys4.y);
        var s2 = four_biases(head, at, keys4.z);
        var s3 = four_biases(head, at, keys4.w);
        for (var lane = 0u; lane < d_kv; lane++) {
            let query = queries[lane];
            s0 += query * keys[k.x + lane];
            s1 += query * keys[k.y + lane];
            s2 += query * keys[k.z + lane];
            s3 += query * keys[k.w + lane];
        }
        let new_highest = max(max(highest, max(s0, s1)), max(s2, s3));
        // Of the first keys nothing was summed before: the factor does not matter, but must not be NaN.
        let keep = select(exp(highest - new_highest), vec4(0.0), j == 0u);
        highest = new_highest;
        let count = key_count - j;
        let p0 = exp(s0 - highest);
        let p1 = select(vec4(0.0), exp(s1 - highest), count > 1u);
        let p2 = select(vec4(0.0), exp(s2 - highest), count > 2u);
        let p3 = select(vec4(0.0), exp(s3 - highest), count > 3u);
        total = total * keep + (p0 + p1 + p2 + p3);
        let v = values_begin + keys4 * launch.keys.cols;
        for (var lane = 0u; lane < d_kv; lane++) {
            sums[lane] = sums[lane] * keep
                + (p0 * keys[v.x + lane] + p1 * keys[v.y + lane] + p2 * keys[v.z + lane] + p3 * keys[v.w + lane]);
        }
    }
    for (var lane = 0u; lane < d_kv; lane++) {
        let result = sums[lane] / total;
        for (var i = 0u; i < 4u; i++) {
            if own[i] < launch.out.rows {
                out[launch.out.offset + own[i] * launch.out.cols + head * d_kv + lane] = result[i];
            }
        }
    }
}

/// By distance from each of four queries to a key.
fn four_biases(head: u32, at: vec4<u32>, j: u32) -> vec4<f32> {
    if launch.bias.rows == 0u {
        return vec4(0.0);
    }
    let reach = i32(launch.bias.rows / 2u);
    let rows = vec4<u32>(reach + clamp(vec4(i32(j)) - vec4<i32>(at), vec4(-reach), vec4(reach)));
    let places = launch.bias.offset + rows * launch.heads + head;
    return vec4(bias[places.x], bias[places.y], bias[places.z], bias[places.w]);
}
