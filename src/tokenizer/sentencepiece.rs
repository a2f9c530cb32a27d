//! What a SentencePiece Unigram model is: pieces, a normaliser and a few ids, as plain data.
//!
//! Read from `spiece.model` or from the tokenizer fields of a GGUF file, and written back to those fields: this is
//! what `gander quantize` carries from a Hugging Face folder into a GGUF. Turning text into ids is
//! [`Tokenizer`](super::Tokenizer)'s business.

use std::collections::HashMap;

use super::protobuf::{Message, Value};
use crate::error::{Error, ErrorCode, Result};

/// What a piece is for. The numbers are those of `sentencepiece_model.proto` and of `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PieceKind {
    /// Ordinary text.
    Normal = 1,
    /// Stands for whatever no piece covers.
    Unknown = 2,
    /// A mark such as `</s>`: never matched in text, never shown.
    Control = 3,
    /// Text that is always one piece, whatever the scores say.
    UserDefined = 4,
    /// A hole in the vocabulary: never produced.
    Unused = 5,
    /// One byte, `<0x41>`, of a character that no piece covers.
    Byte = 6,
}

impl PieceKind {
    /// The kind with this number, or `None`.
    pub fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            1 => PieceKind::Normal,
            2 => PieceKind::Unknown,
            3 => PieceKind::Control,
            4 => PieceKind::UserDefined,
            5 => PieceKind::Unused,
            6 => PieceKind::Byte,
            _ => return None,
        })
    }
}

/// One entry of the vocabulary. Its place in the list is its id.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The text, with `▁` (U+2581) for a space.
    pub text: String,
    /// The log-probability. Meaningless for what is not [`PieceKind::Normal`].
    pub score: f32,
    /// What the piece is for.
    pub kind: PieceKind,
}

/// A SentencePiece Unigram model.
///
/// The values made by this module hold the invariants that [`SentencePieceModel::check`] states.
#[derive(Debug, Clone, PartialEq)]
pub struct SentencePieceModel {
    /// The vocabulary, by id.
    pub pieces: Vec<Piece>,
    /// The compiled normalisation rules (`precompiled_charsmap`); empty for the identity.
    pub charsmap: Vec<u8>,
    /// A space is put before the text.
    pub add_dummy_prefix: bool,
    /// Spaces at both ends go, runs of spaces become one.
    pub remove_extra_whitespaces: bool,
    /// Spaces are written `▁`. Every T5 does.
    pub escape_whitespaces: bool,
    /// Characters that no piece covers become [`PieceKind::Byte`] pieces.
    pub byte_fallback: bool,
    /// The id of `<unk>`.
    pub unk_id: u32,
    /// The id of `</s>`, which T5 puts after every text.
    pub eos_id: Option<u32>,
    /// The id of `<pad>`, with which T5's decoder starts.
    pub pad_id: Option<u32>,
}

/// The tokenizer fields of a GGUF file, as llama.cpp's converters write them for T5 (`tokenizer.ggml.model` = `"t5"`).
///
/// Each field names its key. What a file leaves out is `None` or empty, and is as in T5.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GgufTokenizer {
    /// `tokenizer.ggml.tokens`
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`, numbers as in [`PieceKind`]
    pub token_type: Vec<i32>,
    /// `tokenizer.ggml.precompiled_charsmap`: the bytes, whether the array is of u8 or i8
    pub precompiled_charsmap: Vec<u8>,
    /// `tokenizer.ggml.add_space_prefix`
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.ggml.remove_extra_whitespaces`
    pub remove_extra_whitespaces: Option<bool>,
    /// `tokenizer.ggml.unknown_token_id`
    pub unknown_token_id: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`
    pub eos_token_id: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`
    pub padding_token_id: Option<u32>,
}

/// How many sentinels T5 adds behind its SentencePiece vocabulary unless its configuration says otherwise.
pub const DEFAULT_EXTRA_IDS: usize = 100;

