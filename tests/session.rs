//! The session's promises: what it misses it says, and how pages arrive changes nothing.

mod support;

use gander::ErrorCode;
use gander::device::Device;
use gander::experts::FactorLayout;
use gander::session::{Request, Routing, Session, Step, Strategy};
use support::{
    Answer, Case, answer, answer_on_any, answer_unobserved, close, make_resident, page_bytes, test_on,
    try_answer_on_any,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

test_on! {
    async fn starting_with_any_pages_resident_gives_the_same_bits(device) {
        check_any_pages(device).await
    }

    async fn a_pool_that_must_evict_gives_the_same_bits(device) {
        check_eviction(device).await
    }

    async fn an_answer_with_misses_is_the_same_bits_each_time(device) {
        check_repetition(device).await
    }

    async fn a_miss_names_pages_and_nothing_is_kept_of_the_step(device) {
        check_a_miss(device).await
    }

    async fn more_than_128_tokens_in_and_out_with_sampling_repeat_by_seed(device) {
        check_sampling(device).await
    }

    async fn a_model_that_computes_nan_says_so(device) {
        check_nan(device).await
    }

    async fn runners_up_are_those_who_come_next_with_the_weight_of_one_more(device) {
        check_runners_up(device).await
    }
}

/// Chromium plays the GPU much more slowly than Mesa does, and gets less of it to do.
const IN_BROWSER: bool = cfg!(target_arch = "wasm32");

/// Every subset of a few pages, and random subsets of many: the same tokens, choices and bits as with all resident.
async fn check_any_pages(open: impl AsyncFn() -> Device) {
    let mut random = fastrand::Rng::with_seed(7);
    for (name, on_cpu, on_gpu) in
        [("v10_tied", 60, 5), ("v11_gated", 60, 5), ("v11_one", 20, 3), ("q8", 30, 4)]
    {
        let case = Case::load(name);
        let base = &case.bases[0];
        let mut session = case.session_on(open().await, base);
        let rounds = match session.devices().name() {
            "cpu" => on_cpu,
            _ if IN_BROWSER => 2,
            _ => on_gpu,
        };
        make_resident(&mut session);
        let expected = answer_on_any(&mut session, case.request(2)).await;
        close(session);
        let mut misses = 0;
        for round in 0..rounds {
            let mut session = case.session_on(open().await, base);
            // From none resident in the first round to nearly all in the last.
            let share = round as f64 / rounds as f64;
            for page in 0..session.page_count() {
                if random.f64() < share {
                    let bytes = page_bytes(&session, page);
                    session.provide(page, bytes).unwrap();
                }
            }
            // Unobserved, a GPU runs several steps before it is asked, and the rest of them after a miss are void.
            let found = match round % 2 {
                0 => answer_unobserved(&mut session, case.request(2)).await,
                _ => answer_on_any(&mut session, case.request(2)).await,
            };
            misses += found.misses;
            assert_same(&found, &expected, &format!("{name}, round {round}"));
            close(session);
        }
        assert!(misses > rounds / 2, "{name}: only {misses} misses in {rounds} rounds test nothing");
    }
}

/// The same tokens and choices, and where both were observed the same values.
fn assert_same(found: &Answer, expected: &Answer, place: &str) {
    assert_eq!(found.output_ids, expected.output_ids, "{place}");
    assert_eq!(found.routing, expected.routing, "{place}");
    for (name, values) in &found.values {
        assert_eq!(bits(values), bits(&expected.values[name]), "{place}: {name}");
    }
}

async fn check_eviction(open: impl AsyncFn() -> Device) {
    let case = Case::load("v11_gated");
    let mut session = case.session_on(open().await, &case.bases[0]);
    make_resident(&mut session);
    // One token in and one expert each, so that a step wants few of the pages that the answer wants.
    let request = || Request { input_ids: Some(vec![case.input_ids[0]]), ..case.request(1) };
    let expected = answer_on_any(&mut session, request()).await;
    let page_bytes = (0..session.page_count())
        .map(|page| session.page(page).unwrap().1.word_len(FactorLayout::Floats) * 4)
        .max()
        .unwrap();
    let mut evicting = 0;
    for slots in (1..session.page_count() as usize).step_by(if IN_BROWSER { 3 } else { 1 }) {
        session.set_pool_bytes(slots * page_bytes);
        match try_answer_on_any(&mut session, request()).await {
            Err(error) => assert_eq!(error.code, ErrorCode::PoolTooSmall, "{slots} slots: {error}"),
            Ok(found) => {
                assert_same(&found, &expected, &format!("{slots} slots"));
                evicting += 1;
            }
        }
    }
    assert!(evicting > 0, "no size of the pool was large enough to answer and small enough to evict");
    close(session);
}

/// No race: work that is the same is done the same, whatever threads do it.
async fn check_repetition(open: impl AsyncFn() -> Device) {
    let case = Case::load("v11_gated");
    let mut session = case.session_on(open().await, &case.bases[0]);
    let mut first: Option<(Answer, Vec<f32>)> = None;
    for repetition in 0..if IN_BROWSER { 10 } else { 50 } {
        session.evict_all();
        let found = answer_unobserved(&mut session, case.request(2)).await;
        let logits = session.read_logits().await.unwrap();
        let (answer, first_logits) = first.get_or_insert_with(|| (found.clone(), logits.clone()));
        assert!(found.misses > 1, "{} misses test little", found.misses);
        assert_eq!(found.misses, answer.misses, "repetition {repetition}");
        assert_same(&found, answer, &format!("repetition {repetition}"));
        assert_eq!(bits(&logits), bits(first_logits), "repetition {repetition}: logits");
    }
    close(session);
}

async fn check_a_miss(open: impl AsyncFn() -> Device) {
    let case = Case::load("v10_tied");
    let mut session = case.session_on(open().await, "base");
    session.start(case.request(2)).unwrap();
    let Step::Missing(first) = session.next_step().await.unwrap() else { panic!("no page is resident") };
    assert!(!first.is_empty() && session.output_ids().is_empty());
    // Not provided: the same step misses the same again.
    assert_eq!(session.next_step().await.unwrap(), Step::Missing(first.clone()));
    let (expert, page) = session.page(first[0]).unwrap();
    assert!(case.experts.iter().any(|path| path.ends_with(expert)), "{expert}");
    assert!(
        page.block.starts_with("encoder.block.") || page.block.starts_with("decoder.block."),
        "{}",
        page.block
    );
    close(session);
}

async fn check_sampling(open: impl AsyncFn() -> Device) {
    let case = Case::load("long");
    let mut session = case.session_on(open().await, "base");
    make_resident(&mut session);
    let mut request = Request { trace: false, ..case.request(2) };
    if IN_BROWSER && session.devices().name() == "gpu" {
        request.max_new_tokens = 20;
    }
    request.sampling.temperature = 1.5;
    request.sampling.repetition_penalty = 1.2;
    request.sampling.seed = 11;
    let first = answer_unobserved(&mut session, request.clone()).await;
    assert_eq!(first.output_ids, answer_unobserved(&mut session, request.clone()).await.output_ids);
    request.sampling.seed = 12;
    assert_ne!(first.output_ids, answer_unobserved(&mut session, request).await.output_ids);
    close(session);
}

/// On the first layers, which see the same whatever k is: with k = 1 the two behind are the second and the third of k = 3.
async fn check_runners_up(open: impl AsyncFn() -> Device) {
    let case = Case::load("q8");
    let mut session = case.session_on(open().await, &case.bases[0]);
    make_resident(&mut session);
    let [one, three] = {
        let mut of = async |top_k| {
            session.start(case.request(top_k)).expect("a request");
            session.next_step().await.expect("a step");
            session.encoder_routing()
        };
        [of(1).await, of(3).await]
    };
    assert_eq!([one.top_k, one.runners_up, three.top_k, three.runners_up], [1, 2, 3, 0], "of three experts");
    let first = one.names.modules.iter().take_while(|module| module.starts_with("encoder.block.0.layer.0"));
    let first = first.take_while(|module| !module.ends_with(".o")).count();
    assert!(first >= 2 && one.names == three.names, "{:?}", one.names);
    let told = |routing: &Routing, cell: usize| {
        let width = routing.top_k + routing.runners_up;
        let cell = cell * width..(cell + 1) * width;
        (routing.choices[cell.clone()].to_vec(), routing.weights[cell].to_vec())
    };
    let mut seen = 0;
    for cell in 0..first * one.tokens {
        let ((choices, weights), (expected, shares)) = (told(&one, cell), told(&three, cell));
        assert_eq!(choices, expected[..3], "cell {cell}");
        assert_eq!(weights[0], 1.0, "cell {cell}");
        for behind in 1..3 {
            let as_one_more = shares[behind] / (shares[0] + shares[behind]);
            // Where gates are scanned it is known roughly.
            assert!((weights[behind] - as_one_more).abs() < 5e-3, "cell {cell}: {weights:?} and {shares:?}");
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} runners-up");
    close(session);
}

async fn check_nan(open: impl AsyncFn() -> Device) {
    let mut checkpoint = support::checkpoint("v11_one/base");
    let wo = checkpoint.tensors.get_mut("encoder.block.0.layer.1.DenseReluDense.wo.weight").unwrap();
    let gander::quant::Values::F32(weights) = &mut wo.values else { panic!("an f32 base") };
    weights.fill(f32::MAX);
    let mut session = Session::on(open().await, support::base_without_text(checkpoint)).unwrap();
    session.start(Request { input_ids: Some(vec![3, 4]), ..Request::default() }).unwrap();
    assert_eq!(session.next_step().await.unwrap_err().code, ErrorCode::NotFinite);
    close(session);
}

#[test]
fn wrong_bytes_for_a_page_are_refused_and_the_right_ones_still_taken() {
    let case = Case::load("v10_tied");
    let mut session = case.session("base");
    session.start(case.request(2)).unwrap();
    let Step::Missing(pages) = session.step().unwrap() else { panic!("no page is resident") };
    let bytes = page_bytes(&session, pages[0]);
    let short = session.provide(pages[0], &bytes[1..]).unwrap_err();
    assert_eq!(short.code, ErrorCode::PageMismatch, "{short}");
    let nan = [0xff; 4].repeat(bytes.len() / 4);
    assert_eq!(session.provide(pages[0], &nan).unwrap_err().code, ErrorCode::NotFinite);
    assert_eq!(session.provide(u32::MAX, bytes).unwrap_err().code, ErrorCode::PageMismatch);
    let expected = case.runs.iter().find(|run| run.top_k == 2).unwrap();
    assert_eq!(answer(&mut session, case.request(2)).output_ids, expected.output_ids);
}

#[test]
fn without_routing_the_base_alone_answers_and_wants_nothing() {
    let case = Case::load("v11_gated");
    let mut session = case.session("base");
    let base = answer(&mut session, Request { strategy: Strategy::None, ..case.request(2) });
    assert!(base.misses == 0 && base.routing.is_empty());
    let experts = session.experts().iter().map(|expert| expert.id.clone()).collect();
    let excluded = answer(&mut session, Request { exclude: experts, ..case.request(2) });
    assert_eq!(bits(&base.values["logits"]), bits(&excluded.values["logits"]));
    assert_ne!(base.output_ids, answer(&mut session, case.request(2)).output_ids);
}

#[test]
fn include_and_exclude_leave_only_the_experts_that_remain() {
    let case = Case::load("v11_gated");
    let mut session = case.session("base");
    let only = Request { include: vec!["arithmetic".into()], ..case.request(2) };
    assert!(answer(&mut session, only).routing.iter().all(|choice| choice.experts == ["arithmetic"]));
    let without = Request { exclude: vec!["arithmetic".into()], ..case.request(5) };
    let routing = answer(&mut session, without).routing;
    assert!(routing.iter().all(|choice| !choice.experts.contains(&"arithmetic".to_owned())));
}

#[test]
fn bad_requests_are_named_and_leave_the_session_usable() {
    let case = Case::load("v10_tied");
    let mut session = case.session("base");
    make_resident(&mut session);
    let good = || case.request(2);
    let unknown = vec!["nobody".to_owned()];
    let cases = [
        (ErrorCode::InvalidOption, Request { top_k: Some(0), ..good() }),
        (ErrorCode::InvalidOption, Request { max_new_tokens: 0, ..good() }),
        (ErrorCode::InvalidOption, Request { max_new_tokens: usize::MAX, ..good() }),
        (ErrorCode::InvalidOption, Request { text: Some("both".into()), ..good() }),
        (ErrorCode::InvalidOption, Request { input_ids: Some(vec![1; 20_000]), ..good() }),
        (ErrorCode::EmptyInput, Request { input_ids: None, ..good() }),
        (ErrorCode::EmptyInput, Request { input_ids: Some(vec![]), ..good() }),
        (ErrorCode::EmptyInput, Request { input_ids: None, text: Some(String::new()), ..good() }),
        (ErrorCode::NoTokenizer, Request { input_ids: None, text: Some("text".into()), ..good() }),
        (ErrorCode::NoTokenizer, Request { stop: vec![".".into()], ..good() }),
        (ErrorCode::TokenOutOfRange, Request { input_ids: Some(vec![3, 97]), ..good() }),
        (ErrorCode::UnknownExpert, Request { include: unknown.clone(), ..good() }),
        (ErrorCode::UnknownExpert, Request { exclude: unknown, ..good() }),
    ];
    for (code, request) in cases {
        let error = session.start(request).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert_eq!(session.step().unwrap_err().code, ErrorCode::InvalidState, "after {error}");
    }
    let expected = case.runs.iter().find(|run| run.top_k == 2).unwrap();
    assert_eq!(answer(&mut session, good()).output_ids, expected.output_ids);
}

#[test]
fn experts_of_another_base_are_refused_by_name() {
    let case = Case::load("v10_tied");
    let mut session = case.session("base");
    let foreign = support::expert("v11_one/experts/only");
    let error = session.add_experts(vec![foreign]).unwrap_err();
    assert_eq!(error.code, ErrorCode::WrongBase, "{error}");
    let twice = support::expert("v10_tied/experts/history");
    assert_eq!(session.add_experts(vec![twice]).unwrap_err().code, ErrorCode::InvalidFile);
    assert_eq!(session.experts().len(), 2);
}

fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|float| float.to_bits()).collect()
}

