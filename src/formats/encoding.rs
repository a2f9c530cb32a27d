//! How a file stores the numbers of one tensor, and what they become in memory.

use safetensors::Dtype;

use super::blocks;
use crate::error::{Error, ErrorCode, Result};
use crate::quant::{BLOCK, Format, Matrix, Values};

/// A tensor's type in a file: safetensors has the first three, GGUF all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 32-bit floats.
    F32,
    /// 16-bit IEEE floats.
    F16,
    /// bfloat16.
    Bf16,
    /// ggml `block_q8_0`: 32 weights in 34 bytes.
    Q8_0,
    /// ggml `block_q4_0`: 32 weights in 18 bytes.
    Q4_0,
    /// ggml `block_q4_1`: 32 weights in 20 bytes.
    Q4_1,
    /// ggml `block_q5_0`: 32 weights in 22 bytes.
    Q5_0,
    /// ggml `block_q5_1`: 32 weights in 24 bytes.
    Q5_1,
    /// ggml `block_q4_K`: 256 weights in 144 bytes.
    Q4K,
    /// ggml `block_q5_K`: 256 weights in 176 bytes.
    Q5K,
    /// ggml `block_q6_K`: 256 weights in 210 bytes.
    Q6K,
}

/// What GGUF calls the types that gander does not read, so that a refusal can name them.
const UNREAD: [(u32, &str); 24] = [
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (4, "Q4_2"),
    (5, "Q4_3"),
];

impl Encoding {
    /// Every encoding, for looking one up.
    pub const ALL: [Encoding; 11] = [
        Encoding::F32,
        Encoding::F16,
        Encoding::Bf16,
        Encoding::Q8_0,
        Encoding::Q4_0,
        Encoding::Q4_1,
        Encoding::Q5_0,
        Encoding::Q5_1,
        Encoding::Q4K,
        Encoding::Q5K,
        Encoding::Q6K,
    ];

    /// The number of a ggml type.
    pub fn ggml_type(self) -> u32 {
        match self {
            Encoding::F32 => 0,
            Encoding::F16 => 1,
            Encoding::Q4_0 => 2,
            Encoding::Q4_1 => 3,
            Encoding::Q5_0 => 6,
            Encoding::Q5_1 => 7,
            Encoding::Q8_0 => 8,
            Encoding::Q4K => 12,
            Encoding::Q5K => 13,
            Encoding::Q6K => 14,
            Encoding::Bf16 => 30,
        }
    }

    /// The encoding of a ggml type's number. The error's place is empty; the caller knows the tensor.
    pub fn from_ggml_type(number: u32) -> Result<Encoding> {
        if let Some(encoding) = Encoding::ALL.into_iter().find(|encoding| encoding.ggml_type() == number) {
            return Ok(encoding);
        }
        let name = UNREAD.iter().find(|(unread, _)| *unread == number).map(|(_, name)| *name);
        Err(Error::new(
            ErrorCode::Unsupported,
            "type",
            name.map_or_else(
                || format!("is number {number}, unknown to gander"),
                |name| format!("is {name}"),
            ),
            "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K",
        ))
    }

    /// The encoding of a safetensors dtype.
    pub fn from_dtype(dtype: Dtype) -> Result<Encoding> {
        match dtype {
            Dtype::F32 => Ok(Encoding::F32),
            Dtype::F16 => Ok(Encoding::F16),
            Dtype::BF16 => Ok(Encoding::Bf16),
            other => {
                Err(Error::new(ErrorCode::Unsupported, "dtype", format!("is {other:?}"), "F32, F16 or BF16"))
            }
        }
    }

    /// (weights, bytes) of the smallest piece that stands alone.
    pub fn block(self) -> (usize, usize) {
        match self {
            Encoding::F32 => (1, 4),
            Encoding::F16 | Encoding::Bf16 => (1, 2),
            Encoding::Q8_0 => (BLOCK, 34),
            Encoding::Q4_0 => (BLOCK, 18),
            Encoding::Q4_1 => (BLOCK, 20),
            Encoding::Q5_0 => (BLOCK, 22),
            Encoding::Q5_1 => (BLOCK, 24),
            Encoding::Q4K => (256, 144),
            Encoding::Q5K => (256, 176),
            Encoding::Q6K => (256, 210),
        }
    }

    /// Bytes of a tensor of this shape; `None` where a row is not whole blocks or the number does not fit.
    pub fn byte_len(self, shape: &[usize]) -> Option<usize> {
        let (weights, bytes) = self.block();
        let cols = shape.last().copied().unwrap_or(1);
        if cols % weights != 0 {
            return None;
        }
        let count = shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim))?;
        (count / weights).checked_mul(bytes)
    }

    /// What the tensor becomes in memory, by [`Encoding::decode`].
    pub fn format(self) -> Format {
        match self {
            Encoding::F32 => Format::F32,
            Encoding::Bf16 => Format::Bf16,
            Encoding::Q8_0 => Format::Q8_0,
            Encoding::Q4_0 => Format::Q4_0,
            Encoding::F16
            | Encoding::Q4_1
            | Encoding::Q5_0
            | Encoding::Q5_1
            | Encoding::Q4K
            | Encoding::Q5K
            | Encoding::Q6K => Format::F16,
        }
    }

    /// The tensor in memory. `bytes` is as long as [`Encoding::byte_len`] says of (rows, cols).
    ///
    /// Floats, Q8_0 and Q4_0 stay what they are. The other block formats are dequantised exactly as ggml does
    /// and rounded once to F16. Q8_0 would take half the memory, but it errs by up to 1/254 of a block's largest
    /// weight, F16 by 1/2048 of each: on the golden models the first flips choices of experts, the second does not.
    pub fn decode(self, rows: usize, cols: usize, bytes: &[u8]) -> Matrix {
        debug_assert_eq!(self.byte_len(&[rows, cols]), Some(bytes.len()));
        let values = match self {
            Encoding::F32 => Values::F32(blocks::f32s(bytes)),
            Encoding::F16 => Values::F16(blocks::u16s(bytes)),
            Encoding::Bf16 => Values::Bf16(blocks::u16s(bytes)),
            Encoding::Q8_0 => blocks::split_q8_0(bytes),
            Encoding::Q4_0 => blocks::split_q4_0(bytes),
            Encoding::Q4_1 => Values::f16_from(&blocks::dequantize_q4_1(bytes)),
            Encoding::Q5_0 => Values::f16_from(&blocks::dequantize_q5_0(bytes)),
            Encoding::Q5_1 => Values::f16_from(&blocks::dequantize_q5_1(bytes)),
            Encoding::Q4K => Values::f16_from(&blocks::dequantize_q4_k(bytes)),
            Encoding::Q5K => Values::f16_from(&blocks::dequantize_q5_k(bytes)),
            Encoding::Q6K => Values::f16_from(&blocks::dequantize_q6_k(bytes)),
        };
        Matrix { rows, cols, values }
    }
}
