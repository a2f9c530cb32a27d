//! A file of weights that comes piece by piece: its header as soon as that is whole, then its tensors, some rows at a time.
//! Nothing is held but what one of these still lacks an end of.

use super::contents::{Contents, StoredTensor};
use super::gguf::{Gguf, MAGIC};
use super::layout::Weight;
use super::safetensors::{Header, LONGEST_HEADER, PREFIX};
use crate::error::{Error, ErrorCode, Result};
use crate::quant::Matrix;

/// Bytes that are decoded at once.
const BATCH_BYTES: usize = 1 << 18;

/// What GGUF headers are looked for in at first. One does not say how long it is.
const FIRST_LOOK: usize = 1 << 16;

/// Which of the formats a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// llama.cpp's.
    Gguf,
    /// Hugging Face's.
    Safetensors,
}

/// A file's header.
#[expect(missing_docs, reason = "each is of the format it is named after")]
pub enum FileHeader {
    Gguf(Gguf),
    Safetensors(Header),
}

/// A header that is on its way.
pub struct IncomingHeader {
    kind: Kind,
    file: String,
    /// Of the whole file, as far as it is known.
    file_length: Option<usize>,
    bytes: Vec<u8>,
    /// How many bytes there must be before it is worth a look.
    wanted: usize,
}

impl IncomingHeader {
    /// Nothing of it is there. `file` is for messages.
    pub fn new(kind: Kind, file: &str, file_length: Option<usize>) -> IncomingHeader {
        let wanted = match kind {
            // A file of another format is recognised at once.
            Kind::Gguf => MAGIC.len(),
            Kind::Safetensors => PREFIX,
        };
        IncomingHeader { kind, file: file.to_owned(), file_length, bytes: Vec::new(), wanted }
    }

    /// Takes as many bytes of `chunk` as are of use, and leaves the rest there. Returns the header, if that is whole now.
    ///
    /// # Errors
    /// Those of [`Gguf::parse`] and [`Header::read`], as soon as they are certain.
    pub fn push(&mut self, chunk: &mut &[u8]) -> Result<Option<FileHeader>> {
        while !chunk.is_empty() {
            let (taken, rest) = chunk.split_at(chunk.len().min(self.wanted - self.bytes.len()));
            self.bytes.extend(taken);
            *chunk = rest;
            if self.bytes.len() == self.wanted
                && let Some(header) = self.look()?
            {
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// The bytes so far, from the file's first on. They can be more than the header.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The header, if the file ends here.
    ///
    /// # Errors
    /// Those of [`Gguf::parse`] and [`Header::of_file`].
    pub fn end(&self) -> Result<FileHeader> {
        match self.kind {
            Kind::Gguf => Gguf::parse(&self.file, &self.bytes).map(FileHeader::Gguf),
            Kind::Safetensors => Header::of_file(&self.file, &self.bytes).map(FileHeader::Safetensors),
        }
    }

    fn look(&mut self) -> Result<Option<FileHeader>> {
        if self.kind == Kind::Safetensors && self.wanted == PREFIX {
            self.wanted = Header::length(&self.file, &self.bytes)?;
            return Ok(None);
        }
        if self.kind == Kind::Safetensors {
            let header = Header::read(&self.file, &self.bytes, self.file_length)?;
            return Ok(Some(FileHeader::Safetensors(header)));
        }
        if let Some(gguf) = Gguf::parse_start(&self.file, &self.bytes, self.file_length)? {
            return Ok(Some(FileHeader::Gguf(gguf)));
        }
        if self.bytes.len() as u64 > LONGEST_HEADER {
            return Err(Error::new(
                ErrorCode::InvalidFile,
                &self.file,
                format!("its header does not end within {} bytes", self.bytes.len()),
                format!("a header of at most {LONGEST_HEADER}"),
            ));
        }
        // As often as it grows by half, so that looking costs no more than some times the header's length.
        let more = (self.wanted + self.wanted / 2).max(FIRST_LOOK);
        self.wanted = self.file_length.map_or(more, |file_length| file_length.min(more));
        self.bytes.reserve_exact(self.wanted - self.bytes.len());
        Ok(None)
    }
}

/// The tensors of a file, of which some have come.
pub struct IncomingTensors {
    /// Those that are not yet whole, the last of the file first.
    tensors: Vec<(Weight, StoredTensor)>,
    /// How many bytes of the file came.
    at: usize,
    /// Where the first of them goes on.
    row: usize,
    /// The beginning of what is decoded together.
    begun: Vec<u8>,
}

impl IncomingTensors {
    /// Those of file number `file`.
    pub fn of(contents: &Contents, file: usize) -> IncomingTensors {
        let of_file = contents.weights.iter().filter(|(_, tensor)| tensor.file == file);
        let mut tensors: Vec<(Weight, StoredTensor)> = of_file.cloned().collect();
        tensors.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.range.start));
        IncomingTensors { tensors, at: 0, row: 0, begun: Vec::new() }
    }

    /// Takes the file's next bytes. `take` is given the rows that became whole, the first of which is row so and so: a norm
    /// or a position bias at once, of others some at a time.
    ///
    /// # Errors
    /// Those of [`Contents::decode`].
    pub fn push(
        &mut self,
        contents: &Contents,
        mut bytes: &[u8],
        mut take: impl FnMut(&Weight, usize, Matrix),
    ) -> Result<()> {
        while !bytes.is_empty() {
            let Some((weight, tensor)) = self.tensors.last() else {
                self.at += bytes.len();
                return Ok(());
            };
            if self.at < tensor.range.start {
                let skipped = bytes.len().min(tensor.range.start - self.at);
                self.at += skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let row_bytes = tensor.range.len() / weight.rows;
            let least = if weight.role.stays_f32() { weight.rows } else { 1 };
            let wanted = least * row_bytes;
            let from;
            let rows;
            if self.begun.is_empty() && bytes.len() >= wanted {
                rows = (bytes.len().min(BATCH_BYTES) / row_bytes).max(least).min(weight.rows - self.row);
                (from, bytes) = bytes.split_at(rows * row_bytes);
                self.at += from.len();
            } else {
                let (taken, rest) = bytes.split_at(bytes.len().min(wanted - self.begun.len()));
                self.begun.extend(taken);
                self.at += taken.len();
                bytes = rest;
                if self.begun.len() < wanted {
                    return Ok(());
                }
                (from, rows) = (&self.begun, least);
            }
            take(weight, self.row, contents.decode_rows(weight, tensor, self.row, rows, from)?);
            self.begun.clear();
            self.row += rows;
            if self.row == weight.rows {
                self.tensors.pop();
                self.row = 0;
            }
        }
        Ok(())
    }

    /// How many bytes of the file have come.
    pub fn file_length(&self) -> usize {
        self.at
    }

    /// Whether all of them have come.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidFile`], naming the first that has not.
    pub fn end(&self, contents: &Contents) -> Result<()> {
        let Some((_, tensor)) = self.tensors.last() else { return Ok(()) };
        Err(Error::new(
            ErrorCode::InvalidFile,
            format!("{}: {}", contents.files[tensor.file], tensor.stored_name),
            format!("ends at byte {}, and the file at {}", tensor.range.end, self.at),
            "a whole file; this one is truncated",
        ))
    }
}
