//! `gander score`: how likely each of some given answers is.

use clap::Args;
use gander::session::{ScoreStep, Scored};
use gander::{Error, ErrorCode, Result};
use serde::Serialize;

use super::question::Question;
use super::{host, show, show_json};

/// Arguments of `gander score`.
#[derive(Debug, Args)]
pub struct Score {
    #[command(flatten)]
    question: Question,
    /// A possible answer; given once for each
    #[arg(long, value_name = "TEXT", required_unless_present = "choice_ids", allow_hyphen_values = true)]
    choice: Vec<String>,
    /// A possible answer as token ids, end token included
    #[arg(long, value_name = "5,9,1", conflicts_with = "choice")]
    choice_ids: Vec<String>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    input_ids: &'a [u32],
    /// Index of the choice that is likeliest by its mean over the tokens.
    best: usize,
    choices: Vec<Choice<'a>>,
    device: &'static str,
    device_reason: &'a str,
}

#[derive(Serialize)]
struct Choice<'a> {
    text: Option<&'a str>,
    ids: &'a [u32],
    log_likelihood: f64,
    per_token: f64,
    log_likelihoods: &'a [f64],
}

/// Runs the command.
pub fn run(arguments: &Score) -> Result<()> {
    let (mut session, reason) = arguments.question.open()?;
    let choices = arguments.choices(&session)?;
    session.start_scoring(arguments.question.request()?, choices)?;
    let mut scored: Vec<Scored> = Vec::new();
    loop {
        match session.score()? {
            ScoreStep::Missing(pages) => host::provide(&mut session, &pages)?,
            ScoreStep::Token => {}
            ScoreStep::Scored(choice) => scored.push(choice),
            ScoreStep::Done => break,
        }
    }
    let best = best(&scored);
    let choices: Vec<Choice> = (scored.iter().enumerate())
        .map(|(index, scored)| Choice {
            text: arguments.choice.get(index).map(String::as_str),
            ids: &scored.ids,
            log_likelihood: scored.log_likelihood(),
            per_token: scored.per_token(),
            log_likelihoods: &scored.log_likelihoods,
        })
        .collect();
    if arguments.json {
        let (input_ids, device) = (session.input_ids(), session.devices().name());
        let report = Report { input_ids, best, choices, device, device_reason: &reason };
        return show_json(&report);
    }
    show("   per token        sum  choice\n")?;
    for (index, choice) in choices.iter().enumerate() {
        let mark = if index == best { '>' } else { ' ' };
        let ids = || choice.ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let name = choice.text.map_or_else(ids, str::to_owned);
        show(&format!("{mark} {:>10.4} {:>10.4}  {name}\n", choice.per_token, choice.log_likelihood))?;
    }
    Ok(())
}

/// The likeliest by its mean over the tokens; the first of equals.
pub fn best(scored: &[Scored]) -> usize {
    let better = |best: usize, index: usize| {
        if scored[index].per_token() > scored[best].per_token() { index } else { best }
    };
    (1..scored.len()).fold(0, better)
}

impl Score {
    fn choices(&self, session: &gander::session::Session) -> Result<Vec<Vec<u32>>> {
        let invalid = |ids: &str| {
            Error::new(ErrorCode::InvalidOption, "choice ids", format!("{ids:?}"), "numbers between commas")
        };
        let parse =
            |ids: &String| ids.split(',').map(|id| id.trim().parse().map_err(|_| invalid(ids))).collect();
        match self.choice_ids.is_empty() {
            true => self.choice.iter().map(|text| session.choice_ids(text)).collect(),
            false => self.choice_ids.iter().map(parse).collect(),
        }
    }
}