/// Far above any vocabulary in use (mT5: 250,112); a bound before allocating what a file merely claims.
const MAX_PIECES: usize = 4_000_000;

fn invalid(place: impl Into<String>, problem: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidFile, place, problem, expected)
}

impl SentencePieceModel {
    /// Reads `spiece.model`, a `sentencepiece.ModelProto`.
    ///
    /// T5's sentinels are not in that file: see [`add_sentinels`](Self::add_sentinels).
    pub fn from_spiece(bytes: &[u8]) -> Result<Self> {
        // Field numbers: google/sentencepiece src/sentencepiece_model.proto.
        let mut pieces = Vec::new();
        let mut charsmap = Vec::new();
        let (mut add_dummy_prefix, mut remove_extra_whitespaces, mut escape_whitespaces) = (true, true, true);
        let (mut model_type, mut byte_fallback, mut whitespace_as_suffix) = (1, false, false);
        let mut eos_piece = "</s>".to_string();
        let mut pad_piece = "<pad>".to_string();
        for field in Message::new("spiece.model", bytes) {
            let (number, value) = field?;
            match number {
                1 => {
                    let place = format!("spiece.model: piece {}", pieces.len());
                    pieces.push(read_piece(&place, value)?);
                }
                2 => {
                    for field in Message::new("spiece.model: trainer_spec", value.bytes()?) {
                        let (number, value) = field?;
                        match number {
                            3 => model_type = value.integer()?,
                            24 => whitespace_as_suffix = value.integer()? != 0,
                            35 => byte_fallback = value.integer()? != 0,
                            47 => eos_piece = value.string()?,
                            48 => pad_piece = value.string()?,
                            _ => {}
                        }
                    }
                }
                3 => {
                    for field in Message::new("spiece.model: normalizer_spec", value.bytes()?) {
                        let (number, value) = field?;
                        match number {
                            2 => charsmap = value.bytes()?.to_vec(),
                            3 => add_dummy_prefix = value.integer()? != 0,
                            4 => remove_extra_whitespaces = value.integer()? != 0,
                            5 => escape_whitespaces = value.integer()? != 0,
                            _ => {}
                        }
                    }
                }
                5 => {
                    for field in Message::new("spiece.model: denormalizer_spec", value.bytes()?) {
                        let (number, value) = field?;
                        if number == 2 && !value.bytes()?.is_empty() {
                            return Err(Error::new(
                                ErrorCode::Unsupported,
                                "spiece.model: denormalizer_spec",
                                "rules for decoding",
                                "none, as in every T5",
                            ));
                        }
                    }
                }
                _ => {}
            }
        }
        if model_type != 1 {
            let name = match model_type {
                2 => "BPE".to_string(),
                3 => "WORD".to_string(),
                4 => "CHAR".to_string(),
                other => format!("number {other}"),
            };
            return Err(Error::new(
                ErrorCode::Unsupported,
                "spiece.model: model_type",
                name,
                "UNIGRAM, which every T5 uses",
            ));
        }
        if whitespace_as_suffix {
            return Err(Error::new(
                ErrorCode::Unsupported,
                "spiece.model: treat_whitespace_as_suffix",
                "true",
                "false, as in every T5",
            ));
        }
        if pieces.is_empty() {
            return Err(invalid("spiece.model", "no pieces", "a SentencePiece Unigram vocabulary"));
        }
        let control = |text: &str| {
            pieces
                .iter()
                .position(|p: &Piece| p.kind == PieceKind::Control && p.text == text)
                .map(|id| id as u32)
        };
        let (eos_id, pad_id) = (control(&eos_piece), control(&pad_piece));
        let unk_id = only_unknown("spiece.model", &pieces)?;
        let model = SentencePieceModel {
            pieces,
            charsmap,
            add_dummy_prefix,
            remove_extra_whitespaces,
            escape_whitespaces,
            byte_fallback,
            unk_id,
            eos_id,
            pad_id,
        };
        model.check("spiece.model")?;
        Ok(model)
    }

