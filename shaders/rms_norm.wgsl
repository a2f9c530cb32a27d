// y = x / sqrt(mean(x²) + epsilon) · weight, one workgroup to a row.

struct Launch {
    control: Matrix,
    x: Matrix,
    weight: Matrix,
    y: Matrix,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<storage, read> x: array<f32>; // (tokens, d)
@group(0) @binding(2) var<storage, read> weight: array<f32>; // (1, d)
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // (tokens, d)
@group(0) @binding(4) var<uniform> launch: Launch;

const THREADS = 64u;

@compute @workgroup_size(THREADS)
fn rms_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let d = launch.x.cols;
    let source = launch.x.offset + group.x * d;
    let target_ = launch.y.offset + group.x * d;
    var squares = 0.0;
    for (var i = thread; i < d; i += THREADS) {
        squares += x[source + i] * x[source + i];
    }
    let factor = 1.0 / sqrt(workgroup_sum(thread, squares) / f32(d) + launch.epsilon);
    for (var i = thread; i < d; i += THREADS) {
        y[target_ + i] = x[source + i] * factor * weight[launch.weight.offset + i];
    }
}
