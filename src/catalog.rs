//! `catalog.json`: which experts there are for a base, what they are good for, and where each of their pages lies.
//!
//! A catalogue is written once, by `gander catalog build`, and served as a static file beside the adapters it names.
//! Unknown fields are ignored; an unknown major version is refused.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorCode, Result};
use crate::experts::{Expert, Page, PageTensor, block_of, hex};
use crate::formats::encoding::Encoding;
use crate::formats::peft::LoraPart;
use crate::formats::safetensors::Header;
use crate::tensor::DType;

/// What the keys of the gates file end with, after `<expert id>/<module>`.
const GATE_SUFFIX: &str = ".lora_gate.weight";

/// A catalogue as its file says it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Catalog {
    /// `"gander-catalog"`.
    pub format: String,
    /// `"1.0"`.
    pub version: String,
    /// What people call this collection.
    pub name: String,
    /// The base that the experts adapt.
    pub base: BaseReference,
    /// Defaults for routing.
    #[serde(default)]
    pub router: RouterDefaults,
    /// One safetensors file with the gates of all experts, under `<expert id>/<module>.lora_gate.weight`.
    pub gates: FileReference,
    /// The experts. Their order decides ties.
    pub experts: Vec<ExpertRecord>,
}

/// Which base a catalogue is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BaseReference {
    /// What people call it.
    pub name: String,
    /// What decides: see `Checkpoint::fingerprint`.
    pub fingerprint: String,
}

/// Defaults for routing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RouterDefaults {
    /// Experts for each token and layer.
    pub top_k: usize,
}

impl Default for RouterDefaults {
    fn default() -> Self {
        RouterDefaults { top_k: 2 }
    }
}

/// A file on the catalogue's host, or elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileReference {
    /// Relative to the catalogue's own address, or absolute.
    pub url: String,
    /// Size of the whole file.
    pub bytes: u64,
    /// SHA-256 of the whole file, in hexadecimal digits.
    pub sha256: String,
}

/// One expert.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExpertRecord {
    /// Unique in the catalogue.
    pub id: String,
    /// What people call it.
    #[serde(default)]
    pub title: String,
    /// What it does, in a sentence.
    #[serde(default)]
    pub description: String,
    /// SPDX identifier.
    #[serde(default)]
    pub licence: String,
    /// For searching.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Where it comes from.
    #[serde(default)]
    pub source: String,
    /// Figures by name, as its author measured them.
    #[serde(default)]
    pub evaluation: serde_json::Value,
    /// The adapter file, as PEFT saved it.
    pub adapter: FileReference,
    /// The parts of that file that are fetched apart.
    pub pages: Vec<PageRecord>,
}

/// One range of bytes of an adapter file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PageRecord {
    /// `encoder.block.0`
    pub block: String,
    /// First byte in the adapter file.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
    /// SHA-256 of these bytes, in hexadecimal digits.
    pub sha256: String,
    /// What the bytes hold.
    pub modules: Vec<ModuleRecord>,
}

/// The LoRA of one module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModuleRecord {
    /// `encoder.block.0.layer.0.SelfAttention.q`
    pub module: String,
    /// What `B A u` is multiplied with: alpha / rank, or alpha / sqrt(rank).
    pub scale: f32,
    /// A (rank, d_in).
    pub a: FactorRecord,
    /// B (d_out, rank).
    pub b: FactorRecord,
}

/// One LoRA factor in a page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FactorRecord {
    /// `F32`, `F16` or `BF16`, as safetensors names them.
    pub dtype: String,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// First byte in the page.
    pub offset: usize,
}

impl Catalog {
    /// The value of `format`.
    pub const FORMAT: &str = "gander-catalog";
    /// The version that is written, and whose major part is read.
    pub const VERSION: &str = "1.0";

