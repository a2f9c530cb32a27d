//! The wire format of Protocol Buffers, as much of it as `spiece.model` uses.
//!
//! Four shapes of value and no schema: a compiler and a runtime for one file would outweigh this page.

use crate::error::{Error, ErrorCode, Result};

/// Iterates over the fields of one message: pairs of field number and value. Ends after the first error.
pub(super) struct Message<'a> {
    place: &'a str,
    bytes: &'a [u8],
    at: usize,
}

/// The value of a field, and where it stands for the sake of errors.
pub(super) struct Value<'a> {
    place: &'a str,
    number: u64,
    data: Data<'a>,
}

enum Data<'a> {
    Integer(u64),
    Fixed32([u8; 4]),
    Fixed64,
    Bytes(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The message in `bytes`; `place` names it in errors.
    pub fn new(place: &'a str, bytes: &'a [u8]) -> Self {
        Message { place, bytes, at: 0 }
    }

    fn fail(&self, problem: impl Into<String>, expected: &str) -> Error {
        Error::new(ErrorCode::InvalidFile, format!("{} at byte {}", self.place, self.at), problem, expected)
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let left = &self.bytes[self.at..];
        match usize::try_from(count).ok().and_then(|count| left.get(..count)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => {
                Err(self
                    .fail(format!("{count} bytes claimed, {} left", left.len()), "a whole protobuf message"))
            }
        }
    }

    fn varint(&mut self) -> Result<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.fail("a number of more than ten bytes", "a protobuf message"))
    }

    fn field(&mut self) -> Result<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let number = tag >> 3;
        let data = match tag & 7 {
            0 => Data::Integer(self.varint()?),
            1 => {
                self.take(8)?;
                Data::Fixed64
            }
            2 => {
                let count = self.varint()?;
                Data::Bytes(self.take(count)?)
            }
            5 => {
                let bytes = self.take(4)?;
                Data::Fixed32([bytes[0], bytes[1], bytes[2], bytes[3]])
            }
            wire => return Err(self.fail(format!("wire type {wire}"), "0, 1, 2 or 5: a protobuf message")),
        };
        if number == 0 {
            return Err(self.fail("field number 0", "a protobuf message"));
        }
        Ok((number, Value { place: self.place, number, data }))
    }
}

impl<'a> Iterator for Message<'a> {
    type Item = Result<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.bytes.len();
        }
        Some(field)
    }
}

impl<'a> Value<'a> {
    fn fail(&self, problem: &str, expected: &str) -> Error {
        Error::new(
            ErrorCode::InvalidFile,
            format!("{}: field {}", self.place, self.number),
            problem,
            expected,
        )
    }

    /// A nested message, a string or bytes.
    pub fn bytes(&self) -> Result<&'a [u8]> {
        match self.data {
            Data::Bytes(bytes) => Ok(bytes),
            _ => Err(self.fail("a number", "bytes")),
        }
    }

    pub fn string(&self) -> Result<String> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| self.fail("not UTF-8", "text"))?;
        Ok(text.to_string())
    }

    /// An integer, an enumeration or a boolean.
    pub fn integer(&self) -> Result<u64> {
        match self.data {
            Data::Integer(number) => Ok(number),
            _ => Err(self.fail("not a varint", "an integer")),
        }
    }

    pub fn float(&self) -> Result<f32> {
        match self.data {
            Data::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(self.fail("not four bytes", "a float")),
        }
    }
}
