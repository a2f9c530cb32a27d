//! A base model, whole: its weights and its tokenizer, from any of the files it comes in.

use crate::error::{Error, ErrorCode, Result};
use crate::formats::Checkpoint;
use crate::formats::gguf::Gguf;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::sentencepiece::{GgufTokenizer, extra_ids_in_config};

/// Weights and tokenizer.
pub struct Base {
    /// The weights.
    pub checkpoint: Checkpoint,
    /// From `tokenizer.json`, `spiece.model` or the GGUF file. A base answers token ids without one, so what is wrong
    /// with it matters only to those who ask for text: [`ErrorCode::NoTokenizer`] where there is none.
    pub tokenizer: Result<Tokenizer>,
}

impl Base {
    /// One GGUF file. `name` is only for messages.
    pub fn from_gguf(name: &str, bytes: &[u8]) -> Result<Base> {
        let gguf = Gguf::parse(name, bytes)?;
        let tokenizer =
            gguf_tokenizer(&gguf).and_then(Tokenizer::from_gguf).map_err(|error| error.inside(name));
        Ok(Base::new(Checkpoint::from_gguf(name, bytes)?, tokenizer))
    }

    /// The files of a Hugging Face folder by name: `config.json`; every `*.safetensors`; and, for text,
    /// `tokenizer.json`, or `spiece.model` with `tokenizer_config.json`. Others are ignored.
    pub fn from_huggingface(files: &[(&str, &[u8])]) -> Result<Base> {
        let find = |wanted: &str| files.iter().find(|(name, _)| *name == wanted).map(|(_, bytes)| *bytes);
        let Some(config) = find("config.json") else {
            let expected = "config.json beside the weights";
            return Err(Error::new(ErrorCode::Io, "config.json", "is not there", expected));
        };
        let weights = |(name, _): &&(&str, &[u8])| name.ends_with(".safetensors");
        let shards: Vec<(&str, &[u8])> = files.iter().filter(weights).copied().collect();
        let checkpoint = Checkpoint::from_huggingface(config, &shards)?;
        let find = |name: &str| Ok(find(name).map(<[u8]>::to_vec));
        let tokenizer = folder_tokenizer(find, checkpoint.config.vocab_size);
        Ok(Base::new(checkpoint, tokenizer))
    }

    /// A base of these parts.
    pub fn new(checkpoint: Checkpoint, mut tokenizer: Result<Tokenizer>) -> Base {
        if let Ok(tokenizer) = &mut tokenizer {
            tokenizer.allow_ids_below(checkpoint.config.vocab_size);
        }
        Base { checkpoint, tokenizer }
    }

    /// Opens a Hugging Face folder or a GGUF file.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Base> {
        use crate::formats::open::read;
        let path = path.as_ref();
        if !path.is_dir() {
            return Base::from_gguf(&path.display().to_string(), &read(path)?);
        }
        let checkpoint = Checkpoint::open(path)?;
        let find = |name: &str| path.join(name).exists().then(|| read(&path.join(name))).transpose();
        let tokenizer = folder_tokenizer(find, checkpoint.config.vocab_size);
        Ok(Base::new(checkpoint, tokenizer.map_err(|error| error.inside(path.display()))))
    }
}

/// Says that a base has no tokenizer, and where one was looked for.
pub fn no_tokenizer(place: &str) -> Error {
    let expected = "tokenizer.json, spiece.model, or a tokenizer in the GGUF file; token ids work without";
    Error::new(ErrorCode::NoTokenizer, place, "the base has no tokenizer", expected)
}

/// The tokenizer of a Hugging Face folder: `tokenizer.json`, or `spiece.model` with the number of
/// sentinels that `tokenizer_config.json` says. `find` returns a file's bytes, or nothing if there is no such file.
pub fn folder_tokenizer(
    find: impl Fn(&str) -> Result<Option<Vec<u8>>>,
    vocab_size: usize,
) -> Result<Tokenizer> {
    let [json, spiece, config] = ["tokenizer.json", "spiece.model", "tokenizer_config.json"];
    if let Some(bytes) = find(json)? {
        return Tokenizer::from_tokenizer_json(&bytes).map_err(|error| error.inside(json));
    }
    let Some(bytes) = find(spiece)? else { return Err(no_tokenizer("base")) };
    let extra_ids = match find(config)? {
        Some(bytes) => extra_ids_in_config(&bytes).map_err(|error| error.inside(config))?,
        None => None,
    };
    Tokenizer::from_spiece(&bytes, extra_ids, Some(vocab_size)).map_err(|error| error.inside(spiece))
}

/// The tokenizer's fields in a GGUF file.
pub fn gguf_tokenizer(gguf: &Gguf) -> Result<GgufTokenizer> {
    if !gguf.has_tokenizer() {
        return Err(no_tokenizer("metadata"));
    }
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    match gguf.text(&key("model"))? {
        Some("t5") => {}
        other => {
            let problem = format!("is {:?}", other.unwrap_or_default());
            return Err(gguf.error(
                ErrorCode::Unsupported,
                &key("model"),
                problem,
                "\"t5\", SentencePiece Unigram",
            ));
        }
    }
    Ok(GgufTokenizer {
        tokens: gguf.strings(&key("tokens"))?.unwrap_or_default().to_vec(),
        scores: gguf.f32s(&key("scores"))?.unwrap_or_default().to_vec(),
        token_type: gguf.i32s(&key("token_type"))?.unwrap_or_default(),
        precompiled_charsmap: gguf.bytes(&key("precompiled_charsmap"))?.unwrap_or_default(),
        add_space_prefix: gguf.flag(&key("add_space_prefix"))?,
        remove_extra_whitespaces: gguf.flag(&key("remove_extra_whitespaces"))?,
        unknown_token_id: gguf.u32(&key("unknown_token_id"))?,
        eos_token_id: gguf.u32(&key("eos_token_id"))?,
        padding_token_id: gguf.u32(&key("padding_token_id"))?,
    })
}