    /// Reads the part of a Hugging Face `tokenizer.json` that a SentencePiece model can hold, sentinels and other added tokens included.
    ///
    /// A `spiece.model` beside it is the better source: a tokenizer made from this value does as SentencePiece does.
    pub fn from_tokenizer_json(bytes: &[u8]) -> Result<Self> {
        super::huggingface::TokenizerJson::new(bytes)?.to_sentencepiece()
    }

    /// Adds T5's sentinels `<extra_id_{n-1}>` … `<extra_id_0>` behind the vocabulary, as control pieces.
    ///
    /// * `extra_ids`: how many, if the tokenizer's configuration says ([`extra_ids_in_config`]); otherwise
    ///   [`DEFAULT_EXTRA_IDS`], or none where the model has no room for them (mT5)
    /// * `vocab_size`: the rows of the model's embedding, if known
    ///
    /// A model that has sentinels already is left as it is.
    pub fn add_sentinels(&mut self, extra_ids: Option<usize>, vocab_size: Option<usize>) -> Result<()> {
        if self.pieces.iter().any(|piece| super::is_sentinel(&piece.text)) {
            return Ok(());
        }
        let room = vocab_size.unwrap_or(MAX_PIECES).saturating_sub(self.pieces.len());
        let count = match extra_ids {
            Some(count) if count > room => {
                return Err(Error::new(
                    ErrorCode::WrongBase,
                    "extra_ids",
                    format!("{} pieces and {count} sentinels", self.pieces.len()),
                    format!("at most {}, the model's vocab_size", room + self.pieces.len()),
                ));
            }
            Some(count) => count,
            None if DEFAULT_EXTRA_IDS <= room => DEFAULT_EXTRA_IDS,
            None => 0,
        };
        self.pieces.extend((0..count).rev().map(|n| Piece {
            text: format!("<extra_id_{n}>"),
            score: 0.0,
            kind: PieceKind::Control,
        }));
        Ok(())
    }

    /// Adds unused pieces `[PAD1]`, `[PAD2]`, … until the vocabulary has `vocab_size` entries, as llama.cpp's
    /// converter does: a GGUF must name every row of the embedding. A vocabulary of that size or more stays as it is.
    pub fn pad_to(&mut self, vocab_size: usize) {
        let missing = vocab_size.min(MAX_PIECES).saturating_sub(self.pieces.len());
        self.pieces.extend((1..=missing).map(|n| Piece {
            text: format!("[PAD{n}]"),
            score: -1000.0,
            kind: PieceKind::Unused,
        }));
    }

    /// Reads the tokenizer fields of a GGUF file.
    ///
    /// llama.cpp's converter knows nothing of T5's sentinels: where `spiece.model` ends, it writes `[PAD1]`, `[PAD2]`, …
    /// up to the size of the embedding. If there are at least [`DEFAULT_EXTRA_IDS`] of those and no sentinel, the first
    /// ones are given their names back.
    pub fn from_gguf(gguf: GgufTokenizer) -> Result<Self> {
        let count = gguf.tokens.len();
        if count == 0 {
            return Err(invalid("tokenizer.ggml.tokens", "empty", "a SentencePiece Unigram vocabulary"));
        }
        if gguf.scores.len() != count {
            let problem = format!("{} scores", gguf.scores.len());
            return Err(invalid("tokenizer.ggml.scores", problem, format!("{count}, one per token")));
        }
        if gguf.token_type.len() != count {
            let problem = format!("{} types", gguf.token_type.len());
            return Err(invalid("tokenizer.ggml.token_type", problem, format!("{count}, one per token")));
        }
        let mut pieces = Vec::with_capacity(count);
        for (id, ((text, score), number)) in
            gguf.tokens.into_iter().zip(gguf.scores).zip(gguf.token_type).enumerate()
        {
            let kind = PieceKind::from_number(number.into()).ok_or_else(|| {
                invalid(format!("tokenizer.ggml.token_type[{id}]"), format!("type {number}"), "1 to 6")
            })?;
            pieces.push(Piece { text, score, kind });
        }
        restore_sentinels(&mut pieces);
        // The converter writes an id only if the special-tokens files of the folder name it.
        let control = |text: &str| {
            pieces.iter().position(|p| p.kind == PieceKind::Control && p.text == text).map(|id| id as u32)
        };
        let unk_id = match gguf.unknown_token_id {
            Some(id) => id,
            None => only_unknown("tokenizer.ggml.token_type", &pieces)?,
        };
        let model = SentencePieceModel {
            charsmap: gguf.precompiled_charsmap,
            add_dummy_prefix: gguf.add_space_prefix.unwrap_or(true),
            remove_extra_whitespaces: gguf.remove_extra_whitespaces.unwrap_or(true),
            escape_whitespaces: true,
            byte_fallback: pieces.iter().filter(|p| p.kind == PieceKind::Byte).count() == 256,
            unk_id,
            eos_id: gguf.eos_token_id.or_else(|| control("</s>")),
            pad_id: gguf.padding_token_id.or_else(|| control("<pad>")),
            pieces,
        };
        model.check("tokenizer.ggml")?;
        Ok(model)
    }

