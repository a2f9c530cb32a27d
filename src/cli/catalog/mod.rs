//! `gander catalog`: folders that any static host can serve, from PEFT folders with gates.

mod check;
mod convert;
mod draft;
mod means;
mod publish;
mod table;
mod vectors;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use gander::catalog::{BaseReference, Catalog};
use gander::config::Config;
use gander::experts::{hex, sha256};
use gander::formats::Checkpoint;
use gander::formats::open::read;
use gander::tensor::DType;
use gander::{Error, ErrorCode, Result};

use self::draft::Draft;
use self::publish::publish;

/// Commands of `gander catalog`.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Write catalog.json, one gates file, and the adapters cut into pages
    Build(Build),
    /// Add experts to a catalogue. No file of the others is touched
    Add(Add),
    /// Take experts out of a catalogue. No adapter file is touched, theirs neither
    Remove(Remove),
    /// Make what strategies other than phatgoose tell experts apart by, one file for each. No other file is touched
    Vectors(vectors::Vectors),
    /// Name everything that is wrong with a catalogue and its files, and print a table of its experts
    Check(check::Check),
}

/// Arguments of `gander catalog build`.
#[derive(Debug, Args)]
pub struct Build {
    /// What people call the collection; experts' full names begin with it
    #[arg(long, default_value = "experts")]
    name: String,
    /// Folder to write to; experts that are not inside it are copied to its folder experts/
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Insist on this very base file, by its SHA-256: no other quantisation of the same model will do
    #[arg(long)]
    pin_base: bool,
    #[command(flatten)]
    experts: Experts,
}

/// Arguments of `gander catalog add`.
#[derive(Debug, Args)]
pub struct Add {
    /// The folder of the catalogue
    #[arg(value_name = "DIR")]
    catalog: PathBuf,
    /// Put an expert in the place of one that has its id
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    experts: Experts,
}

/// Arguments of `gander catalog remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The folder of the catalogue
    #[arg(value_name = "DIR")]
    catalog: PathBuf,
    /// Ids of experts
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

/// Experts to publish.
#[derive(Debug, Args)]
pub struct Experts {
    /// The base that the experts adapt: a Hugging Face folder or a GGUF file
    #[arg(long, value_name = "PATH")]
    base: PathBuf,
    /// PEFT folders with gates; a folder's name is the expert's id. Their order decides ties
    #[arg(required = true, value_name = "EXPERT_DIR")]
    folders: Vec<PathBuf>,
    /// Write the LoRA factors in 16 bits: half the size of 32-bit ones
    #[arg(long, value_enum, value_name = "TYPE")]
    dtype: Option<HalfType>,
    /// Where an expert's adapter file is hosted already. It is not copied; its folder must hold the same file
    #[arg(long = "url", value_name = "ID=URL", value_parser = hosted)]
    hosted: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HalfType {
    /// The finer one, for values up to 65504
    F16,
    /// For values of any size
    Bf16,
}

impl From<HalfType> for DType {
    fn from(half: HalfType) -> DType {
        match half {
            HalfType::F16 => DType::F16,
            HalfType::Bf16 => DType::Bf16,
        }
    }
}

fn hosted(argument: &str) -> std::result::Result<(String, String), String> {
    let (id, url) = argument.split_once('=').ok_or("expected an expert's id, =, and a URL")?;
    Ok((id.to_owned(), url.to_owned()))
}

/// What of a base decides whether an expert fits it.
struct BaseCard {
    reference: BaseReference,
    config: Config,
}

impl BaseCard {
    fn open(path: &Path) -> Result<BaseCard> {
        let checkpoint = Checkpoint::open(path)?;
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let reference = BaseReference { name, fingerprint: checkpoint.fingerprint(), sha256: None };
        Ok(BaseCard { reference, config: checkpoint.config })
    }
}

/// SHA-256 of a base that is one file.
fn file_sha256(base: &Path) -> Result<Option<String>> {
    if base.is_dir() {
        return Ok(None);
    }
    Ok(Some(hex(&sha256(&read(base)?))))
}

/// Refuses a base that a catalogue is not for.
fn check_base(catalog: &Catalog, base: &BaseCard, path: &Path) -> Result<()> {
    catalog.check_base(&base.reference.fingerprint)?;
    match catalog.base.sha256 {
        Some(_) => catalog.check_base_file(file_sha256(path)?.as_deref()),
        None => Ok(()),
    }
}

/// Runs the command.
pub fn run(command: &CatalogCommand) -> Result<()> {
    match command {
        CatalogCommand::Build(arguments) => build(arguments),
        CatalogCommand::Add(arguments) => add(arguments),
        CatalogCommand::Remove(arguments) => remove(arguments),
        CatalogCommand::Vectors(arguments) => vectors::run(arguments),
        CatalogCommand::Check(arguments) => check::check(arguments),
    }
}

fn build(arguments: &Build) -> Result<()> {
    let path = &arguments.experts.base;
    let mut base = BaseCard::open(path)?;
    if arguments.pin_base {
        base.reference.sha256 = file_sha256(path)?;
        if base.reference.sha256.is_none() {
            let expected = "one GGUF file: a folder has no hash of its own";
            return Err(Error::new(ErrorCode::InvalidOption, "--pin-base", "the base is a folder", expected));
        }
    }
    let draft = Draft::new(&arguments.output, &arguments.name, base.reference.clone())?;
    publish_all(draft, &base, &arguments.experts, false)
}

fn add(arguments: &Add) -> Result<()> {
    let draft = Draft::open(&arguments.catalog)?;
    let base = BaseCard::open(&arguments.experts.base)?;
    check_base(&draft.catalog, &base, &arguments.experts.base)?;
    publish_all(draft, &base, &arguments.experts, arguments.replace)
}

fn publish_all(mut draft: Draft, base: &BaseCard, experts: &Experts, replace: bool) -> Result<()> {
    for folder in &experts.folders {
        publish(&mut draft, base, experts, folder, replace)
            .map_err(|error| error.inside(folder.display()))?;
    }
    let is_published =
        |id: &String| experts.folders.iter().any(|folder| super::host::expert_id(folder) == *id);
    if let Some((id, _)) = experts.hosted.iter().find(|(id, _)| !is_published(id)) {
        let expected = "the id of an expert that is given here: the name of its folder";
        return Err(Error::new(
            ErrorCode::UnknownExpert,
            "--url",
            format!("there is no expert {id:?}"),
            expected,
        ));
    }
    draft.save()
}

fn remove(arguments: &Remove) -> Result<()> {
    let mut draft = Draft::open(&arguments.catalog)?;
    for id in &arguments.ids {
        draft.remove(id)?;
    }
    draft.save()
}
