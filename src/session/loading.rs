//! A session over a base that comes piece by piece. Each row of a weight is decoded when its last byte is there and goes
//! straight to the devices, so that loading takes little more memory than the model.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::Session;
use crate::base::{folder_tokenizer, gguf_tokenizer};
use crate::config::Config;
use crate::device::{Device, Devices};
use crate::error::{Error, ErrorCode, Result};
use crate::experts::hex;
use crate::formats::contents::Contents;
use crate::formats::fingerprint::fingerprint;
use crate::formats::gguf::Gguf;
use crate::formats::huggingface::CONFIG;
use crate::formats::incoming::{FileHeader, IncomingHeader, IncomingTensors, Kind};
use crate::formats::layout::HEAD;
use crate::formats::safetensors::Header;
use crate::formats::{Checkpoint, gguf, huggingface};
use crate::quant::Matrix;
use crate::t5::Assembly;
use crate::tokenizer::Tokenizer;

/// A base on its way to its devices: its files one after another, each from its first byte to its last.
pub struct Loading {
    devices: Devices,
    source: Source,
    file: Option<IncomingFile>,
    hash: Option<Sha256>,
    model: Option<Model>,
    tokenizer: Option<Result<Tokenizer>>,
}

enum Source {
    Gguf,
    Folder {
        config: Config,
        /// How many files of weights there are.
        files: usize,
        /// Of those that have come.
        headers: Vec<Header>,
    },
}

/// A file that has begun.
enum IncomingFile {
    Header(IncomingHeader),
    Tensors(IncomingTensors),
}

/// What has come of the model.
struct Model {
    contents: Contents,
    assembly: Assembly,
    /// The norms, by which a base is known.
    norms: BTreeMap<String, Matrix>,
    /// Where a device may go away, the weights that no other has.
    kept: Option<BTreeMap<String, Matrix>>,
}

impl Loading {
    /// A base that is one GGUF file.
    pub fn gguf(devices: impl Into<Devices>) -> Loading {
        Loading::of(devices.into(), Source::Gguf, None)
    }

    /// A base that is a Hugging Face folder with so many files of weights. `small_files` are the others by name:
    /// `config.json` and those of the tokenizer.
    ///
    /// # Errors
    /// Those of [`Config::from_json`].
    pub fn folder(
        devices: impl Into<Devices>,
        small_files: &[(String, Vec<u8>)],
        weight_files: usize,
    ) -> Result<Loading> {
        let find = |wanted: &str| {
            small_files.iter().find(|(name, _)| name == wanted).map(|(_, bytes)| bytes.as_slice())
        };
        let Some(config) = find(CONFIG) else {
            return Err(Error::new(ErrorCode::Io, CONFIG, "is not there", "config.json beside the weights"));
        };
        let config = Config::from_json(CONFIG, config)?;
        let tokenizer = folder_tokenizer(|name| Ok(find(name).map(<[u8]>::to_vec)), config.vocab_size);
        let source = Source::Folder { config, files: weight_files, headers: Vec::new() };
        Ok(Loading::of(devices.into(), source, Some(tokenizer)))
    }

    fn of(devices: Devices, source: Source, tokenizer: Option<Result<Tokenizer>>) -> Loading {
        Loading { devices, source, file: None, hash: None, model: None, tokenizer }
    }

