//! `gander catalog check`: a catalogue held against its files and its base. Every problem is named, not only the first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use gander::catalog::gates::Gates;
use gander::catalog::{Catalog, ExpertRecord, FactorRecord, FileReference, ModuleRecord, vectors};
use gander::experts::{Expert, OtherVectors};
use gander::formats::open::read;
use gander::formats::peft::{self, Adapter, LoraPart, LoraTensor};
use gander::session::Strategy;
use gander::{Error, ErrorCode, Result};

use super::table::{Row, print};
use super::{BaseCard, check_base};
use crate::cli::host;

/// Arguments of `gander catalog check`.
#[derive(Debug, Args)]
pub struct Check {
    /// A catalogue, or the folder that it is in
    #[arg(value_name = "CATALOG")]
    catalog: PathBuf,
    /// The base that the experts adapt, to be compared too
    #[arg(long, value_name = "PATH")]
    base: Option<PathBuf>,
    /// Local copies of experts that lie elsewhere; a folder's name is the expert's id
    #[arg(long, value_name = "EXPERT_DIR", num_args = 1..)]
    copies: Vec<PathBuf>,
}

/// What is known beside the catalogue itself.
struct Evidence<'a> {
    file: &'a Path,
    copies: BTreeMap<String, &'a Path>,
    /// None where the gates could not be read at all.
    gates: Option<Gates<'a>>,
    base: Option<&'a BaseCard>,
}

/// Prints the table to standard output and the problems to standard error.
pub fn check(arguments: &Check) -> Result<()> {
    let file = host::catalog_file(&arguments.catalog);
    let shown = file.display().to_string();
    let catalog = Catalog::read(&shown, &read(&file)?)?;
    let base = arguments.base.as_deref().map(BaseCard::open).transpose()?;
    let mut problems = catalog.problems();
    let wrong_base = base.as_ref().zip(arguments.base.as_deref());
    let wrong_base = wrong_base.and_then(|(base, path)| check_base(&catalog, base, path).err());
    let evidence = Evidence {
        file: &file,
        copies: arguments.copies.iter().map(|copy| (host::expert_id(copy), copy.as_path())).collect(),
        gates: read_gates(&catalog, &file, &mut problems),
        // Of another base every layer may have another shape; to say so once is enough.
        base: base.as_ref().filter(|_| wrong_base.is_none()),
    };
    problems.extend(wrong_base);
    problems.extend(problems_with_vectors(&catalog, &file, evidence.base));
    let mut rows = Vec::new();
    for expert in &catalog.experts {
        let (row, found) = check_expert(expert, &evidence);
        rows.push(row);
        problems.extend(found.into_iter().map(|error| error.inside(format!("expert {:?}", expert.id))));
    }
    print(&catalog, &rows, base.is_some());
    match problems.len() {
        0 => Ok(()),
        count => {
            for problem in &problems {
                eprintln!("gander: {}", problem.clone().inside(&shown));
            }
            let problem = format!("{count} {}, named above", if count == 1 { "problem" } else { "problems" });
            Err(Error::new(ErrorCode::InvalidFile, shown, problem, "none"))
        }
    }
}

fn read_gates<'a>(catalog: &'a Catalog, file: &Path, problems: &mut Vec<Error>) -> Option<Gates<'a>> {
    let path = match host::beside(file, &catalog.gates.url) {
        Ok(Some(path)) => path,
        Ok(None) => {
            let expected = "a file beside the catalogue: this program does not fetch";
            problems.push(Error::new(
                ErrorCode::Unsupported,
                &catalog.gates.url,
                "is on a network",
                expected,
            ));
            return None;
        }
        // The catalogue's own problems tell of it.
        Err(_) => return None,
    };
    let before = problems.len();
    let gates = match host::read_described(&path, &catalog.gates) {
        Ok(bytes) => catalog.read_gates(&bytes, problems),
        Err(error) => {
            problems.push(error);
            return None;
        }
    };
    (problems.len() == before || !gates.is_empty()).then_some(gates)
}

