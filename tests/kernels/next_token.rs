//! The next token: the most likely one, or one drawn by the rules; or a halt.

use fastrand::Rng;
use gander::kernels::next_token;
use gander::recording::Control;
use gander::sampling::Sampling;

use super::case::{Bench, Case, Word};
use super::numbers::Fill;

/// Two tokens whose logits, noise included, are closer than this may change places: no case has such.
const CLEAR_MARGIN: f64 = 1e-4;

#[derive(Debug, Clone)]
struct Shape {
    logits: Logits,
    vocabulary: usize,
    rules: Sampling,
    /// Position of the first step, of how many steps, and room for the answer.
    position: usize,
    steps: usize,
    room: usize,
    ends: Vec<u32>,
    missed: bool,
    seed: u64,
}

#[derive(Debug, Clone)]
enum Logits {
    Fill(Fill),
    /// Random but for these.
    With(Vec<(usize, f32)>),
}

impl Shape {
    fn greedy(vocabulary: usize, logits: Logits) -> Shape {
        Shape {
            logits,
            vocabulary,
            rules: Sampling::default(),
            position: 0,
            steps: 1,
            room: 20,
            ends: vec![1],
            missed: false,
            seed: 1,
        }
    }

    fn floats(&self) -> Vec<f32> {
        let mut random = Rng::with_seed(self.seed + self.vocabulary as u64);
        match &self.logits {
            Logits::Fill(fill) => fill.floats(&mut random, self.vocabulary),
            Logits::With(values) => {
                let mut logits = Fill::Random(5.0).floats(&mut random, self.vocabulary);
                for (id, value) in values {
                    logits[*id] = *value;
                }
                logits
            }
        }
    }
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let random = |most| Logits::Fill(Fill::Random(most));
    let with = |values: &[(usize, f32)]| Logits::With(values.to_vec());
    // Greedy.
    for vocabulary in [1, 2, 7, 33, 255, 256, 257, 1000, 32128] {
        cases.push(case(Shape::greedy(vocabulary, random(5.0))));
    }
    for logits in [
        random(1e30),
        random(1e-30),
        Logits::Fill(Fill::Constant(0.0)),
        Logits::Fill(Fill::Constant(-1e30)),
        Logits::Fill(Fill::Constant(f32::MIN)),
        with(&[(40, 9.0), (39, 9.0), (299, 9.0)]),
        with(&[(256, 9.0), (511, 9.0)]),
        with(&[(599, 1e30), (3, -1e30)]),
        with(&[(0, 9.0)]),
    ] {
        cases.push(case(Shape::greedy(600, logits)));
    }
    let zeros = (0..64).map(|id| (id, if id == 5 { 0.0 } else { -0.0 })).collect();
    cases.push(case(Shape::greedy(64, Logits::With(zeros))));
    // The end: an end token, the first or the last of several, or no more room.
    for ends in [vec![7], vec![2, 7], vec![7, 3, 4], vec![]] {
        cases.push(case(Shape { ends, ..Shape::greedy(300, with(&[(7, 9.0)])) }));
    }
    cases.push(case(Shape { position: 19, ..Shape::greedy(300, random(5.0)) }));
    // Steps after the end do nothing.
    cases.push(case(Shape { position: 17, steps: 8, ..Shape::greedy(300, random(5.0)) }));
    cases.push(case(Shape { ends: vec![7], steps: 8, ..Shape::greedy(300, with(&[(7, 9.0)])) }));
    // Not committed.
    cases.push(case(Shape { missed: true, ..Shape::greedy(300, random(5.0)) }));
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 299] {
            cases.push(case(Shape::greedy(300, with(&[(at, bad)]))));
        }
    }
    cases.push(case(Shape { missed: true, ..Shape::greedy(300, with(&[(3, f32::NAN)])) }));
    for why in 1..=3 {
        cases.push(case(Shape::greedy(300, random(5.0))).halted(why));
    }
    // Penalty, which makes other tokens win in turn.
    for (repetition_penalty, logits) in
        [(1.5, random(5.0)), (3.0, Logits::Fill(Fill::Around(-3.0))), (0.5, random(5.0)), (1e3, random(1.0))]
    {
        let rules = Sampling { repetition_penalty, ..Sampling::default() };
        cases.push(case(Shape { rules, steps: 10, ..Shape::greedy(300, logits) }));
    }
    // Draws.
    let rules = Sampling { temperature: 1.0, ..Sampling::default() };
    let draws = |rules| Shape { rules, steps: 20, ..Shape::greedy(300, random(3.0)) };
    for seed in [0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX, 12345] {
        cases.push(case(draws(Sampling { seed, ..rules.clone() })));
    }
    for temperature in [1e-40, 1e-5, 0.01, 0.3, 2.0, 100.0] {
        cases.push(case(draws(Sampling { temperature, ..rules.clone() })));
    }
    for top_k in [1, 2, 5, 299, 300, 1000] {
        cases.push(case(draws(Sampling { top_k, ..rules.clone() })));
    }
    for top_p in [1e-6, 0.1, 0.5, 0.9, 0.999] {
        cases.push(case(draws(Sampling { top_p, ..rules.clone() })));
    }
    let all = Sampling { top_k: 40, top_p: 0.8, temperature: 0.7, repetition_penalty: 1.3, seed: 5 };
    cases.push(case(draws(all.clone())));
    cases.push(case(Shape { position: 5, ..draws(all.clone()) }));
    // Equals stay in together, at both cuts.
    let equals = with(&[(3, 9.0), (30, 9.0), (280, 9.0), (4, 8.0)]);
    for rules in [Sampling { top_k: 2, ..rules.clone() }, Sampling { top_p: 0.3, ..rules.clone() }] {
        cases.push(case(Shape { logits: equals.clone(), ..draws(rules) }));
    }
    for vocabulary in [1, 2, 33, 257] {
        cases.push(case(Shape { vocabulary, ends: vec![], ..draws(rules.clone()) }));
    }
    // Where one in thirty thousand wins, its noise is in the far tail.
    for rules in [rules.clone(), all] {
        cases.push(case(Shape { vocabulary: 32128, seed: 3, ..draws(rules) }));
    }
    cases
}

