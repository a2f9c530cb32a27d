//! A value of GGUF's metadata, with the type it has in the file.

use std::fmt;

/// One value. The type is kept, so that a file's metadata can be written again as it was.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is the type it is named after")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// Values of one type. GGUF's arrays of arrays are not read: no key of a T5 has one.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is the type it is named after")]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    String(Vec<String>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

impl Value {
    /// The number, if it is of an integer type.
    pub fn as_i128(&self) -> Option<i128> {
        match self {
            Value::U8(number) => Some((*number).into()),
            Value::I8(number) => Some((*number).into()),
            Value::U16(number) => Some((*number).into()),
            Value::I16(number) => Some((*number).into()),
            Value::U32(number) => Some((*number).into()),
            Value::I32(number) => Some((*number).into()),
            Value::U64(number) => Some((*number).into()),
            Value::I64(number) => Some((*number).into()),
            _ => None,
        }
    }

    /// The number of the type in the file.
    pub fn type_number(&self) -> u32 {
        match self {
            Value::U8(_) => 0,
            Value::I8(_) => 1,
            Value::U16(_) => 2,
            Value::I16(_) => 3,
            Value::U32(_) => 4,
            Value::I32(_) => 5,
            Value::F32(_) => 6,
            Value::Bool(_) => 7,
            Value::String(_) => 8,
            Value::Array(_) => 9,
            Value::U64(_) => 10,
            Value::I64(_) => 11,
            Value::F64(_) => 12,
        }
    }
}

impl Array {
    /// How many values.
    pub fn len(&self) -> usize {
        match self {
            Array::U8(values) => values.len(),
            Array::I8(values) => values.len(),
            Array::U16(values) => values.len(),
            Array::I16(values) => values.len(),
            Array::U32(values) => values.len(),
            Array::I32(values) => values.len(),
            Array::F32(values) => values.len(),
            Array::Bool(values) => values.len(),
            Array::String(values) => values.len(),
            Array::U64(values) => values.len(),
            Array::I64(values) => values.len(),
            Array::F64(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values as i32, if they are integers and all fit.
    pub fn to_i32s(&self) -> Option<Vec<i32>> {
        fn fitting<T: Copy>(values: &[T]) -> Option<Vec<i32>>
        where
            i32: TryFrom<T>,
        {
            values.iter().map(|&value| i32::try_from(value).ok()).collect()
        }
        match self {
            Array::U8(values) => fitting(values),
            Array::I8(values) => fitting(values),
            Array::U16(values) => fitting(values),
            Array::I16(values) => fitting(values),
            Array::U32(values) => fitting(values),
            Array::I32(values) => fitting(values),
            Array::U64(values) => fitting(values),
            Array::I64(values) => fitting(values),
            Array::F32(_) | Array::Bool(_) | Array::String(_) | Array::F64(_) => None,
        }
    }

    /// The number of the values' type in the file, and its name.
    pub fn element_type(&self) -> (u32, &'static str) {
        match self {
            Array::U8(_) => (0, "u8"),
            Array::I8(_) => (1, "i8"),
            Array::U16(_) => (2, "u16"),
            Array::I16(_) => (3, "i16"),
            Array::U32(_) => (4, "u32"),
            Array::I32(_) => (5, "i32"),
            Array::F32(_) => (6, "f32"),
            Array::Bool(_) => (7, "bool"),
            Array::String(_) => (8, "string"),
            Array::U64(_) => (10, "u64"),
            Array::I64(_) => (11, "i64"),
            Array::F64(_) => (12, "f64"),
        }
    }
}

impl fmt::Display for Value {
    /// As a message shows it: nothing long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::F32(number) => write!(f, "{number}"),
            Value::F64(number) => write!(f, "{number}"),
            Value::Bool(flag) => write!(f, "{flag}"),
            Value::String(text) if text.len() <= 80 => write!(f, "{text:?}"),
            Value::String(text) => write!(f, "a string of {} bytes", text.len()),
            Value::Array(array) => write!(f, "a list of {} {}", array.len(), array.element_type().1),
            integer => write!(f, "{}", integer.as_i128().unwrap_or_default()),
        }
    }
}
