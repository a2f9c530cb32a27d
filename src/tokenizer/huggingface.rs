//! `tokenizer.json`, as far as T5's family uses it.
//!
//! The file describes a pipeline: added tokens are cut out, the rest is normalised, pre-tokenised, and given to the model.
//! What a T5 can have is done exactly as the library `tokenizers` does it; anything else is refused by name.

use std::collections::HashMap;

use base64::Engine as _;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::charsmap::Charsmap;
use super::decode::{Decoding, Leading, Shown};
use super::sentencepiece::{Piece, PieceKind, SentencePieceModel, shorten};
use super::trie::Trie;
use super::unigram::{Arithmetic, Unigram};
use crate::error::{Error, ErrorCode, Result};

/// The mark for a space. Other marks are possible in the file and refused: no Unigram model in use has one.
const SPACE: char = '▁';

/// `tokenizer.json`, read and checked.
#[derive(Debug)]
pub(super) struct TokenizerJson {
    vocab: Vec<(String, f64)>,
    unk_id: u32,
    byte_fallback: bool,
    added: Vec<AddedToken>,
    normalizers: Vec<Normalizer>,
    pre_tokenizers: Vec<PreTokenizer>,
    charsmap: Vec<u8>,
    /// Ids before and after every text.
    around: (Vec<u32>, Vec<u32>),
    decoder: Decoder,
}

#[derive(Debug, Clone, Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

#[derive(Debug)]
enum Normalizer {
    /// The charsmap of [`TokenizerJson`]: at most one.
    Precompiled,
    Strip {
        left: bool,
        right: bool,
    },
    Replace {
        from: String,
        to: String,
    },
    /// ` {2,}`
    ReplaceSpaces {
        to: String,
    },
    Prepend(String),
}

#[derive(Debug)]
enum PreTokenizer {
    WhitespaceSplit,
    Metaspace { prepend: bool, split: bool },
}

#[derive(Debug, Clone, Copy)]
struct Decoder {
    leading: Leading,
    byte_fallback: bool,
}

#[derive(Deserialize)]
struct File {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    decoder: Option<Value>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    vocab: Vocab,
    unk_id: Option<u32>,
    byte_fallback: Option<bool>,
}

/// Unigram's vocabulary is a list of pairs; that of every other model is an object.
#[derive(Default)]
enum Vocab {
    #[default]
    Missing,
    Scores(Vec<(String, f64)>),
    Object,
}

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Vocab;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a list of pairs of piece and score")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vocab, A::Error> {
                let mut vocab = Vec::new();
                while let Some(pair) = list.next_element()? {
                    vocab.push(pair);
                }
                Ok(Vocab::Scores(vocab))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocab, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Vocab::Object)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

fn invalid(place: &str, problem: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidFile, format!("tokenizer.json: {place}"), problem, expected)
}

fn unsupported(place: &str, problem: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::new(ErrorCode::Unsupported, format!("tokenizer.json: {place}"), problem, expected)
}

fn kind<'a>(place: &str, value: &'a Value) -> Result<&'a str> {
    value["type"].as_str().ok_or_else(|| invalid(place, "no type", "an object with a type"))
}

/// The members of a sequence, or the one thing itself.
fn members<'a>(place: &str, value: Option<&'a Value>, list: &str) -> Result<Vec<&'a Value>> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    if kind(place, value)? != "Sequence" {
        return Ok(vec![value]);
    }
    let nested = value[list]
        .as_array()
        .ok_or_else(|| invalid(place, format!("a sequence without {list}"), "a list"))?;
    if nested.iter().any(|member| member["type"] == "Sequence") {
        return Err(unsupported(place, "a sequence within a sequence", "one sequence"));
    }
    Ok(nested.iter().collect())
}

