//! `gander catalog vectors`: what strategies other than `phatgoose` tell experts apart by.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use gander::catalog::gates::key;
use gander::catalog::vectors::{STRATEGIES, examples_key};
use gander::catalog::{Catalog, location::Location};
use gander::device_choice::DeviceChoice;
use gander::experts::{Expert, FactorLayout};
use gander::formats::open::read;
use gander::session::{Request, Session, Strategy};
use gander::strategies::arrow;
use gander::{Error, ErrorCode, Result};
use half::f16;
use safetensors::tensor::{Dtype, TensorView};

use super::draft::reference;
use super::means::{Means, embedding};
use crate::cli::data::{DataSet, Line, Task};
use crate::cli::host;
use crate::cli::output::Output;
use crate::cli::question::default_threads;

/// Arguments of `gander catalog vectors`.
#[derive(Debug, Args)]
pub struct Vectors {
    /// The folder of the catalogue
    #[arg(value_name = "DIR")]
    catalog: PathBuf,
    /// The base that the experts adapt: a Hugging Face folder or a GGUF file
    #[arg(long, value_name = "PATH")]
    base: PathBuf,
    /// What to make: arrow (from the experts alone), average-activation and retrieval (from examples) [default: all that can
    /// be made]
    #[arg(long, value_name = "STRATEGY", num_args = 1..)]
    strategy: Vec<String>,
    /// An expert's own training examples: JSONL with input and targets
    #[arg(long, value_name = "ID=FILE", num_args = 1.., value_parser = examples)]
    examples: Vec<(String, PathBuf)>,
    /// Use so many of an expert's examples, the first
    #[arg(long, value_name = "N", default_value_t = 1000)]
    most: usize,
}

fn examples(argument: &str) -> std::result::Result<(String, PathBuf), String> {
    let (id, file) = argument.split_once('=').ok_or("expected an expert's id, =, and a file")?;
    Ok((id.to_owned(), file.into()))
}

/// Tensors by key: shape, and bytes of a type.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Runs the command.
pub fn run(arguments: &Vectors) -> Result<()> {
    let file = host::catalog_file(&arguments.catalog);
    let shown = file.display().to_string();
    let mut catalog = Catalog::parse(&shown, &read(&file)?)?;
    let (session, _) =
        host::open(DeviceChoice::Cpu, default_threads(), &arguments.base, &[&arguments.catalog], &[])?;
    let sets = arguments.sets(&catalog)?;
    let mut maker = Maker { session, sets, most: arguments.most };
    let mut output = Output::default();
    for strategy in arguments.strategies()? {
        let tensors = match strategy {
            Strategy::Arrow => maker.prototypes()?,
            Strategy::AverageActivation => maker.means()?,
            _ => maker.embeddings()?,
        };
        let bytes = serialize(&tensors);
        let url = Location::relative_url(&[format!("{}.safetensors", strategy.name())]);
        output.write(&file.with_file_name(&url), &bytes)?;
        println!("{url}: {} vectors, {} bytes", tensors.len(), bytes.len());
        let described = serde_json::to_value(reference(url, &bytes)).expect("numbers and texts");
        catalog.vectors.insert(strategy.name(), described);
    }
    // The catalogue comes last: it is what makes the others count.
    output.write(&file, &catalog.to_json())?;
    output.commit()
}

fn serialize(tensors: &Tensors) -> Vec<u8> {
    let views = tensors.iter().map(|(key, (dtype, shape, bytes))| {
        (key, TensorView::new(*dtype, shape.clone(), bytes).expect("as many bytes as the shape says"))
    });
    safetensors::serialize(views, None).expect("names and shapes are in order")
}

impl Vectors {
    fn strategies(&self) -> Result<Vec<Strategy>> {
        let named: Vec<Strategy> =
            self.strategy.iter().map(|name| Strategy::parse(name)).collect::<Result<_>>()?;
        if let Some(other) = named.iter().find(|strategy| !STRATEGIES.contains(strategy)) {
            let expected = STRATEGIES.map(|strategy| strategy.name()).join(", ");
            let problem = format!("{} needs no vectors", other.name());
            return Err(Error::new(ErrorCode::InvalidOption, "--strategy", problem, expected));
        }
        let needs_none = |strategy: &Strategy| *strategy == Strategy::Arrow || !self.examples.is_empty();
        match named.is_empty() {
            true => Ok(STRATEGIES.into_iter().filter(needs_none).collect()),
            false => Ok(named),
        }
    }

