//! One expert, from its PEFT folder into a catalogue.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use gander::catalog::location::Location;
use gander::catalog::{ExpertRecord, FactorRecord, ModuleRecord, PageRecord};
use gander::experts::{Expert, Page, PageTensor, hex, sha256};
use gander::formats::open::{read, unreadable};
use gander::formats::peft::{self, LoraPart};
use gander::formats::safetensors::Header;
use gander::tensor::DType;
use gander::{Error, ErrorCode, Result};
use serde::Deserialize;

use super::convert::{convert, is_block_after_block};
use super::draft::{Draft, reference};
use super::{BaseCard, Experts};
use crate::cli::host::{self, AdapterFiles};

/// What an expert's folder may say of it, for people.
const ABOUT: &str = "expert.json";

/// `expert.json`: every field may be absent.
#[derive(Deserialize, Default)]
#[serde(default)]
struct About {
    title: String,
    description: String,
    licence: String,
    tags: Vec<String>,
    source: String,
    evaluation: serde_json::Map<String, serde_json::Value>,
}

/// Puts the expert of a folder into a draft, and its files under the draft's folder if they are to be there and are not.
pub fn publish(
    draft: &mut Draft,
    base: &BaseCard,
    options: &Experts,
    folder: &Path,
    replace: bool,
) -> Result<()> {
    let id = host::expert_id(folder);
    let folder = canonical(folder)?;
    let mut files = AdapterFiles::read(&folder)?;
    let adapter = files.adapter()?;
    if adapter.gates.is_empty() {
        let expected = "a trained gate for at least one module: lora_gate.weight";
        return Err(Error::new(ErrorCode::MissingTensor, peft::GATES, "there is no trained gate", expected));
    }
    let is_converted = match options.dtype.map(|dtype| convert(&files.weights, dtype.into())).transpose()? {
        Some(Cow::Owned(weights)) => {
            files.weights = weights;
            true
        }
        _ => false,
    };
    if !is_block_after_block(&Header::of_file(peft::WEIGHTS, &files.weights)?) {
        let problem = "a block's factors are not together, and so cannot be fetched together";
        let expected = "tensors sorted by name, as PEFT saves those of one type; --dtype writes them so";
        return Err(Error::new(ErrorCode::Unsupported, peft::WEIGHTS, problem, expected));
    }
    let url = match options.hosted.iter().find(|(hosted, _)| *hosted == id) {
        Some((_, url)) => hosted_url(url, is_converted)?,
        None => place(draft, &id, &folder, &files, is_converted)?,
    };
    let expert = Expert::from_adapter(&id, &url, files.adapter()?);
    expert.check_against(&base.config)?;
    let record = record(&expert, url, &files.weights, about(&folder)?);
    draft.put(record, &expert.gates, replace)
}

/// The URL of an adapter file that is hosted already.
fn hosted_url(url: &str, is_converted: bool) -> Result<String> {
    let refuse = |problem: &str, expected: &str| {
        Err(Error::new(ErrorCode::InvalidOption, format!("--url {url}"), problem, expected))
    };
    match Location::of(url)? {
        Location::Beside(_) => refuse("it is relative", "an http or https URL"),
        Location::Web if is_converted => {
            refuse("--dtype cannot convert what is hosted elsewhere", "a file that has this type already")
        }
        Location::Web => Ok(url.to_owned()),
    }
}

/// Sees to it that an expert's files are under the draft's folder, and says where.
fn place(
    draft: &mut Draft,
    id: &str,
    folder: &Path,
    files: &AdapterFiles,
    is_converted: bool,
) -> Result<String> {
    let root = canonical(&draft.folder)?;
    if let Ok(inside) = folder.strip_prefix(&root) {
        if is_converted {
            let place = format!("--dtype {}", folder.display());
            let expected = "an expert from outside the catalogue's folder";
            let problem = "the expert is where its converted copy would be";
            return Err(Error::new(ErrorCode::InvalidOption, place, problem, expected));
        }
        let names = inside.iter().map(|name| name.to_string_lossy().into_owned());
        let names: Vec<String> = names.chain([peft::WEIGHTS.to_owned()]).collect();
        return Ok(Location::relative_url(&names));
    }
    let names = ["experts", id, peft::WEIGHTS];
    let url = Location::relative_url(&names);
    if let Some(other) = draft.catalog.experts.iter().find(|other| other.adapter.url == url && other.id != id)
    {
        let problem = format!("its place {url} is taken by the expert {:?}", other.id);
        return Err(Error::new(ErrorCode::InvalidOption, id, problem, "another name of its folder"));
    }
    let target = root.join("experts").join(id);
    draft.output.folder(&target)?;
    draft.output.write(&target.join(peft::WEIGHTS), &files.weights)?;
    draft.output.write(&target.join(peft::CONFIG), &files.config)?;
    if let Some(gates) = &files.gates {
        draft.output.write(&target.join(peft::GATES), gates)?;
    }
    Ok(url)
}

fn about(folder: &Path) -> Result<About> {
    let file = folder.join(ABOUT);
    if !file.exists() {
        return Ok(About::default());
    }
    serde_json::from_slice(&read(&file)?).map_err(|error| {
        let expected = "title, description, licence, tags, source, evaluation";
        Error::new(ErrorCode::InvalidFile, ABOUT, error.to_string(), expected)
    })
}

fn record(expert: &Expert, url: String, file: &[u8], about: About) -> ExpertRecord {
    let About { title, description, licence, tags, source, evaluation } = about;
    ExpertRecord {
        id: expert.id.clone(),
        title: if title.is_empty() { expert.id.clone() } else { title },
        description,
        licence,
        tags,
        source,
        evaluation,
        adapter: reference(url, file),
        pages: expert.pages.iter().map(|page| page_record(page, expert, file)).collect(),
    }
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

fn canonical(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|error| unreadable(path, &error))
}