/// A GPU without memory for the whole pool gets a smaller one, and the answer is the same; one that has none for the least is
/// an error by name.
#[cfg(not(target_arch = "wasm32"))]
#[test]
fn a_pool_that_the_gpu_has_no_memory_for_is_made_smaller() {
    use gander::quant::Values;
    use gander::synthetic;
    const MIB: usize = 1 << 20;
    let config = synthetic::config(256, 4, 256, 1, 64);
    let checkpoint = synthetic::checkpoint(&config, 1, |_, floats| Values::q8_0_from(floats));
    let answer = |refused_from: usize| -> gander::Result<(Vec<u32>, usize)> {
        let mut gpu = support::now(support::gpu());
        if let Device::Gpu(gpu) = &mut gpu {
            gpu.refuse_buffers_from(refused_from);
        }
        let mut session = Session::on(gpu, support::base_without_text(checkpoint.clone()))?;
        let (experts, pages): (Vec<_>, Vec<_>) =
            (0..24).map(|index| synthetic::expert(&config, &index.to_string(), 64, 2 + index)).unzip();
        let pages = pages.concat();
        assert!(pages.iter().map(Vec::len).sum::<usize>() > 40 * MIB, "more than the pool that is left");
        session.add_experts(experts)?;
        support::now(session.settle_with_smaller_pool())?;
        let (mut output_ids, mut provided) = (Vec::new(), 0);
        // A few experts at a time, and in the end the first ones again.
        for first in [0, 4, 8, 12, 16, 0] {
            let include = (first..first + 4).map(|expert| expert.to_string()).collect();
            let input_ids = Some((2..20).collect());
            session.start(Request { input_ids, max_new_tokens: 3, include, ..Request::default() })?;
            while !matches!(step(&mut session, &pages, &mut provided)?, Step::Done(_)) {}
            output_ids.extend_from_slice(session.output_ids());
        }
        Ok((output_ids, provided))
    };
    let (expected, once) = answer(usize::MAX).unwrap();
    let (found, again) = answer(20 * MIB).unwrap();
    assert_eq!(found, expected);
    assert!(again > once, "{again} pages were provided, and {once} to the larger pool");
    assert_eq!(answer(2 * MIB).unwrap_err().code, ErrorCode::OutOfMemory);
}

/// A step, for which what it misses is provided and counted.
#[cfg(not(target_arch = "wasm32"))]
fn step(session: &mut Session, pages: &[Vec<u8>], provided: &mut usize) -> gander::Result<Step> {
    let step = session.step()?;
    if let Step::Missing(missing) = &step {
        for page in missing {
            session.provide(*page, &pages[*page as usize])?;
        }
        *provided += missing.len();
    }
    Ok(step)
}
