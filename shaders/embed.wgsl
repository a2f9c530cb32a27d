// y[t] = table[ids[t]], one workgroup to a token.

struct Launch {
    control: Matrix,
    ids: Matrix,
    values: Matrix,
    scales: Matrix,
    y: Matrix,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<storage, read> ids: array<u32>; // (1, tokens)
@group(0) @binding(2) var<storage, read> values: array<vec4<u32>>; // (vocabulary, d_model up to 32)
@group(0) @binding(3) var<storage, read> scales: array<u32>; // (vocabulary, d_model / 32), two to a word
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // (tokens, d_model)
@group(0) @binding(5) var<uniform> launch: Launch;

const THREADS = 64u;

@compute @workgroup_size(THREADS)
fn embed(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let d = launch.y.cols;
    let id = ids[launch.ids.offset + group.x];
    let row = row_of(id);
    for (var part = thread; part * 16u < d; part += THREADS) {
        var weights = weights16(row, part);
        for (var i = 0u; i < min(16u, d - part * 16u); i++) {
            y[launch.y.offset + group.x * d + part * 16u + i] = weights[i / 4u][i % 4u];
        }
    }
}