/// What is wrong with the files of vectors that other strategies than `phatgoose` need.
fn problems_with_vectors(catalog: &Catalog, file: &Path, base: Option<&BaseCard>) -> Vec<Error> {
    let expert = |record: &ExpertRecord| Expert {
        full_name: format!("{}/{}", catalog.name, record.id),
        ..bare_expert(record, BTreeMap::new())
    };
    let mut experts: Vec<Expert> = catalog.experts.iter().map(expert).collect();
    // What attention reads is as wide as what the encoder puts out.
    let reads_stream = |module: &&ModuleRecord| module.module.ends_with("Attention.q");
    let d_model = base.map(|base| base.config.d_model).or_else(|| {
        Some(catalog.experts.iter().flat_map(ExpertRecord::modules).find(reads_stream)?.a.shape[1])
    });
    let mut check = |strategy: &str, description: &FileReference| {
        let (Some(path), Some(d_model)) = (host::beside(file, &description.url)?, d_model) else {
            return Ok(());
        };
        let (strategy, bytes) = (Strategy::parse(strategy)?, host::read_described(&path, description)?);
        description.check(&bytes)?;
        vectors::attach(&mut experts, &catalog.name, &strategy, &description.url, &bytes, d_model)
    };
    match catalog.vector_files() {
        Ok(files) => files.iter().filter_map(|(strategy, file)| check(strategy, file).err()).collect(),
        Err(error) => vec![error],
    }
}

/// An expert without its factors' scales.
fn bare_expert(record: &ExpertRecord, gates: BTreeMap<String, Vec<f32>>) -> Expert {
    let pages = record.pages.iter().filter_map(|page| page.page(&record.adapter.url).ok());
    Expert {
        id: record.id.clone(),
        full_name: record.id.clone(),
        gates,
        vectors: OtherVectors::default(),
        scales: BTreeMap::new(),
        pages: pages.collect(),
    }
}

/// What the table says of an expert, and what is wrong with it that the catalogue alone does not show.
fn check_expert(record: &ExpertRecord, evidence: &Evidence) -> (Row, Vec<Error>) {
    let mut problems = Vec::new();
    let empty = BTreeMap::new();
    let gates = evidence.gates.as_ref().map(|gates| gates.get(record.id.as_str()).unwrap_or(&empty));
    if let Some(gates) = gates {
        for (module, _) in gates.iter().filter(|(_, gate)| gate.iter().all(|value| *value == 0.0)) {
            let place = format!("{module}, gate");
            problems.push(Error::new(
                ErrorCode::InvalidFile,
                place,
                "it is all zeros",
                "a trained gate, or none",
            ));
        }
        if gates.is_empty() {
            let expected = "a trained gate for at least one module";
            problems.push(Error::new(ErrorCode::MissingTensor, "gates", "there is none", expected));
        }
    }
    let own_problems = record.problems();
    let mut adapter = "not read";
    // Numbers that contradict each other are no guide to a file.
    if own_problems.is_empty() {
        problems.extend(evidence.base.map_or_else(Vec::new, |base| problems_with_base(record, gates, base)));
        let copy = evidence.copies.get(&record.id).map(|folder| folder.join(peft::WEIGHTS));
        match copy.map_or_else(|| host::beside(evidence.file, &record.adapter.url), |path| Ok(Some(path))) {
            Ok(Some(path)) => {
                adapter = "read";
                problems.extend(problems_with_file(record, &path));
            }
            Ok(None) => adapter = "elsewhere",
            Err(error) => problems.push(error),
        }
    }
    let row = Row {
        id: record.id.clone(),
        pages: record.pages.len(),
        bytes: record.adapter.bytes,
        types: distinct(record.modules().flat_map(|module| [&module.a, &module.b]).map(|f| f.dtype.clone())),
        ranks: distinct(record.modules().map(|module| module.a.shape[0])),
        gates: gates.map(BTreeMap::len),
        modules: record.modules().count(),
        adapter,
        problems: own_problems.len() + problems.len(),
    };
    (row, problems)
}