    /// Reads a catalogue. `name` is only for messages.
    pub fn parse(name: &str, json: &[u8]) -> Result<Catalog> {
        let invalid =
            |problem: String, expected: &str| Error::new(ErrorCode::InvalidFile, name, problem, expected);
        // The version first, so that a catalogue of the future is refused for what it is.
        #[derive(Deserialize)]
        struct Kind {
            format: String,
            version: String,
        }
        let kind: Kind = serde_json::from_slice(json)
            .map_err(|error| invalid(error.to_string(), "a catalogue: JSON with format and version"))?;
        if kind.format != Catalog::FORMAT {
            return Err(invalid(format!("format is {:?}", kind.format), "format \"gander-catalog\""));
        }
        let major = |version: &str| version.split('.').next().map(str::to_owned);
        if major(&kind.version) != major(Catalog::VERSION) {
            let problem = format!("version {:?}", kind.version);
            return Err(Error::new(ErrorCode::Unsupported, name, problem, "version 1.x"));
        }
        let catalog: Catalog = serde_json::from_slice(json)
            .map_err(|error| invalid(error.to_string(), "a catalogue of version 1.x"))?;
        if catalog.router.top_k == 0 {
            return Err(invalid("router.top_k is 0".to_owned(), "at least one expert for each token"));
        }
        Ok(catalog)
    }

    /// The catalogue as a file.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a catalogue has only strings, numbers and lists")
    }

    /// Refuses a base that the catalogue was not made for.
    pub fn check_base(&self, fingerprint: &str) -> Result<()> {
        if self.base.fingerprint == fingerprint {
            return Ok(());
        }
        let place = format!("catalogue {:?}", self.name);
        let expected = format!("the base {:?} with fingerprint {}", self.base.name, self.base.fingerprint);
        Err(Error::new(
            ErrorCode::WrongBase,
            place,
            format!("the base has fingerprint {fingerprint}"),
            expected,
        ))
    }

    /// The experts, their gates taken from the bytes of the gates file.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidFile`] for pages, hashes or tensors that contradict each other; [`ErrorCode::PageMismatch`]
    /// if the gates file is not the one that the catalogue describes; [`ErrorCode::NotFinite`] for a damaged gate.
    pub fn experts(&self, gates: &[u8]) -> Result<Vec<Expert>> {
        let mut gates = self.gates(gates)?;
        let mut ids = HashSet::new();
        for expert in &self.experts {
            let place = format!("catalogue {:?}, expert {:?}", self.name, expert.id);
            if expert.id.is_empty() || expert.id.contains('/') || !ids.insert(&expert.id) {
                let expected = "unique ids that are not empty and have no slash";
                return Err(Error::new(
                    ErrorCode::InvalidFile,
                    place,
                    "the id is taken or malformed",
                    expected,
                ));
            }
        }
        self.experts
            .iter()
            .map(|record| {
                let gates = gates.remove(&record.id).unwrap_or_default();
                let place = format!("catalogue {:?}, expert {:?}", self.name, record.id);
                record.expert(gates).map_err(|error| error.inside(place))
            })
            .collect()
    }

    /// By expert and module, the gate vectors. Untrained gates, all zero, are left out.
    fn gates(&self, bytes: &[u8]) -> Result<BTreeMap<String, BTreeMap<String, Vec<f32>>>> {
        let file = &self.gates.url;
        if bytes.len() as u64 != self.gates.bytes {
            let expected = format!("{} bytes, as the catalogue says", self.gates.bytes);
            let problem = format!("{} bytes", bytes.len());
            return Err(Error::new(ErrorCode::PageMismatch, file, problem, expected));
        }
        let found = hex(&crate::experts::sha256(bytes));
        if found != self.gates.sha256 {
            let expected = format!("SHA-256 {}, as the catalogue says", self.gates.sha256);
            return Err(Error::new(ErrorCode::PageMismatch, file, format!("SHA-256 {found}"), expected));
        }
        let mut gates: BTreeMap<String, BTreeMap<String, Vec<f32>>> = BTreeMap::new();
        for (key, tensor) in &Header::of_file(file, bytes)?.tensors {
            let Some((id, module)) = key.strip_suffix(GATE_SUFFIX).and_then(|key| key.split_once('/')) else {
                let expected = "keys of the form <expert id>/<module>.lora_gate.weight";
                return Err(Error::new(
                    ErrorCode::InvalidFile,
                    format!("{file}: {key}"),
                    "not a gate",
                    expected,
                ));
            };
            let place = format!("{file}: {key}");
            let encoding = Encoding::from_dtype(tensor.dtype).map_err(|error| error.inside(&place))?;
            let length = tensor.shape.iter().product();
            let gate = encoding.decode(1, length, &bytes[tensor.range.clone()]).to_f32();
            if gate.iter().any(|value| !value.is_finite()) {
                return Err(Error::new(ErrorCode::NotFinite, place, "NaN or infinity", "finite numbers"));
            }
            if gate.iter().any(|value| *value != 0.0) {
                gates.entry(id.to_owned()).or_default().insert(module.to_owned(), gate);
            }
        }
        Ok(gates)
    }
}

