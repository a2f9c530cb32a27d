//! What an answer may cost: doing without pages, thresholds, biases. Each is compared with what it must come to.

mod support;

use gander::device::Device;
use gander::kernels::route::Thresholds;
use gander::session::{OnMiss, Request, RoutedToken, Session, Step, Strategy};
use gander::{ErrorCode, Result};
use support::{Answer, Case, answer_on_any, close, make_resident, page_bytes, test_on};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

test_on! {
    async fn an_answer_that_skips_everything_is_the_base_alone(device) {
        let (_, mut session, request) = example(device).await;
        let base = answer_on_any(&mut session, Request { strategy: Strategy::None, ..request.clone() }).await;
        let waiting = answer_on_any(&mut session, request.clone()).await;
        assert_ne!(waiting.values["logits"], base.values["logits"], "experts that do nothing test nothing");
        session.evict_all();
        let skip = Request { on_miss: OnMiss::Skip, ..request.clone() };
        let skipping = answer_on_any(&mut session, skip.clone()).await;
        assert_eq!((skipping.misses, bits(&skipping)), (0, bits(&base)));
        let skipped = session.take_skipped();
        let work = session.work();
        assert!(!skipped.is_empty() && skipped.len() == work.pages_skipped, "{work:?}");
        assert_eq!(work.pages_wanted, work.pages_skipped);
        assert!(session.take_skipped().is_empty(), "each is told once");

        // What came behind an answer is there for the next; with all that it wants, nothing is skipped.
        make_resident(&mut session);
        let resident = answer_on_any(&mut session, skip).await;
        assert_eq!((bits(&resident), session.take_skipped()), (bits(&waiting), vec![]));
        assert!(session.work().pages_wanted > 0 && session.work().pages_skipped == 0);
        close(session);
    }

    async fn a_page_that_comes_behind_a_step_serves_the_next(device) {
        let (_, mut session, request) = example(device).await;
        session.start(Request { on_miss: OnMiss::Skip, ..request }).unwrap();
        let mut skipped = 0;
        loop {
            match session.next_step().await.unwrap() {
                Step::Missing(pages) => panic!("pages {pages:?} are waited for"),
                Step::Done(_) => break,
                Step::Token(_) => {
                    let pages = session.take_skipped();
                    skipped += pages.len();
                    for page in pages {
                        let bytes = page_bytes(&session, page);
                        session.provide(page, bytes).unwrap();
                    }
                }
            }
        }
        let work = session.work();
        assert_eq!((work.pages_provided, work.pages_skipped), (skipped, skipped));
        close(session);
    }

    async fn a_waived_page_adds_what_one_of_zeros_adds(device) {
        let (_, mut session, request) = example(device).await;
        let waived = answer_without(&mut session, request.clone(), |session, page| session.waive(page)).await;
        assert!(waived.misses > 0);
        let zeros = |session: &mut Session, page: u32| {
            session.provide(page, &vec![0; session.page(page).unwrap().1.byte_len()])
        };
        session.evict_all();
        let zero = answer_without(&mut session, request.clone(), zeros).await;
        assert_eq!((&waived.output_ids, &waived.routing), (&zero.output_ids, &zero.routing));
        assert_eq!(bits(&waived), bits(&zero));

        // A waiver ends with its answer.
        session.evict_all();
        let again = answer_on_any(&mut session, request).await;
        assert!(again.misses > 0 && bits(&again) != bits(&waived));
        close(session);
    }

    async fn weights_below_the_threshold_go_to_the_others(device) {
        let (case, mut session, request) = example(device).await;
        let best_alone = answer_on_any(&mut session, case.request(1)).await;
        let only_the_best = Thresholds { weight: 1.0, share: 0.0 };
        let dropped = answer_on_any(&mut session, Request { thresholds: only_the_best, ..request.clone() }).await;
        assert_eq!(dropped.routing, best_alone.routing);
        assert_eq!(dropped.output_ids, best_alone.output_ids);

        let thresholds = Thresholds { weight: 0.4, share: 0.0 };
        let some = answer_on_any(&mut session, Request { thresholds, ..request }).await;
        let lengths = |length: usize| some.routing.iter().filter(|token| token.experts.len() == length).count();
        assert!(lengths(1) > 0 && lengths(2) > 0, "a threshold that parts nothing tests nothing");
        for RoutedToken { weights, module, .. } in &some.routing {
            let sum: f32 = weights.iter().sum();
            assert!((sum - 1.0).abs() < 1e-6 && weights.iter().all(|weight| *weight >= 0.4), "{module} {weights:?}");
        }
        close(session);
    }

    async fn tokens_that_no_gate_is_sure_of_are_left_to_the_base(device) {
        let (case, mut session, request) = example(device).await;
        let all = answer_on_any(&mut session, case.request(usize::MAX)).await;
        // What enters the first layer is the same, however it is routed.
        let is_first = |token: &&RoutedToken| token.module == "encoder.block.0.layer.0.SelfAttention.q";
        let best_two = |token: &RoutedToken| token.weights.iter().take(2).sum::<f32>();
        let mut shares: Vec<f32> = all.routing.iter().filter(is_first).map(best_two).collect();
        shares.sort_by(f32::total_cmp);
        let share = (shares[2] + shares[3]) / 2.0;
        let thresholds = Thresholds { weight: 0.0, share };
        let sure = answer_on_any(&mut session, Request { thresholds, ..request.clone() }).await;
        let left: Vec<bool> = sure.routing.iter().filter(is_first).map(|token| token.experts.is_empty()).collect();
        let expected: Vec<bool> =
            all.routing.iter().filter(is_first).map(|token| best_two(token) < share).collect();
        assert_eq!((left, shares[2] < shares[3]), (expected, true));

        // Nobody has more than all of it, and who has all of it is alone.
        let thresholds = Thresholds { weight: 0.0, share: 1.0 };
        let none = answer_on_any(&mut session, Request { thresholds, ..request }).await;
        for (all, none) in all.routing.iter().zip(&none.routing) {
            assert!(none.experts.is_empty() || all.experts.len() <= 2, "{none:?}");
        }
        close(session);
    }

    async fn a_bias_moves_the_choice_and_its_weight(device) {
        let (_, mut session, request) = example(device).await;
        let id = session.experts()[0].id.clone();
        let biased = |bias: f32| Request { bias: [(id.clone(), bias)].into(), ..request.clone() };
        let plain = answer_on_any(&mut session, request.clone()).await;
        let zero = answer_on_any(&mut session, biased(0.0)).await;
        assert_eq!(bits(&zero), bits(&plain));

        let modules = |session: &Session| session.experts()[0].gates.keys().cloned().collect::<Vec<_>>();
        let adapted = modules(&session);
        let loved = answer_on_any(&mut session, biased(1e3)).await;
        for token in loved.routing.iter().filter(|token| adapted.contains(&token.module)) {
            assert_eq!((&token.experts[0], token.weights[0]), (&id, 1.0), "{token:?}");
        }
        let alone = Request { include: vec![id.clone()], ..request.clone() };
        let others = |answer: &Answer| -> Vec<RoutedToken> {
            answer.routing.iter().filter(|token| token.experts.iter().all(|expert| *expert != id)).cloned().collect()
        };
        let hated = answer_on_any(&mut session, biased(-1e3)).await;
        assert!(others(&hated).len() > others(&plain).len());
        assert!(!answer_on_any(&mut session, alone).await.routing.is_empty());
        close(session);
    }
}