    /// The same model as the tokenizer fields of a GGUF file.
    pub fn to_gguf(&self) -> GgufTokenizer {
        GgufTokenizer {
            tokens: self.pieces.iter().map(|piece| piece.text.clone()).collect(),
            scores: self.pieces.iter().map(|piece| piece.score).collect(),
            token_type: self.pieces.iter().map(|piece| piece.kind as i32).collect(),
            precompiled_charsmap: self.charsmap.clone(),
            add_space_prefix: Some(self.add_dummy_prefix),
            remove_extra_whitespaces: Some(self.remove_extra_whitespaces),
            unknown_token_id: Some(self.unk_id),
            eos_token_id: self.eos_id,
            padding_token_id: self.pad_id,
        }
    }

    /// Checks what the tokenizer relies on: scores are finite, no two pieces that text can match are the same and none
    /// is empty, byte pieces are `<0x00>` to `<0xFF>` and complete if there is byte fallback, ids are in range.
    pub fn check(&self, place: &str) -> Result<()> {
        if self.pieces.len() > MAX_PIECES {
            let problem = format!("{} pieces", self.pieces.len());
            return Err(invalid(place, problem, format!("at most {MAX_PIECES}")));
        }
        let mut seen = HashMap::with_capacity(self.pieces.len());
        let mut bytes = [false; 256];
        for (id, piece) in self.pieces.iter().enumerate() {
            let here = || format!("{place}: piece {id} ({:?})", shorten(&piece.text));
            if !piece.score.is_finite() {
                return Err(invalid(here(), format!("score {}", piece.score), "a finite score"));
            }
            if piece.kind == PieceKind::Byte {
                let byte = super::byte_of_piece(&piece.text)
                    .ok_or_else(|| invalid(here(), "a byte piece of another form", "<0x00> to <0xFF>"))?;
                bytes[usize::from(byte)] = true;
            }
            // Unused pieces are placeholders; some vocabularies repeat their text.
            if piece.kind == PieceKind::Unused {
                continue;
            }
            if piece.text.is_empty() {
                return Err(invalid(here(), "no text", "at least one character"));
            }
            if let Some(first) = seen.insert(piece.text.as_str(), id) {
                return Err(invalid(here(), format!("the same text as piece {first}"), "distinct pieces"));
            }
        }
        if self.byte_fallback
            && let Some(byte) = bytes.iter().position(|there| !there)
        {
            let problem = format!("byte_fallback without the piece <0x{byte:02X}>");
            return Err(invalid(place, problem, "256 byte pieces"));
        }
        for (name, id) in [("unk_id", Some(self.unk_id)), ("eos_id", self.eos_id), ("pad_id", self.pad_id)] {
            if let Some(id) = id
                && id as usize >= self.pieces.len()
            {
                let expected = format!("less than {}, the size of the vocabulary", self.pieces.len());
                return Err(invalid(format!("{place}: {name}"), id.to_string(), expected));
            }
        }
        Ok(())
    }
}