impl TokenizerJson {
    /// Reads and checks the file.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let file: File = serde_json::from_slice(bytes).map_err(|error| {
            Error::new(
                ErrorCode::InvalidFile,
                "tokenizer.json",
                error.to_string(),
                "a tokenizer of Hugging Face's library",
            )
        })?;
        let vocab = match (file.model.kind.as_deref(), file.model.vocab) {
            (None | Some("Unigram"), Vocab::Scores(vocab)) => vocab,
            (Some("Unigram"), _) => {
                return Err(invalid("model.vocab", "no scores", "a list of pairs of piece and score"));
            }
            (kind, _) => {
                let kind = kind.unwrap_or("a model without scores").to_string();
                return Err(unsupported("model", kind, "Unigram, which every T5 uses"));
            }
        };
        let unk_id = file
            .model
            .unk_id
            .ok_or_else(|| invalid("model.unk_id", "missing", "the id of the unknown piece"))?;

        let mut charsmap = Vec::new();
        let mut normalizers = Vec::new();
        for value in members("normalizer", file.normalizer.as_ref(), "normalizers")? {
            normalizers.push(normalizer(value, &mut charsmap)?);
        }
        let pre_tokenizers = members("pre_tokenizer", file.pre_tokenizer.as_ref(), "pretokenizers")?
            .into_iter()
            .map(pre_tokenizer)
            .collect::<Result<Vec<_>>>()?;

        let json = TokenizerJson {
            byte_fallback: file.model.byte_fallback.unwrap_or(false),
            decoder: decoder(&members("decoder", file.decoder.as_ref(), "decoders")?)?,
            around: around(file.post_processor.as_ref(), &vocab, &file.added_tokens)?,
            vocab,
            unk_id,
            added: file.added_tokens,
            normalizers,
            pre_tokenizers,
            charsmap,
        };
        json.check()?;
        Ok(json)
    }

    fn check(&self) -> Result<()> {
        let size = self.vocab.len();
        if self.unk_id as usize >= size {
            let expected = format!("less than {size}, the size of the vocabulary");
            return Err(invalid("model.unk_id", self.unk_id.to_string(), expected));
        }
        let mut ids = HashMap::with_capacity(size);
        for (id, (text, score)) in self.vocab.iter().enumerate() {
            let here = || format!("model.vocab[{id}] ({:?})", shorten(text));
            if !score.is_finite() {
                return Err(invalid(&here(), format!("score {score}"), "a finite score"));
            }
            if let Some(first) = ids.insert(text.as_str(), id) {
                return Err(invalid(&here(), format!("the same text as piece {first}"), "distinct pieces"));
            }
        }
        let mut added_ids = HashMap::new();
        for token in &self.added {
            let here = || format!("added_tokens ({:?})", shorten(&token.content));
            if token.single_word {
                return Err(unsupported(&here(), "single_word", "tokens that match anywhere, as T5's do"));
            }
            // `tokenizers` numbers added tokens on from the vocabulary; a few may have been taken out again.
            if token.id as usize >= size + self.added.len() + 1000 {
                return Err(invalid(
                    &here(),
                    format!("id {}", token.id),
                    format!("an id near {size}, where the vocabulary ends"),
                ));
            }
            if ids.get(token.content.as_str()).is_some_and(|id| *id != token.id as usize) {
                return Err(invalid(&here(), format!("id {}", token.id), "the id it has in model.vocab"));
            }
            if let Some(first) = added_ids.insert(token.id, token.content.as_str()) {
                return Err(invalid(&here(), format!("the same id as {first:?}"), "distinct ids"));
            }
        }
        Ok(())
    }

    /// One more than the greatest id.
    fn size(&self) -> usize {
        self.added.iter().map(|token| token.id as usize + 1).fold(self.vocab.len(), usize::max)
    }

    /// The id of a special token by its text.
    fn special(&self, text: &str) -> Option<u32> {
        self.added.iter().find(|token| token.special && token.content == text).map(|token| token.id)
    }

    pub fn unk_id(&self) -> u32 {
        self.unk_id
    }

    /// What is put after a text, or else `</s>`.
    pub fn eos_id(&self) -> Option<u32> {
        self.around.1.last().copied().or_else(|| self.special("</s>"))
    }

    pub fn pad_id(&self) -> Option<u32> {
        self.special("<pad>")
    }

    /// The part that a SentencePiece model can hold.
    ///
    /// Lost are the things in which `tokenizers` differs from SentencePiece: see the table in [`super`].
    pub fn to_sentencepiece(&self) -> Result<SentencePieceModel> {
        for normalizer in &self.normalizers {
            match normalizer {
                Normalizer::Precompiled | Normalizer::Strip { .. } | Normalizer::ReplaceSpaces { .. } => {}
                Normalizer::Replace { from, to } if from == " " && to.chars().eq([SPACE]) => {}
                Normalizer::Prepend(text) if text.chars().eq([SPACE]) => {}
                other => {
                    return Err(unsupported(
                        "normalizer",
                        format!("{other:?}"),
                        "rules that a SentencePiece model can hold",
                    ));
                }
            }
        }
        let mut pieces: Vec<Piece> = self
            .vocab
            .iter()
            .enumerate()
            .map(|(id, (text, score))| {
                let kind = if id == self.unk_id as usize {
                    PieceKind::Unknown
                } else if self.byte_fallback && super::byte_of_piece(text).is_some() {
                    PieceKind::Byte
                } else if super::is_sentinel(text) {
                    PieceKind::Control
                } else {
                    PieceKind::Normal
                };
                Piece { text: text.clone(), score: *score as f32, kind }
            })
            .collect();
        let holes = 1..=self.size() - pieces.len();
        pieces.extend(holes.map(|n| Piece {
            text: format!("[PAD{n}]"),
            score: -1000.0,
            kind: PieceKind::Unused,
        }));
        for token in &self.added {
            let piece = &mut pieces[token.id as usize];
            piece.text.clone_from(&token.content);
            if token.id != self.unk_id {
                piece.kind = if token.special { PieceKind::Control } else { PieceKind::UserDefined };
            }
        }
        let splits = self.pre_tokenizers.iter().any(|step| matches!(step, PreTokenizer::WhitespaceSplit));
        let joins = self.normalizers.iter().any(|step| matches!(step, Normalizer::ReplaceSpaces { .. }));
        let prepends = self
            .pre_tokenizers
            .iter()
            .any(|step| matches!(step, PreTokenizer::Metaspace { prepend: true, .. }))
            || self.normalizers.iter().any(|step| matches!(step, Normalizer::Prepend(_)));
        let model = SentencePieceModel {
            pieces,
            charsmap: self.charsmap.clone(),
            add_dummy_prefix: prepends,
            remove_extra_whitespaces: splits || joins,
            escape_whitespaces: true,
            byte_fallback: self.byte_fallback,
            unk_id: self.unk_id,
            eos_id: self.eos_id(),
            pad_id: self.pad_id(),
        };
        model.check("tokenizer.json")?;
        Ok(model)
    }

    pub fn decoding(&self) -> Decoding {
        let shown = |text: &str| match super::byte_of_piece(text) {
            Some(byte) if self.decoder.byte_fallback => Shown::Byte(byte),
            _ => Shown::Text(text.to_string()),
        };
        let mut pieces: Vec<Shown> = self.vocab.iter().map(|(text, _)| shown(text)).collect();
        // An id that nothing has: `tokenizers` leaves it out.
        pieces.resize_with(self.size(), || Shown::Nothing);
        for token in &self.added {
            pieces[token.id as usize] = if token.special { Shown::Nothing } else { shown(&token.content) };
        }
        Decoding { pieces, leading: self.decoder.leading, whole_byte_runs: true }
    }

    pub fn encoder(self) -> Result<Encoder> {
        let charsmap = Charsmap::new("tokenizer.json: normalizer.precompiled_charsmap", &self.charsmap)?;
        let trie = Trie::new(self.vocab.iter().enumerate().map(|(id, (text, _))| (text.as_str(), id as u32)));
        let min_score = self.vocab.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
        let scores = self.vocab.iter().map(|(_, score)| *score).collect();
        let byte_ids = if self.byte_fallback { byte_ids(&trie) } else { None };
        let normalize = |text: &str| normalize(&self.normalizers, &charsmap, text);
        let raw = |token: &&AddedToken| !token.normalized;
        let cooked: Vec<(String, u32)> = self
            .added
            .iter()
            .filter(|token| token.normalized)
            .map(|token| (normalize(&token.content), token.id))
            .collect();
        Ok(Encoder {
            unigram: Unigram::new(trie, scores, self.unk_id, min_score, Arithmetic::Double),
            unk_id: self.unk_id,
            byte_ids,
            raw_tokens: Trie::new(
                self.added.iter().filter(raw).map(|token| (token.content.as_str(), token.id)),
            ),
            normalized_tokens: Trie::new(cooked.iter().map(|(text, id)| (text.as_str(), *id))),
            strips: self.added.iter().map(|token| (token.id, (token.lstrip, token.rstrip))).collect(),
            normalizers: self.normalizers,
            pre_tokenizers: self.pre_tokenizers,
            charsmap,
            around: self.around,
        })
    }
}

