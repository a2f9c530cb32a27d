//! The file formats: what is read is what was written, by us and by the packages that define the formats; and what is
//! wrong is refused with an error that names it.

#[path = "formats/adapters.rs"]
mod adapters;
#[path = "formats/build.rs"]
mod build;
#[path = "formats/configs.rs"]
mod configs;
#[path = "formats/hostile.rs"]
mod hostile;
#[path = "formats/round_trips.rs"]
mod round_trips;
#[path = "formats/tokenizers.rs"]
mod tokenizers;
