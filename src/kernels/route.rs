//! The choice of experts for every token, and the inner half of what they add.

use bytemuck::{Pod, Zeroable};

use crate::kernels::gates::{GateRows, Scan, ScoreRows, centre};
use crate::kernels::input::{self, Input};
use crate::kernels::length::Lengths;
use crate::kernels::score::{LOWEST, Rule};
use crate::kernels::{ABSENT, WAIVED, dot, dot_by};
use crate::panels::Factor;
use crate::processor::{Compute, Processor, vectors};
use crate::recording::{Access, Argument, Control, Dispatch, Kernel, Program, Recording, Target};
use crate::scratch::{FactorUse, Routed, Scratch};
use crate::tensor::{DType, Tensor};
use crate::wgsl::wgsl;

/// The `k` experts whose gates fit a token best, their weights, and `t_z = w_z s_z A_z u` for each.
pub static KERNEL: Kernel = Kernel {
    name: "route",
    access: &[
        Access::Control,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Write,
        Access::Write,
        Access::Write,
    ],
    cpu,
    gpu,
    on_the_way: None,
};

/// Epsilon of the layer norms of a token's input and of a gate, inside the square root.
pub const LAYER_NORM_EPSILON: f32 = 1e-5;

/// What the router knows of one expert on one layer.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
pub struct Entry {
    /// Index of the expert among all that are loaded.
    pub expert: u32,
    /// Index of the page that holds its LoRA for this layer.
    pub page: u32,
    /// Where A (rank, d_in) begins in the page, in floats.
    pub a: u32,
    /// Where B (d_out, rank) begins in the page, in floats.
    pub b: u32,
    /// Rank of the LoRA.
    pub rank: u32,
    /// What the product `B A u` is multiplied with: alpha / rank, or alpha / sqrt(rank).
    pub scale: f32,
    /// The mean of v, where the rule normalises it.
    pub gate_mean: f32,
    /// What normalising divided v by, there: `v = gate_mean + gate_length g`.
    pub gate_length: f32,
}

impl Entry {
    /// Words of one entry.
    pub const WORDS: usize = size_of::<Entry>() / 4;
}

/// The gates of layers that share an input, in a device's memory. A layer with routing of its own is a site.
#[derive(Debug, Clone, Copy)]
pub struct Gates {
    /// (Σ experts on each site, d_in rounded up to 32): `LN(v_z) / sqrt(d_in)`, or `v_z` itself, site after site, zeros at
    /// the end; no rows where the rule has no vectors.
    pub vectors: Tensor,
    /// (1, words) of `u32`: for each site the first of its rows in `vectors` and their number; then an [`Entry`] for
    /// each row; then, for a CPU, the vectors again in 8 bits.
    pub table: Tensor,
    /// Number of sites.
    pub sites: usize,
    /// The most experts on one site.
    pub most_experts: usize,
    /// The greatest rank.
    pub max_rank: usize,
    /// How experts are scored.
    pub rule: Rule,
    /// For [`Rule::Noise`] what it is a hash of; for [`Rule::Length`] the outputs of each site.
    pub key: u32,
    /// Whether the weights of the chosen are multiplied with `sigmoid(v · u)`.
    pub opens: bool,
}

/// What routing is told and where it notes what it needs, a (1, 1 + experts + pages) tensor of `u32`: whether a page was
/// missed; for each expert, the bits of the float that is added to its scores, or [`LOWEST`] if it may not be chosen; for
/// each page, one more than the last position that wanted it.
#[derive(Debug, Clone, Copy)]
pub struct Flags {
    /// The words.
    pub tensor: Tensor,
    /// Number of experts.
    pub experts: usize,
}

/// Which choices are too weak to be worth their pages. With zeros every choice stands.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Thresholds {
    /// The least weight of an expert beside the best: those below it are dropped, and the weights of the others, again
    /// summing to 1, take their share.
    pub weight: f32,
    /// The least share that the k experts together have of a softmax over all experts of the layer. A token whose gates
    /// are less decisive is left to the base alone.
    pub share: f32,
}

