//! `score_z = LN(u) · LN(v_z) / sqrt(d)`, or by another rule, the k best, their softmax, and `t_z = w_z s_z A_z u`.

use std::collections::BTreeSet;

use fastrand::Rng;
use gander::device::Device;
use gander::kernels::route::{self, Choices, Deltas, Entry, Flags, Gates, Thresholds};
use gander::kernels::score::{self, LOWEST, Rule};
use gander::kernels::{ABSENT, WAIVED};
use gander::router::{GatedEntry, Router};

use super::case::{Bench, Case, TOLERANCE, Word};
use super::inputs::{Form, Term, input, product};
use super::numbers::Fill;

#[derive(Debug, Clone)]
struct Shape {
    tokens: usize,
    d_in: usize,
    form: Form,
    fill: Fill,
    /// Experts on each site.
    sites: Vec<usize>,
    top_k: usize,
    max_rank: usize,
    /// Of 256 experts, how many may not be chosen.
    forbidden: u8,
    /// Of 256 pages, how many are absent.
    absent: u8,
    /// Whether the absent pages are to be done without.
    waived: bool,
    /// The greatest bias.
    bias: f32,
    thresholds: Thresholds,
    gates: GateKind,
    rule: Rule,
    /// Whether experts are as open as their gates.
    opens: bool,
    /// Whether `score` goes before.
    scored: bool,
    /// How many experts behind the chosen are told.
    runners_up: usize,
    seed: u64,
}

/// How the gates of a site's experts differ.
#[derive(Debug, Clone, Copy, PartialEq)]
enum GateKind {
    /// At random.
    Random,
    /// All the same: ties, which the lower index wins.
    Same,
    /// Pairs of equal ones.
    Pairs,
    /// As after very little training.
    Small,
}

impl Shape {
    fn new(tokens: usize, d_in: usize, sites: &[usize], top_k: usize) -> Shape {
        Shape {
            tokens,
            d_in,
            form: Form::Plain,
            fill: Fill::Random(1.0),
            sites: sites.to_vec(),
            top_k,
            max_rank: 16,
            forbidden: 0,
            absent: 0,
            waived: false,
            bias: 0.0,
            thresholds: Thresholds::default(),
            gates: GateKind::Random,
            rule: Rule::Normalised,
            opens: false,
            scored: false,
            runners_up: 0,
            seed: 1,
        }
    }
}

