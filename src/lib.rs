//! PHATGOOSE routing among LoRA experts over a quantised small T5, natively and in the browser.

pub mod config;
pub mod error;
pub mod formats;
pub mod quant;
pub mod tokenizer;

pub use error::{Error, ErrorCode, Result};
