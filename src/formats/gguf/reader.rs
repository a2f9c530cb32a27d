//! Reading a GGUF header from bytes that may be truncated, corrupt or made to harm.

use std::collections::BTreeMap;

use super::{Array, DEFAULT_ALIGNMENT, Gguf, MAGIC, TensorInfo, Value};
use crate::error::{Error, ErrorCode, Result};
use crate::formats::encoding::Encoding;
use crate::formats::overlap::overlaps;

/// ggml's limit on the length of a tensor's name, generously.
const LONGEST_NAME: usize = 1 << 10;
/// ggml's limit on the dimensions of a tensor.
const MOST_DIMENSIONS: u32 = 4;
/// The largest alignment that is believed. Files have 32; some write 64 or 4096.
const LARGEST_ALIGNMENT: usize = 1 << 20;

/// Reads everything before the weights, and checks where the weights are; nothing, if more bytes are needed for that.
/// `file_length` is that of the whole file, as far as it is known. Errors lack the file's name.
pub fn parse(file: &str, start: &[u8], file_length: Option<usize>) -> Result<Option<Gguf>> {
    let mut cursor = Cursor { bytes: start, at: 0, file_length, needs_more: false };
    match read(file, &mut cursor) {
        Err(_) if cursor.needs_more => Ok(None),
        read => read.map(Some),
    }
}

fn read(file: &str, cursor: &mut Cursor) -> Result<Gguf> {
    let magic = cursor.take(4, "magic")?;
    if magic != MAGIC {
        return Err(invalid("magic", format!("is \"{}\"", magic.escape_ascii()), "\"GGUF\""));
    }
    let version = cursor.u32("version")?;
    if version.swap_bytes() <= 3 {
        return Err(Error::new(ErrorCode::Unsupported, "version", "is big-endian", "a little-endian file"));
    }
    if !(2..=3).contains(&version) {
        return Err(Error::new(ErrorCode::Unsupported, "version", format!("is {version}"), "2 or 3"));
    }
    let tensor_count = cursor.u64("tensor count")?;
    let key_count = cursor.u64("key count")?;

    // Neither count is believed beyond what the file can hold: each entry takes bytes, and reading past
    // the end is an error. Nothing is reserved for them in advance.
    let mut metadata = BTreeMap::new();
    for number in 0..key_count {
        let key = cursor.string(|| format!("key {number} of {key_count}"))?;
        let value = cursor.value(&key)?;
        if metadata.contains_key(&key) {
            return Err(invalid(key, "appears twice", "each key once"));
        }
        metadata.insert(key, value);
    }
    let alignment = alignment(&metadata)?;

    let mut raw = Vec::new();
    for number in 0..tensor_count {
        raw.push(cursor.tensor(number, tensor_count)?);
    }
    let data_start = cursor.at.next_multiple_of(alignment);
    let tensors = raw
        .into_iter()
        .map(|tensor| tensor.place(data_start, alignment, cursor.file_length))
        .collect::<Result<Vec<_>>>()?;
    check_disjoint(&tensors)?;
    Ok(Gguf { file: file.to_string(), metadata, tensors })
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<usize> {
    const KEY: &str = "general.alignment";
    let Some(value) = metadata.get(KEY) else { return Ok(DEFAULT_ALIGNMENT) };
    let alignment = match value {
        Value::U32(alignment) => *alignment as usize,
        other => return Err(invalid(KEY, format!("is {other}"), "a u32")),
    };
    if !alignment.is_power_of_two() || alignment > LARGEST_ALIGNMENT {
        return Err(invalid(
            KEY,
            format!("is {alignment}"),
            format!("a power of two, at most {LARGEST_ALIGNMENT}"),
        ));
    }
    Ok(alignment)
}

/// No two tensors share a name, and no two share bytes.
fn check_disjoint(tensors: &[TensorInfo]) -> Result<()> {
    let mut by_name: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    by_name.sort_unstable();
    if let Some(pair) = by_name.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(invalid(pair[0], "appears twice", "each tensor once"));
    }
    let range = |tensor: &TensorInfo| tensor.range.start as u64..tensor.range.end as u64;
    match overlaps(tensors.iter().map(range).zip(0..).collect()).first() {
        None => Ok(()),
        Some([(_, first), (range, second)]) => Err(invalid(
            &tensors[*second].name,
            format!("begins at byte {}, within {}", range.start, tensors[*first].name),
            "tensors that do not overlap",
        )),
    }
}

/// A tensor as the header has it, its place not yet checked.
struct RawTensor {
    name: String,
    shape: Vec<usize>,
    encoding: Encoding,
    offset: u64,
}

impl RawTensor {
    fn place(self, data_start: usize, alignment: usize, file_length: Option<usize>) -> Result<TensorInfo> {
        let file_length = file_length.unwrap_or(usize::MAX);
        let RawTensor { name, shape, encoding, offset } = self;
        let Some(length) = encoding.byte_len(&shape) else {
            return Err(invalid(
                name,
                format!("has shape {shape:?} in {encoding:?}"),
                format!("rows of a multiple of {} weights that fit in memory", encoding.block().0),
            ));
        };
        if offset % alignment as u64 != 0 {
            return Err(invalid(name, format!("has offset {offset}"), format!("a multiple of {alignment}")));
        }
        let range = usize::try_from(offset)
            .ok()
            .and_then(|offset| data_start.checked_add(offset))
            .and_then(|start| Some(start..start.checked_add(length)?));
        match range {
            Some(range) if range.end <= file_length => Ok(TensorInfo { name, shape, encoding, range }),
            _ => Err(invalid(
                name,
                format!(
                    "has {length} bytes from byte {offset} of the data, and the file ends at {file_length}"
                ),
                "a tensor within the file",
            )),
        }
    }
}

