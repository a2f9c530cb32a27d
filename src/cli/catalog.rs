//! `gander catalog`: a folder that any static host can serve, from PEFT folders with gates.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gander::base::Base;
use gander::catalog::{
    BaseReference, Catalog, ExpertRecord, FactorRecord, FileReference, ModuleRecord, PageRecord,
    RouterDefaults,
};
use gander::experts::{Expert, Page, PageTensor, hex, sha256};
use gander::formats::open::read;
use gander::formats::peft::{self, LoraPart};
use gander::session::Session;
use gander::tensor::DType;
use gander::{Error, ErrorCode, Result};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Deserialize;

use super::host;

/// What an expert's folder may say of it, for people.
const ABOUT: &str = "expert.json";
/// The gates of all experts, in one file.
const GATES: &str = "gates.safetensors";

/// Commands of `gander catalog`.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Write catalog.json, one gates file, and the adapters cut into pages
    Build(Build),
}

/// Arguments of `gander catalog build`.
#[derive(Debug, Args)]
pub struct Build {
    /// The base that the experts adapt: a Hugging Face folder or a GGUF file
    #[arg(long, value_name = "PATH")]
    base: PathBuf,
    /// What people call the collection
    #[arg(long, default_value = "experts")]
    name: String,
    /// PEFT folders with gates; a folder's name is the expert's id. Their order decides ties
    #[arg(required = true, value_name = "EXPERT_DIR")]
    experts: Vec<PathBuf>,
    /// Folder to write to; experts that are not inside it are copied to its folder experts/
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

/// `expert.json`: every field may be absent.
#[derive(Deserialize, Default)]
#[serde(default)]
struct About {
    title: String,
    description: String,
    licence: String,
    tags: Vec<String>,
    source: String,
    evaluation: serde_json::Value,
}

/// Runs the command.
pub fn run(command: &CatalogCommand) -> Result<()> {
    match command {
        CatalogCommand::Build(arguments) => build(arguments),
    }
}

fn build(arguments: &Build) -> Result<()> {
    let output = &arguments.output;
    fs::create_dir_all(output).map_err(|error| unwritable(output, &error))?;
    let mut session = Session::new(Base::open(&arguments.base)?)?;
    let mut experts = Vec::new();
    let mut gates = BTreeMap::new();
    for folder in &arguments.experts {
        let (record, expert) = add(output, folder).map_err(|error| error.inside(folder.display()))?;
        for (module, gate) in &expert.gates {
            let bytes: Vec<u8> = gate.iter().flat_map(|value| value.to_le_bytes()).collect();
            gates.insert(format!("{}/{module}.lora_gate.weight", record.id), bytes);
        }
        // The session refuses what does not fit the base, or comes twice.
        session.add_experts(vec![expert])?;
        experts.push(record);
    }
    let gates = serialize_gates(&gates);
    write(&output.join(GATES), &gates)?;
    let catalog = Catalog {
        format: Catalog::FORMAT.to_owned(),
        version: Catalog::VERSION.to_owned(),
        name: arguments.name.clone(),
        base: BaseReference {
            name: arguments
                .base
                .file_stem()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            fingerprint: session.fingerprint().to_owned(),
        },
        router: RouterDefaults::default(),
        gates: reference(GATES.to_owned(), &gates),
        experts,
    };
    let pages: usize = catalog.experts.iter().map(|expert| expert.pages.len()).sum();
    let bytes: u64 = catalog.experts.iter().map(|expert| expert.adapter.bytes).sum();
    write(&output.join("catalog.json"), &catalog.to_json())?;
    println!(
        "{}: {} experts, {pages} pages, {bytes} bytes of adapters, {} of gates",
        output.join("catalog.json").display(),
        catalog.experts.len(),
        gates.len(),
    );
    Ok(())
}

/// Describes one expert, and puts its adapter under `output` if it is elsewhere.
fn add(output: &Path, folder: &Path) -> Result<(ExpertRecord, Expert)> {
    let canonical = |path: &Path| path.canonicalize().map_err(|error| unreadable(path, &error));
    let id = host::expert_id(folder);
    let (root, folder) = (canonical(output)?, canonical(folder)?);
    let adapter = host::read_adapter(&folder)?;
    if adapter.gates.is_empty() {
        let expected = "a trained gate for at least one module: lora_gate.weight";
        return Err(Error::new(ErrorCode::MissingTensor, peft::GATES, "there is no trained gate", expected));
    }
    let bytes = read(&folder.join(peft::WEIGHTS))?;
    let about: About = match folder.join(ABOUT) {
        file if file.exists() => serde_json::from_slice(&read(&file)?).map_err(|error| {
            Error::new(
                ErrorCode::InvalidFile,
                ABOUT,
                error.to_string(),
                "title, description, licence, tags, source",
            )
        })?,
        _ => About::default(),
    };
    let relative = match folder.strip_prefix(&root) {
        Ok(relative) => relative.to_owned(),
        Err(_) => {
            let relative = Path::new("experts").join(&id);
            let target = root.join(&relative);
            fs::create_dir_all(&target).map_err(|error| unwritable(&target, &error))?;
            write(&target.join(peft::WEIGHTS), &bytes)?;
            write(&target.join(peft::CONFIG), &read(&folder.join(peft::CONFIG))?)?;
            relative
        }
    };
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    let url = format!("{}/{}", parts.join("/"), peft::WEIGHTS);
    let expert = Expert::from_adapter(&id, &url, adapter);
    let pages = expert.pages.iter().map(|page| page_record(page, &expert, &bytes)).collect();
    let About { title, description, licence, tags, source, evaluation } = about;
    let title = if title.is_empty() { id.clone() } else { title };
    let adapter = reference(url, &bytes);
    let record = ExpertRecord { id, title, description, licence, tags, source, evaluation, adapter, pages };
    Ok((record, expert))
}

fn page_record(page: &Page, expert: &Expert, file: &[u8]) -> PageRecord {
    let factor = |tensor: &PageTensor| FactorRecord {
        dtype: match tensor.dtype {
            DType::F16 => "F16",
            DType::Bf16 => "BF16",
            _ => "F32",
        }
        .to_owned(),
        shape: tensor.shape,
        offset: tensor.offset,
    };
    let modules = page.tensors.iter().filter(|tensor| tensor.part == LoraPart::A).filter_map(|a| {
        let is_b = |tensor: &&PageTensor| tensor.module == a.module && tensor.part == LoraPart::B;
        let (module, scale) = (a.module.clone(), *expert.scales.get(&a.module)?);
        Some(ModuleRecord { module, scale, a: factor(a), b: factor(page.tensors.iter().find(is_b)?) })
    });
    let bytes = &file[page.range.start as usize..page.range.end as usize];
    PageRecord {
        block: page.block.clone(),
        offset: page.range.start,
        bytes: bytes.len() as u64,
        sha256: hex(&sha256(bytes)),
        modules: modules.collect(),
    }
}

fn serialize_gates(gates: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let views = gates.iter().map(|(key, bytes)| {
        let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
        (key, view.expect("as many bytes as the shape says"))
    });
    safetensors::serialize(views, None).expect("names and shapes are in order")
}

fn reference(url: String, bytes: &[u8]) -> FileReference {
    FileReference { url, bytes: bytes.len() as u64, sha256: hex(&sha256(bytes)) }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorCode::Io, path.display().to_string(), error.to_string(), "a place that can be written")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorCode::Io, path.display().to_string(), error.to_string(), "a folder that can be read")
}
