//! PHATGOOSE routing among LoRA experts over a quantised small T5, natively and in the browser.
//!
//! A frozen base model, many LoRA adapters that others have trained, and for each of them a gate: one vector for every
//! linear layer. For every token and layer the gates that fit the layer's input best choose the adapters that serve it
//! (Muqeeth, Liu, Liu, Raffel: "Learning to Route Among Specialized Experts for Zero-Shot Generalization", ICML 2024).
//! The formula is in [`kernels::route`] and [`kernels::linear`], the model in [`t5`], and where they meet is [`router`].
//!
//! A [`Session`](session::Session) answers one line at a time and never fetches anything: it names the pages of adapters
//! that it lacks, and goes on when it has got them.
//!
//! ```no_run
//! use gander::base::Base;
//! use gander::catalog::Catalog;
//! use gander::session::{Request, Session, Step};
//!
//! fn main() -> gander::Result<()> {
//!     let mut session = Session::new(Base::open("base.gguf")?)?;
//!     let catalog = Catalog::parse("catalog.json", &std::fs::read("catalog.json").unwrap())?;
//!     session.add_catalog(&catalog, &std::fs::read("gates.safetensors").unwrap())?;
//!
//!     let text = Some("due on the 3rd of May 2021".to_owned());
//!     session.start(Request { text, ..Request::default() })?;
//!     loop {
//!         match session.step()? {
//!             Step::Token(token) => print!("{}", token.text),
//!             Step::Missing(pages) => {
//!                 for number in pages {
//!                     let (_, page) = session.page(number).expect("a page that the session named");
//!                     let file = std::fs::read(&page.file).unwrap();
//!                     let bytes = &file[page.range.start as usize..page.range.end as usize];
//!                     session.provide(number, bytes)?;
//!                 }
//!             }
//!             Step::Done(_) => return Ok(()),
//!         }
//!     }
//! }
//! ```

pub mod adapter_pool;
pub mod base;
pub mod catalog;
pub mod config;
pub mod device;
pub mod device_choice;
pub mod error;
pub mod experts;
pub mod formats;
pub mod integer_trial;
pub mod kernels;
pub(crate) mod maps;
pub mod panels;
pub mod processor;
pub mod quant;
pub mod recording;
pub mod router;
pub mod sampling;
pub mod scratch;
pub mod self_test;
pub mod session;
pub mod stop;
pub mod strategies;
pub mod synthetic;
pub mod t5;
pub mod tensor;
pub mod threads;
pub mod tokenizer;
#[cfg(target_arch = "wasm32")]
pub mod web;
mod wgsl;
pub mod workspace;

pub use error::{Error, ErrorCode, Result};
