// A linear layer's products on SwiftShader, which plays a GPU on a CPU: four threads are the lanes of a vector. There
//
// - a load collects its lanes one by one and checks each, some eighty instructions, unless it is from a thread's own array, of an
//   element known beforehand, which takes one;
// - both sides of a branch are executed, and a loop's body once more than it turns;
// - workgroup memory is cleared word by word;
// - whole numbers are divided and shifted lane by lane, and multiplied at once.
//
// So each of eight threads keeps 64 elements of u of all tokens in an array of its own, decodes 64 weights of one row after the
// other, and multiplies them with every token in a row of statements. Threads share their sums alone.

/// Whether experts add anything.
override ROUTED: u32 = 0u;
/// 1 or 32.
override STRIP_TOKENS: u32 = 32u;
/// Rows that a workgroup computes, and those of which sums wait to be stored.
override STRIP_ROWS: u32 = 256u;
override WAITING_ROWS: u32 = 8u;

const STRIP_LANES = 8u;
override STRIP_SUMS: u32 = STRIP_TOKENS * WAITING_ROWS * STRIP_LANES;
/// Elements of u that a thread has of a token, in vec4.
const SPAN_QUADS = 16u;
const SPAN = 4u * SPAN_QUADS;
const STRIP_DEPTH = STRIP_LANES * SPAN;

/// By row, token and thread; at first sums of x², by token and thread.
var<workgroup> strip_sums: array<f32, STRIP_SUMS>;

