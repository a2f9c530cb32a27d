//! Which model, what it is asked, and how its experts are chosen: the arguments of every command that computes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gander::device_choice::DeviceChoice;
use gander::kernels::route::Thresholds;
use gander::session::{OnMiss, Request, Session, Strategy};
use gander::{Error, ErrorCode, Result};

use super::host;

/// A base and its experts.
#[derive(Debug, Args)]
pub struct Model {
    /// The base: a Hugging Face folder or a GGUF file
    #[arg(long, value_name = "PATH")]
    pub base: PathBuf,
    /// Catalogues and PEFT folders
    #[arg(long, value_name = "CATALOG|EXPERT_DIR", num_args = 1..)]
    pub experts: Vec<PathBuf>,
    /// What computes
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    device: DeviceName,
    /// Threads of the CPU; the default is a thread for each core. One answer takes at most eight
    #[arg(long, value_name = "N", default_value_t = default_threads(), value_parser = thread_count)]
    pub threads: usize,
}

/// A thread for each core.
pub fn default_threads() -> usize {
    num_cpus::get_physical().min(num_cpus::get()).max(1)
}

fn thread_count(text: &str) -> std::result::Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| "expected 1 or more".to_owned())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DeviceName {
    /// For each part of the model the faster of the CPU and a real GPU
    Auto,
    Cpu,
    Gpu,
    /// The encoder on a GPU, the decoder on the CPU
    #[value(name = "gpu+cpu")]
    Split,
}

impl From<DeviceName> for DeviceChoice {
    fn from(name: DeviceName) -> Self {
        match name {
            DeviceName::Auto => DeviceChoice::Auto,
            DeviceName::Cpu => DeviceChoice::Cpu,
            DeviceName::Gpu => DeviceChoice::Gpu,
            DeviceName::Split => DeviceChoice::Split,
        }
    }
}

impl Model {
    /// A session over the model, with what these strategies need, and why it is on the device that it is on.
    pub fn open(&self, strategies: &[Strategy]) -> Result<(Session, String)> {
        self.open_on(self.device.into(), self.threads, strategies)
    }

    /// The same on another device than the one that was asked for, or on other threads.
    pub fn open_on(
        &self,
        device: DeviceChoice,
        threads: usize,
        strategies: &[Strategy],
    ) -> Result<(Session, String)> {
        host::open(device, threads, &self.base, &self.experts, strategies)
    }

    /// The device that was asked for.
    pub fn device(&self) -> DeviceChoice {
        self.device.into()
    }
}

/// What goes in.
#[derive(Debug, Args)]
struct Input {
    /// The input
    #[arg(
        long,
        required_unless_present = "input_ids",
        conflicts_with = "input_ids",
        allow_hyphen_values = true
    )]
    text: Option<String>,
    /// The input as token ids, taken as they are
    #[arg(long, value_name = "5,9,1", value_delimiter = ',', num_args = 0..)]
    input_ids: Option<Vec<u32>>,
}

/// How experts are chosen.
#[derive(Debug, Args)]
struct Routing {
    /// Experts for each token and layer [default: what the catalogue says, or 2]
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// How experts are chosen: phatgoose, gated, none (the base alone), single:ID, merged, random, average-activation, arrow,
    /// spectr or retrieval
    #[arg(long, default_value = "phatgoose")]
    strategy: String,
    #[command(flatten)]
    rules: Rules,
}

/// Who may be chosen, and what is worth its cost.
#[derive(Debug, Args)]
pub struct Rules {
    /// Only these experts
    #[arg(long, value_name = "ID", num_args = 1..)]
    include: Vec<String>,
    /// Not these experts
    #[arg(long, value_name = "ID", num_args = 1..)]
    exclude: Vec<String>,
    /// Add to the scores of an expert: above 0 it is chosen more often, below 0 less
    #[arg(long, value_name = "ID=NUMBER", num_args = 1.., value_parser = bias)]
    bias: Vec<(String, f32)>,
    /// Drop experts whose weight is below this, and share it among the others; the best stays
    #[arg(long, value_name = "0..1", default_value_t = 0.0)]
    min_weight: f32,
    /// Leave a token to the base where its experts have less than this share of a softmax over all
    #[arg(long, value_name = "0..1", default_value_t = 0.0)]
    min_share: f32,
    /// Where a chosen expert's page is absent: wait for it, or skip it and read it behind the step
    #[arg(long, value_name = "wait|skip", default_value = "wait")]
    on_miss: String,
}

impl Rules {
    /// A request with these rules.
    pub fn request(&self) -> Result<Request> {
        Ok(Request {
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            bias: self.bias.iter().cloned().collect(),
            thresholds: Thresholds { weight: self.min_weight, share: self.min_share },
            on_miss: OnMiss::parse(&self.on_miss)?,
            ..Request::default()
        })
    }
}

fn bias(argument: &str) -> Result<(String, f32)> {
    // An id may have an equals sign in it, a number may not.
    let parsed = argument.rsplit_once('=').and_then(|(id, value)| Some((id.to_owned(), value.parse().ok()?)));
    parsed.ok_or_else(|| Error::new(ErrorCode::InvalidOption, "bias", argument.to_owned(), "ID=NUMBER"))
}

/// A model, what it is asked, and how its experts are chosen.
#[derive(Debug, Args)]
pub struct Question {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    routing: Routing,
}

impl Question {
    /// A session over the model, and why it is on the device that it is on.
    pub fn open(&self) -> Result<(Session, String)> {
        self.model.open(&[Strategy::parse(&self.routing.strategy)?])
    }

    /// The request; how the answer is to be drawn is the default.
    pub fn request(&self) -> Result<Request> {
        let Question { input, routing, .. } = self;
        Ok(Request {
            text: input.text.clone(),
            input_ids: input.input_ids.clone(),
            top_k: routing.top_k,
            strategy: Strategy::parse(&routing.strategy)?,
            ..routing.rules.request()?
        })
    }
}
