//! Rank classification: likelihoods of given answers, against the logits of the reference.

mod support;

use gander::session::{Request, ScoreStep, Scored, Session, Step};
use gander::{ErrorCode, Result};
use support::{Case, close, make_resident, page_bytes, test_on};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

test_on! {
    async fn the_likelihoods_are_those_of_the_references_logits(device) {
        for name in ["v11_gated", "v10_tied"] {
            let case = Case::load(name);
            let mut session = case.session_on(device().await, &case.bases[0]);
            let greedy = case.runs.iter().find(|run| run.top_k == 2).unwrap().output_ids.clone();
            let logits = &case.tensors()["logits"];
            let rows = logits.chunks_exact(logits.len() / greedy.len());
            let expected: Vec<f64> =
                rows.zip(&greedy).map(|(logits, token)| log_softmax(logits, *token)).collect();
            let scored = score(&mut session, case.request(2), vec![greedy.clone()]).await.unwrap().remove(0);
            assert_eq!(scored.ids, greedy);
            for (found, expected) in scored.log_likelihoods.iter().zip(&expected) {
                assert!((found - expected).abs() < 2e-3, "{name}: {found} {expected}");
            }
            let sum: f64 = expected.iter().sum();
            assert!((scored.log_likelihood() - sum).abs() < 1e-2);
            assert!((scored.per_token() - sum / greedy.len() as f64).abs() < 2e-3);
            close(session);
        }
    }

    async fn choices_are_scored_apart_and_the_encoder_runs_once(device) {
        let case = Case::load("v11_gated");
        let mut session = case.session_on(device().await, &case.bases[0]);
        let choices = vec![vec![5, 9, 1], vec![7], vec![5, 9, 2, 130, 1]];
        // Pages that have to come change nothing, nor do other choices or their order.
        let together = score(&mut session, case.request(2), choices.clone()).await.unwrap();
        make_resident(&mut session);
        let resident = score(&mut session, case.request(2), choices.clone()).await.unwrap();
        assert_eq!(together, resident);
        assert_eq!(session.work().passes, 1 + 3 + 1 + 5);
        for (index, ids) in choices.into_iter().enumerate().rev() {
            let alone = score(&mut session, case.request(2), vec![ids]).await.unwrap();
            assert_eq!(alone[0], together[index]);
        }
        // The same beginning is as likely.
        assert_eq!(together[0].log_likelihoods[..2], together[2].log_likelihoods[..2]);
        close(session);
    }
}

#[test]
fn what_cannot_be_scored_is_named_and_the_session_stays_usable() {
    let case = Case::load("v11_gated");
    let mut session = case.session(&case.bases[0]);
    make_resident(&mut session);
    let mut code = |choices| session.start_scoring(case.request(2), choices).unwrap_err().code;
    assert_eq!(code(vec![]), ErrorCode::EmptyInput);
    assert_eq!(code(vec![vec![5], vec![]]), ErrorCode::EmptyInput);
    assert_eq!(code(vec![vec![5, 1 << 20]]), ErrorCode::TokenOutOfRange);
    assert_eq!(session.choice_ids("yes").unwrap_err().code, ErrorCode::NoTokenizer);
    assert_eq!(session.score().unwrap_err().code, ErrorCode::InvalidState);

    // An answer is not a scoring, nor the other way round; asking for the wrong one breaks nothing.
    session.start(case.request(2)).unwrap();
    assert_eq!(session.score().unwrap_err().code, ErrorCode::InvalidState);
    assert!(matches!(session.step().unwrap(), Step::Token(_)));
    session.start_scoring(case.request(2), vec![vec![5, 1]]).unwrap();
    assert_eq!(session.step().unwrap_err().code, ErrorCode::InvalidState);
    assert_eq!(session.score().unwrap(), ScoreStep::Token);
}

async fn score(session: &mut Session, request: Request, choices: Vec<Vec<u32>>) -> Result<Vec<Scored>> {
    session.start_scoring(request, choices)?;
    let mut scored = Vec::new();
    loop {
        match session.next_score().await? {
            ScoreStep::Missing(pages) => {
                for page in pages {
                    let bytes = page_bytes(session, page);
                    session.provide(page, bytes)?;
                }
            }
            ScoreStep::Token => {}
            ScoreStep::Scored(choice) => scored.push(choice),
            ScoreStep::Done => return Ok(scored),
        }
    }
}

fn log_softmax(logits: &[f32], token: u32) -> f64 {
    let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
    f64::from(logits[token as usize]) - sum.ln()
}
