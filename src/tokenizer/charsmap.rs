//! SentencePiece's compiled normalisation rules: which strings become which.
//!
//! A `precompiled_charsmap` is `u32` size, that many bytes of a Darts double-array trie, then the replacements, each ended by a
//! zero byte; a trie value is an offset into the replacements. SentencePiece's `Normalizer::DecodePrecompiledCharsMap` defines it.
//! The crate `spm_precompiled` reads it too, and panics on a trie that points outside itself.

use unicode_segmentation::UnicodeSegmentation;

use crate::error::{Error, ErrorCode, Result};

/// The rules. Empty rules change nothing.
#[derive(Debug, Default)]
pub(super) struct Charsmap {
    trie: Vec<u32>,
    replacements: String,
}

impl Charsmap {
    /// Reads the compiled rules; no bytes are no rules.
    pub fn new(place: &str, bytes: &[u8]) -> Result<Self> {
        let fail =
            |problem: String, expected: &str| Error::new(ErrorCode::InvalidFile, place, problem, expected);
        if bytes.is_empty() {
            return Ok(Charsmap::default());
        }
        let whole = "a SentencePiece charsmap: u32 size, trie, replacements";
        let (size, rest) =
            bytes.split_first_chunk::<4>().ok_or_else(|| fail(format!("{} bytes", bytes.len()), whole))?;
        let size = u32::from_le_bytes(*size) as usize;
        if size == 0 || !size.is_multiple_of(4) || size > rest.len() {
            return Err(fail(format!("a trie of {size} bytes in {}", rest.len()), whole));
        }
        let (trie, replacements) = rest.split_at(size);
        let trie = trie.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let replacements = std::str::from_utf8(replacements)
            .map_err(|error| fail(format!("replacements are not UTF-8: {error}"), whole))?;
        let charsmap = Charsmap { trie, replacements: replacements.to_string() };
        charsmap.check().map_err(|problem| fail(problem, whole))?;
        Ok(charsmap)
    }

    /// Every node that is reached from the root lies inside the trie, and every value at the start of a character.
    ///
    /// The trie is a double array: a node's children are found at its base xor their byte, and belong to it if their label says so.
    /// Garbage can lead back to a node that was seen, so each is visited once.
    fn check(&self) -> Result<(), String> {
        let mut seen = vec![false; self.trie.len()];
        let mut open = vec![base(0, self.trie[0])];
        while let Some(base) = open.pop() {
            // Children lie in the 256 entries around the base: outside the trie means none there.
            for byte in 1..=255u8 {
                let at = base ^ usize::from(byte);
                let Some(&unit) = self.trie.get(at) else { continue };
                if label(unit) != u32::from(byte) || std::mem::replace(&mut seen[at], true) {
                    continue;
                }
                let next = self::base(at, unit);
                if has_value(unit) {
                    let value = self.trie.get(next).ok_or("a value outside the trie")? & VALUE;
                    if !self.replacements.is_char_boundary(value as usize) {
                        return Err(format!(
                            "replacement {value} outside the {} bytes",
                            self.replacements.len()
                        ));
                    }
                }
                open.push(next);
            }
        }
        Ok(())
    }

    /// The lengths of the rules that `text` begins with and their replacements, shortest first.
    fn rules<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (usize, &'a str)> + 'a {
        let mut at = self.trie.first().map_or(0, |root| base(0, *root));
        let mut length = 0;
        std::iter::from_fn(move || {
            while let Some(&byte) = text.as_bytes().get(length).filter(|byte| **byte != 0) {
                at ^= usize::from(byte);
                let unit = *self.trie.get(at).filter(|unit| label(**unit) == u32::from(byte))?;
                at = base(at, unit);
                length += 1;
                // A rule for half a character can only be garbage.
                if has_value(unit) && text.is_char_boundary(length) {
                    let start = (self.trie[at] & VALUE) as usize;
                    let replacement = &self.replacements[start..];
                    return Some((
                        length,
                        &replacement[..replacement.find('\0').unwrap_or(replacement.len())],
                    ));
                }
            }
            None
        })
    }

    /// What the longest rule at the start of `text` makes of how many bytes; without a rule, the first character.
    pub fn longest<'a>(&'a self, text: &'a str) -> (usize, &'a str) {
        self.rules(text).last().unwrap_or_else(|| {
            let length = text.chars().next().map_or(0, char::len_utf8);
            (length, &text[..length])
        })
    }

    /// The whole text as Hugging Face's `Precompiled` normaliser has it.
    ///
    /// Unlike SentencePiece it goes by grapheme cluster, takes the *shortest* rule, and lets it stand for a whole cluster of up to
    /// five bytes: `Ａ` with a combining accent loses the accent. Longer clusters go character by character.
    pub fn by_grapheme(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for cluster in text.graphemes(true) {
            if cluster.len() < 6
                && let Some((_, replacement)) = self.rules(cluster).next()
            {
                out.push_str(replacement);
                continue;
            }
            for c in cluster.chars() {
                let mut buffer = [0; 4];
                match self.rules(c.encode_utf8(&mut buffer)).next() {
                    Some((_, replacement)) => out.push_str(replacement),
                    None => out.push(c),
                }
            }
        }
        out
    }
}

/// The bits of a unit that hold a value.
const VALUE: u32 = (1 << 31) - 1;

fn has_value(unit: u32) -> bool {
    unit >> 8 & 1 == 1
}

fn label(unit: u32) -> u32 {
    unit & (1 << 31 | 0xff)
}

/// Where the children of the unit at `at` are counted from.
fn base(at: usize, unit: u32) -> usize {
    let offset = (unit >> 10) << ((unit & 1 << 9) >> 6);
    at ^ offset as usize
}