fn case(shape: Shape) -> Case {
    Case::new(format!("next_token of {shape:?}"), move |bench: &mut Bench| {
        let logits = shape.floats();
        let Shape { vocabulary, ref rules, position, steps, room, ref ends, missed, .. } = shape;
        // The start token was seen, and one more.
        let mut seen = vec![0u32; vocabulary.div_ceil(32)];
        seen[0] |= 1;
        seen[(vocabulary - 1) / 32] |= 1 << ((vocabulary - 1) % 32);
        let before = seen.clone();
        let mut produced = vec![7u32; room];
        let mut control = Control { position: position as u32, first: 2, token: 9, ..Control::default() };
        bench.words = control;
        for _ in 0..steps {
            if control.halted != Control::GO {
                break;
            }
            if missed {
                control.halted = Control::MISSED;
            } else if logits.iter().any(|logit| !logit.is_finite()) {
                control.halted = Control::NOT_FINITE;
            } else {
                let drawn = draw(&logits, rules, control.position, &seen);
                assert!(drawn.margin == 0.0 || drawn.margin > CLEAR_MARGIN, "{drawn:?}: take another seed");
                seen[drawn.token / 32] |= 1 << (drawn.token % 32);
                produced[control.position as usize] = drawn.token as u32;
                control = Control { position: control.position + 1, token: drawn.token as u32, ..control };
                if ends.contains(&control.token) || control.position as usize == room {
                    control.halted = Control::FINISHED;
                }
            }
        }
        let bits = |words: &[u32]| words.iter().copied().map(Word::Bits).collect::<Vec<Word>>();
        let tensor = bench.floats(1, vocabulary, &logits);
        let ends = bench.words(1, ends.len(), ends);
        let flags = bench.words(1, 3, &[missed.into(), 1, 1]);
        let seen_tensor = bench.words(1, seen.len(), &before);
        let produced_tensor = bench.words(1, room, &vec![7; room]);
        bench.expect("seen", seen_tensor, bits(&seen));
        bench.expect("produced", produced_tensor, bits(&produced));
        bench.expect("control", bench.control, bits(bytemuck::cast_slice(&[control])));
        bench.times = steps;
        next_token::record(
            &mut bench.recording,
            bench.control,
            tensor,
            ends,
            flags,
            seen_tensor,
            produced_tensor,
            rules,
        );
    })
}