#[test]
fn options_that_cannot_be_met_are_named() {
    let case = Case::load("v11_gated");
    let mut session = case.session(&case.bases[0]);
    let mut code = |request: Request| session.start(request).unwrap_err().code;
    for (weight, share) in [(-0.1, 0.0), (1.1, 0.0), (0.0, f32::NAN), (0.0, 2.0)] {
        let request = Request { thresholds: Thresholds { weight, share }, ..case.request(2) };
        assert_eq!(code(request), ErrorCode::InvalidOption, "{weight} {share}");
    }
    let id = case.experts[0].rsplit('/').next().unwrap().to_owned();
    let biased = |id: &str, bias| Request { bias: [(id.to_owned(), bias)].into(), ..case.request(2) };
    assert_eq!(code(biased(&id, f32::NAN)), ErrorCode::InvalidOption);
    assert_eq!(code(biased(&id, f32::INFINITY)), ErrorCode::InvalidOption);
    assert_eq!(code(biased("nobody", 1.0)), ErrorCode::UnknownExpert);
    assert_eq!(OnMiss::parse("hope").unwrap_err().code, ErrorCode::InvalidOption);
    assert_eq!(session.waive(0).unwrap_err().code, ErrorCode::InvalidState);
    session.start(case.request(2)).unwrap();
    assert_eq!(session.waive(u32::MAX).unwrap_err().code, ErrorCode::PageMismatch);
}

/// A golden with experts of all kinds, none of their pages resident, and two experts a token.
async fn example(open: impl AsyncFn() -> Device) -> (Case, Session, Request) {
    let case = Case::load("v11_gated");
    let session = case.session_on(open().await, &case.bases[0]);
    let request = case.request(2);
    (case, session, request)
}

/// Runs a request to its end, doing `instead` about what it misses.
async fn answer_without(
    session: &mut Session,
    request: Request,
    instead: impl Fn(&mut Session, u32) -> Result<()>,
) -> Answer {
    session.start(request).unwrap();
    let mut answer = Answer {
        output_ids: Vec::new(),
        finish: String::new(),
        routing: Vec::new(),
        values: Default::default(),
        misses: 0,
    };
    loop {
        match session.next_step().await.unwrap() {
            Step::Missing(pages) => {
                answer.misses += 1;
                pages.into_iter().for_each(|page| instead(session, page).unwrap());
            }
            Step::Token(token) => answer.routing.extend(token.routing),
            Step::Done(finish) => {
                answer.routing.extend(session.encoder_routing());
                answer.output_ids = session.output_ids().to_vec();
                answer.finish = finish.as_str().to_owned();
                answer.values.insert("logits".to_owned(), session.read_logits().await.unwrap());
                return answer;
            }
        }
    }
}

/// The tokens and the bits of the last logits.
fn bits(answer: &Answer) -> (Vec<u32>, Vec<u32>) {
    let logits = &answer.values["logits"];
    let last = &logits[logits.len() - logits.len() / answer.output_ids.len().max(1)..];
    (answer.output_ids.clone(), last.iter().map(|logit| logit.to_bits()).collect())
}