@compute @workgroup_size(STRIP_LANES)
fn strips(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if control.halted != GO {
        return;
    }
    let width = input_width();
    let last_block = (width + 31u) / 32u - 1u;
    let first_token = group.y * STRIP_TOKENS;
    let tokens = min(STRIP_TOKENS, launch.y.rows - first_token);
    let begin = group.x * STRIP_ROWS;
    let end = min(begin + STRIP_ROWS, launch.y.cols);
    let begin_row = row_of(begin);
    let next_row = row_of(begin + 1u);
    let x_cols = launch.x.cols;
    let x_begin = launch.x.offset + first_token * x_cols;

    // What a thread stores: four rows of a token, and again, behind those of its neighbours.
    let token_stores = WAITING_ROWS / 4u;
    let stores = STRIP_TOKENS * token_stores / STRIP_LANES;

    var u: array<array<vec4<f32>, SPAN_QUADS>, 32>;
    var squares: array<f32, 32>;
    var factors: array<f32, 16>;
    for (var chunk = 0u; chunk < width; chunk += STRIP_DEPTH) {
        let span = chunk + lane * SPAN;
        for (var quad = 0u; quad < SPAN_QUADS; quad++) {
            let i = span + quad * 4u;
            let weights = norm_quad(i, width);
            // A loop would be run through twice.
            if STRIP_TOKENS == 1u {
                let raw = x_quad(x_begin + i, i, width);
                u[0][quad] = u_quad(raw, weights, x_begin + i, i, width);
                squares[0] += dot(raw, raw);
            } else {
                for (var token = 0u; token < tokens; token++) {
                    let at = x_begin + token * x_cols + i;
                    let raw = x_quad(at, i, width);
                    u[token][quad] = u_quad(raw, weights, at, i, width);
                    if INPUT == NORM {
                        squares[token] += dot(raw, raw);
                    }
                }
            }
        }
        if INPUT == NORM {
            workgroupBarrier();
            for (var token = 0u; token < tokens; token++) {
                let later = squares_from(STRIP_DEPTH + lane * 4u, x_begin + token * x_cols, width);
                strip_sums[token * STRIP_LANES + lane] = squares[token] + later;
            }
            workgroupBarrier();
            // Of the first chunk and those behind it: complete from the beginning.
            for (var i = 0u; i < stores; i++) {
                let factor = norm_factor(lane_sum((i * STRIP_LANES + lane) / token_stores * STRIP_LANES));
                factors[i] = select(factors[i], factor, chunk == 0u);
            }
        }
        // Behind the end u is zero, whatever it is multiplied with.
        let low_block = min(span / 32u, last_block);
        let high_block = min(low_block + 1u, last_block);
        for (var first_row = begin; first_row < end; first_row += WAITING_ROWS) {
            workgroupBarrier();
            for (var i = 0u; i < WAITING_ROWS; i++) {
                let rows = first_row + i - begin;
                let row = Row(
                    begin_row.values + rows * (next_row.values - begin_row.values),
                    begin_row.scales + rows * (next_row.scales - begin_row.scales),
                );
                let low = strip_quants(row, low_block);
                let high = strip_quants(row, high_block);
                let scales = QUANT_FACTOR * vec2(block_scale(row, low_block), block_scale(row, high_block));
                let at = i * (STRIP_TOKENS * STRIP_LANES) + lane;
                strip_sums[at] = strip_product(low, high, scales, u[0]);
                if STRIP_TOKENS > 1u {
                    strip_sums[at + 1u * STRIP_LANES] = strip_product(low, high, scales, u[1]);
                    strip_sums[at + 2u * STRIP_LANES] = strip_product(low, high, scales, u[2]);
                    strip_sums[at + 3u * STRIP_LANES] = strip_product(low, high, scales, u[3]);
                    strip_sums[at + 4u * STRIP_LANES] = strip_product(low, high, scales, u[4]);
                    strip_sums[at + 5u * STRIP_LANES] = strip_product(low, high, scales, u[5]);
                    strip_sums[at + 6u * STRIP_LANES] = strip_product(low, high, scales, u[6]);
                    strip_sums[at + 7u * STRIP_LANES] = strip_product(low, high, scales, u[7]);
                    strip_sums[at + 8u * STRIP_LANES] = strip_product(low, high, scales, u[8]);
                    strip_sums[at + 9u * STRIP_LANES] = strip_product(low, high, scales, u[9]);
                    strip_sums[at + 10u * STRIP_LANES] = strip_product(low, high, scales, u[10]);
                    strip_sums[at + 11u * STRIP_LANES] = strip_product(low, high, scales, u[11]);
                    strip_sums[at + 12u * STRIP_LANES] = strip_product(low, high, scales, u[12]);
                    strip_sums[at + 13u * STRIP_LANES] = strip_product(low, high, scales, u[13]);
                    strip_sums[at + 14u * STRIP_LANES] = strip_product(low, high, scales, u[14]);
                    strip_sums[at + 15u * STRIP_LANES] = strip_product(low, high, scales, u[15]);
                    strip_sums[at + 16u * STRIP_LANES] = strip_product(low, high, scales, u[16]);
                    strip_sums[at + 17u * STRIP_LANES] = strip_product(low, high, scales, u[17]);
                    strip_sums[at + 18u * STRIP_LANES] = strip_product(low, high, scales, u[18]);
                    strip_sums[at + 19u * STRIP_LANES] = strip_product(low, high, scales, u[19]);
                    strip_sums[at + 20u * STRIP_LANES] = strip_product(low, high, scales, u[20]);
                    strip_sums[at + 21u * STRIP_LANES] = strip_product(low, high, scales, u[21]);
                    strip_sums[at + 22u * STRIP_LANES] = strip_product(low, high, scales, u[22]);
                    strip_sums[at + 23u * STRIP_LANES] = strip_product(low, high, scales, u[23]);
                    strip_sums[at + 24u * STRIP_LANES] = strip_product(low, high, scales, u[24]);
                    strip_sums[at + 25u * STRIP_LANES] = strip_product(low, high, scales, u[25]);
                    strip_sums[at + 26u * STRIP_LANES] = strip_product(low, high, scales, u[26]);
                    strip_sums[at + 27u * STRIP_LANES] = strip_product(low, high, scales, u[27]);
                    strip_sums[at + 28u * STRIP_LANES] = strip_product(low, high, scales, u[28]);
                    strip_sums[at + 29u * STRIP_LANES] = strip_product(low, high, scales, u[29]);
                    strip_sums[at + 30u * STRIP_LANES] = strip_product(low, high, scales, u[30]);
                    strip_sums[at + 31u * STRIP_LANES] = strip_product(low, high, scales, u[31]);
                }
            }
            workgroupBarrier();
            for (var i = 0u; i < stores; i++) {
                let token = (i * STRIP_LANES + lane) / token_stores;
                let quad = (i * STRIP_LANES + lane) % token_stores * 4u;
                var factor = launch.scale;
                if INPUT == NORM {
                    factor *= factors[i];
                }
                if token < tokens {
                    let rows = quad_of(first_row + quad);
                    let is_last = chunk + STRIP_DEPTH >= width;
                    store_four(first_token + token, rows, factor * four_sums(quad, token), chunk == 0u, is_last);
                }
            }
        }
    }
}

/// Elements i to i + 3 of a token's x, at `at`; what lies behind its end is not its.
fn x_quad(at: u32, i: u32, width: u32) -> vec4<f32> {
    return select(vec4(0.0), vec4(x[at], x[at + 1u], x[at + 2u], x[at + 3u]), quad_of(i) < vec4(width));
}

fn norm_quad(i: u32, width: u32) -> vec4<f32> {
    if INPUT != NORM {
        return vec4(1.0);
    }
    let at = launch.norm.offset + i;
    return select(vec4(0.0), vec4(norm[at], norm[at + 1u], norm[at + 2u], norm[at + 3u]), quad_of(i) < vec4(width));
}

fn quad_of(i: u32) -> vec4<u32> {
    return vec4(i) + vec4(0u, 1u, 2u, 3u);
}

