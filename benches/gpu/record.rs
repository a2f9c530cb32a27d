//! What was measured, as lines on the screen and as tables in a file.

use std::fmt::Write;

use gander::device::Device;

use crate::answer::Answer;
use crate::ocean::{RANK, config};

/// Medians of the answers of one device with so many experts and tokens.
pub struct Line {
    device: String,
    experts: usize,
    tokens: usize,
    rounds: usize,
    start_ms: f64,
    encoder_ms: f64,
    token_ms: f64,
    encoder_floor: f64,
    token_floor: f64,
    encoder_dispatches: f64,
    token_dispatches: f64,
    token_submissions: f64,
    token_objects: usize,
}

impl Line {
    pub fn new(device: &str, experts: usize, tokens: usize, bandwidth: f64, answers: &[Answer]) -> Line {
        let median_of = |value: &dyn Fn(&Answer) -> f64| median(answers.iter().map(value).collect());
        let (encoder_ms, token_ms) = (median_of(&Answer::encoder_ms), median_of(&|answer| answer.token_ms));
        let last = answers.last().expect("at least one round");
        let per_token = |count: usize| count as f64 / Answer::FURTHER_TOKENS;
        let token_dispatches = per_token(last.after_first.dispatches);
        Line {
            device: device.to_owned(),
            experts,
            tokens,
            rounds: answers.len(),
            start_ms: median_of(&|answer| answer.start_ms),
            encoder_ms,
            token_ms,
            encoder_floor: bytes::encoder(experts, tokens) / bandwidth * 1e3 / encoder_ms,
            token_floor: bytes::token(experts, tokens) / bandwidth * 1e3 / token_ms,
            encoder_dispatches: last.until_first.dispatches as f64 - token_dispatches,
            token_dispatches,
            token_submissions: per_token(last.after_first.submissions),
            token_objects: last.after_first.objects,
        }
    }

    pub fn print(&self) {
        println!("{}", self.row());
    }

    fn row(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {:.1} | {:.1} | {:.1} % | {:.0} | {:.2} | {:.1} | {:.1} % | {:.0} | {:.3} | {} |",
            self.device,
            self.experts,
            self.tokens,
            self.rounds,
            self.start_ms,
            self.encoder_ms,
            100.0 * self.encoder_floor,
            self.encoder_dispatches,
            self.token_ms,
            1e3 / self.token_ms,
            100.0 * self.token_floor,
            self.token_dispatches,
            self.token_submissions,
            self.token_objects,
        )
    }
}

const HEADER: &str = "\
| device | experts | tokens in | rounds | start ms | encoder ms | of its floor | dispatches | ms a token | tokens/s | of its floor | dispatches a token | submissions a token | objects made |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// The record of whole answers.
pub fn answers(devices: &[String], bandwidths: &[f64], lines: &[Line]) -> String {
    let mut text = head("The GPU device, beside the CPU");
    for (device, bandwidth) in devices.iter().zip(bandwidths) {
        writeln!(text, "- {device}: copies {:.1} GB/s (read and written)", bandwidth / 1e9).unwrap();
    }
    writeln!(text, "\n{HEADER}{}", rows(lines.iter().map(Line::row))).unwrap();
    writeln!(text, "What routing adds, in the same run:\n").unwrap();
    writeln!(text, "| device | experts | tokens in | encoder | token |\n|---|---|---|---|---|").unwrap();
    for line in lines.iter().filter(|line| line.experts > 0) {
        let is_base =
            |base: &&Line| base.experts == 0 && base.device == line.device && base.tokens == line.tokens;
        let Some(base) = lines.iter().find(is_base) else { continue };
        let more = |with: f64, without: f64| 100.0 * (with / without - 1.0);
        let (encoder, token) = (more(line.encoder_ms, base.encoder_ms), more(line.token_ms, base.token_ms));
        let Line { device, experts, tokens, .. } = line;
        writeln!(text, "| {device} | {experts} | {tokens} | {encoder:+.0} % | {token:+.0} % |").unwrap();
    }
    text
}

/// One kernel in one shape.
pub struct Timed {
    pub name: String,
    pub tokens: usize,
    pub seconds: f64,
    pub multiplications: f64,
}

impl Timed {
    pub fn print(&self) {
        println!("{}", self.row());
    }

