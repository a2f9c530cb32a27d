//! The engine against transformers, PEFT and the formula in float64, on the CPU and on the GPU: every block's output,
//! every choice of experts, logits and greedy tokens. A failure names the first layer that differs.

mod support;

use std::collections::HashMap;

use gander::device::{Device, WeightLayout};
use gander::recording::Integers;
use gander::session::{RoutedToken, Session};
use support::{Case, Choice, Run, answer_on_any, answer_unobserved, async_test, make_resident, test_on};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

/// Greatest distance of a hidden value or logit from the reference. Sums in f32 differ from f64 by some 1e-5 here.
const TOLERANCE: f32 = 1e-3;
/// The same where the base's format is rounded to f16 at load: one part in 2,048 of every weight.
const ROUNDED_TOLERANCE: f32 = 0.1;
/// The same where a base is Q8_0 or Q4_0 and the device rounds what it multiplies with them to 16 bits. These models of random
/// numbers have scores of attention around 50, which make much of little.
const QUANTISED_TOLERANCE: f32 = 1e-2;
/// Where the reference's own scores are closer than this, f32 may choose otherwise.
const CLEAR_MARGIN: f32 = 1e-4;
/// The same where the base's format is rounded to f16 at load.
const ROUNDED_CLEAR_MARGIN: f32 = 0.1;

/// How far what is computed may be from the reference, and how close its scores may be for another choice.
fn tolerances(session: &Session, case: &Case) -> (f32, f32) {
    let is_quantised = ["q8_0", "q4_0"].iter().any(|format| case.name.ends_with(format));
    if is_rounded(case) {
        (ROUNDED_TOLERANCE, ROUNDED_CLEAR_MARGIN)
    } else if is_quantised && rounds(&session.devices().encoder) {
        (QUANTISED_TOLERANCE, CLEAR_MARGIN)
    } else {
        (TOLERANCE, CLEAR_MARGIN)
    }
}

/// Whether a device rounds what it multiplies with quantised weights.
fn rounds(device: &Device) -> bool {
    match device {
        Device::Cpu(cpu) => cpu.weight_layout() == WeightLayout::Panels,
        Device::Gpu(gpu) => gpu.integers() != Integers::default(),
    }
}

/// Whether a case's base is in a format that is converted at load.
fn is_rounded(case: &Case) -> bool {
    ["q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k"].iter().any(|format| case.name.ends_with(format))
}

/// Order in which values are compared: the first difference is the one to look at.
fn depth(name: &str) -> (bool, bool, bool, usize) {
    let block = name.split('.').nth(2).and_then(|block| block.parse().ok()).unwrap_or(usize::MAX);
    (name.ends_with("logits"), name.starts_with("decoder"), name.ends_with("final"), block)
}

async fn check(open: impl AsyncFn() -> Device, name: &str) {
    let case = Case::load(name);
    for base in &case.bases {
        let mut session = case.session_on(open().await, base);
        make_resident(&mut session);
        // Nobody looks yet: a GPU runs several steps before it is asked, and must come to the same tokens.
        for run in &case.runs {
            let found = answer_unobserved(&mut session, case.request(run.top_k)).await;
            assert_eq!(found.output_ids, run.output_ids, "{name} ({base}), k = {}: tokens", run.top_k);
        }
        for run in &case.runs {
            check_run(&mut session, &case, base, run).await;
        }
        support::close(session);
    }
}

async fn check_run(session: &mut Session, case: &Case, base: &str, run: &Run) {
    let place = format!("{} ({base}), k = {}, on the {}", case.name, run.top_k, session.devices().name());
    let tolerances = tolerances(session, case);
    let found = answer_on_any(session, case.request(run.top_k)).await;
    assert_eq!(found.misses, 0, "{place}: every page is resident");
    if run.top_k == 2 {
        let mut expected: Vec<_> =
            case.tensors().into_iter().filter(|(name, _)| name != "first_logits").collect();
        expected.sort_by_key(|(name, _)| depth(name));
        for (name, expected) in expected {
            let found = found.values.get(&name).unwrap_or_else(|| panic!("{place}: {name} was not computed"));
            assert_close(&format!("{place}: {name}"), found, &expected, tolerances.0);
        }
    }
    if let Some(expected) = &run.routing {
        check_routing(&place, case, expected, &found.routing, tolerances);
    }
    assert_eq!(found.output_ids, run.output_ids, "{place}: tokens");
    assert_eq!(found.finish, run.finish, "{place}: finish");
}