/// Where the choices of the layers go, for those who look: k experts (rows of the site's gates, best first, [`ABSENT`]
/// where there are fewer than k), then their k weights as the bits of floats, which sum to 1, or, opened, to less. Then the
/// runners-up in the same way: who would have been next, and the weight of each, had it been let in beside the k. A CPU tells
/// these by the gates in 8 bits, to within two hundredths of the weight.
#[derive(Debug, Clone, Copy)]
pub struct Choices {
    /// (rows, 2 (k + runners-up)) of `u32`. A site has one row for each token.
    pub tensor: Tensor,
    /// How many runners-up are told.
    pub runners_up: usize,
    /// The row of the first site's first token.
    pub first_row: usize,
    /// How much further down the next step's rows are.
    pub rows_per_step: usize,
}

/// What routing leaves for the linear layers to finish: for every token, site and slot, where B begins in the pool (or
/// [`ABSENT`]), its rank, and `t_z = w_z s_z A_z u`.
#[derive(Debug, Clone, Copy)]
pub struct Deltas {
    /// (tokens, sites × [`Deltas::site_words`]) of `u32`.
    pub tensor: Tensor,
    /// Number of sites.
    pub sites: usize,
    /// Slots: experts for each token and site.
    pub top_k: usize,
    /// The greatest rank.
    pub max_rank: usize,
    /// The most experts on one site: a GPU keeps their scores behind the slots.
    pub most_experts: usize,
}

impl Deltas {
    /// The deltas of `gates` over `tokens` tokens, in memory that holds at least as many words.
    pub fn within(memory: Tensor, gates: &Gates, tokens: usize, top_k: usize) -> Deltas {
        let Gates { sites, max_rank, most_experts, .. } = *gates;
        let mut deltas = Deltas { tensor: memory, sites, top_k, max_rank, most_experts };
        let cols = sites * deltas.site_words();
        assert!(tokens * cols <= memory.len(), "deltas: {memory:?} for {gates:?}");
        deltas.tensor = Tensor { rows: tokens, cols, ..memory };
        deltas
    }

    /// Words of one slot.
    pub fn slot_words(&self) -> usize {
        2 + self.max_rank
    }

