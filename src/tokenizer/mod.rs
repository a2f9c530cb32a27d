//! Text to token ids and back (in progress).

mod protobuf;
pub mod sentencepiece;

/// Whether this is one of T5's `<extra_id_0>`, `<extra_id_1>`, ….
fn is_sentinel(text: &str) -> bool {
    text.strip_prefix("<extra_id_")
        .and_then(|rest| rest.strip_suffix('>'))
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The byte that `<0x41>` stands for.
fn byte_of_piece(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}