fn byte_ids(trie: &Trie) -> Option<Box<[u32]>> {
    (0..=255u8).map(|byte| trie.get(&format!("<0x{byte:02X}>"))).collect()
}

fn text_of<'a>(place: &str, value: &'a Value) -> Result<&'a str> {
    value.as_str().ok_or_else(|| invalid(place, value.to_string(), "a string"))
}

fn flag(place: &str, value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| invalid(place, value.to_string(), "true or false"))
}

fn normalizer(value: &Value, charsmap: &mut Vec<u8>) -> Result<Normalizer> {
    Ok(match kind("normalizer", value)? {
        "Precompiled" => {
            let place = "normalizer.precompiled_charsmap";
            if !charsmap.is_empty() {
                return Err(unsupported(place, "two of them", "one"));
            }
            *charsmap = base64::engine::general_purpose::STANDARD
                .decode(text_of(place, &value["precompiled_charsmap"])?)
                .map_err(|error| invalid(place, error.to_string(), "base64"))?;
            Normalizer::Precompiled
        }
        "Strip" => Normalizer::Strip {
            left: flag("normalizer.strip_left", &value["strip_left"])?,
            right: flag("normalizer.strip_right", &value["strip_right"])?,
        },
        "Replace" => {
            let to = text_of("normalizer.content", &value["content"])?.to_string();
            let pattern = &value["pattern"];
            match (pattern["String"].as_str(), pattern["Regex"].as_str()) {
                (Some(from), _) if !from.is_empty() => Normalizer::Replace { from: from.to_string(), to },
                (_, Some(" {2,}")) => Normalizer::ReplaceSpaces { to },
                _ => {
                    return Err(unsupported(
                        "normalizer.pattern",
                        pattern.to_string(),
                        "a string, or the regex \" {2,}\"",
                    ));
                }
            }
        }
        "Prepend" => Normalizer::Prepend(text_of("normalizer.prepend", &value["prepend"])?.to_string()),
        other => {
            return Err(unsupported("normalizer", other, "Precompiled, Strip, Replace or Prepend"));
        }
    })
}