pub fn cases() -> Vec<Case> {
    let mut shapes = Vec::new();
    for form in Form::ALL {
        for tokens in [1, 4, 33] {
            shapes.push(Shape { form, ..Shape::new(tokens, 96, &[5, 3, 8], 2) });
        }
    }
    for d_in in [7, 20, 33, 96, 512, 1024, 2048, 2049, 3072] {
        shapes.push(Shape::new(1, d_in, &[3, 2], 2));
        shapes.push(Shape { form: Form::Norm, ..Shape::new(5, d_in, &[6], 3) });
    }
    for top_k in 1..=8 {
        let shape = Shape::new(3, 64, &[1, 2, 6, 12], top_k);
        shapes.push(Shape { max_rank: [1, 64, 7][top_k % 3], absent: 60, forbidden: 40, ..shape });
    }
    // One site to six, some without an expert.
    for sites in [&[0, 2][..], &[2, 0, 1], &[0, 0, 0, 4], &[1, 0, 2, 3, 0, 5]] {
        shapes.push(Shape::new(2, 96, sites, 2));
        shapes.push(Shape { absent: 128, ..Shape::new(31, 33, sites, 3) });
    }
    for experts in [31, 32, 33, 64, 256, 257, 300] {
        shapes.push(Shape { forbidden: 30, absent: 100, ..Shape::new(2, 96, &[experts, 3], 2) });
    }
    for form in [Form::Plain, Form::GatedGelu] {
        let shape = Shape::new(1, 512, &[4096], 8);
        shapes.push(Shape { form, max_rank: 2, absent: 128, forbidden: 10, ..shape });
    }
    shapes.push(Shape { max_rank: 64, ..Shape::new(70, 512, &[64, 64, 64], 2) });
    // Everything is absent; nothing may be chosen.
    shapes.push(Shape { absent: 255, ..Shape::new(5, 64, &[6, 6], 2) });
    shapes.push(Shape { forbidden: 255, ..Shape::new(5, 64, &[6, 6], 2) });
    for gates in [GateKind::Same, GateKind::Pairs, GateKind::Small] {
        for (experts, top_k) in [(4, 2), (40, 5), (300, 8)] {
            let shape = Shape::new(2, 96, &[experts, experts], top_k);
            shapes.push(Shape { gates, max_rank: 3, forbidden: 60, ..shape });
        }
    }
    for fill in [
        Fill::Random(1e4),
        Fill::Random(1e-3),
        Fill::Around(100.0),
        Fill::Constant(0.0),
        Fill::Constant(-0.0),
        Fill::Constant(0.5),
    ] {
        shapes.push(Shape { fill, ..Shape::new(2, 64, &[5, 9], 3) });
        // A constant that is no sum of few powers of two is not quite constant once its mean is taken.
        if fill != Fill::Constant(0.5) {
            shapes.push(Shape { fill, form: Form::GatedGelu, ..Shape::new(5, 64, &[5, 9], 3) });
        }
    }
    // Few experts and many, biased; pages that nobody waits for.
    for (experts, top_k) in [(1, 1), (5, 2), (40, 3), (300, 8)] {
        let shape = Shape { bias: 1.5, forbidden: 60, ..Shape::new(3, 96, &[experts, 4], top_k) };
        shapes.push(Shape { absent: 128, waived: true, ..shape.clone() });
        for (weight, share) in [(0.3, 0.0), (1.0, 0.0), (0.0, 0.5), (0.2, 0.3), (0.0, 1.5)] {
            shapes.push(Shape { thresholds: Thresholds { weight, share }, absent: 60, ..shape.clone() });
        }
    }
    for rule in [Rule::Absolute, Rule::Equal, Rule::Noise] {
        for form in Form::ALL {
            let shape = Shape { rule, form, ..Shape::new(4, 96, &[5, 3, 8], 2) };
            shapes.push(Shape { absent: 60, forbidden: 40, ..shape });
        }
        for (tokens, d_in, experts, top_k) in [(33, 512, 6, 6), (1, 3072, 40, 3), (2, 64, 64, 64)] {
            let shape = Shape { rule, ..Shape::new(tokens, d_in, &[experts, 0, 2], top_k) };
            shapes.push(shape.clone());
            shapes.push(Shape { bias: 1.5, forbidden: 60, max_rank: 3, form: Form::Norm, ..shape });
        }
        let shape = Shape { rule, fill: Fill::Around(100.0), ..Shape::new(2, 64, &[5, 9], 3) };
        shapes.push(Shape {
            thresholds: Thresholds { weight: 0.2, share: 0.15 },
            gates: GateKind::Pairs,
            ..shape
        });
    }
    for form in Form::ALL {
        let shape = Shape { opens: true, form, ..Shape::new(9, 96, &[5, 0, 8], 3) };
        shapes.push(Shape { absent: 60, forbidden: 40, ..shape });
    }
    for (tokens, d_in, experts, top_k) in [(1, 1, 4, 2), (2, 7, 4, 2), (33, 512, 6, 6), (1, 3072, 40, 3)] {
        let shape = Shape { opens: true, ..Shape::new(tokens, d_in, &[experts, 2], top_k) };
        shapes.push(Shape { gates: GateKind::Small, ..shape.clone() });
        shapes.push(Shape { bias: 1.5, fill: Fill::Random(0.05), ..shape });
    }
    for fill in [Fill::Around(100.0), Fill::Constant(0.0), Fill::Random(1e4)] {
        shapes.push(Shape { opens: true, fill, ..Shape::new(2, 64, &[5, 9], 3) });
    }
    let thresholds = Thresholds { weight: 0.2, share: 0.15 };
    shapes.push(Shape { opens: true, thresholds, ..Shape::new(2, 64, &[5, 9], 3) });
    // Those behind the chosen: fewer than are asked for, none, forbidden ones, ties; none decisive, weak ones dropped.
    for (experts, top_k, runners_up) in [(2, 2, 1), (6, 1, 2), (12, 8, 2), (300, 2, 2)] {
        let shape = Shape { runners_up, ..Shape::new(5, 96, &[experts, 0, 4], top_k) };
        shapes.push(Shape { absent: 60, forbidden: 40, bias: 1.5, ..shape.clone() });
        shapes.push(Shape { gates: GateKind::Pairs, form: Form::Norm, ..shape.clone() });
        for (weight, share) in [(0.3, 0.0), (0.0, 1.5)] {
            shapes.push(Shape { thresholds: Thresholds { weight, share }, ..shape.clone() });
        }
        for rule in [Rule::Absolute, Rule::Noise, Rule::Equal] {
            shapes.push(Shape { rule, ..shape.clone() });
        }
        shapes.push(Shape { opens: true, ..shape });
    }
    let mut cases: Vec<Case> = both(shapes).collect();
    for why in 1..=3 {
        let shape = Shape { absent: 128, ..Shape::new(2, 64, &[5, 9], 3) };
        cases.extend(both(vec![shape]).map(|case| case.halted(why)));
    }
    cases
}

