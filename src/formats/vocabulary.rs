//! A Hugging Face folder's tokenizer as the metadata of a GGUF file.

use super::gguf::{Array, Value};
use crate::error::{Error, ErrorCode, Result};
use crate::tokenizer::sentencepiece::{SentencePieceModel, extra_ids_in_config};

/// The files of a folder that make its tokenizer, those that it has.
#[derive(Debug, Default, Clone, Copy)]
pub struct TokenizerFiles<'a> {
    /// `spiece.model`
    pub spiece: Option<&'a [u8]>,
    /// `tokenizer.json`
    pub tokenizer_json: Option<&'a [u8]>,
    /// `tokenizer_config.json`
    pub tokenizer_config: Option<&'a [u8]>,
}

/// The tokenizer, with one piece for every row of the embedding; `None` where the folder has none.
///
/// `spiece.model` is what llama.cpp's converter reads, and the better source: `tokenizer.json` can hold rules that
/// GGUF has no keys for. The tokens behind its end are those of `tokenizer.json`, if that is there, else T5's
/// sentinels, as many as `tokenizer_config.json` says. What then lacks to `vocab_size` is padding.
pub fn of_folder(files: TokenizerFiles, vocab_size: usize) -> Result<Option<SentencePieceModel>> {
    let named = |name: &'static str| move |error: Error| error.inside(name);
    let json = files.tokenizer_json.map(SentencePieceModel::from_tokenizer_json).transpose();
    let json = json.map_err(named("tokenizer.json"))?;
    let (mut model, source) = match (files.spiece, json) {
        (Some(spiece), json) => {
            let mut model = SentencePieceModel::from_spiece(spiece)?;
            match json {
                Some(json) => model.pieces.extend(json.pieces.into_iter().skip(model.pieces.len())),
                None => {
                    let extra_ids = files.tokenizer_config.map(extra_ids_in_config).transpose()?.flatten();
                    model.add_sentinels(extra_ids, Some(vocab_size))?;
                }
            }
            (model, "spiece.model")
        }
        (None, Some(json)) => (json, "tokenizer.json"),
        (None, None) => return Ok(None),
    };
    if model.pieces.len() > vocab_size {
        return Err(Error::new(
            ErrorCode::WrongBase,
            source,
            format!("has {} tokens", model.pieces.len()),
            format!("at most {vocab_size}, the rows of the model's embedding"),
        ));
    }
    model.pad_to(vocab_size);
    model.check(source)?;
    Ok(Some(model))
}

/// The keys in which llama.cpp keeps a T5's tokenizer.
pub fn keys(model: &SentencePieceModel) -> Vec<(String, Value)> {
    let fields = model.to_gguf();
    let text = |text: &str| Value::String(text.to_string());
    let charsmap = fields.precompiled_charsmap;
    let keys = [
        ("model", Some(text("t5"))),
        ("pre", Some(text("default"))),
        ("tokens", Some(Value::Array(Array::String(fields.tokens)))),
        ("scores", Some(Value::Array(Array::F32(fields.scores)))),
        ("token_type", Some(Value::Array(Array::I32(fields.token_type)))),
        ("add_space_prefix", fields.add_space_prefix.map(Value::Bool)),
        ("remove_extra_whitespaces", fields.remove_extra_whitespaces.map(Value::Bool)),
        ("precompiled_charsmap", (!charsmap.is_empty()).then_some(Value::Array(Array::U8(charsmap)))),
        ("unknown_token_id", fields.unknown_token_id.map(Value::U32)),
        ("eos_token_id", fields.eos_token_id.map(Value::U32)),
        ("padding_token_id", fields.padding_token_id.map(Value::U32)),
    ];
    keys.into_iter().filter_map(|(key, value)| Some((format!("tokenizer.ggml.{key}"), value?))).collect()
}