fn metaspace(place: &str, value: &Value) -> Result<(bool, bool)> {
    if !text_of(place, &value["replacement"])?.chars().eq([SPACE]) {
        return Err(unsupported(place, format!("replacement {}", value["replacement"]), "\"▁\""));
    }
    // Files of before 2024 have add_prefix_space, later ones prepend_scheme, some both.
    let prepend = match (value["prepend_scheme"].as_str(), value["add_prefix_space"].as_bool()) {
        (Some("always"), _) => true,
        (Some("never"), _) => false,
        (Some(other), _) => {
            return Err(unsupported(place, format!("prepend_scheme {other:?}"), "\"always\" or \"never\""));
        }
        (None, add) => add.unwrap_or(true),
    };
    Ok((prepend, value["split"].as_bool().unwrap_or(true)))
}

fn pre_tokenizer(value: &Value) -> Result<PreTokenizer> {
    match kind("pre_tokenizer", value)? {
        "WhitespaceSplit" => Ok(PreTokenizer::WhitespaceSplit),
        "Metaspace" => {
            let (prepend, split) = metaspace("pre_tokenizer", value)?;
            Ok(PreTokenizer::Metaspace { prepend, split })
        }
        other => Err(unsupported("pre_tokenizer", other, "WhitespaceSplit or Metaspace, which T5 uses")),
    }
}

