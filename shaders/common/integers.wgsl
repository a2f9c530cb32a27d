// A linear layer's products in whole numbers, for weights of Q8_0 and Q4_0: four by four bytes at a time. Activations are rounded
// to 16 bits in blocks of 32, as on the CPU, and come in two halves, `quant = 256 · upper + lower`, both signed bytes; the sum over
// a part of a block is exact.

/// The largest magnitude: both its halves fit a signed byte.
const LARGEST = 32639.0;
const LEAST_NORMAL = 1.1754944e-38;

/// The bits of the greatest magnitude: compared as whole numbers, in which NaN is greater than infinity and infinity than all
/// others, so neither gets lost.
fn greatest_bits(quad: vec4<f32>) -> u32 {
    let bits = bitcast<vec4<u32>>(quad) & vec4(0x7fffffffu);
    return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

/// What activations are divided by before they are rounded, as a factor. What is smaller than any normal number becomes zero.
fn inverse_of(scale: f32) -> f32 {
    if scale < LEAST_NORMAL {
        return 0.0;
    }
    return 1.0 / scale;
}

/// The upper and the lower halves of four activations.
fn halves(quad: vec4<f32>, inverse: f32) -> vec2<u32> {
    let quants = vec4<i32>(round(quad * inverse));
    return vec2(pack4xI8((quants + 128) >> vec4(8u)), pack4xI8(quants));
}

/// Weights 16 `part` to 16 `part` + 15 of a row, as signed bytes.
fn bytes16(row: Row, part: u32) -> vec4<u32> {
    if FORMAT == Q8_0 {
        return values[row.values + part];
    }
    let nibbles = values[row.values + (part >> 1u)] >> vec4((part & 1u) * 4u);
    // Less 8, byte by byte: the highest bit lends, and is put right.
    return (((nibbles & vec4(0x0f0f0f0fu)) | vec4(0x80808080u)) - vec4(0x08080808u)) ^ vec4(0x80808080u);
}

// ---- One token.

/// By quad: the halves, and before them the bits of the greatest magnitude.
var<workgroup> quad_halves: array<vec2<u32>, CHUNK / 4u>;
var<workgroup> quad_greatest: array<u32, CHUNK / 4u>;
var<workgroup> block_scales: array<f32, CHUNK / 32u>;

/// As in floats; what is staged is rounded.
fn stage_u(token: u32, chunk: u32, parts: u32, width: u32, thread: u32) -> f32 {
    var squares = 0.0;
    workgroupBarrier();
    for (var i = thread; i < parts * 4u; i += THREADS) {
        quad_greatest[i] = greatest_bits(input_quad(token, chunk + i * 4u, width));
        if INPUT == NORM {
            squares += square_sum(token, chunk + i * 4u, width);
        }
    }
    workgroupBarrier();
    for (var i = thread; i < parts * 4u; i += THREADS) {
        let block = i / 8u;
        var greatest = 0u;
        for (var quad = 0u; quad < 8u; quad++) {
            greatest = max(greatest, quad_greatest[block * 8u + quad]);
        }
        let scale = bitcast<f32>(greatest) / LARGEST;
        quad_halves[i] = halves(input_quad(token, chunk + i * 4u, width), inverse_of(scale));
        if i % 8u == 0u {
            block_scales[block] = scale;
        }
    }
    workgroupBarrier();
    return squares;
}

fn part_products(rows: array<Row, 4>, part: u32, staged_part: u32) -> vec4<f32> {
    let at = staged_part * 4u;
    let staged = array(quad_halves[at], quad_halves[at + 1u], quad_halves[at + 2u], quad_halves[at + 3u]);
    let products = vec4(
        part_product(rows[0], part, staged),
        part_product(rows[1], part, staged),
        part_product(rows[2], part, staged),
        part_product(rows[3], part, staged),
    );
    return block_scales[staged_part / 2u] * products;
}

fn part_product(row: Row, part: u32, staged: array<vec2<u32>, 4>) -> f32 {
    let quants = bytes16(row, part);
    let upper = dot4I8Packed(quants.x, staged[0].x) + dot4I8Packed(quants.y, staged[1].x)
        + dot4I8Packed(quants.z, staged[2].x) + dot4I8Packed(quants.w, staged[3].x);
    let lower = dot4I8Packed(quants.x, staged[0].y) + dot4I8Packed(quants.y, staged[1].y)
        + dot4I8Packed(quants.z, staged[2].y) + dot4I8Packed(quants.w, staged[3].y);
    return block_scale(row, part >> 1u) * f32(256 * upper + lower);
}

// ---- Many tokens. A block of a token is four vec4: in each the upper halves of two quads, then the lower. A block of a row is two.

const U_STRIDE = 5u;
const W_STRIDE = 3u;

var<workgroup> u_tile: array<vec4<u32>, TILE_TOKENS * U_STRIDE>;
var<workgroup> w_tile: array<vec4<u32>, TILE_ROWS * W_STRIDE>;
var<workgroup> u_scales: array<f32, TILE_TOKENS>;
var<workgroup> w_scales: array<f32, TILE_ROWS>;
var<workgroup> share_greatest: array<u32, TILE_THREADS>;

fn stage(share: Share, first: vec4<f32>, second: vec4<f32>, row: Row, part: u32, thread: u32) {
    share_greatest[thread] = max(greatest_bits(first), greatest_bits(second));
    workgroupBarrier();
    let at = share.token * TOKEN_SHARES;
    let greatest = max(
        max(share_greatest[at], share_greatest[at + 1u]),
        max(share_greatest[at + 2u], share_greatest[at + 3u]),
    );
    let scale = bitcast<f32>(greatest) / LARGEST;
    let inverse = inverse_of(scale);
    let a = halves(first, inverse);
    let b = halves(second, inverse);
    u_tile[share.token * U_STRIDE + share.quad / 2u] = vec4(a.x, b.x, a.y, b.y);
    w_tile[share.row * W_STRIDE + share.half] = bytes16(row, part);
    if share.quad == 0u {
        u_scales[share.token] = scale;
    }
    if share.half == 0u {
        w_scales[share.row] = block_scale(row, part >> 1u);
    }
    workgroupBarrier();
}

/// Adds the product of the two tiles, laid out and unrolled as in floats.
fn multiply_tiles(thread: u32, sums: ptr<function, mat4x4<f32>>) {
    let row = thread % ROW_LANES;
    let token = thread / ROW_LANES;
    var p0 = vec4(0i);
    var p1 = vec4(0i);
    var p2 = vec4(0i);
    var p3 = vec4(0i);
    for (var half = 0u; half < 2u; half++) {
        let w = array(
            w_tile[row * W_STRIDE + half],
            w_tile[(row + ROW_LANES) * W_STRIDE + half],
            w_tile[(row + 2u * ROW_LANES) * W_STRIDE + half],
            w_tile[(row + 3u * ROW_LANES) * W_STRIDE + half],
        );
        p0 += half_products(token, half, w);
        p1 += half_products(token + TOKEN_LANES, half, w);
        p2 += half_products(token + 2u * TOKEN_LANES, half, w);
        p3 += half_products(token + 3u * TOKEN_LANES, half, w);
    }
    let scales = vec4(
        w_scales[row],
        w_scales[row + ROW_LANES],
        w_scales[row + 2u * ROW_LANES],
        w_scales[row + 3u * ROW_LANES],
    );
    *sums += mat4x4(
        u_scales[token] * scales * vec4<f32>(p0),
        u_scales[token + TOKEN_LANES] * scales * vec4<f32>(p1),
        u_scales[token + 2u * TOKEN_LANES] * scales * vec4<f32>(p2),
        u_scales[token + 3u * TOKEN_LANES] * scales * vec4<f32>(p3),
    );
}

/// Half a block of a token times that of four rows.
fn half_products(token: u32, half: u32, w: array<vec4<u32>, 4>) -> vec4<i32> {
    let a = u_tile[token * U_STRIDE + half * 2u];
    let b = u_tile[token * U_STRIDE + half * 2u + 1u];
    let upper = vec4(
        dot16(w[0], a.xy, b.xy),
        dot16(w[1], a.xy, b.xy),
        dot16(w[2], a.xy, b.xy),
        dot16(w[3], a.xy, b.xy),
    );
    let lower = vec4(
        dot16(w[0], a.zw, b.zw),
        dot16(w[1], a.zw, b.zw),
        dot16(w[2], a.zw, b.zw),
        dot16(w[3], a.zw, b.zw),
    );
    return 256 * upper + lower;
}

/// Sixteen products of bytes.
fn dot16(weights: vec4<u32>, a: vec2<u32>, b: vec2<u32>) -> i32 {
    return dot4I8Packed(weights.x, a.x) + dot4I8Packed(weights.y, a.y)
        + dot4I8Packed(weights.z, b.x) + dot4I8Packed(weights.w, b.y);
}
