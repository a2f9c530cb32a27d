//! What rounding the activations of quantised bases costs, against the same base computed without: the pilot ocean as it is
//! shipped, and random weights in the shapes of flan-t5-small with experts.
#![cfg(not(target_arch = "wasm32"))]

mod support;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use gander::base::Base;
use gander::catalog::Catalog;
use gander::device::Device;
use gander::quant::Values;
use gander::recording::Integers;
use gander::session::{Request, RoutedToken, Session, Step, Strategy};
use gander::synthetic;
use support::{base_without_text, now, report};

const TOKENS: usize = 32;

/// An answer, with the logits behind every token.
struct Answer {
    ids: Vec<u32>,
    logits: Vec<Vec<f32>>,
    routing: Vec<RoutedToken>,
}

fn answer(session: &mut Session, request: &Request, page_bytes: &dyn Fn(&Session, u32) -> Vec<u8>) -> Answer {
    let seen: Rc<RefCell<Vec<f32>>> = Rc::default();
    let logits = seen.clone();
    session.observe(move |name, values| {
        if name == "logits" {
            *logits.borrow_mut() = values.to_vec();
        }
    });
    session.start(request.clone()).unwrap();
    let mut answer = Answer { ids: Vec::new(), logits: Vec::new(), routing: Vec::new() };
    loop {
        match session.step().unwrap() {
            Step::Missing(pages) => {
                for page in pages {
                    let bytes = page_bytes(session, page);
                    session.provide(page, &bytes).unwrap();
                }
            }
            Step::Token(token) => {
                if answer.ids.is_empty() {
                    answer.routing.extend(session.encoder_routing());
                }
                answer.ids.push(token.id);
                answer.logits.push(seen.borrow().clone());
                answer.routing.extend(token.routing);
            }
            Step::Done(_) => return answer,
        }
    }
}

/// Sums over answers, as long as both were given the same tokens.
#[derive(Default)]
struct Agreement {
    tokens: usize,
    same_tokens: usize,
    divergence: f64,
    worst_divergence: f64,
    sets: usize,
    same_sets: usize,
}

impl Agreement {
    fn count(&mut self, exact: &Answer, rounded: &Answer) {
        let same = exact.ids.iter().zip(&rounded.ids).take_while(|(a, b)| a == b).count();
        // The token at which they part is from the same past too.
        let compared = (same + 1).min(exact.ids.len()).min(rounded.ids.len());
        self.tokens += compared;
        self.same_tokens += same;
        for (exact, rounded) in exact.logits.iter().zip(&rounded.logits).take(compared) {
            let divergence = divergence(exact, rounded);
            self.divergence += divergence;
            self.worst_divergence = self.worst_divergence.max(divergence);
        }
        let place = |token: &RoutedToken| (token.module.clone(), token.token);
        let rounded: HashMap<_, _> = rounded.routing.iter().map(|token| (place(token), token)).collect();
        for exact in &exact.routing {
            let of_encoder = exact.module.starts_with("encoder")
                || exact.module.ends_with("EncDecAttention.k")
                || exact.module.ends_with("EncDecAttention.v");
            if of_encoder || exact.token < compared {
                let (mut a, mut b) = (exact.experts.clone(), rounded[&place(exact)].experts.clone());
                a.sort();
                b.sort();
                self.sets += 1;
                self.same_sets += (a == b) as usize;
            }
        }
    }

    fn report(&self, what: &str) -> Shares {
        let share = |part: usize, all: usize| if all == 0 { 1.0 } else { part as f64 / all as f64 };
        let shares = Shares {
            tokens: share(self.same_tokens, self.tokens),
            choices: share(self.same_sets, self.sets),
        };
        report(&format!(
            "numerics of {what}: KL {:.6} (worst {:.6}), {:.2} % of {} tokens and {:.2} % of {} choices equal",
            self.divergence / self.tokens as f64,
            self.worst_divergence,
            100.0 * shares.tokens,
            self.tokens,
            100.0 * shares.choices,
            self.sets
        ));
        shares
    }

    fn check(&self, what: &str) {
        let Shares { tokens, choices } = self.report(what);
        let divergence = self.divergence / self.tokens as f64;
        assert!(divergence <= 0.01, "{what}: KL {divergence}");
        assert!(tokens >= 0.98, "{what}: {tokens} of the tokens are equal");
        assert!(choices >= 0.99, "{what}: {choices} of the choices are equal");
    }
}

