//! Text to token ids and back, for T5's SentencePiece Unigram vocabularies.
//!
//! A vocabulary comes from one of three places: Hugging Face's `tokenizer.json`, SentencePiece's `spiece.model`, or the
//! metadata of a GGUF file. The first does exactly what the library `tokenizers` (under transformers) does with that file,
//! the other two what SentencePiece does. The two agree on ordinary text and differ on this:
//!
//! | | `tokenizer.json` | `spiece.model`, GGUF |
//! |---|---|---|
//! | rules for a character with marks | by grapheme cluster, the shortest rule: `か` + U+3099 becomes unknown, `Ａ` + U+0301 loses its accent | the longest rule: `が`, `Á` |
//! | `</s>`, `<pad>`, `<unk>` in the text | are the special tokens | are text |
//! | `<extra_id_0>` that only the rules bring forth (`＜extra_id_0＞`) | is the sentinel | is text |
//! | white space that the rules do not know (U+0085; all but the space where there are no rules) | splits words, where the file says `WhitespaceSplit` | is a character |
//! | `▁` in the text | begins a word, and is one `▁` with the one added before it | is a space, also when it ends the text; the added one stays |
//! | user-defined pieces | are cut out first; what follows is a new word with its own `▁` | stay within the text |
//! | `<0x41>` in the text, with byte pieces | is the byte piece | is text |
//! | sums of scores | f64 | f32, so that ties come out differently |
//! | a run of byte pieces that is not UTF-8 | as many `�` as bytes | only the wrong bytes become `�` |
//! | unknown or empty words before the text, decoded | leave their spaces | leave nothing |
//!
//! transformers 5's `AutoTokenizer` reads only vocabulary, rules and template of a `tokenizer.json` and splits at white space
//! whatever the file says. Where a file says otherwise (the sequence that transformers 4's converter wrote), the
//! two differ on white space that the rules do not know; we follow the file.
//!
//! What is the same everywhere: T5's sentinels `<extra_id_N>` are cut out of the text first, and the text on each side
//! is encoded as if it stood alone. `</s>` ends the ids. Decoding leaves special tokens out as if they were not there, the unknown
//! piece among them, for which SentencePiece by itself would print ` ⁇ `.
//!
//! Not done: SentencePiece models other than Unigram, sampling, and parts of `tokenizer.json` that no T5 uses. They are refused
//! by name.

mod charsmap;
mod decode;
mod huggingface;
mod protobuf;
pub mod sentencepiece;
mod trie;
mod unigram;

use charsmap::Charsmap;
use decode::{Decoding, Leading, Shown, State};
use sentencepiece::{GgufTokenizer, PieceKind, SentencePieceModel};
use trie::Trie;
use unigram::{Arithmetic, Unigram};

use crate::error::{Error, ErrorCode, Result};

/// A vocabulary and the way to and from it.
#[derive(Debug)]
pub struct Tokenizer {
    encoder: Encoder,
    decoding: Decoding,
    unk_id: u32,
    eos_id: Option<u32>,
    pad_id: Option<u32>,
    rows: usize,
}

#[derive(Debug)]
enum Encoder {
    HuggingFace(Box<huggingface::Encoder>),
    SentencePiece(Box<SentencePieceEncoder>),
}

impl Tokenizer {
    /// Reads Hugging Face's `tokenizer.json`.
    pub fn from_tokenizer_json(bytes: &[u8]) -> Result<Self> {
        let json = huggingface::TokenizerJson::new(bytes)?;
        let decoding = json.decoding();
        Ok(Tokenizer {
            unk_id: json.unk_id(),
            eos_id: json.eos_id(),
            pad_id: json.pad_id(),
            rows: decoding.pieces.len(),
            decoding,
            encoder: Encoder::HuggingFace(Box::new(json.encoder()?)),
        })
    }

    /// Reads SentencePiece's `spiece.model` and adds T5's sentinels; see
    /// [`SentencePieceModel::add_sentinels`] for `extra_ids` and `vocab_size`.
    pub fn from_spiece(bytes: &[u8], extra_ids: Option<usize>, vocab_size: Option<usize>) -> Result<Self> {
        let mut model = SentencePieceModel::from_spiece(bytes)?;
        model.add_sentinels(extra_ids, vocab_size)?;
        Self::from_sentencepiece(&model)
    }

    /// Takes the tokenizer out of a GGUF file's metadata.
    pub fn from_gguf(gguf: GgufTokenizer) -> Result<Self> {
        Self::from_sentencepiece(&SentencePieceModel::from_gguf(gguf)?)
    }