/// Each shape twice: routed in one go, and, if there is something to score by, scored before.
fn both(shapes: Vec<Shape>) -> impl Iterator<Item = Case> {
    let forms = |shape: Shape| [false, true].map(|scored| Shape { scored, ..shape.clone() });
    let makes_sense = |shape: &Shape| !shape.scored || shape.rule.has_vectors();
    shapes.into_iter().flat_map(forms).filter(makes_sense).map(case)
}

/// By so much of itself may the weight of a runner-up be off where gates are scanned.
const ROUGHLY: f64 = 0.02;

/// One expert on one site.
struct Expert {
    entry: Entry,
    gate: Vec<f32>,
    a: Vec<f32>,
}

impl Expert {
    fn gated(&self) -> GatedEntry<'_> {
        (self.entry, &self.gate)
    }
}

fn case(shape: Shape) -> Case {
    Case::new(format!("route of {shape:?}"), move |bench: &mut Bench| {
        let Shape { tokens, d_in, top_k, .. } = shape;
        let mut random = Rng::with_seed(shape.seed);
        let (input, u) = input(bench, &mut random, shape.form, tokens, d_in, shape.fill);
        let expert_count = shape.sites.iter().copied().max().unwrap_or(0) + 2;
        let mut sites: Vec<Vec<Expert>> =
            shape.sites.iter().map(|count| experts(&mut random, &shape, *count, expert_count)).collect();
        let pool = pages(&mut random, &shape, &mut sites, expert_count);
        let bias = |_| match happens(&mut random, shape.forbidden) {
            true => LOWEST,
            false => shape.bias * random.f32(),
        };
        let biases: Vec<f32> = (0..expert_count).map(bias).collect();

        let gated: Vec<Vec<GatedEntry>> =
            sites.iter().map(|site| site.iter().map(Expert::gated).collect()).collect();
        let Router { gates, .. } = Router::upload(bench.device, d_in, &gated, shape.rule, bench.control);
        let gates = Gates { key: KEY, opens: shape.opens, ..gates };
        // A CPU knows them in 8 bits, and knows exactly only those that it may choose.
        let is_scanned = matches!(bench.device, Device::Cpu(_)) && shape.rule == Rule::Normalised;
        bench.keep(gates.vectors.buffer);
        bench.keep(gates.table.buffer);

        // The third step of a run, after two rows that belong to another layer.
        (bench.words.position, bench.words.first) = (5, 3);
        let rows_per_step = sites.len() * tokens + 1;
        let first_row = 2 + 2 * rows_per_step;
        let row_count = first_row + sites.len() * tokens + 1;
        let slot_words = 2 + gates.max_rank;
        let site_words = top_k * slot_words + gates.most_experts;
        let told = 2 * (top_k + shape.runners_up);
        let mut choices = vec![Word::Bits(7); row_count * told];
        let mut deltas = vec![Word::Anything; tokens * sites.len() * site_words];
        let mut wanted = BTreeSet::new();
        for (token, u) in u.iter().enumerate() {
            for (index, site) in sites.iter().enumerate() {
                let scores = site.iter().map(|expert| match shape.rule {
                    Rule::Normalised => normalised(u, expert),
                    Rule::Absolute => absolute(u, expert),
                    Rule::Noise => noise([KEY, index as u32, 5 + token as u32, expert.entry.expert]),
                    Rule::Equal => Term { value: 0.0, size: 0.0 },
                    Rule::Length => unreachable!("no GPU computes it: see tests/strategies.rs"),
                });
                let Ranking { chosen: mut ranking, behind } = rank(scores, site, &biases, &shape);
                if shape.opens {
                    ranking.iter_mut().for_each(|choice| choice.open(u, &site[choice.row].gate));
                }
                let row = &mut choices[(first_row + index * tokens + token) * told..][..told];
                let (rows, weights) = row[2 * top_k..].split_at_mut(shape.runners_up);
                rows.fill(Word::Bits(ABSENT));
                weights.fill(Word::float(0.0));
                for ((row, weight), next) in rows.iter_mut().zip(weights).zip(behind) {
                    *row = Word::Bits(next.row as u32);
                    let roughly = if is_scanned { ROUGHLY * next.weight } else { 0.0 };
                    *weight = Word::Near(next.weight, next.error + roughly);
                }
                let slots = &mut deltas[(token * sites.len() + index) * site_words..];
                for slot in 0..top_k {
                    let head = slot * slot_words;
                    (row[slot], row[top_k + slot]) = (Word::Bits(ABSENT), Word::float(0.0));
                    (slots[head], slots[head + 1]) = (Word::Bits(ABSENT), Word::Bits(0));
                    let Some(choice) = ranking.get(slot) else { continue };
                    let Expert { entry, a, .. } = &site[choice.row];
                    row[slot] = Word::Bits(choice.row as u32);
                    row[top_k + slot] = Word::Near(choice.weight, choice.error);
                    wanted.insert(entry.page as usize);
                    let start = pool[entry.page as usize];
                    if start >= WAIVED {
                        continue;
                    }
                    slots[head] = Word::Bits(start + entry.b);
                    slots[head + 1] = Word::Bits(entry.rank);
                    for (r, a) in a.chunks_exact(d_in).enumerate() {
                        let Term { value, size } = product(u, a.iter().map(|a| f64::from(*a)));
                        let scale = f64::from(entry.scale);
                        let error = scale * size * (choice.error + TOLERANCE * choice.weight);
                        slots[head + 2 + r] = Word::Near(scale * choice.weight * value, error);
                    }
                }
            }
        }
        let mut flags: Vec<u32> = vec![0];
        flags.extend(biases.iter().map(|bias| bias.to_bits()));
        flags.resize(1 + 2 * expert_count, 0);
        let mut marked = flags.clone();
        for page in wanted {
            marked[0] |= u32::from(pool[page] == ABSENT);
            marked[1 + expert_count + page] = bench.words.position + 1;
        }

        let flags = bench.words(1, flags.len(), &flags);
        bench.expect("flags", flags, marked.into_iter().map(Word::Bits).collect());
        let rows = bench.words(row_count, told, &vec![7; choices.len()]);
        bench.expect("choices", rows, choices);
        let memory = bench.words(1, deltas.len(), &vec![f32::NAN.to_bits(); deltas.len()]);
        bench.expect("deltas", memory, deltas);
        let deltas = Deltas::within(memory, &gates, tokens, top_k);
        let pool = bench.words(1, pool.len(), &pool);
        let flags = Flags { tensor: flags, experts: expert_count };
        let choices = Choices { tensor: rows, runners_up: shape.runners_up, first_row: 2, rows_per_step };
        let (recording, control) = (&mut bench.recording, bench.control);
        if shape.scored {
            score::record(recording, control, input, &gates, flags, deltas);
        }
        let (thresholds, scored) = (shape.thresholds, shape.scored);
        route::record(recording, control, input, &gates, pool, flags, choices, thresholds, deltas, scored);
    })
}