    /// Words of one site for one token.
    pub fn site_words(&self) -> usize {
        self.top_k * self.slot_words() + self.most_experts
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    input: u32,
    epsilon: f32,
    sites: u32,
    top_k: u32,
    slot_words: u32,
    site_words: u32,
    experts: u32,
    first_row: u32,
    rows_per_step: u32,
    /// Whether `score` ran before; else the scores are computed here.
    scored: u32,
    least_weight: f32,
    least_share: f32,
    rule: u32,
    key: u32,
    opens: u32,
    runners_up: u32,
}

impl Params {
    /// Of a score, before the weights are made to sum to 1.
    fn exponential(&self, score: f32, highest: f32) -> f32 {
        if self.rule == Rule::Noise as u32 { 1.0 } else { (score - highest).exp() }
    }
}

/// Tokens that one workgroup routes, where they are scored.
const TOKENS: usize = 8;

/// Appends the routing of every token on every site.
///
/// `score_z = LN(u) · LN(v_z) / sqrt(d)`, or what another [`Rule`] says, and the expert's bias, which is 0 unless somebody
/// sets one; then the k best, then a softmax over those k, each of which may be multiplied with `sigmoid(v_z · u)` in the end
/// ([`Gates::opens`]). Equal scores: the lower index wins. LN has no affine part, its
/// variance is biased, its epsilon [`LAYER_NORM_EPSILON`].
///
/// * `input`: u (tokens, d_in), the layers' own input
/// * `scored`: whether [`score`](crate::kernels::score::record) did the first half, which is quicker for many tokens
/// * `pool`: (1, words) of `u32`: where each page begins in it, or [`ABSENT`], or [`WAIVED`]; then the LoRA factors of
///   resident pages, of floats or, where its type says so, packed for a CPU
///
/// Source: PHATGOOSE (Muqeeth et al., ICML 2024), section 3; `Router._forward` of r-three/phatgoose. That code takes
/// the softmax over all experts and renormalises the k best with 1e-6 added to their sum, which is the same within
/// 1e-6 · experts / k.
#[expect(clippy::too_many_arguments, reason = "what routing reads and what it leaves")]
pub fn record(
    recording: &mut Recording,
    control: Tensor,
    input: Input,
    gates: &Gates,
    pool: Tensor,
    flags: Flags,
    choices: Choices,
    thresholds: Thresholds,
    deltas: Deltas,
    scored: bool,
) {
    assert!(!scored || gates.rule.has_vectors(), "route: {:?}", gates.rule);
    assert!(!gates.opens || gates.rule == Rule::Normalised, "route: {:?}", gates.rule);
    assert!(input.d_in() <= gates.vectors.cols && deltas.sites == gates.sites, "route: {input:?} {gates:?}");
    let told = deltas.top_k + choices.runners_up;
    assert!(choices.tensor.cols == 2 * told && choices.tensor.dtype == DType::U32, "{choices:?}");
    let [x, norm] = input.tensors();
    let params = Params {
        input: input.form(),
        epsilon: input.epsilon(),
        sites: gates.sites as u32,
        top_k: deltas.top_k as u32,
        slot_words: deltas.slot_words() as u32,
        site_words: deltas.site_words() as u32,
        experts: flags.experts as u32,
        first_row: choices.first_row as u32,
        rows_per_step: choices.rows_per_step as u32,
        scored: scored as u32,
        least_weight: thresholds.weight,
        least_share: thresholds.share,
        rule: gates.rule as u32,
        key: gates.key,
        opens: gates.opens as u32,
        runners_up: choices.runners_up as u32,
    };
    let tensors =
        [control, x, norm, gates.vectors, gates.table, pool, flags.tensor, choices.tensor, deltas.tensor];
    recording.push(&KERNEL, &params, &tensors);
}

/// Tokens that a thread should have, so that it reads gates and factors for enough of them.
const LEAST_TOKENS: usize = 4;

fn cpu(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
    const X: usize = 1;
    const DELTAS: usize = 8;
    let [control, x, norm, gates, table, pool, flags, choices, deltas] = arguments else {
        unreachable!("access list")
    };
    let (now, tokens) = (control.control(), x.rows);
    // Threads share what they write beside the deltas, so each tells it, and it is noted behind them.
    let mut arguments = [
        control.to_read(),
        x.to_read(),
        norm.to_read(),
        gates.to_read(),
        table.to_read(),
        pool.to_read(),
        flags.to_read(),
        Argument::NONE,
        deltas.reborrow(),
    ];
    let is_shared = scratch.team.as_ref().is_some_and(|team| tokens >= LEAST_TOKENS * team.threads());
    match &mut scratch.team {
        Some(team) if is_shared => {
            team.scratches().iter_mut().for_each(|scratch| scratch.routed.clear());
            team.each_rows(&mut arguments, &[X, DELTAS], |part, scratch| {
                vectors::<Route>(params, part, scratch);
            });
        }
        _ => vectors::<Route>(params, &mut arguments, scratch),
    }
    let params: &Params = bytemuck::from_bytes(params);
    let routed = match &mut scratch.team {
        Some(team) if is_shared => team.scratches(),
        _ => std::slice::from_mut(scratch),
    };
    for Scratch { routed, .. } in routed {
        note(params, now, routed, tokens, flags.as_mut_slice(), choices.as_mut_slice());
    }
}

/// What the routing of some tokens tells, noted where it belongs among all `tokens`.
fn note(
    params: &Params,
    control: Control,
    routed: &Routed,
    tokens: usize,
    flags: &mut [u32],
    choices: &mut [u32],
) {
    let sites = params.sites as usize;
    let told = 2 * (params.top_k + params.runners_up) as usize;
    let step = (control.position - control.first) * params.rows_per_step;
    let first_row = (params.first_row + step) as usize;
    for (token, of_token) in (routed.first_token..).zip(routed.choices.chunks_exact(sites * told)) {
        for (site, of_site) in of_token.chunks_exact(told).enumerate() {
            let row = first_row + site * tokens + token;
            choices[row * told..][..told].copy_from_slice(of_site);
        }
    }
    flags[0] |= routed.missed as u32;
    let wanted = &mut flags[1 + params.experts as usize..];
    for page in &routed.wanted {
        wanted[*page as usize] = control.position + 1;
    }
}

struct Route;

impl Compute for Route {
    #[inline(always)]
    fn compute(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
        let params: &Params = bytemuck::from_bytes(params);
        let [control, x, norm, vectors, table, pool, flags, _, deltas] = arguments else {
            unreachable!("access list")
        };
        let position = control.control().position + x.first_row as u32;
        let counts = [params.sites, params.top_k, params.runners_up, params.experts];
        let [sites, k, runners_up, experts] = counts.map(|count| count as usize);
        let (slot_words, site_words) = (params.slot_words as usize, params.site_words as usize);
        let tokens = x.rows;
        let Scratch { processor, input, activations, floats: centred, sorted: weights, .. } = scratch;
        let Scratch {
            projected_activations,
            panel,
            products,
            row_biases,
            scored: scores_of,
            ranking,
            order,
            routed,
            ..
        } = scratch;
        routed.clear();
        routed.first_token = x.first_row;
        // However many a later step wants.
        routed.wanted.reserve(tokens * sites * k);
        let u = input::compute(params.input, params.epsilon, x, norm, input);
        let d_in = u.len() / tokens;
        let gates = GateRows::new(vectors, table, sites, params.rule, params.key);
        let words = pool.as_slice::<u32>();
        let floats = pool.as_slice::<f32>();
        let biases = &flags.as_slice::<f32>()[1..1 + experts];
        let deltas = deltas.as_mut_slice::<u32>();

        let rows = ScoreRows { site_words, slots_words: k * slot_words };
        if let Some(scan) = &gates.scan {
            scan.products(u, activations, *processor, panel, products);
            gates.biases(biases, row_biases);
        } else if params.rule == Rule::Length as u32 {
            let mut lengths = Lengths {
                processor: *processor,
                pool,
                u,
                d_in,
                d_out: params.key as usize,
                rounded: activations,
                projected: centred,
                rounded_projected: projected_activations,
            };
            lengths.round();
            for row in gates.rows() {
                let entry = row.entry;
                let page = match biases[entry.expert as usize] {
                    LOWEST => WAIVED,
                    _ => {
                        routed.wanted.push(entry.page);
                        words[entry.page as usize]
                    }
                };
                routed.missed |= page == ABSENT;
                match page >= WAIVED {
                    true => {
                        products.clear();
                        products.resize(tokens, LOWEST);
                    }
                    false => {
                        lengths.of(&entry, page, products);
                        products.iter_mut().for_each(|score| *score += biases[entry.expert as usize]);
                    }
                }
                for (score, deltas) in products.iter().zip(deltas.chunks_exact_mut(sites * site_words)) {
                    deltas[row.site * site_words + rows.slots_words + row.index] = score.to_bits();
                }
            }
        } else if params.scored == 0 {
            gates.score(u, tokens, position, biases, rows, deltas, centred, *processor);
        }
        order.clear();
        for (token, deltas) in deltas.chunks_exact_mut(sites * site_words).take(tokens).enumerate() {
            let mut scanned = gates.scan.as_ref().map(|scan| {
                let u = &u[token * d_in..][..d_in];
                centred.clear();
                let scale = centre(u, centred, *processor);
                let products = &mut products[token * scan.rows()..][..scan.rows()];
                Scanned {
                    scan,
                    biases: row_biases,
                    products,
                    centred,
                    scale,
                    length: dot_by(*processor, u, u).sqrt(),
                    processor: *processor,
                }
            });
            for (site, delta) in deltas.chunks_exact_mut(site_words).enumerate() {
                let (first, count) = gates.range(site);
                let (slots, scores) = delta.split_at_mut(k * slot_words);
                match &mut scanned {
                    Some(scanned) => {
                        scanned.score(&gates, site, k, params.least_share == 0.0, scores_of);
                    }
                    None => {
                        scores_of.clear();
                        let scores = scores[..count].iter().map(|bits| f32::from_bits(*bits));
                        scores_of.extend((0..).zip(scores).filter(|(_, score)| *score != LOWEST));
                    }
                }
                ranking.clear();
                match &mut scanned {
                    Some(scanned) => {
                        choose(scores_of.iter().copied(), k, ranking);
                        scanned.choose_next(&gates, site, runners_up, ranking);
                    }
                    None => choose(scores_of.iter().copied(), k + runners_up, ranking),
                }
                let (best, behind) = ranking.split_at(k.min(ranking.len()));
                let told = routed.choices.len();
                routed.choices.resize(told + 2 * (k + runners_up), 0);
                let (row, row_behind) = routed.choices[told..].split_at_mut(2 * k);
                let chosen = weigh(params, best, scores_of, weights);
                tell_runners_up(params, best, behind, chosen, row_behind);
                let chosen = &best[..weights.len()];
                if params.opens != 0 {
                    let u = &u[token * d_in..][..d_in];
                    for (weight, (row, _)) in weights.iter_mut().zip(chosen) {
                        *weight *= gates.openness(first + *row as usize, u);
                    }
                }

                let (chosen_rows, chosen_weights) = row.split_at_mut(k);
                for (slot, delta) in slots.chunks_exact_mut(slot_words).enumerate() {
                    delta[..2].copy_from_slice(&[ABSENT, 0]);
                    (chosen_rows[slot], chosen_weights[slot]) = (ABSENT, 0.0f32.to_bits());
                    let Some((row, _)) = chosen.get(slot) else { continue };
                    let entry = gates.entries[first + *row as usize];
                    (chosen_rows[slot], chosen_weights[slot]) = (*row, weights[slot].to_bits());
                    routed.wanted.push(entry.page);
                    let page = words[entry.page as usize];
                    if page >= WAIVED {
                        routed.missed |= page == ABSENT;
                        continue;
                    }
                    delta[..2].copy_from_slice(&[page + entry.b, entry.rank]);
                    order.push(FactorUse {
                        factor: page + entry.a,
                        token: token as u32,
                        slot: (site * k + slot) as u32,
                        scale: (weights[slot] * entry.scale).to_bits(),
                    });
                }
            }
        }
        order.sort_unstable_by_key(FactorUse::key);
        let place = |used: &FactorUse| {
            let (site, slot) = (used.slot as usize / k, used.slot as usize % k);
            (used.token as usize * sites + site) * site_words + slot * slot_words
        };
        if pool.dtype == DType::Factors && !order.is_empty() {
            activations.quantise_short(u, d_in);
            for uses in order.chunk_by(|a, b| a.factor == b.factor) {
                let rank = deltas[place(&uses[0]) + 1] as usize;
                let a = Factor::new(&words[uses[0].factor as usize..], rank, d_in);
                let token = |index: usize| activations.token(uses[index].token as usize);
                a.multiply(uses.len(), token, *processor, |index, row, sums| {
                    let (projected, scale) = (place(&uses[index]) + 2, f32::from_bits(uses[index].scale));
                    let projected = &mut deltas[projected..][..rank][row..];
                    projected.iter_mut().zip(sums).for_each(|(t, sum)| *t = (scale * sum).to_bits());
                });
            }
            return;
        }
        for used in order.iter() {
            let delta = &mut deltas[place(used)..];
            let (rank, scale) = (delta[1] as usize, f32::from_bits(used.scale));
            let u = &u[used.token as usize * d_in..][..d_in];
            let a = &floats[used.factor as usize..][..rank * d_in];
            for (projected, a) in delta[2..2 + rank].iter_mut().zip(a.chunks_exact(d_in)) {
                *projected = (scale * dot(a, u)).to_bits();
            }
        }
    }
}

/// Rough scores that are looked at together.
const LANES: usize = 16;

/// A token whose products with all gates are roughly known.
struct Scanned<'a> {
    scan: &'a Scan<'a>,
    /// By row of the gates.
    biases: &'a [f32],
    /// By row of the gates; once a site is scored, its scores.
    products: &'a mut [f32],
    /// `u − mean(u)`, what makes it LN(u), and the length of u.
    centred: &'a [f32],
    scale: f32,
    length: f32,
    processor: Processor,
}