/// A token, and by how much it won: 0 where equals were decided by their ids.
#[derive(Debug, Clone, Copy)]
pub struct Drawn {
    pub token: usize,
    pub margin: f64,
}

/// The rules of `Sampling`, one after another.
pub fn draw(logits: &[f32], rules: &Sampling, position: u32, seen: &[u32]) -> Drawn {
    let mut logits: Vec<f64> = logits.iter().map(|logit| f64::from(*logit)).collect();
    for (id, logit) in logits.iter_mut().enumerate() {
        let penalty = f64::from(rules.repetition_penalty);
        if seen[id / 32] >> (id % 32) & 1 == 1 {
            *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
        }
    }
    if rules.temperature > 0.0 {
        logits.iter_mut().for_each(|logit| *logit /= f64::from(rules.temperature));
        let least = least(&logits, rules);
        for (id, logit) in logits.iter_mut().enumerate() {
            *logit = match *logit >= least {
                true => *logit + gumbel(rules.seed, position, id as u32),
                false => f64::NEG_INFINITY,
            };
        }
    }
    let best = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let token = logits.iter().position(|logit| *logit == best).expect("one of them is the greatest");
    let others = logits.iter().enumerate().filter(|(id, _)| *id != token);
    let second = others.map(|(_, logit)| *logit).fold(f64::NEG_INFINITY, f64::max);
    // Greedy choices compare numbers that no rounding touched.
    let is_exact = rules.temperature == 0.0 && rules.repetition_penalty == 1.0;
    Drawn { token, margin: if is_exact { 0.0 } else { best - second } }
}

/// The least logit that top-k and top-p leave.
fn least(logits: &[f64], rules: &Sampling) -> f64 {
    let mut sorted = logits.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    if rules.top_k > 0 && rules.top_k < sorted.len() {
        let least = sorted[rules.top_k - 1];
        sorted.retain(|logit| *logit >= least);
    }
    if rules.top_p < 1.0 {
        let total: f64 = sorted.iter().map(|logit| (logit - sorted[0]).exp()).sum();
        let mut mass = 0.0;
        for logit in &sorted {
            mass += (logit - sorted[0]).exp() / total;
            let distance = mass - f64::from(rules.top_p);
            assert!(distance.abs() > 1e-6, "{mass} is too close to top-p: take another seed");
            if distance > 0.0 {
                return *logit;
            }
        }
    }
    sorted[sorted.len() - 1]
}

/// Gumbel noise from a hash of seed, position and token: Jarzynski and Olano 2020, "Hash Functions for GPU Rendering".
fn gumbel(seed: u64, position: u32, id: u32) -> f64 {
    fn pcg(x: u32) -> u32 {
        let state = x.wrapping_mul(747796405).wrapping_add(2891336453);
        let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277803737);
        (word >> 22) ^ word
    }
    let mut hash = 0;
    for word in [seed as u32, (seed >> 32) as u32, position, id] {
        hash = pcg(hash ^ word);
    }
    // The middle of one of 2^23 equal parts of the interval from 0 to 1.
    let uniform = (f64::from(hash >> 9) + 0.5) / f64::from(1 << 23);
    -(-uniform.ln()).ln()
}
