// cache[position] = (k, v), then out = Σ_j softmax_j(q · k_j + bias[j − position]) v_j over j up to the position. One
// workgroup to a head, which writes and reads its own lanes of the cache alone.

struct Launch {
    control: Matrix,
    qkv: Matrix,
    bias: Matrix,
    cache: Matrix,
    out: Matrix,
    heads: u32,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<storage, read> qkv: array<f32>; // (1, 3 inner)
@group(0) @binding(2) var<storage, read> bias: array<f32>; // (2 reach + 1, heads)
@group(0) @binding(3) var<storage, read_write> cache: array<f32>; // (positions, 2 inner): keys, values
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // (1, inner)
@group(0) @binding(5) var<uniform> launch: Launch;

fn key_value(at: u32) -> f32 {
    return cache[at];
}

@compute @workgroup_size(THREADS)
fn attention_step(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let head = group.x;
    let inner = launch.out.cols;
    let d_kv = inner / launch.heads;
    var a: Attend;
    a.head = head;
    a.heads = launch.heads;
    a.d_kv = d_kv;
    a.at = control.position;
    a.key_count = control.position + 1u;
    a.key = launch.cache.offset + head * d_kv;
    a.value = a.key + inner;
    a.stride = 2u * inner;
    let fresh = launch.qkv.offset + head * d_kv;
    for (var lane = thread; lane < d_kv; lane += THREADS) {
        query[lane] = qkv[fresh + lane];
        cache[a.key + control.position * a.stride + lane] = qkv[fresh + inner + lane];
        cache[a.value + control.position * a.stride + lane] = qkv[fresh + 2u * inner + lane];
    }
    storageBarrier();
    workgroupBarrier();
    var sums = attend(a, thread);
    for (var part = 0u; part * THREADS + thread < d_kv; part++) {
        out[launch.out.offset + head * d_kv + part * THREADS + thread] = sums[part];
    }
}