/// Two forms exist: Metaspace, as T5's own, and the sequence that is made for any SentencePiece model.
fn decoder(steps: &[&Value]) -> Result<Decoder> {
    let mut kinds = Vec::new();
    for step in steps {
        kinds.push(kind("decoder", step)?);
    }
    if let ["Metaspace"] = kinds[..] {
        let (prepend, _) = metaspace("decoder", steps[0])?;
        let leading = if prepend { Leading::MarksOfFirstPiece } else { Leading::Keep };
        return Ok(Decoder { leading, byte_fallback: false });
    }
    let (mut leading, mut byte_fallback, mut fused, mut spaces) = (Leading::Keep, false, false, false);
    for (step, kind) in steps.iter().zip(&kinds) {
        match *kind {
            "Replace" if step["pattern"]["String"] == "▁" && step["content"] == " " => spaces = true,
            "ByteFallback" if spaces && !fused => byte_fallback = true,
            "Fuse" => fused = true,
            "Strip" if fused && step["content"] == " " && step["stop"] == 0 => {
                let count =
                    step["start"].as_u64().ok_or_else(|| invalid("decoder.start", "missing", "a number"))?;
                leading = Leading::Spaces(count as usize);
            }
            _ => {
                return Err(unsupported(
                    "decoder",
                    step.to_string(),
                    "Metaspace, or Replace, ByteFallback, Fuse and Strip",
                ));
            }
        }
    }
    if !spaces {
        return Err(unsupported("decoder", "none that turns ▁ into a space", "Metaspace, as T5's own"));
    }
    Ok(Decoder { leading, byte_fallback })
}

/// The ids that the template puts before and after a text. Without a template: `</s>` after it, as T5's class does.
fn around(
    template: Option<&Value>,
    vocab: &[(String, f64)],
    added: &[AddedToken],
) -> Result<(Vec<u32>, Vec<u32>)> {
    const PLACE: &str = "post_processor";
    let mut around = (Vec::new(), Vec::new());
    let steps = members(PLACE, template, "processors")?;
    let template = match steps[..] {
        [] => {
            let eos = added.iter().find(|token| token.content == "</s>").map(|token| token.id);
            around.1.extend(
                eos.or_else(|| vocab.iter().position(|(text, _)| text == "</s>").map(|id| id as u32)),
            );
            return Ok(around);
        }
        [template] if kind(PLACE, template)? == "TemplateProcessing" => template,
        [other, ..] => return Err(unsupported(PLACE, kind(PLACE, other)?, "one TemplateProcessing")),
    };
    let single =
        template["single"].as_array().ok_or_else(|| invalid(PLACE, "no template for one text", "a list"))?;
    let mut seen_text = false;
    for item in single {
        if item["Sequence"]["id"] == "A" && !seen_text {
            seen_text = true;
            continue;
        }
        let name = text_of(PLACE, &item["SpecialToken"]["id"])?;
        let ids = template["special_tokens"][name]["ids"].as_array();
        let ids = ids.ok_or_else(|| invalid(PLACE, format!("no ids for {name:?}"), "a list of ids"))?;
        for id in ids {
            let known = |id: &u64| {
                (*id as usize) < vocab.len() || added.iter().any(|token| u64::from(token.id) == *id)
            };
            let id = id
                .as_u64()
                .filter(known)
                .ok_or_else(|| invalid(PLACE, format!("id {id}"), "an id of the vocabulary"))?;
            let side = if seen_text { &mut around.1 } else { &mut around.0 };
            side.push(id as u32);
        }
    }
    if !seen_text {
        return Err(invalid(PLACE, "a template without the text", "Sequence A"));
    }
    Ok(around)
}

