//! A base model as a Hugging Face folder holds it: `config.json` and one or more safetensors files.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::{Contents, StoredTensor};
use super::encoding::Encoding;
use super::json::{JsonObject, shown};
use super::layout;
use super::safetensors::Header;
use crate::config::Config;
use crate::error::{Error, ErrorCode, Result};

/// The model's shape.
pub const CONFIG: &str = "config.json";
/// The weights, where they are one file.
pub const WEIGHTS: &str = "model.safetensors";
/// Which files hold the weights, where they are several.
pub const INDEX: &str = "model.safetensors.index.json";

/// The table of contents of the files whose headers these are. `is_whole`: there are no others.
pub fn contents(config: Config, headers: &[Header], is_whole: bool) -> Result<Contents> {
    let mut stored: BTreeMap<String, StoredTensor> = BTreeMap::new();
    for (file, header) in headers.iter().enumerate() {
        for (name, tensor) in &header.tensors {
            let place = || format!("{}: {name}", header.file);
            let encoding = Encoding::from_dtype(tensor.dtype).map_err(|error| error.inside(place()))?;
            let tensor = StoredTensor {
                stored_name: name.clone(),
                encoding,
                shape: tensor.shape.clone(),
                file,
                range: tensor.range.clone(),
            };
            if let Some(other) = stored.insert(name.clone(), tensor) {
                return Err(Error::new(
                    ErrorCode::InvalidFile,
                    place(),
                    format!("is in {} too", headers[other.file].file),
                    "each tensor once",
                ));
            }
        }
    }
    // Some checkpoints hold the embedding only under the name of one of its two users.
    for copy in ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"] {
        if !stored.contains_key(layout::EMBEDDING)
            && let Some(tensor) = stored.remove(copy)
        {
            stored.insert(layout::EMBEDDING.to_string(), tensor);
        }
    }
    let files = headers.iter().map(|header| header.file.clone()).collect();
    Contents::new(config, files, stored, is_whole)
}

/// The names of the files that `model.safetensors.index.json` lists, each once, in order.
///
/// A name that leads out of the folder is refused: an index can come from anywhere.
pub fn shard_names(index_json: &[u8]) -> Result<Vec<String>> {
    let index = JsonObject::parse(INDEX, index_json)?;
    let Some(map) = index.object("weight_map")? else {
        return Err(index.error(
            ErrorCode::InvalidFile,
            "weight_map",
            "is absent",
            "tensor names and their files",
        ));
    };
    let mut names = BTreeSet::new();
    for (tensor, file) in map {
        let name = file.as_str().filter(|name| {
            name.ends_with(".safetensors") && !name.contains(['/', '\\', ':']) && !name.starts_with('.')
        });
        let Some(name) = name else {
            return Err(index.error(
                ErrorCode::InvalidFile,
                &format!("weight_map: {tensor}"),
                format!("is {}", shown(file)),
                "the name of a safetensors file in the same folder",
            ));
        };
        names.insert(name.to_string());
    }
    Ok(names.into_iter().collect())
}