/// How much is equal, of 1.
struct Shares {
    tokens: f64,
    choices: f64,
}

/// Kullback and Leibler's, of what the logits say of the next token.
fn divergence(exact: &[f32], rounded: &[f32]) -> f64 {
    let logarithms = |logits: &[f32]| {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|logit| f64::from(logit - max).exp()).sum();
        logits.iter().map(|logit| f64::from(logit - max) - sum.ln()).collect::<Vec<f64>>()
    };
    let (p, q) = (logarithms(exact), logarithms(rounded));
    p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum()
}

/// A model of random weights makes much of little: one other choice of an expert, and the token is another. So tokens and logits
/// are compared without experts.
#[test]
fn a_flan_t5_small_of_random_weights_answers_as_without_rounding() {
    const EXPERTS: u64 = 8;
    let mut config = synthetic::config(512, 6, 1024, 8, 32128);
    config.eos_token_ids.clear();
    let (experts, pages): (Vec<_>, Vec<_>) =
        (0..EXPERTS).map(|index| synthetic::expert(&config, &index.to_string(), 8, 2 + index)).unzip();
    let pages = pages.concat();
    let mut sessions = [Device::exact_cpu(), Device::cpu()].map(|device| {
        let checkpoint = synthetic::checkpoint(&config, 1, |_, floats| Values::q8_0_from(floats));
        let mut session = Session::on(device, base_without_text(checkpoint)).unwrap();
        session.add_experts(experts.clone()).unwrap();
        session
    });
    let page_bytes = |_: &Session, page: u32| pages[page as usize].clone();
    let [mut alone, mut routed] = [Agreement::default(), Agreement::default()];
    let mut random = fastrand::Rng::with_seed(9);
    for length in [1, 7, 16, 33] {
        let input_ids = Some((0..length).map(|_| random.u32(2..32000)).collect());
        let request = Request { input_ids, max_new_tokens: TOKENS, trace: true, ..Request::default() };
        for (agreement, strategy) in [(&mut alone, Strategy::None), (&mut routed, Strategy::Phatgoose)] {
            let request = Request { strategy, ..request.clone() };
            let [exact, rounded] = sessions.each_mut().map(|session| answer(session, &request, &page_bytes));
            agreement.count(&exact, &rounded);
        }
    }
    let choices = routed.report("random weights, routed").choices;
    assert!(choices >= 0.99, "{choices} of the choices are equal");
    alone.check("random weights, the base alone");
}

#[test]
fn the_pilot_ocean_answers_as_without_rounding() {
    compare_on_pilot("the pilot ocean", Device::cpu(), 40);
}

#[test]
fn the_pilot_ocean_answers_so_on_a_gpu_that_multiplies_whole_numbers() {
    let mut device = now(support::gpu());
    let Device::Gpu(gpu) = &mut device else { unreachable!("a GPU was asked for") };
    assert!(gpu.has_integer_dots());
    gpu.set_integers(Integers { one_token: true, many_tokens: true });
    compare_on_pilot("the pilot ocean on the GPU", device, 8);
}

/// So many lines of the pilot on a device, beside the exact CPU.
fn compare_on_pilot(what: &str, device: Device, lines: usize) {
    let ocean = Path::new(env!("CARGO_MANIFEST_DIR")).join("www/demo/ocean");
    let read = |path: &str| std::fs::read(ocean.join(path)).unwrap();
    let catalog = Catalog::parse("catalog.json", &read("catalog.json")).unwrap();
    let mut sessions = [Device::exact_cpu(), device].map(|device| {
        let mut session = Session::on(device, Base::open(ocean.join("base.gguf")).unwrap()).unwrap();
        session.add_catalog(&catalog, &read("gates.safetensors")).unwrap();
        session
    });
    let page_bytes = |session: &Session, page: u32| {
        let (_, page) = session.page(page).unwrap();
        read(&page.file)[page.range.start as usize..page.range.end as usize].to_vec()
    };
    let examples = String::from_utf8(read("eval/mixed.jsonl")).unwrap();
    let mut agreement = Agreement::default();
    for line in examples.lines().take(lines) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = Some(line["input"].as_str().unwrap().to_owned());
        let request = Request { text, max_new_tokens: TOKENS, trace: true, ..Request::default() };
        let [exact, rounded] = sessions.each_mut().map(|session| answer(session, &request, &page_bytes));
        agreement.count(&exact, &rounded);
    }
    agreement.check(what);
}