    /// Begins a file of weights, of `length` bytes as far as that is known. `is_hashed`: [`Loading::end_file`] tells its
    /// SHA-256.
    pub fn begin_file(&mut self, name: &str, length: Option<usize>, is_hashed: bool) {
        let kind = match self.source {
            Source::Gguf => Kind::Gguf,
            Source::Folder { .. } => Kind::Safetensors,
        };
        self.file = Some(IncomingFile::Header(IncomingHeader::new(kind, name, length)));
        self.hash = is_hashed.then(Sha256::new);
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// Whatever is wrong with the file, as soon as it shows; [`ErrorCode::OutOfMemory`]; [`ErrorCode::InvalidState`] without
    /// a file.
    pub fn push(&mut self, mut chunk: &[u8]) -> Result<()> {
        if let Some(hash) = &mut self.hash {
            hash.update(chunk);
        }
        let Loading { file, model, devices, .. } = self;
        let (tensors, model) = match (file, model) {
            (Some(IncomingFile::Tensors(tensors)), Some(model)) => (tensors, model),
            (Some(IncomingFile::Header(header)), _) => {
                return match header.push(&mut chunk)? {
                    None => Ok(()),
                    Some(header) => self.begin_tensors(header, chunk),
                };
            }
            _ => return Err(no_file()),
        };
        let Model { contents, assembly, norms, kept } = model;
        tensors.push(contents, chunk, |weight, first, rows| {
            assembly.write_rows(devices, &weight.name, first, &rows);
            if let Some(kept) = kept
                && !assembly.is_safe(devices, &weight.name)
            {
                let matrix = kept
                    .entry(weight.name.clone())
                    .or_insert_with(|| Matrix::zeroed(weight.rows, weight.cols, rows.values.format()));
                matrix.write_rows(first, &rows);
            }
            if weight.name.ends_with("layer_norm.weight") {
                norms.insert(weight.name.clone(), rows);
            }
        })
    }

    /// The file has no more bytes. Returns its SHA-256, if it was to be computed.
    ///
    /// # Errors
    /// Those of [`Loading::push`]; [`ErrorCode::InvalidFile`] if bytes are missing.
    pub fn end_file(&mut self) -> Result<Option<String>> {
        if let Some(IncomingFile::Header(header)) = &self.file {
            let header = header.end()?;
            self.begin_tensors(header, &[])?;
        }
        let (Some(IncomingFile::Tensors(tensors)), Some(model)) = (self.file.take(), &self.model) else {
            return Err(no_file());
        };
        tensors.end(&model.contents)?;
        if let Source::Folder { headers, .. } = &self.source
            && let Some(header) = headers.last()
        {
            header.check_length(tensors.file_length())?;
        }
        Ok(self.hash.take().map(|hash| hex(&hash.finalize())))
    }

    /// What is wrong with the base's tokenizer, if that has come.
    pub fn tokenizer_error(&self) -> Option<&Error> {
        self.tokenizer.as_ref()?.as_ref().err()
    }

    /// The session, once all files have come.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidState`] before; those of [`Assembly::finish`].
    pub fn finish(mut self) -> Result<Session> {
        let (Some(model), Some(tokenizer), None) = (self.model.take(), self.tokenizer, self.file) else {
            return Err(no_file());
        };
        let Model { contents, assembly, norms, kept } = model;
        let tokenizer = tokenizer.map(|mut tokenizer| {
            tokenizer.allow_ids_below(contents.config.vocab_size);
            tokenizer
        });
        let config = contents.config;
        let has_head = contents.weights.iter().any(|(weight, _)| weight.name == HEAD);
        let fingerprint = fingerprint(&config, has_head, &norms);
        let model = assembly.finish(&mut self.devices)?;
        let kept = kept.map(|tensors| Checkpoint { config, tensors });
        Ok(Session::of(self.devices, model, kept, tokenizer, fingerprint))
    }

    /// The devices, emptied, for another attempt.
    pub fn into_devices(mut self) -> Devices {
        self.devices.iter_mut().for_each(Device::reset);
        self.devices
    }

    /// Goes on behind the file's header, whose bytes are still to be taken as those before `rest`.
    fn begin_tensors(&mut self, header: FileHeader, rest: &[u8]) -> Result<()> {
        let (contents, number) = match (header, &mut self.source) {
            (FileHeader::Gguf(gguf), _) => {
                let contents = gguf::contents(&gguf)?;
                self.tokenizer = Some(tokenizer_of(gguf));
                (contents, 0)
            }
            (FileHeader::Safetensors(header), Source::Folder { config, files, headers }) => {
                headers.push(header);
                let is_whole = headers.len() == *files;
                (huggingface::contents(config.clone(), headers, is_whole)?, headers.len() - 1)
            }
            (FileHeader::Safetensors(_), Source::Gguf) => unreachable!("asked for GGUF"),
        };
        let tensors = IncomingTensors::of(&contents, number);
        let begun = self.file.replace(IncomingFile::Tensors(tensors));
        let model = self.model.get_or_insert_with(|| Model {
            assembly: Assembly::new(&contents.config, self.devices.decoder.is_some()),
            contents: contents.clone(),
            norms: BTreeMap::new(),
            kept: self.devices.may_go_away().then(BTreeMap::new),
        });
        model.contents = contents;
        let of_file = model.contents.weights.iter().filter(|(_, tensor)| tensor.file == number);
        let formats = of_file.map(|(weight, tensor)| (weight.name.as_str(), tensor.format(weight)));
        model.assembly.expect(&mut self.devices, formats)?;
        // They were counted in when they came.
        let hash = self.hash.take();
        if let Some(IncomingFile::Header(header)) = begun {
            self.push(&header.into_bytes())?;
        }
        let pushed = self.push(rest);
        self.hash = hash;
        pushed
    }
}

/// The tokenizer in a GGUF file, which holds it once more and is done with after this.
fn tokenizer_of(gguf: Gguf) -> Result<Tokenizer> {
    let tokenizer = gguf_tokenizer(&gguf).and_then(Tokenizer::from_gguf);
    tokenizer.map_err(|error| error.inside(&gguf.file))
}

fn no_file() -> Error {
    Error::new(ErrorCode::InvalidState, "base", "no file of it has begun, or not all have ended", "all files")
}