    fn row(&self) -> String {
        let rate = 2.0 * self.multiplications / self.seconds / 1e9;
        format!("| {} | {} | {:.3} | {rate:.2} |", self.name, self.tokens, 1e3 * self.seconds)
    }
}

/// The record of single kernels.
pub fn kernels(device: &str, timed: &[Timed]) -> String {
    let header = "| kernel | tokens | ms | GFLOP/s |\n|---|---|---|---|\n";
    format!("{}- on {device}\n\n{header}{}\n", head("Single kernels"), rows(timed.iter().map(Timed::row)))
}

fn rows(rows: impl Iterator<Item = String>) -> String {
    rows.fold(String::new(), |text, row| text + &row + "\n")
}

fn head(title: &str) -> String {
    let mut text = format!("# {title}\n\n");
    if let Ok(Device::Gpu(gpu)) = gander::session::now(Device::gpu()) {
        let adapter = gpu.adapter();
        let kind = if adapter.is_software {
            ", software: a CPU that plays a GPU. Its times say nothing of GPUs; its counts do"
        } else {
            ""
        };
        writeln!(text, "- gpu: {} by {}{kind}", adapter.name, adapter.backend).unwrap();
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    writeln!(text, "- machine: {}, {cores} cores, shared with other work", processor()).unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    writeln!(text, "- again: `cargo bench --bench gpu -- {}`", arguments.join(" ")).unwrap();
    text
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    name.unwrap_or(std::env::consts::ARCH).to_owned()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// What must be read at least once: weights, gates, LoRA factors of two experts, keys and values.
mod bytes {
    use super::{RANK, config};

    /// Q8_0 has 34 bytes to 32 weights.
    const WEIGHT: f64 = 34.0 / 32.0;
    const FLOAT: f64 = 4.0;
    const TOP_K: f64 = 2.0;

    /// (d_in, d_out) of the layers of an encoder block; a decoder block has two more, and keys and values.
    fn layers() -> Vec<(f64, f64)> {
        let config = config();
        let (d, inner, d_ff) =
            (config.d_model as f64, (config.num_heads * config.d_kv) as f64, config.d_ff as f64);
        vec![(d, inner), (d, inner), (d, inner), (inner, d), (d, d_ff), (d, d_ff), (d_ff, d)]
    }

    fn decoder_layers() -> Vec<(f64, f64)> {
        let [q, o] = [layers()[0], layers()[3]];
        [layers(), vec![q, o]].concat()
    }

    fn weights(layers: &[(f64, f64)]) -> f64 {
        WEIGHT * layers.iter().map(|(d_in, d_out)| d_in * d_out).sum::<f64>()
    }

    fn gates(layers: &[(f64, f64)], experts: usize) -> f64 {
        FLOAT * experts as f64 * layers.iter().map(|(d_in, _)| d_in).sum::<f64>()
    }

    fn factors(layers: &[(f64, f64)], experts: f64) -> f64 {
        FLOAT * experts * RANK as f64 * layers.iter().map(|(d_in, d_out)| d_in + d_out).sum::<f64>()
    }

    /// The encoder: every weight once, every gate once, the factors of the eight experts that win.
    pub fn encoder(experts: usize, _tokens: usize) -> f64 {
        let config = config();
        let blocks = [vec![layers(); config.num_layers].concat(), cross()].concat();
        weights(&blocks) + gates(&blocks, experts) + factors(&blocks, experts.min(8) as f64)
    }

    /// One token: every weight of the decoder and the head once, and keys and values of the input.
    pub fn token(experts: usize, tokens: usize) -> f64 {
        let config = config();
        let blocks = vec![decoder_layers(); config.num_decoder_layers].concat();
        let head = WEIGHT * (config.d_model * config.vocab_size) as f64;
        let keys = FLOAT * tokens as f64 * cross().iter().map(|(_, d_out)| d_out).sum::<f64>();
        let served = TOP_K.min(experts as f64);
        weights(&blocks) + head + gates(&blocks, experts) + factors(&blocks, served) + keys
    }

    /// Keys and values of cross-attention.
    fn cross() -> Vec<(f64, f64)> {
        vec![layers()[0]; 2 * config().num_decoder_layers]
    }
}
