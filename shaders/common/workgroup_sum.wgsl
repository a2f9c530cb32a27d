// A sum over the workgroup. The shader says how many THREADS it has: a multiple of 16.

var<workgroup> summands: array<f32, THREADS>;
var<workgroup> sixteen_sums: array<f32, 16>;

/// The sum of every thread's value, in the same order each time.
fn workgroup_sum(thread: u32, value: f32) -> f32 {
    workgroupBarrier();
    summands[thread] = value;
    workgroupBarrier();
    if thread < 16u {
        var sum = 0.0;
        for (var i = thread; i < THREADS; i += 16u) {
            sum += summands[i];
        }
        sixteen_sums[thread] = sum;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < 16u; i++) {
        total += sixteen_sums[i];
    }
    return total;
}
