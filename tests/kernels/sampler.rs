//! Many draws: their frequencies, and the same ones on both devices.

use gander::device::Device;
use gander::kernels::next_token;
use gander::recording::{Control, Recording};
use gander::sampling::Sampling;
use gander::tensor::DType;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::support::{async_test, gpu, now, report};

/// So many tokens, each drawn anew from the same logits.
async fn draws(device: &mut Device, logits: &[f32], rules: &Sampling, count: usize) -> Vec<u32> {
    let mut recording = Recording::default();
    let control = device.alloc(1, Control::WORDS, DType::U32);
    let logits = device.upload(1, logits.len(), DType::F32, logits);
    let ends = device.alloc(1, 0, DType::U32);
    let flags = device.alloc(1, 1, DType::U32);
    let seen = device.alloc(1, logits.cols.div_ceil(32), DType::U32);
    let produced = device.alloc(1, count, DType::U32);
    next_token::record(&mut recording, control, logits, ends, flags, seen, produced, rules);
    let plan = device.prepare(recording);
    device.run(&plan, 0..1, count);
    device.read_words(&[produced]).await.expect("tokens").remove(0)
}

fn drawing(rules: Sampling) -> Sampling {
    Sampling { temperature: 1.0, seed: 11, ..rules }
}

fn frequencies(logits: &[f32], rules: &Sampling, count: usize) -> Vec<f64> {
    let mut counts = vec![0.0; logits.len()];
    for token in now(draws(&mut Device::cpu(), logits, rules, count)) {
        counts[token as usize] += 1.0 / count as f64;
    }
    counts
}

const DRAWS: usize = 20_000;

#[test]
fn tokens_are_drawn_as_often_as_the_softmax_says() {
    let logits = [0.0, 2.0, 1.0, -1.0, -30.0, 0.5];
    for temperature in [0.5, 1.0, 3.0] {
        let rules = Sampling { temperature, ..drawing(Sampling::default()) };
        let total: f64 = logits.iter().map(|logit: &f32| f64::from(logit / temperature).exp()).sum();
        let found = frequencies(&logits, &rules, DRAWS);
        for (logit, found) in logits.iter().zip(found) {
            let expected = f64::from(logit / temperature).exp() / total;
            // Four standard deviations.
            let within = 4.0 * (expected * (1.0 - expected) / DRAWS as f64).sqrt();
            assert!((found - expected).abs() <= within, "{logit} at {temperature}: {found}, not {expected}");
        }
    }
}

#[test]
fn only_the_most_likely_are_drawn_from() {
    let logits = [0.0, 3.0, 1.0, 2.0, 2.0];
    let is_drawn =
        |rules| frequencies(&logits, &drawing(rules), 2000).iter().map(|f| *f > 0.0).collect::<Vec<_>>();
    let rules = Sampling { top_k: 1, ..Sampling::default() };
    assert_eq!(is_drawn(rules), [false, true, false, false, false]);
    // The second and the third are as likely as one another.
    let rules = Sampling { top_k: 2, ..Sampling::default() };
    assert_eq!(is_drawn(rules), [false, true, false, true, true]);
    // The first alone has 0.53 of the mass.
    let rules = Sampling { top_p: 0.5, ..Sampling::default() };
    assert_eq!(is_drawn(rules), [false, true, false, false, false]);
    let rules = Sampling { top_p: 0.6, ..Sampling::default() };
    assert_eq!(is_drawn(rules), [false, true, false, true, true]);
    // Of the four that top-k leaves, two have less than 0.7 of the mass.
    let rules = Sampling { top_k: 4, top_p: 0.9, ..Sampling::default() };
    assert_eq!(is_drawn(rules), [false, true, false, true, true]);
}

#[test]
fn a_penalty_moves_on_from_tokens_that_were_produced() {
    let rules = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
    // 4 halves to 2, below 3, which halves to 1.5; then 2 again, and it is not halved twice.
    let tokens = now(draws(&mut Device::cpu(), &[4.0, 3.0, -1.0], &rules, 4));
    assert_eq!(tokens, [0, 1, 0, 0]);
    // A negative logit becomes more so.
    let tokens = now(draws(&mut Device::cpu(), &[-2.0, -1.0, -3.0], &rules, 3));
    assert_eq!(tokens, [1, 0, 1]);
}

async_test! {
    async fn cpu_and_gpu_draw_the_same_tokens() {
        let mut device = gpu().await;
        let mut random = fastrand::Rng::with_seed(5);
        let (mut count, mut differing) = (0, 0);
        for rules in [
            Sampling::default(),
            Sampling { top_k: 50, ..Sampling::default() },
            Sampling { top_p: 0.9, ..Sampling::default() },
        ] {
            let logits: Vec<f32> = (0..500).map(|_| 8.0 * random.f32()).collect();
            let rules = drawing(rules);
            let on_gpu = draws(&mut device, &logits, &rules, 1000).await;
            let on_cpu = draws(&mut Device::cpu(), &logits, &rules, 1000).await;
            count += on_cpu.len();
            differing += on_cpu.iter().zip(&on_gpu).filter(|(a, b)| a != b).count();
        }
        report(&format!("sampling: {differing} of {count} draws differ between CPU and GPU"));
        // Where two tokens' logits with their noise are equal but for rounding, either may win.
        assert!(differing <= count / 500, "{differing} of {count} draws differ");
    }
}