/// So often of 256 times.
fn happens(random: &mut Rng, share: u8) -> bool {
    share == 255 || random.u8(..) < share
}

/// The experts of one site: some of all, in ascending order.
fn experts(random: &mut Rng, shape: &Shape, count: usize, expert_count: usize) -> Vec<Expert> {
    let mut ids: Vec<u32> = (0..expert_count as u32).collect();
    random.shuffle(&mut ids);
    ids.truncate(count);
    ids.sort();
    let mut gates: Vec<Vec<f32>> = Vec::new();
    for index in 0..count {
        let repeated = match shape.gates {
            GateKind::Same => index > 0,
            GateKind::Pairs => index % 2 == 1,
            GateKind::Random | GateKind::Small => false,
        };
        let size = if shape.gates == GateKind::Small { 1e-3 } else { 1.0 };
        gates.push(match repeated {
            true => gates[index - 1].clone(),
            false => Fill::Random(size).floats(random, shape.d_in),
        });
    }
    let expert = |(id, gate): (u32, Vec<f32>)| {
        let rank = random.u32(1..=shape.max_rank as u32);
        let scale = 0.5 + random.f32();
        let a = Fill::Random(1.0).floats(random, rank as usize * shape.d_in);
        Expert { entry: Entry { expert: id, page: id, a: 0, b: 0, rank, scale, ..Entry::default() }, gate, a }
    };
    ids.into_iter().zip(gates).map(expert).collect()
}