impl Scanned<'_> {
    /// The exact scores of those rows of a site that may be among the k best, or of all that may be chosen.
    #[inline(always)]
    fn score(
        &mut self,
        gates: &GateRows,
        site: usize,
        k: usize,
        best_alone: bool,
        scores: &mut Vec<(u32, f32)>,
    ) {
        let (first, count) = gates.range(site);
        let (rough, biases) = (&mut self.products[first..][..count], &self.biases[first..][..count]);
        for (rough, bias) in rough.iter_mut().zip(biases) {
            *rough = self.scale * *rough + bias;
        }
        // The greatest of every sixteenth: the k-th of these is not above the k-th of all.
        let mut greatest = [f32::NEG_INFINITY; LANES];
        for rough in rough.chunks(LANES) {
            for (greatest, rough) in greatest.iter_mut().zip(rough) {
                *greatest = if *rough > *greatest { *rough } else { *greatest };
            }
        }
        // k experts have at least this score less the error, so another needs it to be within twice the error.
        let least = match best_alone && k <= LANES {
            true => {
                let score = nth_greatest(&greatest[..count.min(LANES)], k);
                let error = self.scale * self.scan.error(site, self.length) + ROUNDING * score.abs();
                score - 2.0 * error
            }
            false => f32::NEG_INFINITY,
        };
        scores.clear();
        // However many a later step has.
        scores.reserve(count);
        let d_in = self.centred.len();
        for (chunk, rough) in rough.chunks_mut(LANES).enumerate() {
            // What is no number is not less.
            let is_less = |rough: &f32| *rough < least;
            if rough.iter().fold(true, |all, rough| all & is_less(rough)) {
                continue;
            }
            for row in (chunk * LANES..).take(rough.len()) {
                if !is_less(&rough[row % LANES]) && biases[row] != LOWEST {
                    let score =
                        self.scale * dot_by(self.processor, self.centred, gates.gate(first + row, d_in));
                    let score = score + biases[row];
                    rough[row % LANES] = score;
                    scores.push((row as u32, score));
                }
            }
        }
    }

    /// Those of a scored site that come next after the chosen, which are in `ranking`, by scores that may be rough: these were
    /// not needed exactly to choose, and for people to look at they are exact enough.
    fn choose_next(&mut self, gates: &GateRows, site: usize, count: usize, ranking: &mut Vec<(u32, f32)>) {
        if count == 0 {
            return;
        }
        let (first, rows) = gates.range(site);
        let (scores, biases) = (&mut self.products[first..][..rows], &self.biases[first..][..rows]);
        for (row, _) in ranking.iter() {
            scores[*row as usize] = LOWEST;
        }
        let others = scores.iter().zip(biases).enumerate();
        let may_be_next = others.filter(|(_, (score, bias))| **score != LOWEST && **bias != LOWEST);
        choose(may_be_next.map(|(row, (score, _))| (row as u32, *score)), count, ranking);
    }
}