    fn sets(&self, catalog: &Catalog) -> Result<BTreeMap<String, DataSet>> {
        let mut sets = BTreeMap::new();
        for (id, file) in &self.examples {
            if !catalog.experts.iter().any(|expert| expert.id == *id) {
                let known: Vec<&str> = catalog.experts.iter().map(|expert| expert.id.as_str()).collect();
                let (problem, expected) =
                    (format!("there is no expert {id:?}"), format!("one of: {}", known.join(", ")));
                return Err(Error::new(ErrorCode::UnknownExpert, "--examples", problem, expected));
            }
            sets.insert(id.clone(), DataSet::open(file)?);
        }
        Ok(sets)
    }
}

/// A session over the base and the catalogue, and the experts' examples.
struct Maker {
    session: Session,
    sets: BTreeMap<String, DataSet>,
    most: usize,
}

impl Maker {
    fn prototypes(&mut self) -> Result<Tensors> {
        let mut tensors = Tensors::new();
        for page in 0..self.session.page_count() {
            let bytes = host::read_page(&self.session, page)?;
            let Some((expert, page)) = self.session.page(page) else { unreachable!("it was counted") };
            let floats = page.decode(expert, &bytes)?;
            let modules: std::collections::BTreeSet<&str> =
                page.tensors.iter().map(|tensor| tensor.module.as_str()).collect();
            for module in modules {
                let Some(place) = page.placement(module, FactorLayout::Floats) else { continue };
                let a = &floats[place.a..][..place.rank * place.d_in];
                let b = &floats[place.b..][..place.rank * place.d_out];
                let prototype = arrow::prototype(a, b, place.rank);
                tensors.insert(key(expert, module), vector(&prototype));
            }
        }
        Ok(tensors)
    }

    fn means(&mut self) -> Result<Tensors> {
        let mut tensors = Tensors::new();
        for expert in self.session.experts().to_vec() {
            let is_own = |page: &u32| self.session.page(*page).is_some_and(|(id, _)| id == expert.id);
            let pages: Vec<u32> = (0..self.session.page_count()).filter(is_own).collect();
            host::provide(&mut self.session, &pages)?;
            let mut means = Means::default();
            for line in lines(&self.sets, self.most, &expert)? {
                let choice = self.session.choice_ids(target(line))?;
                let strategy = Strategy::Single(expert.id.clone());
                let request = Request { text: Some(line.input.clone()), strategy, ..Request::default() };
                self.session.start_scoring(request, vec![choice.clone()])?;
                means.add(&mut self.session, &expert, &choice)?;
            }
            for (module, mean) in means.take() {
                tensors.insert(key(&expert.id, &module), vector(&mean));
            }
            eprintln!("gander: average-activation: {}", expert.id);
        }
        Ok(tensors)
    }

    fn embeddings(&mut self) -> Result<Tensors> {
        let mut tensors = Tensors::new();
        let d_model = self.session.model().config.d_model;
        for expert in self.session.experts().to_vec() {
            let lines = lines(&self.sets, self.most, &expert)?;
            let mut bytes = Vec::new();
            for line in lines {
                let embedding = embedding(&mut self.session, &line.input)?;
                let length = embedding.iter().map(|value| value * value).sum::<f32>().sqrt();
                // Of length 1, as only directions are compared; so 16 bits are fine enough.
                bytes.extend(embedding.iter().flat_map(|value| f16::from_f32(value / length).to_le_bytes()));
            }
            tensors.insert(examples_key(&expert.id), (Dtype::F16, vec![lines.len(), d_model], bytes));
            eprintln!("gander: retrieval: {}", expert.id);
        }
        Ok(tensors)
    }
}

/// The examples of an expert that are used.
fn lines<'a>(sets: &'a BTreeMap<String, DataSet>, most: usize, expert: &Expert) -> Result<&'a [Line]> {
    let Some(set) = sets.get(expert.own_id()) else {
        let problem = format!("there are no examples of the expert {:?}", expert.id);
        return Err(Error::new(ErrorCode::InvalidOption, "--examples", problem, "ID=FILE for every expert"));
    };
    Ok(&set.lines[..set.lines.len().min(most)])
}

/// The first of its right answers.
fn target(line: &Line) -> &str {
    match &line.task {
        Task::Write(targets) => &targets[0],
        Task::Choose { choices, right } => &choices[right[0]],
    }
}

fn vector(values: &[f32]) -> (Dtype, Vec<usize>, Vec<u8>) {
    (Dtype::F32, vec![values.len()], values.iter().flat_map(|value| value.to_le_bytes()).collect())
}