    /// The tokenizer of a SentencePiece model, sentinels included if it has them.
    pub fn from_sentencepiece(model: &SentencePieceModel) -> Result<Self> {
        model.check("SentencePiece model")?;
        let pieces = model.pieces.iter().map(|piece| match piece.kind {
            _ if is_sentinel(&piece.text) => Shown::Nothing,
            PieceKind::Unknown | PieceKind::Control => Shown::Nothing,
            PieceKind::Unused if is_padding(&piece.text) => Shown::Nothing,
            PieceKind::Byte => byte_of_piece(&piece.text).map_or(Shown::Nothing, Shown::Byte),
            _ => Shown::Text(piece.text.clone()),
        });
        let leading = match (model.remove_extra_whitespaces, model.add_dummy_prefix) {
            (true, _) => Leading::MarksUntilText,
            (false, true) => Leading::OneMark,
            (false, false) => Leading::Keep,
        };
        Ok(Tokenizer {
            decoding: Decoding { pieces: pieces.collect(), leading, whole_byte_runs: false },
            encoder: Encoder::SentencePiece(Box::new(SentencePieceEncoder::new(model)?)),
            unk_id: model.unk_id,
            eos_id: model.eos_id,
            pad_id: model.pad_id,
            rows: model.pieces.len(),
        })
    }

    /// Lets ids up to `rows` decode to nothing: a T5 has a few more rows in its embedding (32,128) than its tokenizer has
    /// ids (32,100), and can in principle choose one.
    pub fn allow_ids_below(&mut self, rows: usize) {
        self.rows = self.rows.max(rows);
    }

    /// The ids of a text, with `</s>` behind them.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(match &self.encoder {
            Encoder::HuggingFace(encoder) => encoder.encode(text),
            Encoder::SentencePiece(encoder) => {
                let mut ids = encoder.encode(text);
                ids.extend(self.eos_id);
                ids
            }
        })
    }

    /// The text of ids, without special tokens.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let mut stream = StreamDecoder::new();
        let mut text = String::new();
        for &id in ids {
            stream.push_to(self, id, &mut text)?;
        }
        text.push_str(&stream.finish(self));
        Ok(text)
    }

    /// How many ids there are: one more than the greatest.
    pub fn vocab_size(&self) -> usize {
        self.decoding.pieces.len()
    }

    /// The id of `</s>`, if the vocabulary has one.
    pub fn eos_id(&self) -> Option<u32> {
        self.eos_id
    }

    /// The id of `<pad>`, if the vocabulary has one.
    pub fn pad_id(&self) -> Option<u32> {
        self.pad_id
    }

    /// The id that stands for what no piece covers.
    pub fn unk_id(&self) -> u32 {
        self.unk_id
    }
}

/// Decodes ids as they come.
///
/// The texts that [`push`](Self::push) and at last [`finish`](Self::finish) return, one after the other, are what
/// [`Tokenizer::decode`] returns for all ids at once. A character that comes byte by byte is held back until it is whole.
///
/// The tokenizer is an argument, not a part: who owns both can keep both.
#[derive(Debug, Clone, Default)]
pub struct StreamDecoder {
    state: State,
}

impl StreamDecoder {
    /// A decoder at the start of a text.
    pub fn new() -> Self {
        Self::default()
    }

    /// The text that this id adds. An id that is not in the vocabulary is an error and changes nothing.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<String> {
        let mut text = String::new();
        self.push_to(tokenizer, id, &mut text)?;
        Ok(text)
    }

    /// The text that was held back. The decoder is at the start again.
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> String {
        let mut text = String::new();
        tokenizer.decoding.flush(&mut self.state, true, &mut text);
        self.state = State::default();
        text
    }

    fn push_to(&mut self, tokenizer: &Tokenizer, id: u32, text: &mut String) -> Result<()> {
        match tokenizer.decoding.pieces.get(id as usize) {
            Some(shown) => tokenizer.decoding.push(&mut self.state, shown, text),
            None if (id as usize) < tokenizer.rows => {}
            None => {
                let expected = format!("less than {}, the size of the vocabulary", tokenizer.rows);
                return Err(Error::new(
                    ErrorCode::TokenOutOfRange,
                    "decode",
                    format!("token id {id}"),
                    expected,
                ));
            }
        }
        Ok(())
    }
}

/// The way from text to ids as SentencePiece goes it.
#[derive(Debug)]
struct SentencePieceEncoder {
    unigram: Unigram,
    unk_id: u32,
    byte_ids: Option<Box<[u32]>>,
    sentinels: Trie,
    user_defined: Trie,
    charsmap: Charsmap,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    space: &'static str,
}

