//! The report for people: one HTML file, with its style and charts inside, light and dark.

use super::charts::{self, Point, Row};
use super::markdown::{COST_HEADS, costs, experts, interval, is_routed, signed, title};
use super::statistics::Interval;
use super::summary::{Block, BlockKind, Figures, Summary};

/// `report.html`
pub fn report(summary: &Summary) -> String {
    let first = &summary.blocks[0];
    let lines: usize =
        summary.blocks.iter().filter(|block| block.kind == BlockKind::Set).map(|block| block.lines).sum();
    let sets = summary.blocks.iter().filter(|block| block.kind == BlockKind::Set).count();
    let mut body = String::new();
    body += "<h1>Routing strategies compared</h1>";
    body += &format!(
        "<p>{lines} lines in {} by {} strategies. Figures are right answers in percent: an exact match, or the right choice. \
         Intervals cover 95 of 100 cases, by {} bootstrap resamples of the lines.</p>",
        count(sets, "set"),
        first.results.len(),
        summary.resamples,
    );
    body += &format!("<h2>{}</h2>", escape(&title(first)));
    body += &figure(&intervals_of(summary, first), "Share of right answers, with 95 % intervals.");
    body += &explanations(summary);
    body += "<h2>Every set</h2><div class=\"charts\">";
    for block in &summary.blocks[1..] {
        body += &format!(
            "<figure><h3>{} <span class=\"soft\">({})</span></h3>",
            escape(&title(block)),
            count(block.lines, "line")
        );
        body += &format!("{}</figure>", intervals_of(summary, block));
    }
    body += "</div><h2>All figures</h2>";
    body += &scores(summary);
    body += &format!("<h2>Points above {}</h2>", escape(&summary.against));
    body += "<p class=\"soft\">On the same lines, by paired resamples. Coloured where the interval leaves out zero.</p>";
    body += &differences(summary);
    body += &format!("<h2>How, and at what cost: {}</h2>", escape(&title(first)));
    body += &cost_table(first);
    body += &over_k(summary, first);
    body += &over_bytes(summary, first);
    body += &who_served(summary);
    let run = serde_json::to_string_pretty(&summary.run).expect("it came from JSON");
    body += &format!("<h2>What was run</h2><pre>{}</pre>", escape(&run));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Routing strategies compared</title><style>{}</style></head><body>{body}</body></html>\n",
        include_str!("report.css"),
    )
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// How a strategy is drawn.
fn class(summary: &Summary, label: &str) -> &'static str {
    match label {
        label if label == summary.against => "own",
        label if summary.derived.contains_key(label) => "derived",
        _ => "other",
    }
}

fn intervals_of(summary: &Summary, block: &Block) -> String {
    let row = |figures: &'_ Figures| (figures.strategy.clone(), figures.score);
    let rows: Vec<(String, Interval)> = block.results.iter().map(row).collect();
    let rows: Vec<Row> = (rows.iter())
        .map(|(label, interval)| Row { label, interval: *interval, class: class(summary, label) })
        .collect();
    charts::intervals(&format!("right answers, {}", title(block)), &rows)
}

fn figure(svg: &str, caption: &str) -> String {
    format!("<figure>{svg}<figcaption>{}</figcaption></figure>", escape(caption))
}

fn explanations(summary: &Summary) -> String {
    let item = |(label, what): (&String, &&str)| {
        format!("<dt><b>{}</b></dt><dd>{}.</dd>", escape(label), escape(what))
    };
    format!("<dl>{}</dl>", summary.derived.iter().map(item).collect::<String>())
}

/// A table: its head, and a row for each strategy that `cells` has something for.
fn table(
    summary: &Summary,
    head: &[String],
    cells: impl Fn(usize, &Figures) -> Option<Vec<String>>,
) -> String {
    let head: String = head.iter().map(|cell| format!("<th>{}</th>", escape(cell))).collect();
    let row = |(at, figures): (usize, &Figures)| {
        let cells: String = cells(at, figures)?.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        let (class, label) = (class(summary, &figures.strategy), escape(&figures.strategy));
        Some(format!("<tr class=\"{class}\"><th>{label}</th>{cells}</tr>"))
    };
    let rows: String = summary.blocks[0].results.iter().enumerate().filter_map(row).collect();
    format!("<div class=\"table\"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>")
}

fn block_heads(summary: &Summary) -> Vec<String> {
    std::iter::once("strategy".to_owned()).chain(summary.blocks.iter().map(title)).collect()
}

fn scores(summary: &Summary) -> String {
    let cell = |score: &Interval| {
        let text = interval(score);
        let (mean, range) = text.split_once(' ').unwrap_or((&text, ""));
        format!("{mean} <small>{range}</small>")
    };
    table(summary, &block_heads(summary), |at, _| {
        Some(summary.blocks.iter().map(|block| cell(&block.results[at].score)).collect())
    })
}