/// The adapters' memory: where each page begins, then the pages. A page holds one expert's A for all sites, whose places
/// are noted, and NaN between them; B is not looked at here.
fn pages(random: &mut Rng, shape: &Shape, sites: &mut [Vec<Expert>], expert_count: usize) -> Vec<u32> {
    let mut pages: Vec<Vec<u32>> = vec![vec![f32::NAN.to_bits(); 3]; expert_count];
    for expert in sites.iter_mut().flatten() {
        let page = &mut pages[expert.entry.page as usize];
        expert.entry.a = page.len() as u32;
        page.extend(expert.a.iter().map(|a| a.to_bits()));
        expert.entry.b = page.len() as u32;
        page.push(f32::NAN.to_bits());
    }
    let mut pool = vec![if shape.waived { WAIVED } else { ABSENT }; expert_count];
    for (index, page) in pages.into_iter().enumerate() {
        if !happens(random, shape.absent) {
            pool[index] = pool.len() as u32;
            pool.extend(page);
        }
    }
    pool
}

/// A chosen expert.
struct Choice {
    /// Its row among the site's gates.
    row: usize,
    weight: f64,
    /// How far off the weight may be.
    error: f64,
}

impl Choice {
    /// Multiplies the weight with `sigmoid(v · u)`.
    fn open(&mut self, u: &[Term], gate: &[f32]) {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let Term { value, size } = product(u, gate.iter().map(|v| f64::from(*v)));
        let openness = sigmoid(value);
        let error = sigmoid(value + TOLERANCE * size) - sigmoid(value - TOLERANCE * size) + TOLERANCE;
        self.error = self.error * openness + self.weight * error;
        self.weight *= openness;
    }
}

/// What noise is a hash of, in all cases.
const KEY: u32 = 77;

/// `LN(u) · LN(v) / sqrt(d)`
fn normalised(u: &[Term], expert: &Expert) -> Term {
    let raw: Vec<f64> = u.iter().map(|u| u.value).collect();
    // Centring costs the rounding of one subtraction, much less than TOLERANCE of a long sum.
    let normal = layer_norm(&raw)
        .into_iter()
        .zip(u)
        .map(|((value, scale), u)| Term { value, size: value.abs() + scale * u.size / 16.0 });
    let normal: Vec<Term> = normal.collect();
    let gate: Vec<f64> = expert.gate.iter().map(|v| f64::from(*v)).collect();
    let score = product(&normal, layer_norm(&gate).into_iter().map(|(value, _)| value));
    let root = (u.len() as f64).sqrt();
    Term { value: score.value / root, size: score.size / root }
}

/// `|u · v|`
fn absolute(u: &[Term], expert: &Expert) -> Term {
    let Term { value, size } = product(u, expert.gate.iter().map(|v| f64::from(*v)));
    Term { value: value.abs(), size }
}