fn problems_with_base(
    record: &ExpertRecord,
    gates: Option<&BTreeMap<String, Vec<f32>>>,
    base: &BaseCard,
) -> Vec<Error> {
    bare_expert(record, gates.cloned().unwrap_or_default()).problems_with(&base.config)
}

/// What is wrong with an adapter file, and with the folder that it is in.
fn problems_with_file(record: &ExpertRecord, path: &Path) -> Vec<Error> {
    let bytes = match host::read_described(path, &record.adapter) {
        Ok(bytes) => bytes,
        Err(error) => return vec![error],
    };
    let mut problems: Vec<Error> = record.adapter.check(&bytes).err().into_iter().collect();
    for page in &record.pages {
        let decoded = page.page(&record.adapter.url).and_then(|page| {
            page.decode(&record.id, &bytes[page.range.start as usize..page.range.end as usize]).map(drop)
        });
        problems.extend(decoded.err());
    }
    let config = path.with_file_name(peft::CONFIG);
    let adapter = read(&config).and_then(|config| Adapter::from_files(&config, &bytes, None));
    match adapter {
        Ok(adapter) => problems.extend(differences(record, &adapter)),
        Err(error) => problems.push(error.inside(path.with_file_name("").display())),
    }
    problems
}

/// Where the catalogue says something else than the adapter.
fn differences(record: &ExpertRecord, adapter: &Adapter) -> Vec<Error> {
    let listed: BTreeMap<(&str, LoraPart), (u64, &FactorRecord, &ModuleRecord)> = (record.pages.iter())
        .flat_map(|page| page.modules.iter().map(move |module| (page.offset, module)))
        .flat_map(|(offset, module)| {
            [(LoraPart::A, &module.a), (LoraPart::B, &module.b)]
                .map(|(part, factor)| ((module.module.as_str(), part), (offset, factor, module)))
        })
        .collect();
    let differs = |tensor: &LoraTensor, problem: String, expected: &str| {
        let place = format!("{}, factor {:?}", tensor.module, tensor.part);
        Error::new(ErrorCode::InvalidFile, place, problem, expected)
    };
    let mut problems = Vec::new();
    for tensor in &adapter.tensors {
        let Some((offset, factor, module)) = listed.get(&(tensor.module.as_str(), tensor.part)) else {
            problems.push(differs(
                tensor,
                "no page has it".to_owned(),
                "a page for every module of the adapter",
            ));
            continue;
        };
        let start = offset + factor.offset as u64;
        let is_same = start == tensor.range.start as u64
            && factor.shape == tensor.shape
            && factor.dtype() == Ok(tensor.dtype);
        if !is_same {
            let problem = format!("the catalogue has {:?} of {} at byte {start}", factor.shape, factor.dtype);
            let expected = format!(
                "{:?} of {:?} at byte {}, as in the file",
                tensor.shape, tensor.dtype, tensor.range.start
            );
            problems.push(differs(tensor, problem, &expected));
        }
        let scale = adapter.scales[&tensor.module];
        if tensor.part == LoraPart::A && module.scale != scale {
            let problem = format!("the catalogue has the scale {}", module.scale);
            problems.push(differs(tensor, problem, &format!("{scale}, which {} gives", peft::CONFIG)));
        }
    }
    let found = |module: &str, part| {
        adapter.tensors.iter().any(|tensor| tensor.module == module && tensor.part == part)
    };
    let absent = listed.keys().filter(|(module, part)| *part == LoraPart::A && !found(module, *part));
    problems.extend(absent.map(|(module, _)| {
        let expected = "a module of the adapter";
        Error::new(ErrorCode::MissingTensor, *module, "the adapter does not have it", expected)
    }));
    problems
}

/// Values without repetition, in their order, joined by commas.
fn distinct<T: Ord + ToString>(values: impl Iterator<Item = T>) -> String {
    let values: std::collections::BTreeSet<T> = values.collect();
    values.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}