fn differences(summary: &Summary) -> String {
    let cell = |difference: &Interval| {
        let class = match difference {
            Interval { low, .. } if *low > 0.0 => "better",
            Interval { high, .. } if *high < 0.0 => "worse",
            _ => "",
        };
        let text = signed(difference);
        let (mean, range) = text.split_once(' ').unwrap_or((&text, ""));
        format!("<span class=\"{class}\">{mean}</span> <small>{range}</small>")
    };
    table(summary, &block_heads(summary), |at, figures| {
        (figures.strategy != summary.against)
            .then(|| summary.blocks.iter().map(|block| cell(&block.results[at].difference)).collect())
    })
}

fn cost_table(block: &Block) -> String {
    let head: String = COST_HEADS.iter().map(|cell| format!("<th>{}</th>", escape(cell))).collect();
    let row = |figures: &Figures| {
        let [label, others @ ..] = costs(figures);
        let cells: String = others.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        format!("<tr><th>{}</th>{cells}</tr>", escape(&label))
    };
    let rows: String = block.results.iter().map(row).collect();
    format!(
        "<div class=\"table\"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>\
         <p class=\"soft\">For each line: milliseconds on this machine, pages that were wanted \
         and their size: what a first visitor fetches. The oracle's weight is the share that went to the experts that a line \
         names, or that answer it best.</p>"
    )
}

/// Score over k, where a strategy ran with several.
fn over_k(summary: &Summary, block: &Block) -> String {
    let mut series: Vec<(&str, Vec<Point>)> = Vec::new();
    for figures in &block.results {
        let Some((name, k)) = figures.strategy.split_once(" k=") else { continue };
        let Ok(k) = k.parse::<f64>() else { continue };
        let class = class(summary, &figures.strategy);
        let point = Point { label: &figures.strategy, x: k, score: figures.score, class };
        match series.iter_mut().find(|(other, _)| *other == name) {
            Some((_, points)) => points.push(point),
            None => series.push((name, vec![point])),
        }
    }
    if series.is_empty() {
        return String::new();
    }
    let series: Vec<Vec<Point>> = series.into_iter().map(|(_, points)| points).collect();
    let chart = charts::over("right answers over k", "experts for each token and layer", &series);
    format!("<h2>How many experts</h2>{}", figure(&chart, "Right answers in percent over k."))
}

fn over_bytes(summary: &Summary, block: &Block) -> String {
    let is_single = |figures: &&Figures| figures.strategy.starts_with("single:");
    let point = |figures: &'_ Figures| (figures.strategy.clone(), figures.bytes / 1e3, figures.score);
    let points: Vec<(String, f64, Interval)> =
        block.results.iter().filter(|figures| !is_single(figures)).map(point).collect();
    let series: Vec<Vec<Point>> = (points.iter())
        .map(|(label, x, score)| vec![Point { label, x: *x, score: *score, class: class(summary, label) }])
        .collect();
    let chart = charts::over("right answers over kilobytes", "KB of pages for a line", &series);
    let caption = "Right answers in percent over what a first visitor fetches for one line.";
    format!("<h2>What a line costs</h2>{}", figure(&chart, caption))
}

fn who_served(summary: &Summary) -> String {
    let names = experts(&summary.blocks[0]);
    let routed: Vec<usize> = (summary.blocks[0].results.iter().enumerate())
        .filter(|(_, figures)| is_routed(figures))
        .map(|(at, _)| at)
        .collect();
    if routed.is_empty() {
        return String::new();
    }
    let mut html = format!("<h2>Who served</h2>{}<div class=\"charts\">", charts::legend(&names));
    for at in routed {
        let rows: Vec<(String, Vec<f64>)> = (summary.blocks.iter())
            .map(|block| {
                let usage = &block.results[at].usage;
                let shares = names.iter().map(|name| usage.get(name).copied().unwrap_or(0.0));
                (title(block), shares.collect())
            })
            .collect();
        let rows: Vec<(&str, Vec<f64>)> =
            rows.iter().map(|(label, shares)| (&label[..], shares.clone())).collect();
        let label = &summary.blocks[0].results[at].strategy;
        let chart = charts::shares(&format!("who served, {label}"), &names, &rows);
        html += &format!("<figure><h3>{}</h3>{chart}</figure>", escape(label));
    }
    html + "</div><p class=\"soft\">The experts' shares of the weight over all tokens and layers.</p>"
}

/// Text as text.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            character => escaped.push(character),
        }
    }
    escaped
}