/// The upper 24 bits of four rounds of pcg, as a part of 1.
fn noise(words: [u32; 4]) -> Term {
    let mut bits = 0u64;
    for word in words {
        const MASK: u64 = 0xffff_ffff;
        let state = ((bits ^ u64::from(word)) * 747_796_405 + 2_891_336_453) & MASK;
        let mixed = (((state >> ((state >> 28) + 4)) ^ state) * 277_803_737) & MASK;
        bits = (mixed >> 22) ^ mixed;
    }
    Term { value: (bits >> 8) as f64 / f64::from(1 << 24), size: 1e-2 }
}

/// Who serves a token, and who would have been next.
#[derive(Default)]
struct Ranking {
    /// The k experts of a site that fit best, best first, without those that are too weak.
    chosen: Vec<Choice>,
    /// With the weight that each would have had as one more.
    behind: Vec<Choice>,
}

fn rank(scores: impl Iterator<Item = Term>, site: &[Expert], biases: &[f32], shape: &Shape) -> Ranking {
    let Shape { top_k, thresholds, rule, runners_up, .. } = *shape;
    let mut scores: Vec<(usize, Term)> = (site.iter().enumerate())
        .zip(scores)
        .map(|((row, expert), score)| (row, biases[expert.entry.expert as usize], score))
        .filter(|(_, bias, _)| *bias != LOWEST)
        .map(|(row, bias, Term { value, size })| (row, Term { value: value + f64::from(bias), size }))
        .collect();
    scores.sort_by(|(_, a), (_, b)| b.value.total_cmp(&a.value));
    for pair in scores.windows(2).take(top_k + runners_up) {
        let [(_, a), (_, b)] = pair else { unreachable!("windows of two") };
        let margin = a.value - b.value;
        assert!(
            margin == 0.0 || margin > TOLERANCE * a.size,
            "scores {a:?} and {b:?} may change places: take another seed"
        );
    }
    let Some((_, Term { value: highest, .. })) = scores.first().copied() else { return Ranking::default() };
    let weight_of = |score: Term| match rule {
        Rule::Noise => 1.0,
        _ => (score.value - highest).exp(),
    };
    let sum = |scores: &[(usize, Term)]| scores.iter().map(|(_, score)| weight_of(*score)).sum::<f64>();
    let all = sum(&scores);
    let error = scores.iter().map(|(_, score)| score.size).fold(1.0, f64::max) * 2.0 * TOLERANCE;
    let choice = |row: usize, weight: f64| Choice { row, weight, error: weight * error };
    let chosen = sum(&scores[..top_k.min(scores.len())]);
    let next = scores.iter().skip(top_k).take(runners_up);
    let joining = |score: Term| weight_of(score) / (chosen + weight_of(score));
    let behind = next.map(|(row, score)| choice(*row, joining(*score))).collect();
    scores.truncate(top_k);
    let (weight, share) = (f64::from(thresholds.weight), f64::from(thresholds.share));
    assert_is_clear(chosen / all, share);
    if chosen / all < share {
        return Ranking { chosen: Vec::new(), behind };
    }
    let mut slot = 0;
    scores.retain(|(_, score)| {
        let own = weight_of(*score) / chosen;
        slot += 1;
        slot == 1 || {
            assert_is_clear(own, weight);
            own >= weight
        }
    });
    let total = sum(&scores);
    let chosen = scores.iter().map(|(row, score)| choice(*row, weight_of(*score) / total)).collect();
    Ranking { chosen, behind }
}

/// A share so close to its threshold that rounding decides would test nothing.
fn assert_is_clear(share: f64, threshold: f64) {
    assert!(
        threshold == 0.0 || (share - threshold).abs() > 1e-4,
        "{share} and its threshold {threshold}: take another seed"
    );
}

/// `(x − mean x) / sqrt(var x + 1e-5)`, each with the factor.
fn layer_norm(x: &[f64]) -> Vec<(f64, f64)> {
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
    let scale = 1.0 / (variance + 1e-5).sqrt();
    x.iter().map(|x| ((x - mean) * scale, scale)).collect()
}
