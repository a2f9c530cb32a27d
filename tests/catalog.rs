//! Catalogues: what `gander catalog` writes, the session takes; what is wrong is refused or named.
#![cfg(not(target_arch = "wasm32"))]

mod support;

#[path = "catalog/checking.rs"]
mod checking;
#[path = "catalog/folders.rs"]
mod folders;
#[path = "catalog/locations.rs"]
mod locations;
#[path = "catalog/reading.rs"]
mod reading;
#[path = "catalog/several.rs"]
mod several;
#[path = "catalog/writing.rs"]
mod writing;
