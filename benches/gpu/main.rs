//! How fast a flan-t5-small of random weights is on the GPU, beside the CPU in the same run, with 0 to 512 experts.
//!
//! ```text
//! cargo bench --bench gpu -- --tokens 64,512 --experts 0,8,64,512 --record benches/record/2026-11-24-gpu-native.md
//! cargo bench --bench gpu -- --kernels --tokens 64
//! ```
//!
//! An answer is timed from outside, through the session, as a user gets it. The devices take turns, so that a machine that
//! becomes slow is slow for both.

mod answer;
mod bandwidth;
mod kernels;
mod ocean;
mod record;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use gander::device::Device;
use gander::session::now;

use answer::{Answer, Subject};

#[derive(Parser)]
struct Options {
    /// Tokens in
    #[arg(long, value_delimiter = ',', default_values_t = [64, 512])]
    tokens: Vec<usize>,
    /// Experts whose gates are resident
    #[arg(long, value_delimiter = ',', default_values_t = [0, 8, 64, 512])]
    experts: Vec<usize>,
    /// Rounds of each measurement
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// No further round of a measurement begins after so many seconds
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Devices, in the order in which they take turns
    #[arg(long, value_delimiter = ',', default_values_t = ["gpu".to_owned(), "cpu".to_owned()])]
    devices: Vec<String>,
    /// Times single kernels on the first device instead of whole answers
    #[arg(long)]
    kernels: bool,
    /// Writes what was measured to this file too
    #[arg(long)]
    record: Option<PathBuf>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let bandwidths: Vec<f64> = options.devices.iter().map(|name| bandwidth::of(name)).collect();
    if options.kernels {
        let timed = kernels::measure(open(&options.devices[0]), &options);
        options.write(&record::kernels(&options.devices[0], &timed));
        return;
    }
    let mut lines = Vec::new();
    for &experts in &options.experts {
        for &tokens in &options.tokens {
            lines.extend(compare(&options, experts, tokens, &bandwidths));
            // Each time anew: who gives up waiting keeps what there is.
            options.write(&record::answers(&options.devices, &bandwidths, &lines));
        }
    }
}

impl Options {
    fn write(&self, record: &str) {
        if let Some(path) = &self.record {
            std::fs::write(path, record).expect("the record can be written");
        }
    }
}

fn open(name: &str) -> Device {
    match name {
        "cpu" => Device::cpu(),
        "gpu" => now(Device::gpu()).expect("there is a GPU, be it in software"),
        _ => panic!("--devices: {name:?}; expected gpu or cpu"),
    }
}

/// One line for each device: the medians over the rounds.
fn compare(options: &Options, experts: usize, tokens: usize, bandwidths: &[f64]) -> Vec<record::Line> {
    let mut subjects: Vec<Subject> =
        options.devices.iter().map(|name| Subject::new(open(name), experts, tokens)).collect();
    let mut answers: Vec<Vec<Answer>> = subjects.iter().map(|_| Vec::new()).collect();
    let start = Instant::now();
    for round in 0..options.repeat {
        if round > 0 && start.elapsed() > Duration::from_secs_f64(options.seconds) {
            break;
        }
        for (subject, answers) in subjects.iter_mut().zip(&mut answers) {
            answers.push(subject.answer());
        }
    }
    let lines = options.devices.iter().zip(bandwidths).zip(&answers).map(|((device, bandwidth), answers)| {
        record::Line::new(device, experts, tokens, *bandwidth, answers)
    });
    lines.inspect(record::Line::print).collect()
}