fn assert_close(place: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{place}: number of values");
    let distance = |(found, expected): (&f32, &f32)| (found - expected).abs();
    let worst = found.iter().zip(expected).map(distance).enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    let Some((at, distance)) = worst else { return };
    let (found, expected) = (found[at], expected[at]);
    assert!(distance <= tolerance, "{place}[{at}] = {found}, expected {expected}");
}

fn check_routing(
    place: &str,
    case: &Case,
    expected: &[Choice],
    found: &[RoutedToken],
    (tolerance, clear_margin): (f32, f32),
) {
    let by_place: HashMap<_, _> =
        found.iter().map(|choice| ((choice.module.as_str(), choice.token), choice)).collect();
    assert_eq!(by_place.len(), found.len(), "{place}: a token was routed twice on one layer");
    if case.routing_tokens.is_none() {
        assert_eq!(found.len(), expected.len(), "{place}: number of routed tokens");
        let order = found.iter().zip(expected);
        let same = |(a, b): (&RoutedToken, &Choice)| a.module == b.module && a.token == b.token;
        assert!(order.clone().all(same), "{place}: order of the trace");
    }
    let clear = |margin: Option<f32>| margin.is_none_or(|margin| margin > clear_margin);
    for expected in expected {
        let place = format!("{place}: {} token {}", expected.module, expected.token);
        let Some(found) = by_place.get(&(expected.module.as_str(), expected.token)) else {
            panic!("{place}: was not routed");
        };
        if clear(expected.margin) && clear(expected.order_margin) {
            assert_eq!(found.experts, expected.experts, "{place}: experts");
            assert_close(&format!("{place}: weights"), &found.weights, &expected.weights, tolerance);
        }
    }
}

async_test! {
    async fn quantised_bases_are_as_close_as_others_where_nothing_is_rounded() {
        for name in ["q8_gguf_q8_0", "q8_gguf_q4_0"] {
            check(async || Device::exact_cpu(), name).await;
        }
    }
}

async_test! {
    async fn quantised_bases_are_as_close_on_a_gpu_that_multiplies_whole_numbers() {
        let open = async || {
            let mut device = support::gpu().await;
            let Device::Gpu(gpu) = &mut device else { unreachable!("a GPU was asked for") };
            gpu.set_integers(Integers { one_token: true, many_tokens: true });
            assert!(gpu.has_integer_dots() || support::may_lack_integer_dots(), "no integer dot products");
            device
        };
        for name in ["q8_gguf_q8_0", "q8_gguf_q4_0"] {
            check(open, name).await;
        }
    }
}

macro_rules! goldens {
    ($($case:ident)*) => {
        test_on! {
            $(async fn $case(device) { check(device, stringify!($case)).await })*
        }

        /// A case that nobody runs would prove nothing.
        #[test]
        fn every_case_is_run() {
            let listed = [$(stringify!($case)),*];
            for folder in support::GOLDENS.dirs() {
                let name = folder.path().to_str().unwrap();
                let is_case = folder.get_file(folder.path().join("expected.json")).is_some();
                assert!(!is_case || listed.contains(&name), "tests/goldens/{name} is in no test");
            }
        }
    };
}

goldens! {
    long
    mt5_shape
    q8
    q8_gguf_q4_0
    q8_gguf_q4_1
    q8_gguf_q5_0
    q8_gguf_q5_1
    q8_gguf_q8_0
    v10_tied
    v10_tied_bf16
    v10_tied_f16
    v10_tied_gguf_f16
    v11_gated
    v11_one
    v11_one_gguf_bf16
    v11_one_gguf_f16
    v11_one_gguf_f32
}