impl SentencePieceEncoder {
    fn new(model: &SentencePieceModel) -> Result<Self> {
        let texts = |wanted: fn(PieceKind, bool) -> bool| {
            let pieces = model.pieces.iter().enumerate();
            Trie::new(
                pieces
                    .filter(move |(_, piece)| wanted(piece.kind, is_sentinel(&piece.text)))
                    .map(|(id, piece)| (piece.text.as_str(), id as u32)),
            )
        };
        let normal =
            || model.pieces.iter().filter(|piece| piece.kind == PieceKind::Normal).map(|piece| piece.score);
        let min_score = normal().reduce(f32::min).unwrap_or(0.0);
        let max_score = normal().reduce(f32::max).unwrap_or(0.0);
        let scores = model.pieces.iter().map(|piece| match piece.kind {
            // Better than any way to write it with other pieces.
            PieceKind::UserDefined => f64::from(piece.text.len() as f32 * max_score - 0.1),
            _ => f64::from(piece.score),
        });
        let mut byte_ids = vec![model.unk_id; 256];
        for (id, piece) in model.pieces.iter().enumerate().filter(|(_, piece)| piece.kind == PieceKind::Byte)
        {
            if let Some(byte) = byte_of_piece(&piece.text) {
                byte_ids[usize::from(byte)] = id as u32;
            }
        }
        Ok(SentencePieceEncoder {
            unigram: Unigram::new(
                texts(|kind, sentinel| {
                    matches!(kind, PieceKind::Normal | PieceKind::UserDefined) && !sentinel
                }),
                scores.collect(),
                model.unk_id,
                f64::from(min_score),
                Arithmetic::Single,
            ),
            unk_id: model.unk_id,
            byte_ids: model.byte_fallback.then(|| byte_ids.into()),
            sentinels: texts(|_, sentinel| sentinel),
            user_defined: texts(|kind, sentinel| kind == PieceKind::UserDefined && !sentinel),
            charsmap: Charsmap::new("precompiled_charsmap", &model.charsmap)?,
            add_dummy_prefix: model.add_dummy_prefix,
            remove_extra_whitespaces: model.remove_extra_whitespaces,
            space: if model.escape_whitespaces { "▁" } else { " " },
        })
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut from = 0;
        while let Some((start, end, id)) = self.sentinels.find(text, from) {
            self.encode_part(&text[from..start], &mut ids);
            ids.push(id);
            from = end;
        }
        self.encode_part(&text[from..], &mut ids);
        ids
    }

    fn encode_part(&self, text: &str, ids: &mut Vec<u32>) {
        for (id, piece) in self.unigram.best_path(&self.normalize(text)) {
            match &self.byte_ids {
                Some(bytes) if id == self.unk_id => {
                    ids.extend(piece.bytes().map(|byte| bytes[usize::from(byte)]))
                }
                _ => ids.push(id),
            }
        }
    }

    /// Applies the rules and arranges the spaces. Source: `Normalizer::Normalize` in SentencePiece's normalizer.cc.
    fn normalize(&self, text: &str) -> String {
        let mut rest = text;
        let mut next = || {
            let (length, replacement) = match self.user_defined.longest(rest.as_bytes()) {
                Some((length, _)) => (length, &rest[..length]),
                None => self.charsmap.longest(rest),
            };
            rest = &rest[length..];
            (length > 0).then_some(replacement)
        };
        let mut first = next();
        while self.remove_extra_whitespaces && first == Some(" ") {
            first = next();
        }
        let mut out = String::with_capacity(text.len() + 3);
        if first.is_some() && self.add_dummy_prefix {
            out.push_str(self.space);
        }
        let mut after_space = self.remove_extra_whitespaces;
        while let Some(mut replacement) = first {
            if after_space {
                replacement = replacement.trim_start_matches(' ');
            }
            for c in replacement.chars() {
                if c == ' ' { out.push_str(self.space) } else { out.push(c) }
            }
            if !replacement.is_empty() {
                after_space = self.remove_extra_whitespaces && replacement.ends_with(' ');
            }
            first = next();
        }
        if self.remove_extra_whitespaces {
            out.truncate(out.trim_end_matches(self.space).len());
        }
        out
    }
}

/// Whether this is one of T5's `<extra_id_0>`, `<extra_id_1>`, ….
fn is_sentinel(text: &str) -> bool {
    is_numbered(text, "<extra_id_", ">")
}

/// Whether this is one of the pieces that fill a vocabulary up to the size of the embedding.
fn is_padding(text: &str) -> bool {
    is_numbered(text, "[PAD", "]")
}

fn is_numbered(text: &str, before: &str, behind: &str) -> bool {
    text.strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(behind))
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The byte that `<0x41>` stands for.
fn byte_of_piece(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}
