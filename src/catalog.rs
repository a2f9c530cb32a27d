//! `catalog.json`: which experts there are for a base, what they are good for, and where each of their pages lies.
//!
//! A catalogue is written by `gander catalog` and served as a static file, beside the adapters it names or elsewhere.
//! Unknown fields are ignored; an unknown major version is refused. docs/catalog.schema.json says the same of the fields,
//! docs/catalog.md says it to people.

pub mod gates;
pub mod location;
mod problems;
pub mod vectors;

use std::collections::BTreeMap;

use problems::{invalid, sha256_of};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorCode, Result};
use crate::experts::{Expert, OtherVectors, Page, PageTensor};
use crate::formats::peft::LoraPart;
use crate::maps::map_of;
use crate::strategies::Strategy;
use crate::tensor::DType;

/// A catalogue as its file says it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Catalog {
    /// `"gander-catalog"`.
    pub format: String,
    /// `"1.0"`.
    pub version: String,
    /// What people call this collection, and what its experts' full names begin with.
    pub name: String,
    /// The base that the experts adapt.
    pub base: BaseReference,
    /// Defaults for routing.
    #[serde(default)]
    pub router: RouterDefaults,
    /// One safetensors file with the gates of all experts, under `<expert id>/<module>.lora_gate.weight`.
    pub gates: FileReference,
    /// By the name of a strategy, the [`FileReference`] of the vectors that it needs. See [`vectors`].
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub vectors: serde_json::Map<String, serde_json::Value>,
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
    /// SHA-256 of the one file that is the base, in hexadecimal digits. Where it is there, no other file will do, another
    /// quantisation of the same model neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
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
    /// Relative to the catalogue and not above its folder, or an http or https URL. See [`location::Location`].
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
    pub evaluation: serde_json::Map<String, serde_json::Value>,
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
    ///
    /// # Errors
    /// Those of [`Catalog::read`], and the first of [`Catalog::problems`].
    pub fn parse(name: &str, json: &[u8]) -> Result<Catalog> {
        let catalog = Catalog::read(name, json)?;
        problems::first(catalog.problems()).map_err(|error| error.inside(name))?;
        Ok(catalog)
    }

    /// Reads a catalogue whose [problems](Catalog::problems) are the caller's to look at.
    ///
    /// # Errors
    /// [`ErrorCode::Unsupported`] for another major version, [`ErrorCode::InvalidFile`] for everything else that cannot be
    /// read: no JSON, another format, fields that are missing or of another type.
    pub fn read(name: &str, json: &[u8]) -> Result<Catalog> {
        // The version first, so that a catalogue of the future is refused for what it is.
        #[derive(Deserialize)]
        struct Kind {
            format: String,
            version: String,
        }
        let kind: Kind = serde_json::from_slice(json).map_err(|error| {
            invalid(name, error.to_string(), "a catalogue: a JSON object with format and version")
        })?;
        if kind.format != Catalog::FORMAT {
            return Err(invalid(name, format!("format is {:?}", kind.format), "format \"gander-catalog\""));
        }
        let numbers: Option<Vec<u32>> = kind.version.split('.').map(|number| number.parse().ok()).collect();
        match numbers.as_deref() {
            Some([1, ..]) => {}
            Some(_) => {
                let problem = format!("version {}", kind.version);
                let expected = "version 1.x, the one that this program reads";
                return Err(Error::new(ErrorCode::Unsupported, name, problem, expected));
            }
            None => {
                return Err(invalid(name, format!("version {:?}", kind.version), "numbers with dots: 1.0"));
            }
        }
        serde_json::from_slice(json)
            .map_err(|error| invalid(name, error.to_string(), "a catalogue of version 1.x"))
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

    /// Refuses a base file that is not the one that the catalogue insists on, if it does. `sha256` is the file's, if the base
    /// is one file.
    pub fn check_base_file(&self, sha256: Option<&str>) -> Result<()> {
        let Some(expected) = &self.base.sha256 else { return Ok(()) };
        if sha256.is_some_and(|sha256| sha256.eq_ignore_ascii_case(expected)) {
            return Ok(());
        }
        let place = format!("catalogue {:?}", self.name);
        let problem = match sha256 {
            Some(sha256) => format!("the base's file has SHA-256 {sha256}"),
            None => "the base is a folder".to_owned(),
        };
        let expected = format!("the base {:?} in the file with SHA-256 {expected}", self.base.name);
        Err(Error::new(ErrorCode::WrongBase, place, problem, expected))
    }

    /// The experts, their gates taken from the bytes of the gates file.
    ///
    /// # Errors
    /// The first of [`Catalog::problems`]; [`ErrorCode::PageMismatch`] if the gates file is not the one that the catalogue
    /// describes; [`ErrorCode::NotFinite`] and [`ErrorCode::ShapeMismatch`] for a damaged gate.
    pub fn experts(&self, gates: &[u8]) -> Result<Vec<Expert>> {
        let place = format!("catalogue {:?}", self.name);
        self.experts_with(gates).map_err(|error| error.inside(place))
    }

    fn experts_with(&self, gates: &[u8]) -> Result<Vec<Expert>> {
        problems::first(self.problems())?;
        self.gates.check(gates)?;
        let mut experts = Vec::new();
        for record in &self.experts {
            let place = || format!("expert {:?}", record.id);
            experts.push(self.expert(record).map_err(|error| error.inside(place()))?);
        }
        vectors::attach(&mut experts, &self.name, &Strategy::Phatgoose, &self.gates.url, gates, 0)?;
        for expert in &mut experts {
            // One of zeros is one that no training has touched.
            expert.gates.retain(|_, gate| gate.iter().any(|value| *value != 0.0));
        }
        Ok(experts)
    }

    /// An expert without its gates.
    fn expert(&self, record: &ExpertRecord) -> Result<Expert> {
        Ok(Expert {
            id: record.id.clone(),
            full_name: format!("{}/{}", self.name, record.id),
            gates: BTreeMap::new(),
            vectors: OtherVectors::default(),
            scales: map_of(record.modules().map(|module| (module.module.clone(), module.scale))),
            pages: record.pages.iter().map(|page| page.page(&record.adapter.url)).collect::<Result<_>>()?,
        })
    }
}

