//! How near the CPU device's kernels are to what the machine can do: products against the same instruction on registers, a token
//! against memory read from end to end. One thread.
//!
//! ```text
//! cargo bench --bench cpu -- --record FILE
//! ```
//!
//! A kernel and its limit take turns, and of both the best of the rounds counts: what disturbs only ever makes slower.

mod decode;
mod kernels;
mod peak;

use std::fmt::Write;
use std::path::PathBuf;

use clap::Parser;

use decode::Decode;
use peak::{Limit, read_bandwidth};

#[derive(Parser)]
struct Options {
    /// Rounds of each measurement
    #[arg(long, default_value_t = 50)]
    repeat: usize,
    /// Writes what was measured to this file too
    #[arg(long)]
    record: Option<PathBuf>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let mut text = head(&options);
    let limits = [Limit::Panels, Limit::Factors, Limit::Floats];
    for limit in limits {
        let peak = best(options.repeat, || limit.measure());
        writeln!(text, "- {}: {:.1} GMAC/s", limit.instruction(), peak / 1e9).expect("a string grows");
    }
    text += "\n| kernel | GMAC/s | of its instruction | share |\n|---|---|---|---|\n";
    println!("{text}");
    for mut case in kernels::cases() {
        let (mut found, mut peak) = (0.0f64, 0.0f64);
        for _ in 0..options.repeat {
            peak = peak.max(case.limit.measure());
            found = found.max(case.measure());
        }
        let [found, peak] = [found, peak].map(|rate| rate / 1e9);
        let row = format!("| {} | {found:.1} | {peak:.1} | {:.0} % |", case.name, 100.0 * found / peak);
        println!("{row}");
        text += &(row + "\n");
    }
    let header = "\n| a token of | MB of weights | ms | GB/s | GB/s read from end to end | share |\n|---|---|---|---|---|---|\n";
    println!("{header}");
    text += header;
    for (name, round) in kernels::FORMATS {
        let row = decode_row(name, &mut Decode::new(round), options.repeat);
        println!("{row}");
        text += &(row + "\n");
    }
    if let Some(path) = &options.record {
        std::fs::write(path, text).expect("the record can be written");
    }
}

/// A token, and as many bytes as it reads, in turn.
fn decode_row(name: &str, decode: &mut Decode, repeat: usize) -> String {
    let memory: Vec<u64> = (0..decode.bytes as u64 / 8).collect();
    let (mut seconds, mut bandwidth) = (f64::INFINITY, 0.0f64);
    for _ in 0..repeat {
        bandwidth = bandwidth.max(read_bandwidth(&memory));
        seconds = seconds.min(decode.measure());
    }
    let rate = decode.bytes as f64 / seconds;
    format!(
        "| {name} | {:.1} | {:.2} | {:.1} | {:.1} | {:.0} % |",
        decode.bytes as f64 / 1e6,
        1e3 * seconds,
        rate / 1e9,
        bandwidth / 1e9,
        100.0 * rate / bandwidth
    )
}

fn best(repeat: usize, mut measure: impl FnMut() -> f64) -> f64 {
    (0..repeat).map(|_| measure()).fold(0.0, f64::max)
}

fn head(options: &Options) -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = "# The CPU device's kernels against what the machine can do\n\n".to_owned();
    writeln!(
        text,
        "- {}, {cores} cores; one thread, {} rounds, the best of each",
        name.unwrap_or(std::env::consts::ARCH),
        options.repeat
    )
    .expect("a string grows");
    text += "- again: `cargo bench --bench cpu`\n";
    text
}
