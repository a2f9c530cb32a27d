//! Shaders as the program carries them: without comments and indentation, which pages would download too. Lines stay, so that a driver's
//! message names the right one.

/// The text of a shader, of a path as `include_str!` takes it.
macro_rules! wgsl {
    ($path:literal) => {{
        const SOURCE: &str = include_str!($path);
        const STRIPPED: [u8; crate::wgsl::stripped_length(SOURCE)] = crate::wgsl::stripped(SOURCE);
        const TEXT: &str = match std::str::from_utf8(&STRIPPED) {
            Ok(text) => text,
            Err(_) => panic!("a comment ends within a character"),
        };
        TEXT
    }};
}
pub(crate) use wgsl;

/// How many bytes stay.
pub(crate) const fn stripped_length(source: &str) -> usize {
    let bytes = source.as_bytes();
    let (mut at, mut length) = (0, 0);
    while at < bytes.len() {
        length += stays(bytes, at) as usize;
        at = next(bytes, at);
    }
    length
}

/// What stays, which is so long.
pub(crate) const fn stripped<const LENGTH: usize>(source: &str) -> [u8; LENGTH] {
    let bytes = source.as_bytes();
    let mut stripped = [0; LENGTH];
    let (mut at, mut length) = (0, 0);
    while at < bytes.len() {
        if stays(bytes, at) {
            stripped[length] = bytes[at];
            length += 1;
        }
        at = next(bytes, at);
    }
    stripped
}

const fn is_comment(bytes: &[u8], at: usize) -> bool {
    bytes[at] == b'/' && at + 1 < bytes.len() && bytes[at + 1] == b'/'
}

const fn is_indentation(bytes: &[u8], at: usize) -> bool {
    bytes[at] == b' ' && (at == 0 || bytes[at - 1] == b'\n' || bytes[at - 1] == b' ')
}

const fn stays(bytes: &[u8], at: usize) -> bool {
    !is_comment(bytes, at) && !is_indentation(bytes, at)
}

/// Behind this byte, or behind the comment that begins here.
const fn next(bytes: &[u8], at: usize) -> usize {
    let mut next = at + 1;
    if is_comment(bytes, at) {
        while next < bytes.len() && bytes[next] != b'\n' {
            next += 1;
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_indentation_go_and_lines_stay() {
        const SOURCE: &str = "// what σ is\nfn f() -> f32 { // of x²\n    return a / b;\n\n    }\n//";
        const STRIPPED: [u8; stripped_length(SOURCE)] = stripped(SOURCE);
        assert_eq!(std::str::from_utf8(&STRIPPED), Ok("\nfn f() -> f32 { \nreturn a / b;\n\n}\n"));
    }
}
