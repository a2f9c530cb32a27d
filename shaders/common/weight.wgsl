// Sixteen weights of a row at a time, in whatever format the matrix has. Rows are whole blocks of 32.
// The shader has the bindings `values` and `scales`, and `launch` with their places.

override FORMAT: u32 = 0u;

const F32 = 0u;
const F16 = 1u;
const BF16 = 2u;
/// Bytes, with one scale to 32.
const Q8_0 = 3u;
/// Half bytes plus 8, with one scale to 32; byte j of a block holds elements j and j + 16.
const Q4_0 = 4u;

/// Weights 16 `part` to 16 `part` + 15 of a row.
fn weights16(row: u32, part: u32) -> array<vec4<f32>, 4> {
    if FORMAT == F32 {
        let at = launch.values.offset / 4u + (row * launch.values.cols + part * 16u) / 4u;
        return array(
            bitcast<vec4<f32>>(values[at]),
            bitcast<vec4<f32>>(values[at + 1u]),
            bitcast<vec4<f32>>(values[at + 2u]),
            bitcast<vec4<f32>>(values[at + 3u]),
        );
    }
    if FORMAT == F16 || FORMAT == BF16 {
        let at = launch.values.offset / 4u + (row * launch.values.cols + part * 16u) / 8u;
        let low = values[at];
        let high = values[at + 1u];
        return array(pairs(low.xy), pairs(low.zw), pairs(high.xy), pairs(high.zw));
    }
    if FORMAT == Q8_0 {
        let scale = block_scale(row, part / 2u);
        let quants = values[launch.values.offset / 4u + (row * launch.values.cols + part * 16u) / 16u];
        return array(
            scale * bytes(quants.x),
            scale * bytes(quants.y),
            scale * bytes(quants.z),
            scale * bytes(quants.w),
        );
    }
    let scale = block_scale(row, part / 2u);
    let nibbles = values[launch.values.offset / 4u + (row * launch.values.cols + part / 2u * 16u) / 16u] >> vec4((part & 1u) * 4u);
    return array(
        scale * low_halves(nibbles.x),
        scale * low_halves(nibbles.y),
        scale * low_halves(nibbles.z),
        scale * low_halves(nibbles.w),
    );
}

/// Four 16-bit floats.
fn pairs(words: vec2<u32>) -> vec4<f32> {
    if FORMAT == BF16 {
        let both = words.xxyy;
        return bitcast<vec4<f32>>(vec4(both.x << 16u, both.y & 0xffff0000u, both.z << 16u, both.w & 0xffff0000u));
    }
    return vec4(unpack2x16float(words.x), unpack2x16float(words.y));
}

/// Four signed bytes.
fn bytes(word: u32) -> vec4<f32> {
    return vec4<f32>((vec4(i32(word)) << vec4(24u, 16u, 8u, 0u)) >> vec4(24u));
}

/// The low halves of four bytes, less 8.
fn low_halves(word: u32) -> vec4<f32> {
    return vec4<f32>((vec4(word) >> vec4(0u, 8u, 16u, 24u)) & vec4(15u)) - 8.0;
}

/// The scale of a row's block of 32. Two scales to a word.
fn block_scale(row: u32, block: u32) -> f32 {
    let at = row * launch.scales.cols + block;
    return unpack2x16float(scales[launch.scales.offset + at / 2u])[at & 1u];
}