impl ExpertRecord {
    fn expert(&self, gates: BTreeMap<String, Vec<f32>>) -> Result<Expert> {
        let mut scales = BTreeMap::new();
        let mut pages = Vec::new();
        for record in &self.pages {
            pages.push(
                record.page(&self.adapter).map_err(|error| error.inside(format!("page {}", record.block)))?,
            );
            for module in &record.modules {
                if scales.insert(module.module.clone(), module.scale).is_some() || !module.scale.is_finite() {
                    let expected = "every module once, with a finite scale";
                    let problem = "it is there twice, or its scale is not a number";
                    return Err(Error::new(ErrorCode::InvalidFile, &module.module, problem, expected));
                }
            }
        }
        Ok(Expert { id: self.id.clone(), gates, scales, pages })
    }
}

impl PageRecord {
    fn page(&self, adapter: &FileReference) -> Result<Page> {
        let invalid = |problem: String, expected: String| {
            Err(Error::new(ErrorCode::InvalidFile, &adapter.url, problem, expected))
        };
        let end = match self.offset.checked_add(self.bytes) {
            Some(end) if end <= adapter.bytes => end,
            _ => {
                let problem = format!("{} bytes from {}", self.bytes, self.offset);
                return invalid(problem, format!("a range within the file's {} bytes", adapter.bytes));
            }
        };
        let Some(sha256) = unhex(&self.sha256) else {
            return invalid(format!("sha256 is {:?}", self.sha256), "64 hexadecimal digits".to_owned());
        };
        let mut tensors = Vec::new();
        for module in &self.modules {
            for (part, factor) in [(LoraPart::A, &module.a), (LoraPart::B, &module.b)] {
                let dtype = match factor.dtype.as_str() {
                    "F32" => DType::F32,
                    "F16" => DType::F16,
                    "BF16" => DType::Bf16,
                    other => {
                        return invalid(
                            format!("{} of {other}", module.module),
                            "F32, F16 or BF16".to_owned(),
                        );
                    }
                };
                let [rows, cols] = factor.shape;
                let bytes = rows.checked_mul(cols).and_then(|count| count.checked_mul(dtype.bytes()));
                let end = bytes.and_then(|bytes| bytes.checked_add(factor.offset));
                if end.is_none_or(|end| end as u64 > self.bytes) || rows == 0 || cols == 0 {
                    let problem =
                        format!("{}: {rows} × {cols} values at byte {}", module.module, factor.offset);
                    return invalid(problem, format!("values within the page's {} bytes", self.bytes));
                }
                let (module, shape, offset) = (module.module.clone(), factor.shape, factor.offset);
                tensors.push(PageTensor { module, part, dtype, shape, offset });
            }
            if module.a.shape[0] != module.b.shape[1] {
                let problem =
                    format!("{}: ranks {} and {}", module.module, module.a.shape[0], module.b.shape[1]);
                return invalid(problem, "A (rank, d_in) and B (d_out, rank) of one rank".to_owned());
            }
            if block_of(&module.module) != self.block {
                return invalid(format!("{} in it", module.module), format!("modules of {}", self.block));
            }
        }
        let (block, file) = (self.block.clone(), adapter.url.clone());
        Ok(Page { block, file, range: self.offset..end, sha256: Some(sha256), tensors })
    }
}

fn unhex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}
