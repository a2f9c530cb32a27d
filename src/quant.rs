//! Weight matrices as files hold them: plain floats, or blocks of 32 small integers with one scale.

/// A row-major matrix (rows, cols) in one of the formats that gander computes with.
///
/// Weights are (d_out, d_in), as PyTorch stores them: a row is what one output is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Number of rows, d_out of a weight.
    pub rows: usize,
    /// Number of columns, d_in of a weight. A multiple of 32 for the quantised formats.
    pub cols: usize,
    /// The values, row after row.
    pub values: Values,
}

/// The values of a [`Matrix`].
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// Bits of 16-bit IEEE floats.
    F16(Vec<u16>),
    /// Bits of bfloat16.
    Bf16(Vec<u16>),
    /// `weight = scale · quant` in blocks of 32 along a row.
    Q8_0 {
        /// (rows, cols)
        quants: Vec<i8>,
        /// (rows, cols / 32), bits of f16
        scales: Vec<u16>,
    },
    /// `weight = scale · (nibble − 8)` in blocks of 32 along a row. Byte j of a block holds element j in
    /// its low half and element j + 16 in its high half.
    Q4_0 {
        /// (rows, cols / 2)
        nibbles: Vec<u8>,
        /// (rows, cols / 32), bits of f16
        scales: Vec<u16>,
    },
}