/// The n-th greatest, n from 1 to [`LANES`], of numbers that are none of them NaN; −∞ where they are fewer.
#[inline(always)]
fn nth_greatest(numbers: &[f32], n: usize) -> f32 {
    let mut greatest = [f32::NEG_INFINITY; LANES];
    for number in numbers {
        let mut less = *number;
        for greatest in &mut greatest[..n] {
            let other = *greatest;
            (*greatest, less) = if less > other { (less, other) } else { (other, less) };
        }
    }
    greatest[n - 1]
}

/// More than a bias, added to a score, loses of it.
const ROUNDING: f32 = 1e-6;

/// Appends the `k` best, best first. Of equal scores the one that came first; total_cmp, so that NaN panics nowhere.
#[inline(always)]
fn choose(scores: impl Iterator<Item = (u32, f32)>, k: usize, best: &mut Vec<(u32, f32)>) {
    let first = best.len();
    for (row, score) in scores {
        let is_worse = |other: &(u32, f32)| other.1.total_cmp(&score).is_lt();
        if best.len() < first + k {
            best.push((row, score));
        } else if !best.last().is_some_and(is_worse) {
            continue;
        }
        // Shifted one by one: for so few, WebAssembly's copy of memory takes longer.
        let mut place = best.len() - 1;
        while place > first && is_worse(&best[place - 1]) {
            best[place] = best[place - 1];
            place -= 1;
        }
        best[place] = (row, score);
    }
}