/// A place in the bytes; every read says what it was reading when the bytes ended.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    file_length: Option<usize>,
    /// What could not be read may yet come.
    needs_more: bool,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize, what: &str) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..length) else {
            let left = self.file_length.map(|file_length| file_length.saturating_sub(self.at));
            self.needs_more = left.is_none_or(|left| length <= left);
            let left = left.unwrap_or(rest.len());
            return Err(invalid(
                what,
                format!("needs {length} bytes at byte {}, and the file has {left} more", self.at),
                "a whole file; this one is truncated or its lengths are wrong",
            ));
        };
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A length in the file, as far as memory can hold it; what is longer is longer than the file too.
    fn length(&mut self, what: &str) -> Result<usize> {
        Ok(usize::try_from(self.u64(what)?).unwrap_or(usize::MAX))
    }

    fn string(&mut self, what: impl Fn() -> String) -> Result<String> {
        let length = self.length(&what())?;
        let bytes = self.take(length, &what())?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_string()),
            Err(error) => Err(invalid(what(), error.to_string(), "UTF-8")),
        }
    }

    fn value(&mut self, key: &str) -> Result<Value> {
        let kind = self.u32(key)?;
        Ok(match kind {
            0 => Value::U8(u8::from_le_bytes(self.array(key)?)),
            1 => Value::I8(i8::from_le_bytes(self.array(key)?)),
            2 => Value::U16(u16::from_le_bytes(self.array(key)?)),
            3 => Value::I16(i16::from_le_bytes(self.array(key)?)),
            4 => Value::U32(self.u32(key)?),
            5 => Value::I32(i32::from_le_bytes(self.array(key)?)),
            6 => Value::F32(f32::from_le_bytes(self.array(key)?)),
            7 => Value::Bool(truth(u8::from_le_bytes(self.array(key)?), key)?),
            8 => Value::String(self.string(|| key.to_string())?),
            9 => Value::Array(self.values(key)?),
            10 => Value::U64(self.u64(key)?),
            11 => Value::I64(i64::from_le_bytes(self.array(key)?)),
            12 => Value::F64(f64::from_le_bytes(self.array(key)?)),
            _ => return Err(invalid(key, format!("has type number {kind}"), "a type of GGUF, 0 to 12")),
        })
    }

    fn values(&mut self, key: &str) -> Result<Array> {
        let kind = self.u32(key)?;
        let count = self.length(key)?;
        Ok(match kind {
            0 => Array::U8(self.numbers(key, count, u8::from_le_bytes)?),
            1 => Array::I8(self.numbers(key, count, i8::from_le_bytes)?),
            2 => Array::U16(self.numbers(key, count, u16::from_le_bytes)?),
            3 => Array::I16(self.numbers(key, count, i16::from_le_bytes)?),
            4 => Array::U32(self.numbers(key, count, u32::from_le_bytes)?),
            5 => Array::I32(self.numbers(key, count, i32::from_le_bytes)?),
            6 => Array::F32(self.numbers(key, count, f32::from_le_bytes)?),
            7 => {
                let bytes = self.take(count, key)?;
                Array::Bool(bytes.iter().map(|&byte| truth(byte, key)).collect::<Result<_>>()?)
            }
            8 => {
                let mut strings = Vec::new();
                for number in 0..count {
                    strings.push(self.string(|| format!("{key}: string {number} of {count}"))?);
                }
                Array::String(strings)
            }
            9 => {
                return Err(Error::new(
                    ErrorCode::Unsupported,
                    key,
                    "is a list of lists",
                    "a list of numbers, truth values or strings",
                ));
            }
            10 => Array::U64(self.numbers(key, count, u64::from_le_bytes)?),
            11 => Array::I64(self.numbers(key, count, i64::from_le_bytes)?),
            12 => Array::F64(self.numbers(key, count, f64::from_le_bytes)?),
            _ => {
                return Err(invalid(
                    key,
                    format!("is a list of type number {kind}"),
                    "a type of GGUF, 0 to 12",
                ));
            }
        })
    }

    /// `count` numbers of `N` bytes each, taken only once all of them are known to be there.
    fn numbers<const N: usize, T>(
        &mut self,
        key: &str,
        count: usize,
        read: fn([u8; N]) -> T,
    ) -> Result<Vec<T>> {
        let bytes = self.take(count.saturating_mul(N), key)?;
        Ok(bytes.as_chunks().0.iter().map(|&bytes| read(bytes)).collect())
    }

    fn tensor(&mut self, number: u64, count: u64) -> Result<RawTensor> {
        let name = self.string(|| format!("tensor {number} of {count}"))?;
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(invalid(
                format!("tensor {number} of {count}"),
                format!("has a name of {} bytes", name.len()),
                format!("1 to {LONGEST_NAME}"),
            ));
        }
        let dimensions = self.u32(&name)?;
        if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
            return Err(invalid(
                name,
                format!("has {dimensions} dimensions"),
                format!("1 to {MOST_DIMENSIONS}"),
            ));
        }
        let mut shape = (0..dimensions).map(|_| self.length(&name)).collect::<Result<Vec<_>>>()?;
        // The file has the innermost dimension first.
        shape.reverse();
        let kind = self.u32(&name)?;
        let encoding = Encoding::from_ggml_type(kind).map_err(|error| error.inside(&name))?;
        let offset = self.u64(&name)?;
        Ok(RawTensor { name, shape, encoding, offset })
    }
}

fn truth(byte: u8, key: &str) -> Result<bool> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(invalid(key, format!("has {other} for a truth value"), "0 or 1")),
    }
}

fn invalid(place: impl Into<String>, problem: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidFile, place, problem, expected)
}
