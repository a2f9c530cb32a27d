//! GGUF, llama.cpp's single-file format: typed metadata, then tensors. Versions 2 and 3, little-endian.
//!
//! Source: `docs/gguf.md` of ggml, checked against the `gguf` Python package.

mod config;
mod names;
mod reader;
mod value;
pub mod writer;

use std::collections::BTreeMap;
use std::ops::Range;

pub use names::{from_huggingface_name, to_huggingface_name};
pub use value::{Array, Value};

use super::contents::{Contents, StoredTensor};
use super::encoding::Encoding;
use crate::error::{Error, ErrorCode, Result};

/// The first four bytes of every GGUF file.
pub const MAGIC: [u8; 4] = *b"GGUF";
/// What offsets of tensors are multiples of, where `general.alignment` does not say otherwise.
pub const DEFAULT_ALIGNMENT: usize = 32;

/// What a GGUF file says of itself: everything but the weights.
#[derive(Debug, Clone)]
pub struct Gguf {
    /// The file, for messages.
    pub file: String,
    /// Every key with its value.
    pub metadata: BTreeMap<String, Value>,
    /// The tensors, in the file's order.
    pub tensors: Vec<TensorInfo>,
}

/// One tensor of a [`Gguf`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in llama.cpp's naming.
    pub name: String,
    /// Its shape, outermost first as in PyTorch; the file has it the other way round.
    pub shape: Vec<usize>,
    /// How it is stored.
    pub encoding: Encoding,
    /// Where its bytes are, counted from the start of the file.
    pub range: Range<usize>,
}

impl Gguf {
    /// Reads the header of a whole file. `name` is only for messages.
    ///
    /// Refused, besides what is truncated or of another format: duplicate keys and tensor names, tensors that
    /// are misaligned, overlap or end outside the file, and tensor types that gander cannot read.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Gguf> {
        let whole = Gguf::parse_start(name, bytes, Some(bytes.len()))?;
        Ok(whole.expect("no more bytes are needed than a file has"))
    }

    /// Reads a header from the first bytes of a file; nothing, if it does not end within them. `file_length` is the length
    /// of the whole file, if known.
    ///
    /// # Errors
    /// Those of [`Gguf::parse`], as soon as they are certain.
    pub fn parse_start(name: &str, bytes: &[u8], file_length: Option<usize>) -> Result<Option<Gguf>> {
        reader::parse(name, bytes, file_length).map_err(|error| error.inside(name))
    }

    /// The value of a key.
    pub fn metadata(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// A number of any integer type that is neither negative nor beyond u32.
    pub fn u32(&self, key: &str) -> Result<Option<u32>> {
        self.typed(key, "a whole number below 2^32", |value| u32::try_from(value.as_i128()?).ok())
    }

    /// A floating-point number; f64 is rounded.
    pub fn f32(&self, key: &str) -> Result<Option<f32>> {
        self.typed(key, "a floating-point number", |value| match value {
            Value::F32(number) => Some(*number),
            Value::F64(number) => Some(*number as f32),
            _ => None,
        })
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A string.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A list of strings.
    pub fn strings(&self, key: &str) -> Result<Option<&[String]>> {
        self.typed(key, "a list of strings", |value| match value {
            Value::Array(Array::String(strings)) => Some(strings.as_slice()),
            _ => None,
        })
    }

    /// A list of f32.
    pub fn f32s(&self, key: &str) -> Result<Option<&[f32]>> {
        self.typed(key, "a list of 32-bit floats", |value| match value {
            Value::Array(Array::F32(numbers)) => Some(numbers.as_slice()),
            _ => None,
        })
    }

    /// A list of integers of any type, none of them beyond i32.
    pub fn i32s(&self, key: &str) -> Result<Option<Vec<i32>>> {
        self.typed(key, "a list of 32-bit integers", |value| match value {
            Value::Array(array) => array.to_i32s(),
            _ => None,
        })
    }

    /// A list of bytes, signed or not: converters have written `precompiled_charsmap` both ways.
    pub fn bytes(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.typed(key, "a list of bytes", |value| match value {
            Value::Array(Array::U8(bytes)) => Some(bytes.clone()),
            Value::Array(Array::I8(bytes)) => Some(bytes.iter().map(|&byte| byte as u8).collect()),
            _ => None,
        })
    }

    /// Whether the file has a tokenizer; llama.cpp writes `no_vocab` where it has none.
    pub fn has_tokenizer(&self) -> bool {
        matches!(self.metadata("tokenizer.ggml.model"), Some(Value::String(model)) if model != NO_TOKENIZER)
    }

    /// An error about one key: `file: key: problem; expected …`.
    pub fn error(
        &self,
        code: ErrorCode,
        key: &str,
        problem: impl Into<String>,
        expected: impl Into<String>,
    ) -> Error {
        Error::new(code, key, problem, expected).inside(&self.file)
    }

    fn typed<'v, T>(
        &'v self,
        key: &str,
        expected: &str,
        read: impl Fn(&'v Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.metadata(key) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(self.error(ErrorCode::InvalidFile, key, format!("is {value}"), expected)),
        }
    }
}

/// `tokenizer.ggml.model` of a file without a tokenizer.
pub const NO_TOKENIZER: &str = "no_vocab";

/// The table of contents of a T5 in a GGUF file.
pub fn contents(gguf: &Gguf) -> Result<Contents> {
    let config = config::read(gguf)?;
    let mut stored = BTreeMap::new();
    for tensor in &gguf.tensors {
        let Some(name) = to_huggingface_name(&tensor.name, config.feed_forward) else {
            return Err(gguf.error(
                ErrorCode::Unsupported,
                &tensor.name,
                "is a tensor that llama.cpp's T5 does not have",
                "the tensors of T5 v1.0, v1.1 or mT5 alone",
            ));
        };
        let tensor = StoredTensor {
            stored_name: tensor.name.clone(),
            encoding: tensor.encoding,
            shape: tensor.shape.clone(),
            file: 0,
            range: tensor.range.clone(),
        };
        // The translation is one to one, and the reader has refused tensors of the same name.
        stored.insert(name, tensor);
    }
    Contents::new(config, vec![gguf.file.clone()], stored, true)
}

pub use config::write as config_metadata;