/// The weights of those of `best` that stand, best first; `all` are the scores of the whole site. Returns the sum of the exponentials of
/// `best`.
fn weigh(params: &Params, best: &[(u32, f32)], all: &[(u32, f32)], weights: &mut Vec<f32>) -> f32 {
    weights.clear();
    let Some((_, highest)) = best.first() else { return 0.0 };
    let exponential = |score: f32| params.exponential(score, *highest);
    weights.extend(best.iter().map(|(_, score)| exponential(*score)));
    let chosen: f32 = weights.iter().sum();
    if params.least_share > 0.0 {
        let whole: f32 = all.iter().map(|(_, score)| exponential(*score)).sum();
        if chosen < params.least_share * whole {
            weights.clear();
            return chosen;
        }
    }
    let standing = weights[1..].iter().take_while(|weight| **weight >= params.least_weight * chosen).count();
    weights.truncate(1 + standing);
    let kept: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= kept);
    chosen
}

/// Who came next, and with what weight each would have joined the best, whose exponentials sum to `chosen`.
fn tell_runners_up(
    params: &Params,
    best: &[(u32, f32)],
    behind: &[(u32, f32)],
    chosen: f32,
    told: &mut [u32],
) {
    let (rows, weights) = told.split_at_mut(told.len() / 2);
    for (place, (row, weight)) in rows.iter_mut().zip(weights).enumerate() {
        (*row, *weight) = (ABSENT, 0.0f32.to_bits());
        let (Some((_, highest)), Some((next, score))) = (best.first(), behind.get(place)) else { continue };
        let own = params.exponential(*score, *highest);
        (*row, *weight) = (*next, (own / (chosen + own)).to_bits());
    }
}

fn gpu(dispatch: &Dispatch, _: Target) -> Program {
    let params: Params = dispatch.params();
    let tokens = dispatch.tensors[1].rows;
    let (entry, groups) = match params.scored {
        0 => ("route", tokens),
        _ => ("route_scored", tokens.div_ceil(TOKENS)),
    };
    Program {
        source: &[
            wgsl!("../../shaders/common/matrix.wgsl"),
            wgsl!("../../shaders/common/input.wgsl"),
            wgsl!("../../shaders/common/shared_input.wgsl"),
            wgsl!("../../shaders/common/workgroup_sum.wgsl"),
            wgsl!("../../shaders/common/gates.wgsl"),
            wgsl!("../../shaders/common/hash.wgsl"),
            wgsl!("../../shaders/route.wgsl"),
        ],
        entry,
        constants: vec![("INPUT", params.input as f64)],
        workgroups: [groups as u32, params.sites, 1],
    }
}
