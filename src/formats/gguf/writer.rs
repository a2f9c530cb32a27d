//! Writing GGUF version 3: the header at once, then one tensor at a time.

use std::io::{self, Write};

use super::{Array, DEFAULT_ALIGNMENT, MAGIC, Value};
use crate::formats::encoding::Encoding;
use crate::quant::{BLOCK, Matrix, Values};

/// What the header says of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Its name in llama.cpp's naming.
    pub name: String,
    /// Its shape, outermost first.
    pub shape: Vec<usize>,
    /// How it will be stored.
    pub encoding: Encoding,
}

impl Announced {
    /// Bytes of the tensor, without padding. Panics where a row is not whole blocks: the caller chose the encoding.
    pub fn byte_len(&self) -> usize {
        let length = self.encoding.byte_len(&self.shape);
        length.unwrap_or_else(|| panic!("{}: {:?} does not fit {:?}", self.name, self.encoding, self.shape))
    }
}

/// A file being written: its tensors follow in the order in which they were announced.
pub struct Writer<W> {
    out: W,
    tensors: Vec<Announced>,
    written: usize,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    pub fn start(mut out: W, metadata: &[(String, Value)], tensors: Vec<Announced>) -> io::Result<Self> {
        let mut header = Vec::new();
        header.extend(MAGIC);
        header.extend(3u32.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            put_string(&mut header, key);
            header.extend(value.type_number().to_le_bytes());
            put_value(&mut header, value);
        }
        let mut offset = 0usize;
        for tensor in &tensors {
            put_string(&mut header, &tensor.name);
            header.extend((tensor.shape.len() as u32).to_le_bytes());
            for &dimension in tensor.shape.iter().rev() {
                header.extend((dimension as u64).to_le_bytes());
            }
            header.extend(tensor.encoding.ggml_type().to_le_bytes());
            header.extend((offset as u64).to_le_bytes());
            offset += tensor.byte_len().next_multiple_of(DEFAULT_ALIGNMENT);
        }
        header.resize(header.len().next_multiple_of(DEFAULT_ALIGNMENT), 0);
        out.write_all(&header)?;
        Ok(Writer { out, tensors, written: 0 })
    }

    /// Writes the next tensor. Panics where it is not the one that was announced.
    pub fn tensor(&mut self, matrix: &Matrix) -> io::Result<()> {
        let announced = &self.tensors[self.written];
        let mut bytes = tensor_bytes(matrix);
        assert_eq!(bytes.len(), announced.byte_len(), "{} is not what was announced", announced.name);
        bytes.resize(bytes.len().next_multiple_of(DEFAULT_ALIGNMENT), 0);
        self.written += 1;
        self.out.write_all(&bytes)
    }

    /// Flushes and gives back the output. Panics where an announced tensor is missing.
    pub fn finish(mut self) -> io::Result<W> {
        assert_eq!(self.written, self.tensors.len(), "not every announced tensor was written");
        self.out.flush()?;
        Ok(self.out)
    }
}

/// A matrix as GGUF stores it: blocks are a scale and its integers side by side.
fn tensor_bytes(matrix: &Matrix) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(matrix.byte_len());
    match &matrix.values {
        Values::F32(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Values::F16(bits) | Values::Bf16(bits) => {
            bytes.extend(bits.iter().flat_map(|bits| bits.to_le_bytes()))
        }
        Values::Q8_0 { quants, scales } => {
            for (block, scale) in quants.chunks_exact(BLOCK).zip(scales) {
                bytes.extend(scale.to_le_bytes());
                bytes.extend(block.iter().map(|&quant| quant as u8));
            }
        }
        Values::Q4_0 { nibbles, scales } => {
            for (block, scale) in nibbles.chunks_exact(BLOCK / 2).zip(scales) {
                bytes.extend(scale.to_le_bytes());
                bytes.extend(block);
            }
        }
    }
    bytes
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(number) => out.extend(number.to_le_bytes()),
        Value::I8(number) => out.extend(number.to_le_bytes()),
        Value::U16(number) => out.extend(number.to_le_bytes()),
        Value::I16(number) => out.extend(number.to_le_bytes()),
        Value::U32(number) => out.extend(number.to_le_bytes()),
        Value::I32(number) => out.extend(number.to_le_bytes()),
        Value::F32(number) => out.extend(number.to_le_bytes()),
        Value::Bool(flag) => out.push((*flag).into()),
        Value::String(text) => put_string(out, text),
        Value::Array(array) => put_array(out, array),
        Value::U64(number) => out.extend(number.to_le_bytes()),
        Value::I64(number) => out.extend(number.to_le_bytes()),
        Value::F64(number) => out.extend(number.to_le_bytes()),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    out.extend(array.element_type().0.to_le_bytes());
    out.extend((array.len() as u64).to_le_bytes());
    match array {
        Array::U8(values) => out.extend(values),
        Array::I8(values) => out.extend(values.iter().map(|&value| value as u8)),
        Array::U16(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::I16(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::U32(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::I32(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::F32(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::Bool(values) => out.extend(values.iter().map(|&flag| u8::from(flag))),
        Array::String(values) => values.iter().for_each(|text| put_string(out, text)),
        Array::U64(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::I64(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::F64(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
    }
}