impl PageRecord {
    /// The page of an expert without problems. `file` is the name of its adapter file.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidFile`] for a malformed hash or type.
    pub fn page(&self, file: &str) -> Result<Page> {
        let Some(sha256) = sha256_of(&self.sha256) else {
            return Err(invalid("sha256", format!("is {:?}", self.sha256), "64 hexadecimal digits"));
        };
        let mut tensors = Vec::new();
        for module in &self.modules {
            for (part, factor) in [(LoraPart::A, &module.a), (LoraPart::B, &module.b)] {
                let (module, dtype) = (module.module.clone(), factor.dtype()?);
                let FactorRecord { shape, offset, .. } = *factor;
                tensors.push(PageTensor { module, part, dtype, shape, offset });
            }
        }
        let range = self.offset..self.offset.saturating_add(self.bytes);
        Ok(Page { block: self.block.clone(), file: file.to_owned(), range, sha256: Some(sha256), tensors })
    }
}

impl FactorRecord {
    /// How the values are written.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidFile`] for a name that is none of the three.
    pub fn dtype(&self) -> Result<DType> {
        match self.dtype.as_str() {
            "F32" => Ok(DType::F32),
            "F16" => Ok(DType::F16),
            "BF16" => Ok(DType::Bf16),
            other => Err(invalid("dtype", format!("is {other:?}"), "F32, F16 or BF16")),
        }
    }

    /// Its size, if that is a number at all.
    fn bytes(&self) -> Option<u64> {
        let [rows, cols] = self.shape.map(|side| side as u64);
        let width = self.dtype().map_or(1, |dtype| dtype.bytes() as u64);
        rows.checked_mul(cols)?.checked_mul(width)
    }
}
