//! Rivals of PHATGOOSE over the same experts: who serves, streamed and resident, and what is refused. That each computes its
//! formula is shown by the kernels' table, and by tools/compare_strategies.py against transformers.

mod support;

use gander::ErrorCode;
use gander::device::Device;
use gander::experts::{Expert, FactorLayout};
use gander::formats::peft::LoraPart;
use gander::session::{Request, RoutedToken, Session, Strategy};
use gander::strategies::{arrow, retrieval};
use support::{
    Answer, Case, answer_on_any, checkpoint, close, golden, make_resident, test_on, try_answer_on_any,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

const NAME: &str = "v11_gated";
/// Those that every device computes.
const EVERYWHERE: [&str; 8] =
    ["gated", "single:chemistry", "merged", "random", "average-activation", "arrow", "retrieval", "none"];

/// A LoRA factor (rank, d_in) or (d_out, rank) of an expert, from its file.
fn factor(expert: &Expert, module: &str, part: LoraPart) -> Vec<f32> {
    let page = expert
        .pages
        .iter()
        .find(|page| page.placement(module, FactorLayout::Floats).is_some())
        .expect("an adapted module");
    let bytes = &golden(&page.file)[page.range.start as usize..page.range.end as usize];
    let floats = page.decode(&expert.id, bytes).unwrap();
    let place = page.placement(module, FactorLayout::Floats).unwrap();
    let (start, length) = match part {
        LoraPart::A => (place.a, place.rank * place.d_in),
        LoraPart::B => (place.b, place.rank * place.d_out),
    };
    floats[start..start + length].to_vec()
}

fn modules(expert: &Expert) -> Vec<String> {
    expert.scales.keys().cloned().collect()
}

/// An expert with everything that strategies want: true prototypes, means and examples of its own.
fn known(path: &str, index: usize, d_model: usize) -> Expert {
    let mut expert = support::expert(&format!("{NAME}/{path}"));
    for module in modules(&expert) {
        let place = expert.placement(&module).unwrap();
        let (a, b) = (factor(&expert, &module, LoraPart::A), factor(&expert, &module, LoraPart::B));
        expert.vectors.prototypes.insert(module.clone(), arrow::prototype(&a, &b, place.rank));
        let mean = (0..place.d_in).map(|at| ((at * 7 + index * 3) % 11) as f32 - 5.0).collect();
        expert.vectors.means.insert(module, mean);
    }
    expert.vectors.examples = (0..2 * d_model).map(|at| ((at * 5 + index * 13) % 17) as f32 - 8.0).collect();
    expert
}

fn session_on(device: Device) -> (Case, Session) {
    let case = Case::load(NAME);
    let checkpoint = checkpoint(&format!("{NAME}/{}", case.bases[0]));
    let d_model = checkpoint.config.d_model;
    let mut session = Session::on(device, support::base_without_text(checkpoint)).unwrap();
    let experts = case.experts.iter().enumerate().map(|(index, path)| known(path, index, d_model));
    session.add_experts(experts.collect()).unwrap();
    (case, session)
}

fn request(case: &Case, strategy: &str) -> Request {
    Request { strategy: Strategy::parse(strategy).unwrap(), ..case.request(2) }
}

fn is_like(a: &Answer, b: &Answer) -> bool {
    a.output_ids == b.output_ids && a.routing == b.routing && a.values == b.values
}

test_on! {
    async fn streamed_is_resident_whatever_the_strategy(device) {
        let (case, mut session) = session_on(device().await);
        for strategy in EVERYWHERE {
            session.evict_all();
            let streamed = answer_on_any(&mut session, request(&case, strategy)).await;
            make_resident(&mut session);
            let resident = answer_on_any(&mut session, request(&case, strategy)).await;
            assert!(is_like(&streamed, &resident), "{strategy}");
            assert_eq!(streamed.misses > 0, strategy != "none", "{strategy}");
            assert_eq!(resident.misses, 0, "{strategy}");
        }
        // What was there before is there again.
        let phatgoose = answer_on_any(&mut session, case.request(2)).await;
        assert_eq!(phatgoose.output_ids, case.runs.iter().find(|run| run.top_k == 2).unwrap().output_ids);
        close(session);
    }

    async fn each_chooses_as_many_as_it_says_with_the_weights_that_it_says(device) {
        let (case, mut session) = session_on(device().await);
        make_resident(&mut session);
        let adapters = |session: &Session, module: &str| {
            session.experts().iter().filter(|expert| expert.scales.contains_key(module)).count()
        };
        for (strategy, most) in [("single:chemistry", 1), ("retrieval", 1), ("merged", 99), ("random", 2), ("arrow", 2)] {
            let answer = answer_on_any(&mut session, request(&case, strategy)).await;
            assert!(!answer.routing.is_empty());
            for RoutedToken { module, experts, weights, .. } in &answer.routing {
                let there = if most == 1 { 1 } else { adapters(&session, module) };
                assert!(experts.len() == there.min(most) || most == 1 && experts.is_empty(), "{strategy} {module}: {experts:?}");
                let sum: f32 = weights.iter().sum();
                assert!(experts.is_empty() || (sum - 1.0).abs() < 1e-5, "{strategy}: {weights:?}");
                if ["merged", "random"].contains(&strategy) {
                    assert!(weights.iter().all(|weight| (weight - weights[0]).abs() < 1e-6), "{strategy}: {weights:?}");
                }
            }
            if strategy.starts_with("single:") {
                assert!(answer.routing.iter().flat_map(|token| &token.experts).all(|expert| expert == "chemistry"));
            }
        }
        close(session);
    }

    async fn gated_chooses_as_phatgoose_does_and_each_weight_is_what_it_was_times_an_openness(device) {
        let (case, mut session) = session_on(device().await);
        make_resident(&mut session);
        // Of the encoder's first layers, to which the inputs are the same.
        let mut first = Vec::new();
        for strategy in ["phatgoose", "gated"] {
            let answer = answer_on_any(&mut session, request(&case, strategy)).await;
            first.push(answer.routing.into_iter().filter(|token| token.module.starts_with("encoder.block.0.layer.0.SelfAttention.q")).collect::<Vec<_>>());
        }
        let [phatgoose, gated] = &first[..] else { unreachable!("two strategies") };
        assert!(!gated.is_empty() && gated.len() == phatgoose.len());
        let mut opened = 0;
        for (gated, phatgoose) in gated.iter().zip(phatgoose) {
            assert_eq!(gated.experts, phatgoose.experts);
            for (gated, phatgoose) in gated.weights.iter().zip(&phatgoose.weights) {
                assert!(*gated > 0.0 && gated < phatgoose, "{gated} of {phatgoose}");
                opened += 1;
            }
        }
        assert!(opened > 0);
        close(session);
    }

    async fn lots_are_drawn_anew_for_every_token_and_layer_and_again_by_the_same_seed(device) {
        let (case, mut session) = session_on(device().await);
        make_resident(&mut session);
        let mut with_seed = request(&case, "random");
        let first = answer_on_any(&mut session, with_seed.clone()).await;
        let again = answer_on_any(&mut session, with_seed.clone()).await;
        assert_eq!(first.routing, again.routing);
        with_seed.sampling.seed = 5;
        let other = answer_on_any(&mut session, with_seed).await;
        assert_ne!(first.routing, other.routing);
        let of = |module: &str, token: usize| {
            let routed = first.routing.iter().find(|routed| routed.module == module && routed.token == token);
            routed.map(|routed| routed.experts.clone()).unwrap_or_default()
        };
        let places: Vec<Vec<String>> = ["q", "k", "v"]
            .iter()
            .flat_map(|name| (0..6).map(move |token| (name, token)))
            .map(|(name, token)| of(&format!("encoder.block.0.layer.0.SelfAttention.{name}"), token))
            .collect();
        assert!(places.iter().collect::<std::collections::BTreeSet<_>>().len() > 3, "{places:?}");
        close(session);
    }
}

/// With f64 and from the files alone, on the first layer, whose input is known: the norm of the tokens' embeddings.
#[test]
fn spectr_weighs_by_the_length_of_what_experts_would_add() {
    let (case, mut session) = session_on(Device::exact_cpu());
    let answer = support::answer(&mut session, request(&case, "spectr"));
    let tensor = |name: &str| {
        let checkpoint = checkpoint(&format!("{NAME}/{}", case.bases[0]));
        checkpoint.tensors[name].to_f32()
    };
    let (embedding, norm) = (tensor("shared.weight"), tensor("encoder.block.0.layer.0.layer_norm.weight"));
    let d_model = norm.len();
    let mut checked = 0;
    for (token, id) in case.input_ids.iter().enumerate() {
        let x = &embedding[*id as usize * d_model..][..d_model];
        let mean_square = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / d_model as f64;
        let epsilon = f64::from(session.model().config.layer_norm_epsilon);
        let scale = 1.0 / (mean_square + epsilon).sqrt();
        let u: Vec<f64> = x.iter().zip(&norm).map(|(x, w)| f64::from(*x) * scale * f64::from(*w)).collect();
        for name in ["q", "k", "v"] {
            let module = format!("encoder.block.0.layer.0.SelfAttention.{name}");
            let dot = |row: &[f32], x: &[f64]| row.iter().zip(x).map(|(a, b)| f64::from(*a) * b).sum::<f64>();
            let length = |expert: &Expert| {
                let (a, b) = (factor(expert, &module, LoraPart::A), factor(expert, &module, LoraPart::B));
                let t: Vec<f64> = a.chunks_exact(d_model).map(|a| dot(a, &u)).collect();
                b.chunks_exact(t.len()).map(|b| dot(b, &t).powi(2)).sum::<f64>().sqrt()
            };
            let adapts = |expert: &&Expert| expert.scales.contains_key(&module);
            let mut lengths: Vec<(&str, f64)> = session
                .experts()
                .iter()
                .filter(adapts)
                .map(|expert| (expert.id.as_str(), length(expert)))
                .collect();
            lengths.sort_by(|a, b| b.1.total_cmp(&a.1));
            lengths.truncate(2);
            let sum: f64 = lengths.iter().map(|(_, length)| (length - lengths[0].1).exp()).sum();
            let found = answer
                .routing
                .iter()
                .find(|routed| routed.module == module && routed.token == token)
                .unwrap();
            for ((id, length), (found, weight)) in
                lengths.iter().zip(found.experts.iter().zip(&found.weights))
            {
                let expected = (length - lengths[0].1).exp() / sum;
                assert_eq!(id, found, "{module}, token {token}: {lengths:?}");
                assert!(
                    (f64::from(*weight) - expected).abs() < 1e-4,
                    "{module}, token {token}: {weight} {expected}"
                );
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 2 * 3 * case.input_ids.len());
}

#[test]
fn spectr_wants_the_pages_of_all_experts_and_does_without_those_that_are_waived() {
    let (case, mut session) = session_on(Device::cpu());
    let streamed = support::answer(&mut session, request(&case, "spectr"));
    make_resident(&mut session);
    let resident = support::answer(&mut session, request(&case, "spectr"));
    assert!(is_like(&streamed, &resident));
    assert_eq!(session.work().pages_wanted, session.page_count() as usize);

    // Nothing there, nothing waited for: the base alone.
    session.evict_all();
    let none = support::answer(&mut session, request(&case, "none"));
    session.start(request(&case, "spectr")).unwrap();
    for page in 0..session.page_count() {
        session.waive(page).unwrap();
    }
    let mut ids = Vec::new();
    while let gander::session::Step::Token(token) = session.step().unwrap() {
        ids.push(token.id);
    }
    assert_eq!(ids, none.output_ids);
}

#[test]
fn retrieval_takes_the_expert_with_the_nearest_example() {
    let case = Case::load(NAME);
    let checkpoint = checkpoint(&format!("{NAME}/{}", case.bases[0]));
    let d_model = checkpoint.config.d_model;
    let mut session = Session::new(support::base_without_text(checkpoint)).unwrap();
    session.start(Request { strategy: Strategy::None, ..case.request(2) }).unwrap();
    let query = retrieval::embedding(&gander::session::now(session.read_encoded()).unwrap(), d_model);
    let negated = query.iter().map(|value| -value).collect::<Vec<_>>();
    let mut experts: Vec<Expert> =
        case.experts.iter().map(|path| support::expert(&format!("{NAME}/{path}"))).collect();
    for (index, expert) in experts.iter_mut().enumerate() {
        // The second has one that is the input itself among others.
        let own = if index == 1 { query.iter().map(|value| 3.0 * value).collect() } else { negated.clone() };
        expert.vectors.examples = [negated.clone(), own].concat();
    }
    let second = experts[1].id.clone();
    session.add_experts(experts).unwrap();
    let answer = support::answer(&mut session, request(&case, "retrieval"));
    assert!(!answer.routing.is_empty());
    assert!(answer.routing.iter().flat_map(|token| &token.experts).all(|expert| *expert == second));
    let alone = support::answer(&mut session, request(&case, &format!("single:{second}")));
    assert_eq!(answer.output_ids, alone.output_ids);
    // Without it, the first of equals.
    let first = session.experts()[0].id.clone();
    let request = Request { exclude: vec![second], ..request(&case, "retrieval") };
    let answer = support::answer(&mut session, request);
    assert!(answer.routing.iter().flat_map(|token| &token.experts).all(|expert| *expert == first));
}

#[test]
fn what_a_strategy_lacks_is_named_and_the_session_stays_usable() {
    let case = Case::load(NAME);
    let mut session = case.session(&case.bases[0]);
    make_resident(&mut session);
    let code = |session: &mut Session, request: Request| session.start(request).unwrap_err().code;
    for strategy in ["arrow", "average-activation", "retrieval"] {
        assert_eq!(code(&mut session, request(&case, strategy)), ErrorCode::MissingTensor, "{strategy}");
    }
    let all = session.experts().iter().map(|expert| expert.id.clone()).collect();
    assert!(
        session.start(Request { exclude: all, ..request(&case, "arrow") }).is_ok(),
        "nobody lacks anything"
    );
    assert_eq!(code(&mut session, request(&case, "single:nobody")), ErrorCode::UnknownExpert);
    let excluded = Request { exclude: vec!["chemistry".to_owned()], ..request(&case, "single:chemistry") };
    assert_eq!(code(&mut session, excluded), ErrorCode::InvalidOption);
    let error = Strategy::parse("best").unwrap_err();
    assert!(
        error.code == ErrorCode::InvalidOption && error.expected.contains("average-activation"),
        "{error}"
    );
    for name in EVERYWHERE.iter().chain(&["phatgoose", "spectr"]) {
        assert_eq!(Strategy::parse(name).unwrap().name(), *name);
    }
    assert!(!support::answer(&mut session, case.request(2)).output_ids.is_empty());
}

support::async_test! {
    async fn a_gpu_says_that_it_has_no_shader_for_spectr() {
        let (case, mut session) = session_on(support::gpu().await);
        let error = try_answer_on_any(&mut session, request(&case, "spectr")).await.err().expect("an error");
        assert!(error.code == ErrorCode::Unsupported && error.place.contains("spectr"), "{error}");
        assert!(!answer_on_any(&mut session, request(&case, "merged")).await.output_ids.is_empty());
        close(session);
    }
}
