//! Charts as SVG inside HTML: no script, and colours from the page's variables, so that dark pages have dark charts.

use std::fmt::Write;

use super::html::escape;
use super::statistics::Interval;

/// A row of a chart of intervals.
pub struct Row<'a> {
    pub label: &'a str,
    pub interval: Interval,
    /// `own`, `derived` or `other`: how it is drawn.
    pub class: &'static str,
}

const LABEL_WIDTH: f64 = 150.0;
const PLOT_WIDTH: f64 = 300.0;
const VALUE_WIDTH: f64 = 50.0;
const ROW_HEIGHT: f64 = 20.0;

/// Dots with whiskers, one row below the other, from 0 to 100 percent.
pub fn intervals(title: &str, rows: &[Row]) -> String {
    let height = ROW_HEIGHT * rows.len() as f64;
    let x = |share: f64| LABEL_WIDTH + PLOT_WIDTH * share;
    let mut svg = open(title, LABEL_WIDTH + PLOT_WIDTH + VALUE_WIDTH, height + 20.0);
    for tick in 0..=4 {
        let share = f64::from(tick) / 4.0;
        line(&mut svg, "grid", [x(share), 0.0, x(share), height]);
        text(&mut svg, "tick", x(share), height + 15.0, &format!("{}", 25 * tick));
    }
    for (at, row) in rows.iter().enumerate() {
        let y = ROW_HEIGHT * (at as f64 + 0.5);
        let Interval { mean, low, high } = row.interval;
        text(&mut svg, "label", LABEL_WIDTH - 8.0, y + 4.0, row.label);
        line(&mut svg, row.class, [x(low), y, x(high), y]);
        add(
            &mut svg,
            format_args!("<circle class=\"{}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\"/>", row.class, x(mean)),
        );
        text(
            &mut svg,
            "value",
            LABEL_WIDTH + PLOT_WIDTH + VALUE_WIDTH - 2.0,
            y + 4.0,
            &format!("{:.1}", 100.0 * mean),
        );
    }
    svg + "</svg>"
}

/// One bar for each row, in parts that have the colours of `names`.
pub fn shares(title: &str, names: &[String], rows: &[(&str, Vec<f64>)]) -> String {
    let height = ROW_HEIGHT * rows.len() as f64;
    let mut svg = open(title, LABEL_WIDTH + PLOT_WIDTH + VALUE_WIDTH, height);
    for (at, (label, shares)) in rows.iter().enumerate() {
        let y = ROW_HEIGHT * at as f64;
        text(&mut svg, "label", LABEL_WIDTH - 8.0, y + 14.0, label);
        let mut from = 0.0;
        for (part, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            add(
                &mut svg,
                format_args!(
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\" fill=\"{}\"><title>{}: {:.1} %</title></rect>",
                    LABEL_WIDTH + PLOT_WIDTH * from,
                    y + 3.0,
                    PLOT_WIDTH * share,
                    colour(part, names.len()),
                    escape(&names[part]),
                    100.0 * share,
                ),
            );
            from += share;
        }
    }
    svg + "</svg>"
}

/// What the colours of [`shares`] mean.
pub fn legend(names: &[String]) -> String {
    let item = |(at, name): (usize, &String)| {
        let colour = colour(at, names.len());
        format!("<li><span style=\"background:{colour}\"></span>{}</li>", escape(name))
    };
    format!("<ul class=\"legend\">{}</ul>", names.iter().enumerate().map(item).collect::<String>())
}

/// A point of a chart over a quantity.
pub struct Point<'a> {
    pub label: &'a str,
    pub x: f64,
    pub score: Interval,
    pub class: &'static str,
}

/// Scores over a quantity. Points of one series are joined.
pub fn over(title: &str, axis: &str, series: &[Vec<Point>]) -> String {
    const HEIGHT: f64 = 240.0;
    const LEFT: f64 = 40.0;
    const WIDTH: f64 = 440.0;
    let points = || series.iter().flatten();
    let most = points().map(|point| point.x).fold(0.0, f64::max).max(1e-9) * 1.05;
    let x = |value: f64| LEFT + WIDTH * value / most;
    let y = |share: f64| 10.0 + HEIGHT * (1.0 - share);
    let mut svg = open(title, LEFT + WIDTH + 60.0, HEIGHT + 50.0);
    for tick in 0..=4 {
        let share = f64::from(tick) / 4.0;
        line(&mut svg, "grid", [LEFT, y(share), LEFT + WIDTH, y(share)]);
        text(&mut svg, "value", LEFT - 6.0, y(share) + 4.0, &format!("{}", 25 * tick));
        text(&mut svg, "tick", x(most * share), HEIGHT + 26.0, &short(most * share));
    }
    text(&mut svg, "tick", LEFT + WIDTH / 2.0, HEIGHT + 44.0, axis);
    for line_of in series {
        for pair in line_of.windows(2) {
            line(
                &mut svg,
                "join",
                [x(pair[0].x), y(pair[0].score.mean), x(pair[1].x), y(pair[1].score.mean)],
            );
        }
    }
    for Point { label, x: at, score, class } in points() {
        let (at, class) = (x(*at), *class);
        line(&mut svg, class, [at, y(score.low), at, y(score.high)]);
        add(
            &mut svg,
            format_args!(
                "<circle class=\"{class}\" cx=\"{at:.1}\" cy=\"{:.1}\" r=\"4\"><title>{}</title></circle>",
                y(score.mean),
                escape(label)
            ),
        );
        text(&mut svg, "point", at + 7.0, y(score.mean) + 4.0, label);
    }
    svg + "</svg>"
}

fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// Hues as far apart as they can be, neighbours in the list even more so.
fn colour(at: usize, count: usize) -> String {
    let hue = at as f64 * 360.0 / count.max(1) as f64;
    format!("hsl({hue:.0} 60% {}%)", [45, 62][at % 2])
}

fn open(title: &str, width: f64, height: f64) -> String {
    let title = escape(title);
    format!(
        "<svg viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>"
    )
}

fn line(svg: &mut String, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
    add(
        svg,
        format_args!("<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"),
    );
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, text: &str) {
    add(svg, format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(text)));
}

fn add(svg: &mut String, part: std::fmt::Arguments) {
    svg.write_fmt(part).expect("a String takes everything");
}
