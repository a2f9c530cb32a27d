//! Handles to matrices that live in a device's memory.

/// One allocation on a device. Made by `Device::alloc`; means nothing to any other device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BufferId(pub(crate) u32);

/// What the elements of a [`Tensor`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// 32-bit float. Every activation is one: T5 overflows 16 bits.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// bfloat16.
    Bf16,
    /// Signed 8-bit integer: the quants of Q8_0.
    I8,
    /// Two 4-bit integers to a byte, each stored plus 8: the quants of Q4_0. `cols` counts bytes.
    Nibbles,
    /// A weight of Q8_0 in [`panels`](crate::panels): a row for each panel, `cols` counts bytes.
    Panels8,
    /// A weight of Q4_0 in panels.
    Panels4,
    /// 32-bit unsigned integer: token ids, tables, counters.
    U32,
    /// The same of an adapter pool that holds [`Factor`](crate::panels::Factor)s instead of floats.
    Factors,
}

impl DType {
    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            DType::F32 | DType::U32 | DType::Factors => 4,
            DType::F16 | DType::Bf16 => 2,
            DType::I8 | DType::Nibbles | DType::Panels8 | DType::Panels4 => 1,
        }
    }
}

/// A dense row-major matrix in a buffer. It owns nothing and is copied freely.
///
/// Rank 2 is enough: activations, weights, gates, LoRA factors and the key-value cache are all matrices; a vector
/// is a matrix of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tensor {
    /// Where the elements are.
    pub buffer: BufferId,
    /// Byte offset of the first element in the buffer.
    pub offset: usize,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Type of the elements.
    pub dtype: DType,
}

impl Tensor {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.rows * self.cols
    }

    /// Whether there is no element at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of bytes.
    pub fn byte_len(&self) -> usize {
        self.len() * self.dtype.bytes()
    }

    /// The `count` rows that begin at row `first`.
    pub fn slice_rows(&self, first: usize, count: usize) -> Tensor {
        assert!(first + count <= self.rows, "rows {first}..{} of {self:?}", first + count);
        Tensor { offset: self.offset + first * self.cols * self.dtype.bytes(), rows: count, ..*self }
    }
}
