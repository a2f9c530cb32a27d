//! The header of a safetensors file: which tensors it holds, of what type and shape, at which bytes.
//!
//! The `safetensors` crate checks the header (types, shapes, offsets without gaps or overlaps). What is added here is
//! the name of the file and of the tensor in every error, and the check against the length of the file.

use std::collections::BTreeMap;
use std::ops::Range;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::error::{Error, ErrorCode, Result};
use crate::maps::map_of;

/// Bytes before the header: its length, u64.
pub const PREFIX: usize = 8;

/// The longest header that is believed, as in the reference implementation.
pub(super) const LONGEST_HEADER: u64 = 100_000_000;

/// What a file's header says.
#[derive(Debug, Clone)]
pub struct Header {
    /// The file, for messages.
    pub file: String,
    /// Every tensor under its name.
    pub tensors: BTreeMap<String, HeaderTensor>,
    /// `__metadata__`, if the file has it.
    pub metadata: BTreeMap<String, String>,
    /// The length of the whole file.
    pub end: usize,
}

/// One tensor of a [`Header`].
#[derive(Debug, Clone)]
pub struct HeaderTensor {
    /// Its type.
    pub dtype: Dtype,
    /// Its shape, outermost first.
    pub shape: Vec<usize>,
    /// Where its bytes are, counted from the start of the file.
    pub range: Range<usize>,
}

impl Header {
    /// Reads a whole file's header.
    pub fn of_file(file: &str, bytes: &[u8]) -> Result<Header> {
        Header::read(file, bytes, Some(bytes.len()))
    }

    /// The length of the header in bytes, its own length included: what must be fetched before [`Header::read`].
    pub fn length(file: &str, first_bytes: &[u8]) -> Result<usize> {
        let Some(prefix) = first_bytes.first_chunk::<PREFIX>() else {
            return Err(invalid(
                file,
                format!("ends after {} bytes", first_bytes.len()),
                "a safetensors file, which begins with 8 bytes for the length of its header",
            ));
        };
        let length = u64::from_le_bytes(*prefix);
        if length > LONGEST_HEADER {
            return Err(invalid(
                file,
                format!("says its header has {length} bytes"),
                format!("a safetensors file, whose header has at most {LONGEST_HEADER}"),
            ));
        }
        Ok(PREFIX + length as usize)
    }

    /// Reads a header from the first bytes of a file. `file_length` is the length of the whole file, if known.
    pub fn read(file: &str, bytes: &[u8], file_length: Option<usize>) -> Result<Header> {
        let data_start = Header::length(file, bytes)?;
        let Some(json) = bytes.get(PREFIX..data_start) else {
            return Err(invalid(
                file,
                format!("ends after {} bytes", bytes.len()),
                format!("a header up to byte {data_start}"),
            ));
        };
        let header: Metadata = serde_json::from_slice(json).map_err(|error| explain(file, json, &error))?;
        let mut tensors = BTreeMap::new();
        let mut end = data_start;
        for (name, info) in header.tensors() {
            let place = || format!("{file}: {name}");
            let (start, stop) = info.data_offsets;
            let range = data_start.checked_add(start).zip(data_start.checked_add(stop));
            let Some((start, stop)) = range else {
                return Err(invalid(
                    place(),
                    format!("ends at byte {stop} of the data"),
                    "an offset within the file",
                ));
            };
            end = end.max(stop);
            if let Some(length) = file_length
                && stop > length
            {
                return Err(invalid(
                    place(),
                    format!("ends at byte {stop}, and the file at {length}"),
                    "a whole file; this one is truncated",
                ));
            }
            let tensor = HeaderTensor { dtype: info.dtype, shape: info.shape.clone(), range: start..stop };
            tensors.insert(name, tensor);
        }
        let metadata = header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone()));
        let header = Header { file: file.to_string(), tensors, metadata: map_of(metadata), end };
        file_length.map_or(Ok(()), |length| header.check_length(length))?;
        Ok(header)
    }

    /// Whether a file of so many bytes ends where its last tensor does.
    pub fn check_length(&self, length: usize) -> Result<()> {
        if length == self.end {
            return Ok(());
        }
        Err(invalid(
            &self.file,
            format!("has {length} bytes"),
            format!("{}, where its last tensor ends", self.end),
        ))
    }
}

/// The crate says what is wrong with a header, but seldom of which tensor. This looks for the first one at fault.
fn explain(file: &str, json: &[u8], error: &serde_json::Error) -> Error {
    let general = || invalid(file, format!("header: {error}"), "a safetensors header");
    let Ok(fields) = serde_json::from_slice::<BTreeMap<String, serde_json::Value>>(json) else {
        return general();
    };
    for (name, value) in fields {
        if name == "__metadata__" {
            continue;
        }
        let place = format!("{file}: {name}");
        let info: TensorInfo = match serde_json::from_value(value) {
            Ok(info) => info,
            Err(error) => return invalid(place, error.to_string(), "a dtype, a shape and data_offsets"),
        };
        let count = info.shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
        let bits = count.and_then(|count| count.checked_mul(info.dtype.bitsize()));
        let (start, end) = info.data_offsets;
        let found = end.checked_sub(start);
        if found.is_none() || found.and_then(|bytes| bytes.checked_mul(8)) != bits {
            return invalid(
                place,
                format!("bytes {start} to {end} hold shape {:?} of {:?}", info.shape, info.dtype),
                "as many bytes as the shape needs",
            );
        }
    }
    general()
}

fn invalid(place: impl Into<String>, problem: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidFile, place, problem, expected)
}
