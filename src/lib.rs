//! PHATGOOSE routing among LoRA experts over a quantised small T5, natively and in the browser.

pub mod adapter_pool;
pub mod base;
pub mod catalog;
pub mod config;
pub mod device;
pub mod error;
pub mod experts;
pub mod formats;
pub mod kernels;
pub mod quant;
pub mod recording;
pub mod router;
pub mod sampling;
pub mod session;
pub mod stop;
pub mod t5;
pub mod tensor;
pub mod tokenizer;
#[cfg(target_arch = "wasm32")]
pub mod web;
pub mod workspace;

pub use error::{Error, ErrorCode, Result};
