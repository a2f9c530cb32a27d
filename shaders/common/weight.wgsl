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

/// Where a row begins: its values, in vec4, and its scales, in halves of a word.
struct Row {
    values: u32,
    scales: u32,
}

fn row_of(row: u32) -> Row {
    var columns_each = 16u;
    if FORMAT == F32 {
        columns_each = 4u;
    } else if FORMAT == F16 || FORMAT == BF16 {
        columns_each = 8u;
    }
    return Row(
        launch.values.offset / 4u + row * (launch.values.cols / columns_each),
        launch.scales.offset * 2u + row * launch.scales.cols,
    );
}

/// Weights 16 `part` to 16 `part` + 15 of a row.
fn weights16(row: Row, part: u32) -> array<vec4<f32>, 4> {
    let quants = quants16(row, part);
    let scale = block_scale(row, part >> 1u);
    return array(scale * quants[0], scale * quants[1], scale * quants[2], scale * quants[3]);
}

/// The same, but for the scale of their block.
fn quants16(row: Row, part: u32) -> array<vec4<f32>, 4> {
    if FORMAT == F32 {
        let at = row.values + part * 4u;
        return array(
            bitcast<vec4<f32>>(values[at]),
            bitcast<vec4<f32>>(values[at + 1u]),
            bitcast<vec4<f32>>(values[at + 2u]),
            bitcast<vec4<f32>>(values[at + 3u]),
        );
    }
    if FORMAT == F16 || FORMAT == BF16 {
        let at = row.values + part * 2u;
        let low = values[at];
        let high = values[at + 1u];
        return array(pairs(low.xy), pairs(low.zw), pairs(high.xy), pairs(high.zw));
    }
    if FORMAT == Q8_0 {
        let quants = values[row.values + part];
        return array(bytes(quants.x), bytes(quants.y), bytes(quants.z), bytes(quants.w));
    }
    let nibbles = values[row.values + (part >> 1u)] >> vec4((part & 1u) * 4u);
    return array(low_halves(nibbles.x), low_halves(nibbles.y), low_halves(nibbles.z), low_halves(nibbles.w));
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

/// The scale of a row's block of 32, two to a word; 1 where there are none.
fn block_scale(row: Row, block: u32) -> f32 {
    if FORMAT != Q8_0 && FORMAT != Q4_0 {
        return 1.0;
    }
    let at = row.scales + block;
    let two = unpack2x16float(scales[at >> 1u]);
    return select(two.x, two.y, (at & 1u) != 0u);
}
