//! The choice of a token, from logits that go by some at a time: only top-p by itself wants all of them at once.

use bytemuck::{Pod, Zeroable};

use crate::kernels::{exp, hash, pcg, softmax, sort_descending};
use crate::processor::Compute;
use crate::recording::Argument;
use crate::scratch::{Choice, Scratch};

/// What the token of one step is chosen by.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct Rules {
    /// 0 for the most likely token.
    pub temperature: f32,
    pub repetition_penalty: f32,
    /// 0 for all.
    pub top_k: u32,
    pub top_p: f32,
    /// Of seed and position: what the noise of a token is a hash of, beside its id.
    pub hash: u32,
    /// Number of tokens.
    pub vocabulary: u32,
    /// The token of the first of the logits that go by next.
    pub first: u32,
}

impl Rules {
    /// The hash of a seed and a position.
    pub fn hash(seed: [u32; 2], position: u32) -> u32 {
        hash([seed[0], seed[1], position])
    }

    /// Of how many tokens, and those as likely as the last of them, one is drawn.
    fn kept(&self) -> usize {
        let cuts = self.top_k > 0 && self.top_k < self.vocabulary;
        (if cuts { self.top_k } else { self.vocabulary }) as usize
    }

    /// Whether more is to be kept than the best so far.
    fn keeps_candidates(&self) -> bool {
        self.temperature > 0.0 && (self.top_p < 1.0 || self.kept() < self.vocabulary as usize)
    }
}

/// Logits looked at together.
const LANES: usize = 16;
/// Candidates that are put up with beside twice those that are wanted, before the least of them are dropped.
const MORE_CANDIDATES: usize = 1024;

impl Choice {
    /// Forgets what went by. What is left of so many `parts` will be joined here.
    pub(crate) fn begin(&mut self, rules: &Rules, parts: usize) {
        let Choice { best, are_finite, candidates, least } = self;
        (*best, *are_finite, *least) = ((0, f32::NEG_INFINITY), true, f32::NEG_INFINITY);
        candidates.clear();
        if rules.keeps_candidates() {
            // However many a later step has.
            candidates.reserve((parts * most_candidates(rules)).min(rules.vocabulary as usize));
        }
    }

    /// Adds what is left of the logits of higher ids.
    pub(crate) fn join(&mut self, higher: &Choice) {
        self.are_finite &= higher.are_finite;
        self.offer(higher.best.0, higher.best.1);
        self.candidates.extend(&higher.candidates);
    }

    /// Of equals the first stays.
    #[inline(always)]
    fn offer(&mut self, id: u32, logit: f32) {
        if logit > self.best.1 {
            self.best = (id, logit);
        }
    }

    /// The token, once all logits went by. `sorted` and `probabilities` are room.
    pub(crate) fn token(
        &mut self,
        rules: &Rules,
        sorted: &mut Vec<f32>,
        probabilities: &mut Vec<f32>,
    ) -> u32 {
        if rules.keeps_candidates() {
            for room in [&mut *sorted, &mut *probabilities] {
                room.clear();
                room.reserve(self.candidates.capacity());
            }
            sorted.extend(self.candidates.iter().map(|(_, logit)| *logit));
            let least = threshold(sorted, rules.kept(), rules.top_p, probabilities);
            for index in 0..self.candidates.len() {
                let (id, logit) = self.candidates[index];
                if logit >= least {
                    self.offer(id, logit + gumbel(pcg(rules.hash ^ id)));
                }
            }
        }
        self.best.0
    }
}

fn most_candidates(rules: &Rules) -> usize {
    (2 * rules.kept() + MORE_CANDIDATES).min(rules.vocabulary as usize)
}

/// Takes what may win of some logits, which are in [`Scratch::logits`] and of no use afterwards. Arguments: the bits of the
/// tokens seen so far.
pub(crate) struct Take;

impl Compute for Take {
    #[inline(always)]
    fn compute(rules: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
        let rules: &Rules = bytemuck::from_bytes(rules);
        let Scratch { logits, choice, sorted, .. } = scratch;
        // All in one go, so that the compiler can make vectors of it.
        choice.are_finite &= logits.iter().fold(true, |all, logit| all & logit.is_finite());
        if rules.repetition_penalty != 1.0 {
            penalise(rules, arguments[0].as_slice(), logits);
        }
        if rules.temperature == 0.0 {
            let greatest = greatest(logits);
            if greatest > choice.best.1 {
                let place = logits.iter().position(|logit| *logit == greatest);
                choice.best = (rules.first + place.unwrap_or(0) as u32, greatest);
            }
            return;
        }
        logits.iter_mut().for_each(|logit| *logit /= rules.temperature);
        if rules.keeps_candidates() {
            collect(rules, logits, choice, sorted);
        } else {
            draw(rules, logits, choice);
        }
    }
}

