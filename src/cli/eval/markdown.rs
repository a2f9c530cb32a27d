//! The figures as Markdown tables.

use std::fmt::Write;

use super::statistics::Interval;
use super::summary::{Block, BlockKind, Figures, Summary};

/// `summary.md`
pub fn markdown(summary: &Summary) -> String {
    let mut text = String::from("# Strategies compared\n\n");
    let line = |text: &mut String, cells: &[String]| {
        writeln!(text, "| {} |", cells.join(" | ")).expect("a String takes everything");
    };
    text += &format!(
        "Right answers in percent, with 95 % intervals of {} bootstrap resamples. A block of several sets is the mean of \
         theirs.\n\n",
        summary.resamples
    );
    let head = |first: &str, others: &[String]| [vec![first.to_owned()], others.to_vec()].concat();
    let names: Vec<String> =
        summary.blocks.iter().map(|block| format!("{} ({})", title(block), block.lines)).collect();
    line(&mut text, &head("strategy", &names));
    line(&mut text, &vec!["---".to_owned(); names.len() + 1]);
    for (at, figures) in summary.blocks[0].results.iter().enumerate() {
        let cells: Vec<String> =
            summary.blocks.iter().map(|block| interval(&block.results[at].score)).collect();
        line(&mut text, &head(&figures.strategy, &cells));
    }
    text += &format!("\n## Points above {}\n\nOn the same lines: paired resamples.\n\n", summary.against);
    line(&mut text, &head("strategy", &names));
    line(&mut text, &vec!["---".to_owned(); names.len() + 1]);
    for (at, figures) in summary.blocks[0].results.iter().enumerate() {
        if figures.strategy != summary.against {
            let cells: Vec<String> =
                summary.blocks.iter().map(|block| signed(&block.results[at].difference)).collect();
            line(&mut text, &head(&figures.strategy, &cells));
        }
    }
    let first = &summary.blocks[0];
    text += &format!("\n## How, and at what cost: {}\n\n", title(first));
    line(&mut text, &COST_HEADS.map(str::to_owned));
    line(&mut text, &vec!["---".to_owned(); COST_HEADS.len()]);
    for figures in &first.results {
        line(&mut text, &costs(figures));
    }
    text += "\nFor each line: milliseconds on this machine, pages that were wanted and their \
             size (what a first visitor fetches).\n";
    for (label, what) in &summary.derived {
        text += &format!("\n`{label}`: {what}.\n");
    }
    text += "\n## Who served\n\nThe experts' shares of the weight in percent.\n\n";
    let experts: Vec<String> = experts(first);
    line(&mut text, &head("strategy", &experts));
    line(&mut text, &vec!["---".to_owned(); experts.len() + 1]);
    for figures in first.results.iter().filter(|figures| is_routed(figures)) {
        let share = |expert: &String| percent(figures.usage.get(expert).copied().unwrap_or(0.0));
        line(&mut text, &head(&figures.strategy, &experts.iter().map(share).collect::<Vec<_>>()));
    }
    text
}

/// Whether it used several experts.
pub fn is_routed(figures: &Figures) -> bool {
    figures.usage.len() > 1
}

/// All experts that anybody used.
pub fn experts(block: &Block) -> Vec<String> {
    let used = block.results.iter().flat_map(|figures| figures.usage.keys().cloned());
    used.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// What people call a block.
pub fn title(block: &Block) -> String {
    match block.kind {
        BlockKind::All => "all sets".to_owned(),
        BlockKind::Folder => format!("{}/", block.name),
        BlockKind::Set => block.name.clone(),
    }
}

/// What [`costs`] are.
pub const COST_HEADS: [&str; 10] = [
    "strategy",
    "token accuracy",
    "ROUGE-L",
    "usage entropy, bits",
    "weight entropy, bits",
    "oracle's weight, %",
    "agrees with oracle, %",
    "ms",
    "pages",
    "KB",
];

/// The figures of a strategy beside its score.
pub fn costs(figures: &Figures) -> [String; 10] {
    let optional = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), percent);
    [
        figures.strategy.clone(),
        optional(figures.token_accuracy),
        optional(figures.rouge_l),
        format!("{:.2}", figures.usage_entropy_bits),
        format!("{:.2}", figures.weight_entropy_bits),
        optional(figures.oracle_weight),
        optional(figures.oracle_agreement),
        format!("{:.1}", figures.milliseconds),
        format!("{:.1}", figures.pages),
        format!("{:.0}", figures.bytes / 1e3),
    ]
}

/// A share in percent.
pub fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

/// `75.5 (69.5–81.0)`
pub fn interval(interval: &Interval) -> String {
    format!("{} ({}–{})", percent(interval.mean), percent(interval.low), percent(interval.high))
}

/// `+1.5 (−0.5 to +3.5)`
pub fn signed(interval: &Interval) -> String {
    let signed = |share: f64| format!("{:+.1}", 100.0 * share).replace('-', "−");
    format!("{} ({} to {})", signed(interval.mean), signed(interval.low), signed(interval.high))
}
