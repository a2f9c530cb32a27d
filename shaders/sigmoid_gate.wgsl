// t = sigmoid(v · u) s A u, one workgroup to a token: the forward pass while a gate is trained. `linear` adds B t to W u.

struct Launch {
    control: Matrix,
    x: Matrix,
    norm: Matrix,
    gate: Matrix,
    pool: Matrix,
    deltas: Matrix,
    input: u32,
    epsilon: f32,
    /// Where A and B begin in the pool.
    a: u32,
    b: u32,
    rank: u32,
    scale: f32,
    site_words: u32,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<storage, read> x: array<f32>; // (tokens, d_in), gated (tokens, 2 d_in)
@group(0) @binding(2) var<storage, read> norm: array<f32>; // (1, d_in), or nothing
@group(0) @binding(3) var<storage, read> gate: array<f32>; // (1, d_in): v
@group(0) @binding(4) var<storage, read> pool: array<u32>; // (1, words)
@group(0) @binding(5) var<storage, read_write> deltas: array<u32>; // (tokens, site_words)
@group(0) @binding(6) var<uniform> launch: Launch;

@compute @workgroup_size(THREADS)
fn sigmoid_gate(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let token = group.x;
    let width = input_width();
    let lane = thread % LANES;
    let factor = input_factor(token, thread);
    var sum = 0.0;
    for (var i = thread; i < width; i += THREADS) {
        sum += factor * input_value(token, i) * gate[launch.gate.offset + i];
    }
    // The exponential of a large number is infinite, and its sigmoid 0; some drivers make that NaN.
    let logit = clamp(workgroup_sum(thread, sum), -80.0, 80.0);
    let scale = launch.scale / (1.0 + exp(-logit));
    let slot = launch.deltas.offset + token * launch.site_words;
    if thread == 0u {
        deltas[slot] = launch.b;
        deltas[slot + 1u] = launch.rank;
    }
    for (var chunk = 0u; chunk < width; chunk += CHUNK) {
        stage_input(token, chunk, factor, thread);
        let length = min(CHUNK, width - chunk);
        for (var tile = 0u; tile < launch.rank; tile += ROWS) {
            let r = tile + thread / LANES;
            var product = 0.0;
            if r < launch.rank {
                let a = launch.a + r * width + chunk;
                for (var i = lane; i < length; i += LANES) {
                    product += bitcast<f32>(pool[a + i]) * u[i];
                }
            }
            product = scale * row_sum(thread, product);
            if r < launch.rank && lane == 0u {
                if chunk > 0u {
                    product += bitcast<f32>(deltas[slot + 2u + r]);
                }
                deltas[slot + 2u + r] = bitcast<u32>(product);
            }
        }
    }
}