/// u of such a quad; before the factor, where it is normalised.
fn u_quad(raw: vec4<f32>, weights: vec4<f32>, at: u32, i: u32, width: u32) -> vec4<f32> {
    if INPUT == NORM {
        return raw * weights;
    }
    if INPUT == RELU {
        return max(raw, vec4(0.0));
    }
    if INPUT == GATED_GELU {
        return vec4(gelu(raw.x), gelu(raw.y), gelu(raw.z), gelu(raw.w)) * x_quad(at + width, i, width);
    }
    return raw;
}

/// Σ x² of every eighth quad of a token from an element on.
fn squares_from(first: u32, token_begin: u32, width: u32) -> f32 {
    var sum = 0.0;
    for (var i = first; i < width; i += STRIP_LANES * 4u) {
        let raw = x_quad(token_begin + i, i, width);
        sum += dot(raw, raw);
    }
    return sum;
}

/// The sum of what the eight threads have left.
fn lane_sum(at: u32) -> f32 {
    return strip_sums[at] + strip_sums[at + 1u] + strip_sums[at + 2u] + strip_sums[at + 3u]
        + strip_sums[at + 4u] + strip_sums[at + 5u] + strip_sums[at + 6u] + strip_sums[at + 7u];
}

/// The sums of waiting rows `row` to `row` + 3.
fn four_sums(row: u32, token: u32) -> vec4<f32> {
    let step = STRIP_TOKENS * STRIP_LANES;
    let at = row * step + token * STRIP_LANES;
    return vec4(lane_sum(at), lane_sum(at + step), lane_sum(at + 2u * step), lane_sum(at + 3u * step));
}

/// A thread's share of the product of a row and a token.
fn strip_product(
    low: array<vec4<f32>, 8>,
    high: array<vec4<f32>, 8>,
    scales: vec2<f32>,
    u: array<vec4<f32>, SPAN_QUADS>,
) -> f32 {
    let lower = dot(low[0], u[0]) + dot(low[1], u[1]) + dot(low[2], u[2]) + dot(low[3], u[3])
        + dot(low[4], u[4]) + dot(low[5], u[5]) + dot(low[6], u[6]) + dot(low[7], u[7]);
    let upper = dot(high[0], u[8]) + dot(high[1], u[9]) + dot(high[2], u[10]) + dot(high[3], u[11])
        + dot(high[4], u[12]) + dot(high[5], u[13]) + dot(high[6], u[14]) + dot(high[7], u[15]);
    return scales.x * lower + scales.y * upper;
}

/// What bytes and half bytes, shifted by multiplication, are greater by.
override QUANT_FACTOR: f32 = select(select(1.0, 0x1p-28, FORMAT == Q4_0), 0x1p-24, FORMAT == Q8_0);

/// A block of a row, but for scale and QUANT_FACTOR.
fn strip_quants(row: Row, block: u32) -> array<vec4<f32>, 8> {
    if FORMAT == Q8_0 {
        let a = values[row.values + block * 2u];
        let b = values[row.values + block * 2u + 1u];
        return array(
            upper_bytes(a.x), upper_bytes(a.y), upper_bytes(a.z), upper_bytes(a.w),
            upper_bytes(b.x), upper_bytes(b.y), upper_bytes(b.z), upper_bytes(b.w),
        );
    }
    if FORMAT == Q4_0 {
        // Plus 8 becomes a sign.
        let high = values[row.values + block] ^ vec4(0x88888888u);
        let low = 16u * high;
        return array(
            upper_halves(low.x), upper_halves(low.y), upper_halves(low.z), upper_halves(low.w),
            upper_halves(high.x), upper_halves(high.y), upper_halves(high.z), upper_halves(high.w),
        );
    }
    let a = quants16(row, block * 2u);
    let b = quants16(row, block * 2u + 1u);
    return array(a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]);
}

/// Four signed bytes, times 2^24.
fn upper_bytes(word: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>((word * vec4(0x1000000u, 0x10000u, 0x100u, 1u)) & vec4(0xff000000u)));
}

/// The upper halves of four bytes, signed, times 2^28.
fn upper_halves(word: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>((word * vec4(0x1000000u, 0x10000u, 0x100u, 1u)) & vec4(0xf0000000u)));
}

/// Stores products of four rows of a token, or adds them to what is there; at last with what experts add.
fn store_four(token: u32, rows: vec4<u32>, products: vec4<f32>, is_first: bool, is_last: bool) {
    var sums = products;
    if ROUTED != 0u && is_last {
        sums += four_deltas(token, rows);
    }
    let adds = launch.accumulate != 0u || !is_first;
    let outputs = launch.y.cols;
    let at = launch.y.offset + token * outputs + rows.x;
    let are_there = rows < vec4(outputs);
    put(at, sums.x, adds, are_there.x);
    put(at + 1u, sums.y, adds, are_there.y);
    put(at + 2u, sums.z, adds, are_there.z);
    put(at + 3u, sums.w, adds, are_there.w);
}

fn put(at: u32, value: f32, adds: bool, is_there: bool) {
    if is_there {
        y[at] = select(value, y[at] + value, adds);
    }
}
