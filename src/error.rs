//! Everything that can go wrong outside the code: files, network bytes, options, devices.
//!
//! Every error says what is wrong, where, and what was expected, and carries a code that is the same in
//! Rust, in JavaScript (`GanderError.code`) and on the command line. Bugs panic; bad input never does.

use std::fmt;

/// The kind of failure, stable across releases and equal to `GanderError.code` in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// A file could not be read or written.
    Io,
    /// A file is truncated, contradicts itself, or is not of the format it should be.
    InvalidFile,
    /// A file is well formed and asks for something that gander does not do (DoRA, an unknown tensor type).
    Unsupported,
    /// A tensor that the model or adapter needs is absent.
    MissingTensor,
    /// A tensor is there and has the wrong shape.
    ShapeMismatch,
    /// An adapter or catalogue was made for another base model.
    WrongBase,
    /// A token id is not in the vocabulary.
    TokenOutOfRange,
    /// Text was given, or asked for, and the base has no tokenizer.
    NoTokenizer,
    /// There is nothing to work on: empty text, empty list of ids.
    EmptyInput,
    /// An option has a value outside its range, or two options contradict each other.
    InvalidOption,
    /// An expert id is not in any loaded catalogue.
    UnknownExpert,
    /// The bytes of a page are not those the catalogue describes.
    PageMismatch,
    /// One step wants more adapter pages than the pool can hold.
    PoolTooSmall,
    /// A weight or an activation is NaN or infinite.
    NotFinite,
    /// There is no GPU to be had.
    NoGpu,
    /// A GPU lacks something that the model or its shaders need.
    DeviceLimit,
    /// A GPU refused or failed some work; the message is its driver's.
    DeviceFailed,
    /// A GPU computed something wrong.
    DeviceWrong,
    /// A GPU went away: unplugged, reset, or taken by the browser.
    DeviceLost,
    /// There is not enough memory, of a GPU or for the base.
    OutOfMemory,
    /// A call came at a moment when it makes no sense: a step without a start, a start without a base.
    InvalidState,
}

impl ErrorCode {
    /// The code as JavaScript and the command line show it.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::Io => "io",
            ErrorCode::InvalidFile => "invalid-file",
            ErrorCode::Unsupported => "unsupported",
            ErrorCode::MissingTensor => "missing-tensor",
            ErrorCode::ShapeMismatch => "shape-mismatch",
            ErrorCode::WrongBase => "wrong-base",
            ErrorCode::TokenOutOfRange => "token-out-of-range",
            ErrorCode::NoTokenizer => "no-tokenizer",
            ErrorCode::EmptyInput => "empty-input",
            ErrorCode::InvalidOption => "invalid-option",
            ErrorCode::UnknownExpert => "unknown-expert",
            ErrorCode::PageMismatch => "page-mismatch",
            ErrorCode::PoolTooSmall => "pool-too-small",
            ErrorCode::NotFinite => "not-finite",
            ErrorCode::NoGpu => "no-gpu",
            ErrorCode::DeviceLimit => "device-limit",
            ErrorCode::DeviceFailed => "device-failed",
            ErrorCode::DeviceWrong => "device-wrong",
            ErrorCode::DeviceLost => "device-lost",
            ErrorCode::OutOfMemory => "out-of-memory",
            ErrorCode::InvalidState => "invalid-state",
        }
    }
}

/// What went wrong, where, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The kind of failure.
    pub code: ErrorCode,
    /// Where: a file, a tensor, an option.
    pub place: String,
    /// What was found there.
    pub problem: String,
    /// What should have been there.
    pub expected: String,
}

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that reads `place: problem; expected …`.
    pub fn new(
        code: ErrorCode,
        place: impl Into<String>,
        problem: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Error { code, place: place.into(), problem: problem.into(), expected: expected.into() }
    }

    /// The same error, its place preceded by the thing that contains it: a file before a tensor.
    pub fn inside(mut self, container: impl fmt::Display) -> Self {
        self.place = format!("{container}: {}", self.place);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; expected {} [{}]", self.place, self.problem, self.expected, self.code.as_str())
    }
}

impl std::error::Error for Error {}