fn read_piece(place: &str, value: Value<'_>) -> Result<Piece> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: PieceKind::Normal };
    for field in Message::new(place, value.bytes()?) {
        let (number, value) = field?;
        match number {
            1 => piece.text = value.string()?,
            2 => piece.score = value.float()?,
            3 => {
                let kind = value.integer()?;
                piece.kind = PieceKind::from_number(kind as i64)
                    .ok_or_else(|| invalid(format!("{place}: type"), kind.to_string(), "1 to 6"))?;
            }
            _ => {}
        }
    }
    Ok(piece)
}

fn only_unknown(place: &str, pieces: &[Piece]) -> Result<u32> {
    let mut unknown = pieces.iter().enumerate().filter(|(_, piece)| piece.kind == PieceKind::Unknown);
    match (unknown.next(), unknown.next()) {
        (Some((id, _)), None) => Ok(id as u32),
        (None, _) => Err(invalid(place, "no unknown piece", "exactly one piece of type UNKNOWN")),
        (Some((a, _)), Some((b, _))) => {
            Err(invalid(place, format!("unknown pieces {a} and {b}"), "exactly one piece of type UNKNOWN"))
        }
    }
}

fn restore_sentinels(pieces: &mut [Piece]) {
    if pieces.iter().any(|piece| super::is_sentinel(&piece.text)) {
        return;
    }
    let Some(first) = pieces.iter().position(|p| p.kind == PieceKind::Unused && p.text == "[PAD1]") else {
        return;
    };
    let padding = pieces[first..]
        .iter()
        .enumerate()
        .take_while(|(n, p)| p.kind == PieceKind::Unused && p.text == format!("[PAD{}]", n + 1))
        .count();
    if padding < DEFAULT_EXTRA_IDS {
        return;
    }
    for (n, piece) in pieces[first..first + DEFAULT_EXTRA_IDS].iter_mut().enumerate() {
        let text = format!("<extra_id_{}>", DEFAULT_EXTRA_IDS - 1 - n);
        *piece = Piece { text, score: 0.0, kind: PieceKind::Control };
    }
}

/// How many sentinels `tokenizer_config.json` asks for, or `None` if it does not say.
///
/// Reads `extra_ids`, or else counts the sentinels among its special tokens.
pub fn extra_ids_in_config(tokenizer_config: &[u8]) -> Result<Option<usize>> {
    use serde_json::Value;
    let config: Value = serde_json::from_slice(tokenizer_config)
        .map_err(|error| invalid("tokenizer_config.json", error.to_string(), "a JSON object"))?;
    match config.get("extra_ids") {
        None | Some(Value::Null) => {}
        Some(count) => {
            return match count.as_u64() {
                Some(count) if count < MAX_PIECES as u64 => Ok(Some(count as usize)),
                _ => Err(invalid(
                    "tokenizer_config.json: extra_ids",
                    count.to_string(),
                    "a number of sentinels",
                )),
            };
        }
    }
    let content = |token: &Value| {
        token
            .as_str()
            .or_else(|| token.get("content").and_then(Value::as_str))
            .is_some_and(super::is_sentinel)
    };
    for list in ["additional_special_tokens", "extra_special_tokens", "added_tokens_decoder"] {
        let count = match config.get(list) {
            Some(Value::Array(tokens)) => tokens.iter().filter(|token| content(token)).count(),
            Some(Value::Object(tokens)) => tokens.values().filter(|token| content(token)).count(),
            _ => 0,
        };
        if count > 0 {
            return Ok(Some(count));
        }
    }
    Ok(None)
}

/// Enough of a text to recognise it in an error.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}
