// One token's u in workgroup memory, a chunk at a time, and products of matrix rows with it: THREADS / LANES rows side by
// side, LANES threads to a row.

const THREADS = 256u;
const LANES = 8u;
const ROWS = THREADS / LANES;
const CHUNK = 2048u;

var<workgroup> u: array<f32, CHUNK>;
var<workgroup> lane_sums: array<f32, THREADS>;

/// The factor of the norm; 1 without.
fn input_factor(token: u32, thread: u32) -> f32 {
    if INPUT != NORM {
        return 1.0;
    }
    var squares = 0.0;
    for (var i = thread; i < launch.x.cols; i += THREADS) {
        let value = x[launch.x.offset + token * launch.x.cols + i];
        squares += value * value;
    }
    return norm_factor(workgroup_sum(thread, squares));
}

/// Elements `first` and following of u, zeros after the last.
fn stage_input(token: u32, first: u32, factor: f32, thread: u32) {
    let width = input_width();
    workgroupBarrier();
    for (var i = thread; i < CHUNK; i += THREADS) {
        var value = 0.0;
        if first + i < width {
            value = factor * input_value(token, first + i);
        }
        u[i] = value;
    }
    workgroupBarrier();
}

/// The sum over the LANES threads of a row.
fn row_sum(thread: u32, value: f32) -> f32 {
    workgroupBarrier();
    lane_sums[thread] = value;
    workgroupBarrier();
    let first = thread / LANES * LANES;
    var sum = 0.0;
    for (var i = 0u; i < LANES; i++) {
        sum += lane_sums[first + i];
    }
    return sum;
}
