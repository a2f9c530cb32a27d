// out[i] = Σ_j softmax_j(q_i · k_j + bias[j − i]) v_j over all j, one workgroup to a query and head.

struct Launch {
    control: Matrix,
    q: Matrix,
    keys: Matrix,
    bias: Matrix,
    out: Matrix,
    heads: u32,
    /// First columns of queries, keys and values.
    q_column: u32,
    k_column: u32,
    v_column: u32,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<storage, read> q: array<f32>; // (queries, columns)
@group(0) @binding(2) var<storage, read> keys: array<f32>; // (keys, columns): keys and values
@group(0) @binding(3) var<storage, read> bias: array<f32>; // (2 reach + 1, heads), or nothing
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // (queries, inner)
@group(0) @binding(5) var<uniform> launch: Launch;

fn key_value(at: u32) -> f32 {
    return keys[at];
}

@compute @workgroup_size(THREADS)
fn attention(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let head = group.x;
    let at = group.y;
    let d_kv = launch.out.cols / launch.heads;
    for (var lane = thread; lane < d_kv; lane += THREADS) {
        query[lane] = q[launch.q.offset + at * launch.q.cols + launch.q_column + head * d_kv + lane];
    }
    workgroupBarrier();
    var a: Attend;
    a.head = head;
    a.heads = launch.heads;
    a.d_kv = d_kv;
    a.at = at;
    a.key_count = launch.keys.rows;
    a.key = launch.keys.offset + launch.k_column + head * d_kv;
    a.value = launch.keys.offset + launch.v_column + head * d_kv;
    a.stride = launch.keys.cols;
    var sums = attend(a, thread);
    for (var part = 0u; part * THREADS + thread < d_kv; part++) {
        out[launch.out.offset + at * launch.out.cols + head * d_kv + part * THREADS + thread] = sums[part];
    }
}