/// Keskar et al. 2019, CTRL, section 4.1; the sign as in transformers.
#[inline(always)]
fn penalise(rules: &Rules, seen: &[u32], logits: &mut [f32]) {
    let first = rules.first as usize;
    let words = first / 32..(first + logits.len()).div_ceil(32);
    for word in words {
        let mut bits = seen[word];
        while bits != 0 {
            let id = 32 * word + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            if let Some(logit) = id.checked_sub(first).and_then(|place| logits.get_mut(place)) {
                *logit = match *logit < 0.0 {
                    true => *logit * rules.repetition_penalty,
                    false => *logit / rules.repetition_penalty,
                };
            }
        }
    }
}

/// The greatest; what is no number is not greater.
#[inline(always)]
fn greatest(logits: &[f32]) -> f32 {
    let (chunks, rest) = logits.as_chunks::<LANES>();
    let greater = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, logit) in lanes.iter_mut().zip(chunk) {
            *lane = greater(*lane, *logit);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, greater)
}

/// Draws from all tokens: the greatest of logit + Gumbel noise is distributed as the softmax (Gumbel 1954).
#[inline(always)]
fn draw(rules: &Rules, logits: &[f32], choice: &mut Choice) {
    for (logits, first) in logits.chunks(LANES).zip((rules.first..).step_by(LANES)) {
        let mut group = [f32::NEG_INFINITY; LANES];
        group[..logits.len()].copy_from_slice(logits);
        let best = choice.best.1;
        // Logarithms are for those who may win. With U uniform, noise −ln(−ln U) is less than −ln(1 − U), so who is further
        // behind than that has lost, whatever rounding did: by the margin, which is more than sums of these floats lose.
        let has_lost = |lane: usize| {
            let bits = pcg(rules.hash ^ (first + lane as u32));
            let complement = (((1 << 23) - (bits >> 9)) as f32 - 0.5) / (1 << 23) as f32;
            let margin = 1e-3 + 1e-6 * (group[lane].abs() + best.abs());
            complement >= exp(group[lane] - best + margin)
        };
        if (0..LANES).fold(true, |all, lane| all & has_lost(lane)) {
            continue;
        }
        for (id, logit) in (first..).zip(logits) {
            choice.offer(id, logit + gumbel(pcg(rules.hash ^ id)));
        }
    }
}

/// Keeps those that may be among the most likely.
#[inline(always)]
fn collect(rules: &Rules, logits: &[f32], choice: &mut Choice, sorted: &mut Vec<f32>) {
    let kept = rules.kept();
    // Where equals do not let them become fewer, they are looked through rarely.
    let limit = |choice: &Choice| most_candidates(rules).max(2 * choice.candidates.len());
    let mut most = limit(choice);
    for (logits, first) in logits.chunks(LANES).zip((rules.first..).step_by(LANES)) {
        let is_less = |logit: &f32| *logit < choice.least;
        if logits.iter().fold(true, |all, logit| all & is_less(logit)) {
            continue;
        }
        let candidates = (first..).zip(logits.iter().copied()).filter(|(_, logit)| !is_less(logit));
        choice.candidates.extend(candidates);
        if choice.candidates.len() + LANES > most && choice.candidates.len() > kept {
            sorted.clear();
            sorted.reserve(choice.candidates.capacity());
            sorted.extend(choice.candidates.iter().map(|(_, logit)| *logit));
            sort_descending(sorted);
            choice.least = sorted[kept - 1];
            choice.candidates.retain(|(_, logit)| *logit >= choice.least);
            most = limit(choice);
        }
    }
}

