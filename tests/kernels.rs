//! One table of cases for every kernel, on every device: the CPU and the GPU, natively and in a browser, against naive
//! definitions in f64.
//!
//! In Chromium the shaders go through tint, WebGPU's other compiler besides naga: a shader that it refuses, or that it
//! computes otherwise, fails here.

#[path = "kernels/attention.rs"]
mod attention;
#[path = "kernels/case.rs"]
mod case;
#[path = "kernels/embed.rs"]
mod embed;
#[path = "kernels/inputs.rs"]
mod inputs;
#[path = "kernels/linear.rs"]
mod linear;
#[path = "kernels/next_token.rs"]
mod next_token;
#[path = "kernels/numbers.rs"]
mod numbers;
#[path = "kernels/rms_norm.rs"]
mod rms_norm;
#[path = "kernels/route.rs"]
mod route;
#[path = "kernels/sampler.rs"]
mod sampler;
#[path = "kernels/sigmoid_gate.rs"]
mod sigmoid_gate;
mod support;
#[path = "kernels/table.rs"]
mod table;

use case::Case;
use gander::device::Device;
use gander::recording::Integers;
use support::{async_test, report, test_on};

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

test_on! {
    async fn every_kernel_computes_its_definition(device) {
        run_all(device().await).await
    }
}

async_test! {
    async fn every_kernel_computes_its_definition_without_rounding() {
        run_all(Device::exact_cpu()).await
    }
}

async fn run_all(mut device: Device) {
    let cases = table::cases();
    let mut failures = Vec::new();
    for case in &cases {
        failures.extend(case.run(&mut device).await.err());
    }
    // What a real GPU is given differs for some kernels, and is right on any; and so are whole numbers, wherever the shading
    // language has their dot products.
    let (mut ways, mut ran) = (vec![], 0);
    if let Device::Gpu(gpu) = &mut device {
        let is_software = gpu.adapter().is_software;
        if is_software {
            gpu.take_for_hardware();
            ways.push(Integers::default());
        }
        if gpu.has_integer_dots() {
            ways.push(Integers { one_token: true, many_tokens: true });
        }
        assert!(gpu.has_integer_dots() || support::may_lack_integer_dots(), "no integer dot products");
    }
    for integers in &ways {
        if let Device::Gpu(gpu) = &mut device {
            gpu.set_integers(*integers);
        }
        // Whole numbers are for quantised weights alone.
        let differs = |case: &&Case| match *integers == Integers::default() {
            true => case.name.starts_with("linear") || case.name.starts_with("attention"),
            false => case.name.contains("formats: [Q8_0]") || case.name.contains("formats: [Q4_0]"),
        };
        for case in cases.iter().filter(differs) {
            ran += 1;
            failures.extend(case.run(&mut device).await.err().map(|error| format!("{integers:?}: {error}")));
        }
    }
    let place = support::describe(&device);
    report(&format!(
        "conformance: {} cases on {place} and {ran} again in {} other ways, {} failed",
        cases.len(),
        ways.len(),
        failures.len()
    ));
    assert!(failures.is_empty(), "on {place}:\n{}", failures.join("\n"));
    assert_eq!(cases.len(), table::CASES, "the number of cases changed: change CASES");
}
