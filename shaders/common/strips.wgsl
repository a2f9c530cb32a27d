// A linear layer's products of many tokens on a CPU that plays a GPU: 32 tokens by 4 THREADS rows to a workgroup, 4 rows of all
// the tokens to a thread. There a load costs as much as many multiplications, unless neighbouring threads load the same or
// what lies side by side; so a weight is decoded once, in registers, and multiplied with all tokens before the next. Not more
// tokens: llvmpipe ends every thread's loops after 65,535 rounds in all, without a word.

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
    let own_rows = vec4(group.x * 4u * THREADS + thread) + THREADS * vec4(0u, 1u, 2u, 3u);
    // A row behind the last is computed as the last, and not stored.
    let rows = min(own_rows, vec4(outputs - 1u));
    var sums = array<vec4<f32>, STRIP_TOKENS>();
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
            let w0 = weights16(rows.x, chunk / 16u + part);
            let w1 = weights16(rows.y, chunk / 16u + part);
            let w2 = weights16(rows.z, chunk / 16u + part);
            let w3 = weights16(rows.w, chunk / 16u + part);
            for (var token = 0u; token < tokens; token++) {
                let at = token * STRIP_QUADS + part * 4u;
                let u0 = strip_u[at];
                let u1 = strip_u[at + 1u];
                let u2 = strip_u[at + 2u];
                let u3 = strip_u[at + 3u];
                sums[token] += vec4(
                    dot(w0[0], u0) + dot(w0[1], u1) + dot(w0[2], u2) + dot(w0[3], u3),
                    dot(w1[0], u0) + dot(w1[1], u1) + dot(w1[2], u2) + dot(w1[3], u3),
                    dot(w2[0], u0) + dot(w2[1], u1) + dot(w2[2], u2) + dot(w2[3], u3),
                    dot(w3[0], u0) + dot(w3[1], u1) + dot(w3[2], u2) + dot(w3[3], u3),
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
        var products = factor * sums[token];
        if launch.sites != 0u {
            products += four_deltas(first_token + token, own_rows);
        }
        for (var j = 0u; j < 4u; j++) {
            if own_rows[j] < outputs {
                store(first_token + token, own_rows[j], products[j]);
            }
        }
    }
}
