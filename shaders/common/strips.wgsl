// A linear layer's products of many tokens on a CPU that plays a GPU: 32 tokens by 8 THREADS rows to a workgroup, 8 rows of all
// the tokens to a thread. There a load costs as much as many multiplications, unless neighbouring threads load the same or
// what lies side by side; so a weight is decoded once, in registers, and multiplied with all tokens before the next.

const STRIP_TOKENS = 32u;
const STRIP_DEPTH = 32u;
const STRIP_QUADS = STRIP_DEPTH / 4u;

var<workgroup> strip_u: array<vec4<f32>, STRIP_TOKENS * STRIP_QUADS>;
/// Σ x² of the quads that went by.
var<workgroup> strip_squares: array<f32, STRIP_TOKENS * STRIP_QUADS>;

@compute @workgroup_size(THREADS)
fn strips(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if control.halted != GO {
        return;
    }
    let outputs = launch.y.cols;
    let width = input_width();
    let first_token = group.y * STRIP_TOKENS;
    let tokens = min(STRIP_TOKENS, launch.y.rows - first_token);
    let lower = vec4(group.x * 8u * THREADS + thread) + THREADS * vec4(0u, 1u, 2u, 3u);
    let upper = lower + 4u * THREADS;
    // A row behind the last is computed as the last, and not stored.
    let a = min(lower, vec4(outputs - 1u));
    let b = min(upper, vec4(outputs - 1u));
    var a_sums = array<vec4<f32>, STRIP_TOKENS>();
    var b_sums = array<vec4<f32>, STRIP_TOKENS>();
    for (var chunk = 0u; chunk < width; chunk += STRIP_DEPTH) {
        workgroupBarrier();
        for (var i = thread; i < tokens * STRIP_QUADS; i += THREADS) {
            let token = first_token + i / STRIP_QUADS;
            let at = chunk + i % STRIP_QUADS * 4u;
            strip_u[i] = input_quad(token, at, width);
            if INPUT == NORM {
                strip_squares[i] = select(strip_squares[i], 0.0, chunk == 0u) + square_sum(token, at, width);
            }
        }
        workgroupBarrier();
        for (var part = 0u; part < STRIP_DEPTH / 16u; part++) {
            let first = chunk / 16u + part;
            let a0 = weights16(a.x, first);
            let a1 = weights16(a.y, first);
            let a2 = weights16(a.z, first);
            let a3 = weights16(a.w, first);
            let b0 = weights16(b.x, first);
            let b1 = weights16(b.y, first);
            let b2 = weights16(b.z, first);
            let b3 = weights16(b.w, first);
            for (var token = 0u; token < tokens; token++) {
                let at = token * STRIP_QUADS + part * 4u;
                let u0 = strip_u[at];
                let u1 = strip_u[at + 1u];
                let u2 = strip_u[at + 2u];
                let u3 = strip_u[at + 3u];
                a_sums[token] += vec4(
                    dot(a0[0], u0) + dot(a0[1], u1) + dot(a0[2], u2) + dot(a0[3], u3),
                    dot(a1[0], u0) + dot(a1[1], u1) + dot(a1[2], u2) + dot(a1[3], u3),
                    dot(a2[0], u0) + dot(a2[1], u1) + dot(a2[2], u2) + dot(a2[3], u3),
                    dot(a3[0], u0) + dot(a3[1], u1) + dot(a3[2], u2) + dot(a3[3], u3),
                );
                b_sums[token] += vec4(
                    dot(b0[0], u0) + dot(b0[1], u1) + dot(b0[2], u2) + dot(b0[3], u3),
                    dot(b1[0], u0) + dot(b1[1], u1) + dot(b1[2], u2) + dot(b1[3], u3),
                    dot(b2[0], u0) + dot(b2[1], u1) + dot(b2[2], u2) + dot(b2[3], u3),
                    dot(b3[0], u0) + dot(b3[1], u1) + dot(b3[2], u2) + dot(b3[3], u3),
                );
            }
        }
    }
    for (var token = 0u; token < tokens; token++) {
        var factor = launch.scale;
        if INPUT == NORM {
            var squares = 0.0;
            for (var i = 0u; i < STRIP_QUADS; i++) {
                squares += strip_squares[token * STRIP_QUADS + i];
            }
            factor *= norm_factor(squares);
        }
        store_four(first_token + token, lower, factor * a_sums[token]);
        store_four(first_token + token, upper, factor * b_sums[token]);
    }
}

/// Stores four products of a token, with what experts add.
fn store_four(token: u32, rows: vec4<u32>, products: vec4<f32>) {
    var sums = products;
    if launch.sites != 0u {
        sums += four_deltas(token, rows);
    }
    for (var j = 0u; j < 4u; j++) {
        if rows[j] < launch.y.cols {
            store(token, rows[j], sums[j]);
        }
    }
}