fn normalize(normalizers: &[Normalizer], charsmap: &Charsmap, text: &str) -> String {
    let mut text = text.to_string();
    for normalizer in normalizers {
        text = match normalizer {
            Normalizer::Precompiled => charsmap.by_grapheme(&text),
            Normalizer::Strip { left, right } => {
                let mut kept = text.as_str();
                if *left {
                    kept = kept.trim_start();
                }
                if *right {
                    kept = kept.trim_end();
                }
                kept.to_string()
            }
            Normalizer::Replace { from, to } => text.replace(from, to),
            Normalizer::ReplaceSpaces { to } => replace_spaces(&text, to),
            Normalizer::Prepend(prefix) if text.is_empty() || prefix.is_empty() => text,
            Normalizer::Prepend(prefix) => format!("{prefix}{text}"),
        };
    }
    text
}

/// Every run of two spaces or more becomes `to`.
fn replace_spaces(text: &str, to: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("  ") {
        out.push_str(&rest[..at]);
        out.push_str(to);
        rest = rest[at..].trim_start_matches(' ');
    }
    out.push_str(rest);
    out
}

/// The way from text to ids.
#[derive(Debug)]
pub(super) struct Encoder {
    unigram: Unigram,
    unk_id: u32,
    byte_ids: Option<Box<[u32]>>,
    raw_tokens: Trie,
    normalized_tokens: Trie,
    /// By id of an added token: whether it swallows white space before and behind it.
    strips: HashMap<u32, (bool, bool)>,
    normalizers: Vec<Normalizer>,
    pre_tokenizers: Vec<PreTokenizer>,
    charsmap: Charsmap,
    around: (Vec<u32>, Vec<u32>),
}

impl Encoder {
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = self.around.0.clone();
        self.split(&self.raw_tokens, text, &mut ids, &mut |text, ids| {
            let text = normalize(&self.normalizers, &self.charsmap, text);
            self.split(&self.normalized_tokens, &text, ids, &mut |text, ids| self.encode_words(text, ids));
        });
        ids.extend(&self.around.1);
        ids
    }

    /// Cuts added tokens out of `text` and gives what lies between to `other`.
    fn split(
        &self,
        tokens: &Trie,
        text: &str,
        ids: &mut Vec<u32>,
        other: &mut dyn FnMut(&str, &mut Vec<u32>),
    ) {
        let (mut from, mut search) = (0, 0);
        while let Some((start, end, id)) = tokens.find(text, search) {
            let (lstrip, rstrip) = self.strips.get(&id).copied().unwrap_or_default();
            let before = if lstrip { text[..start].trim_end().len() } else { start };
            if from < before {
                other(&text[from..before], ids);
            }
            ids.push(id);
            search = end;
            from = if rstrip { text.len() - text[end..].trim_start().len() } else { end };
        }
        other(&text[from..], ids);
    }

    fn encode_words(&self, text: &str, ids: &mut Vec<u32>) {
        let mut words = vec![text.to_string()];
        for step in &self.pre_tokenizers {
            let mut next = Vec::new();
            for word in &words {
                match step {
                    PreTokenizer::WhitespaceSplit => next.extend(word.split_whitespace().map(str::to_string)),
                    PreTokenizer::Metaspace { prepend, split } => {
                        let mut word = word.replace(' ', "▁");
                        if *prepend && !word.is_empty() && !word.starts_with(SPACE) {
                            word.insert(0, SPACE);
                        }
                        if !split {
                            next.push(word);
                            continue;
                        }
                        let starts = word.match_indices(SPACE).map(|(at, _)| at).filter(|at| *at > 0);
                        let mut start = 0;
                        for end in starts.chain([word.len()]) {
                            next.push(word[start..end].to_string());
                            start = end;
                        }
                    }
                }
            }
            words = next;
        }
        for word in &words {
            for (id, piece) in self.unigram.best_path(word) {
                match &self.byte_ids {
                    // A run of unknown characters may happen to spell a piece.
                    _ if id != self.unk_id => ids.push(id),
                    Some(bytes) if self.unigram.id(piece).is_none() => {
                        ids.extend(piece.bytes().map(|byte| bytes[usize::from(byte)]));
                    }
                    _ => ids.push(self.unigram.id(piece).unwrap_or(id)),
                }
            }
        }
    }
}
