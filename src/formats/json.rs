//! A JSON object whose every field is read with a type and, when it is not of that type, an error that names it.

use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode, Result};

/// The fields of one JSON object, and the file they came from.
pub struct JsonObject<'a> {
    file: &'a str,
    fields: Map<String, Value>,
}

impl<'a> JsonObject<'a> {
    /// Reads `bytes` as one object. `file` is only for messages.
    pub fn parse(file: &'a str, bytes: &[u8]) -> Result<Self> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(JsonObject { file, fields }),
            Ok(other) => Err(Error::new(
                ErrorCode::InvalidFile,
                file,
                format!("is JSON, but {}", kind(&other)),
                "an object in braces",
            )),
            Err(error) => Err(Error::new(ErrorCode::InvalidFile, file, error.to_string(), "JSON")),
        }
    }

    /// Whether the field is there at all, `null` included.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// The field's value; absent and `null` are the same, as they are to Python's readers of these files.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// A whole number that is not negative.
    pub fn whole(&self, name: &str) -> Result<Option<u64>> {
        self.typed(name, "a whole number, zero or more", Value::as_u64)
    }

    /// Any finite number.
    pub fn number(&self, name: &str) -> Result<Option<f64>> {
        self.typed(name, "a number", Value::as_f64)
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.typed(name, "true or false", Value::as_bool)
    }

    /// A string.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        self.typed(name, "a string", Value::as_str)
    }

    /// An object.
    pub fn object(&self, name: &str) -> Result<Option<&Map<String, Value>>> {
        self.typed(name, "an object", Value::as_object)
    }

    /// An error about one field.
    pub fn error(
        &self,
        code: ErrorCode,
        name: &str,
        problem: impl Into<String>,
        expected: impl Into<String>,
    ) -> Error {
        Error::new(code, name, problem, expected).inside(self.file)
    }

    fn typed<'v, T>(
        &'v self,
        name: &str,
        expected: &str,
        read: impl Fn(&'v Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(self.error(ErrorCode::InvalidFile, name, format!("is {}", shown(value)), expected)),
        }
    }
}

/// A value as a message shows it: scalars as they are, the rest by kind, nothing long.
pub fn shown(value: &Value) -> String {
    let text = value.to_string();
    match value {
        Value::Array(_) | Value::Object(_) => kind(value).to_string(),
        _ if text.len() > 80 => format!("{} of {} bytes", kind(value), text.len()),
        _ => text,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
