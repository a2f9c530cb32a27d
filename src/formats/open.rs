//! Base models from the file system, for the native program.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::contents::Contents;
use super::gguf::Gguf;
use super::huggingface::{self, CONFIG, INDEX, WEIGHTS};
use super::safetensors::{Header, PREFIX};
use super::{Checkpoint, gguf};
use crate::config::Config;
use crate::error::{Error, ErrorCode, Result};
use crate::quant::Matrix;

/// A base model on disk whose header has been read and checked, and whose weights are read one at a time.
pub struct OpenBase {
    /// The table of contents.
    pub contents: Contents,
    /// The metadata, where the base is a GGUF file.
    pub gguf: Option<Gguf>,
    files: Vec<(PathBuf, File)>,
}

impl OpenBase {
    /// Opens a Hugging Face folder or a GGUF file.
    pub fn open(path: impl AsRef<Path>) -> Result<OpenBase> {
        let path = path.as_ref();
        if path.is_dir() { OpenBase::open_folder(path) } else { OpenBase::open_gguf(path) }
    }

    fn open_folder(folder: &Path) -> Result<OpenBase> {
        let config_path = folder.join(CONFIG);
        let config = Config::from_json(&config_path.display().to_string(), &read(&config_path)?)?;
        let index = folder.join(INDEX);
        let names = if !folder.join(WEIGHTS).exists() && index.exists() {
            huggingface::shard_names(&read(&index)?).map_err(|error| error.inside(folder.display()))?
        } else {
            vec![WEIGHTS.to_string()]
        };
        let mut files = Vec::new();
        let mut headers = Vec::new();
        for name in names {
            let path = folder.join(name);
            let (mut file, length) = open(&path)?;
            let shown = path.display().to_string();
            let prefix = read_at(&path, &mut file, 0, length.min(PREFIX))?;
            // A header that claims more than the file has is the reader's to name.
            let header_length = Header::length(&shown, &prefix)?.min(length);
            let header = read_at(&path, &mut file, 0, header_length)?;
            headers.push(Header::read(&shown, &header, Some(length))?);
            files.push((path, file));
        }
        Ok(OpenBase { contents: huggingface::contents(config, &headers, true)?, gguf: None, files })
    }

    fn open_gguf(path: &Path) -> Result<OpenBase> {
        // A GGUF header does not say how long it is, so the whole file passes through memory once.
        let bytes = read(path)?;
        let gguf = Gguf::parse(&path.display().to_string(), &bytes)?;
        let contents = gguf::contents(&gguf)?;
        let (file, _) = open(path)?;
        Ok(OpenBase { contents, gguf: Some(gguf), files: vec![(path.to_path_buf(), file)] })
    }

    /// Reads and decodes weight number `index` of the table of contents.
    pub fn read(&mut self, index: usize) -> Result<Matrix> {
        let (weight, tensor) = &self.contents.weights[index];
        let (path, file) = &mut self.files[tensor.file];
        let bytes = read_at(path, file, tensor.range.start, tensor.range.len())?;
        self.contents.decode(weight, tensor, &bytes)
    }
}

impl Checkpoint {
    /// Opens a Hugging Face folder or a GGUF file and reads every weight.
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint> {
        let mut base = OpenBase::open(path)?;
        let names: Vec<String> =
            base.contents.weights.iter().map(|(weight, _)| weight.name.clone()).collect();
        let tensors = names
            .into_iter()
            .enumerate()
            .map(|(index, name)| Ok((name, base.read(index)?)))
            .collect::<Result<_>>()?;
        Ok(Checkpoint { config: base.contents.config, tensors })
    }
}

/// A whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| unreadable(path, &error))
}

fn open(path: &Path) -> Result<(File, usize)> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let length = file.metadata().map_err(|error| unreadable(path, &error))?.len();
    Ok((file, length as usize))
}

/// Some bytes of a file. The caller has checked them against the file's length, so a lie cannot allocate.
fn read_at(path: &Path, file: &mut File, start: usize, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(start as u64))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

/// The error of a file that cannot be read.
pub fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorCode::Io, path.display().to_string(), error.to_string(), "a file that can be read")
}
