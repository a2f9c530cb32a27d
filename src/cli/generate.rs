//! `gander generate`: an answer, and on request everything that led to it.

use clap::Args;
use gander::Result;
use gander::sampling::Sampling;
use gander::session::{Request, RoutedToken, Session, Step, Work};
use serde::Serialize;

use super::question::Question;
use super::{host, show, show_json};

/// Arguments of `gander generate`.
#[derive(Debug, Args)]
pub struct Generate {
    #[command(flatten)]
    question: Question,
    /// Most tokens to produce
    #[arg(long, value_name = "N", default_value_t = Request::default().max_new_tokens)]
    max_new_tokens: usize,
    /// Randomness of the choice of tokens; 0 takes the most likely
    #[arg(long, default_value_t = Sampling::default().temperature)]
    temperature: f32,
    /// Draw from the most likely N tokens only; 0 means all
    #[arg(long, value_name = "N", default_value_t = Sampling::default().top_k)]
    sampling_top_k: usize,
    /// Draw from the fewest most likely tokens that have this probability together
    #[arg(long, default_value_t = Sampling::default().top_p)]
    top_p: f32,
    /// Divide the logits of tokens already produced; 1 does nothing
    #[arg(long, default_value_t = Sampling::default().repetition_penalty)]
    repetition_penalty: f32,
    /// Seed of the random numbers
    #[arg(long, default_value_t = Sampling::default().seed)]
    seed: u64,
    /// End the answer where one of these strings appears
    #[arg(long, value_name = "STRING", num_args = 1..)]
    stop: Vec<String>,
    /// Print one JSON object instead of the text
    #[arg(long)]
    json: bool,
    /// With --json: the logits of the first token
    #[arg(long, requires = "json")]
    logits: bool,
    /// With --json: the experts of every token and layer
    #[arg(long, requires = "json")]
    trace: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    input_ids: &'a [u32],
    output_ids: &'a [u32],
    text: Option<&'a str>,
    finish: &'static str,
    device: &'static str,
    device_reason: &'a str,
    pages: Pages,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_logits: Option<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing: Option<&'a [RoutedToken]>,
}

#[derive(Serialize)]
struct Pages {
    count: usize,
    bytes: usize,
    passes: usize,
    wanted: usize,
    skipped: usize,
}

/// Runs the command.
pub fn run(arguments: &Generate) -> Result<()> {
    let (mut session, reason) = arguments.question.open()?;
    session.start(arguments.request()?)?;
    let mut first_logits = None;
    let mut routing: Vec<RoutedToken> = Vec::new();
    let finish = loop {
        match host::step(&mut session)? {
            Step::Token(token) => {
                if session.output_ids().len() == 1 {
                    first_logits = arguments.logits.then(|| session.logits()).transpose()?;
                    routing.extend(session.encoder_routing());
                }
                routing.extend(token.routing);
                if !arguments.json {
                    show(&token.text)?;
                }
            }
            Step::Done(finish) => break finish,
            Step::Missing(_) => unreachable!("the host provides what is missing"),
        }
    };
    if arguments.json {
        let Work { passes, pages_provided, bytes_provided, pages_wanted, pages_skipped, .. } = session.work();
        let report = Report {
            input_ids: session.input_ids(),
            output_ids: session.output_ids(),
            text: session.text(),
            finish: finish.as_str(),
            device: session.devices().name(),
            device_reason: &reason,
            pages: Pages {
                count: pages_provided,
                bytes: bytes_provided,
                passes,
                wanted: pages_wanted,
                skipped: pages_skipped,
            },
            first_logits,
            routing: arguments.trace.then_some(&routing),
        };
        return show_json(&report);
    }
    show(&plain_end(&session))
}

/// Text goes out without a line end; a base without a tokenizer has said nothing yet.
fn plain_end(session: &Session) -> String {
    match session.text() {
        Some(_) => "\n".to_owned(),
        None => {
            let ids: Vec<String> = session.output_ids().iter().map(u32::to_string).collect();
            format!("{}\n", ids.join(","))
        }
    }
}

impl Generate {
    fn request(&self) -> Result<Request> {
        Ok(Request {
            max_new_tokens: self.max_new_tokens,
            sampling: Sampling {
                repetition_penalty: self.repetition_penalty,
                temperature: self.temperature,
                top_k: self.sampling_top_k,
                top_p: self.top_p,
                seed: self.seed,
            },
            stop: self.stop.clone(),
            trace: self.trace,
            ..self.question.request()?
        })
    }
}
