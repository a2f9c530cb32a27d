//! Token ids to text, one id at a time.

/// What the ids stand for, and what becomes of spaces and bytes.
#[derive(Debug)]
pub(super) struct Decoding {
    /// (vocabulary)
    pub pieces: Vec<Shown>,
    pub leading: Leading,
    /// A run of byte pieces is text if it is valid as a whole, and otherwise one `�` for each byte (`tokenizers`).
    /// Without this, each character stands for itself (SentencePiece).
    pub whole_byte_runs: bool,
}

/// What an id shows.
#[derive(Debug)]
pub(super) enum Shown {
    /// Text, with `▁` for a space.
    Text(String),
    /// One byte of a character.
    Byte(u8),
    /// Special tokens show nothing, as if they were not there.
    Nothing,
}

/// What becomes of the space before the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leading {
    /// It stays.
    Keep,
    /// Every `▁` of the first piece goes. `tokenizers`' Metaspace.
    MarksOfFirstPiece,
    /// At most so many spaces go. `tokenizers`' Strip.
    Spaces(usize),
    /// One `▁` goes from the first piece that has text or is it. SentencePiece, `add_dummy_prefix`.
    OneMark,
    /// One `▁` goes from every piece until there is text. SentencePiece, `remove_extra_whitespaces`.
    MarksUntilText,
}

/// Where a stream of ids stands.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// Bytes of a character or run that is not whole yet.
    bytes: Vec<u8>,
    any_piece: bool,
    any_text: bool,
    spaces_dropped: usize,
}

impl Decoding {
    /// Adds to `out` what this id makes certain.
    pub fn push(&self, state: &mut State, shown: &Shown, out: &mut String) {
        match shown {
            Shown::Nothing => {}
            Shown::Byte(byte) => {
                state.bytes.push(*byte);
                state.any_piece = true;
                if !self.whole_byte_runs {
                    self.flush(state, false, out);
                }
            }
            Shown::Text(piece) => {
                self.flush(state, true, out);
                self.push_piece(state, piece, out);
            }
        }
    }

    fn push_piece(&self, state: &mut State, piece: &str, out: &mut String) {
        let first = !std::mem::replace(&mut state.any_piece, true);
        let kept = match self.leading {
            Leading::MarksOfFirstPiece if first => &piece.replace('▁', ""),
            Leading::OneMark if first => piece.strip_prefix('▁').unwrap_or(piece),
            Leading::MarksUntilText if !state.any_text => piece.strip_prefix('▁').unwrap_or(piece),
            _ => piece,
        };
        self.push_text(state, &kept.replace('▁', " "), out);
    }

    fn push_text(&self, state: &mut State, mut text: &str, out: &mut String) {
        if let Leading::Spaces(count) = self.leading {
            while !state.any_text && state.spaces_dropped < count {
                let Some(rest) = text.strip_prefix(' ') else { break };
                text = rest;
                state.spaces_dropped += 1;
            }
        }
        state.any_text |= !text.is_empty();
        out.push_str(text);
    }

    /// Adds the characters that the held bytes make. What may still become a character stays, unless this is the `end` of the run.
    pub fn flush(&self, state: &mut State, end: bool, out: &mut String) {
        if state.bytes.is_empty() {
            return;
        }
        let mut bytes = std::mem::take(&mut state.bytes);
        let mut text = String::new();
        if self.whole_byte_runs {
            text = String::from_utf8(bytes).unwrap_or_else(|error| "\u{fffd}".repeat(error.as_bytes().len()));
        } else {
            while !bytes.is_empty() {
                let (valid, incomplete) = match std::str::from_utf8(&bytes) {
                    Ok(_) => (bytes.len(), false),
                    Err(error) => (error.valid_up_to(), error.error_len().is_none()),
                };
                text.extend(
                    bytes
                        .drain(..valid)
                        .collect::<Vec<_>>()
                        .utf8_chunks()
                        .map(|chunk| chunk.valid().to_string()),
                );
                if bytes.is_empty() || (incomplete && !end) {
                    break;
                }
                bytes.remove(0);
                text.push('\u{fffd}');
            }
            state.bytes = bytes;
        }
        self.push_text(state, &text, out);
    }
}