/// The least logit that may be drawn. Equals stay in together. `probabilities` is room.
fn threshold(logits: &mut Vec<f32>, kept: usize, top_p: f32, probabilities: &mut Vec<f32>) -> f32 {
    // Equals are alike, so the order that a stable sort keeps is none.
    sort_descending(logits);
    if kept < logits.len() {
        let least = logits[kept - 1];
        logits.truncate(logits.partition_point(|logit| *logit >= least));
    }
    if top_p < 1.0 {
        probabilities.clone_from(logits);
        softmax(probabilities);
        let mut mass = 0.0;
        for (logit, probability) in logits.iter().zip(probabilities) {
            mass += *probability;
            // The token that crosses the threshold is the last one that stays.
            if mass >= top_p {
                return *logit;
            }
        }
    }
    logits[logits.len() - 1]
}

/// Noise from the bits of a hash, without a state: the same numbers give the same noise, on every device and in any order.
fn gumbel(bits: u32) -> f32 {
    let uniform = ((bits >> 9) as f32 + 0.5) / (1 << 23) as f32;
    -(-uniform.ln()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of many draws over many scales of logits, none is other than if every token's noise were reckoned.
    #[test]
    fn who_is_passed_over_had_lost() {
        let mut random = fastrand::Rng::with_seed(1);
        for (seed, spread) in
            [0.0f32, 1e-3, 1.0, 8.0, 30.0, 1e3, 1e6, 1e30].into_iter().cycle().take(800).enumerate()
        {
            let logits: Vec<f32> = (0..1007).map(|_| spread * (random.f32() - 0.5)).collect();
            let hash = Rules::hash([seed as u32, 7], 3);
            let vocabulary = logits.len() as u32;
            let rules = Rules {
                temperature: 1.0,
                repetition_penalty: 1.0,
                top_k: 0,
                top_p: 1.0,
                hash,
                vocabulary,
                first: 0,
            };
            let mut choice = Choice::default();
            choice.begin(&rules, 1);
            draw(&rules, &logits, &mut choice);
            let mut expected = (0, f32::NEG_INFINITY);
            for (id, logit) in (0..).zip(&logits) {
                let drawn = logit + gumbel(pcg(hash ^ id));
                if drawn > expected.1 {
                    expected = (id, drawn);
                }
            }
            assert_eq!(choice.best, expected, "seed {seed}, spread {spread}");
        }
    }

    /// However they are cut into parts, and however many are equal.
    #[test]
    fn candidates_of_parts_are_those_of_the_whole() {
        let mut random = fastrand::Rng::with_seed(2);
        for (levels, top_k, top_p) in
            [(3, 5, 1.0), (50, 40, 0.9), (1 << 20, 40, 1.0), (1, 7, 0.5), (1 << 20, 0, 0.3)]
        {
            let logits: Vec<f32> =
                (0..5003).map(|_| (random.u32(0..levels)) as f32 / levels as f32 * 9.0).collect();
            let token = |parts: &[usize]| {
                let mut rules = Rules {
                    temperature: 1.0,
                    repetition_penalty: 1.0,
                    top_k,
                    top_p,
                    hash: 5,
                    vocabulary: logits.len() as u32,
                    first: 0,
                };
                let mut whole = Choice::default();
                whole.begin(&rules, 1);
                for part in logits.chunks(parts[0]) {
                    let mut choice = Choice::default();
                    choice.begin(&rules, 1);
                    let mut sorted = Vec::new();
                    for logits in part.chunks(parts[1]) {
                        collect(&rules, logits, &mut choice, &mut sorted);
                        rules.first += logits.len() as u32;
                    }
                    whole.join(&choice);
                }
                whole.token(&rules, &mut Vec::new(), &mut Vec::new())
            };
            let expected = {
                let mut sorted = logits.clone();
                let kept = if top_k == 0 { logits.len() } else { top_k as usize };
                let least = threshold(&mut sorted, kept, top_p, &mut Vec::new());
                let drawn = logits.iter().zip(0..).map(|(logit, id)| match *logit >= least {
                    true => logit + gumbel(pcg(5 ^ id)),
                    false => f32::NEG_INFINITY,
                });
                let drawn: Vec<f32> = drawn.collect();
                let best = greatest(&drawn);
                drawn.iter().position(|x| *x == best).unwrap() as u32
            };
            for parts in [[5003, 5003], [5003, 64], [1000, 48], [17, 16]] {
                assert_eq!(
                    token(&parts),
                    expected,
                    "{levels} levels, top-k {top_k}, top-p {top_p}, {parts:?}"
                );
            }
        }
    }
}
