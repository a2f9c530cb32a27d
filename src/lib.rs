//! PHATGOOSE routing among LoRA experts over a quantised small T5, natively and in the browser.

pub mod config;
pub mod device;
pub mod error;
pub mod formats;
pub mod kernels;
pub mod quant;
pub mod recording;
pub mod sampling;
pub mod stop;
pub mod tensor;

pub use error::{Error, ErrorCode, Result};
