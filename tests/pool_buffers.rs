//! Pages of experts in several buffers, where a GPU's are too small for one: the answer is the same, bit for bit, whatever is
//! resident.

mod support;

use std::collections::HashSet;

use gander::device::Device;
use gander::session::Session;
use support::{Answer, Case, answer_on_any, async_test, make_resident};

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

/// Bytes of a buffer: enough for any weight of the case, too few for the pages.
const SMALL: usize = 128 << 10;

/// The case's answer on a GPU whose buffers are no larger than that, in how many of them pages are, and how often one was
/// missing.
async fn answer(most_bytes: usize, resident: bool) -> (Answer, usize) {
    let case = Case::load("v11_gated");
    let mut device = support::gpu().await;
    let Device::Gpu(gpu) = &mut device else { unreachable!("a GPU was asked for") };
    gpu.limit_buffers_to(most_bytes);
    let mut session = case.session_on(device, &case.bases[0]);
    if resident {
        make_resident(&mut session);
    }
    let answer = answer_on_any(&mut session, case.request(2)).await;
    let buffers = page_buffers(&mut session);
    let mut device = session.into_devices();
    let Device::Gpu(gpu) = &mut device.encoder else { unreachable!("a GPU was asked for") };
    gpu.limit_buffers_to(usize::MAX);
    (answer, buffers)
}

/// The buffers that routing takes pages from.
fn page_buffers(session: &mut Session) -> usize {
    let (plans, _) = session.plans().expect("an answer");
    let dispatches = plans.into_iter().flat_map(|plan| &plan.recording.dispatches);
    let routes = dispatches.filter(|dispatch| dispatch.kernel.name == "route");
    routes.map(|route| route.tensors[5].buffer).collect::<HashSet<_>>().len()
}

async_test! {
    async fn pages_in_several_buffers_make_the_same_answer() {
        let (expected, one) = answer(usize::MAX, true).await;
        assert_eq!(one, 1);
        for resident in [true, false] {
            let (found, buffers) = answer(SMALL, resident).await;
            assert!(buffers > 1, "{buffers} buffers");
            assert_eq!(found.misses > 0, !resident);
            assert_eq!(found.output_ids, expected.output_ids);
            // Of a step that missed pages the values are forgotten, those of the encoder before it too.
            assert!(found.values.len() == expected.values.len() || !resident);
            assert!(found.values.contains_key("logits"));
            for (name, found) in &found.values {
                let expected = &expected.values[name];
                let same = found.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same && found.len() == expected.len(), "{name}: the same bits");
            }
            assert!(found.routing == expected.routing, "the same choices");
        }
    }
}
