//! Opening a GPU: whole numbers are used where a trial says that they pay, and what it said is reported.

mod support;

use gander::device::Device;
use gander::integer_trial;
use support::async_test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

async_test! {
    async fn the_trial_waits_for_what_it_times() {
        let mut device = support::gpu().await;
        let Device::Gpu(gpu) = &mut device else { panic!("a GPU was asked for") };
        // The shortest has a million multiplications: that takes a CPU that plays a GPU longer, whatever hardware takes.
        let least = if gpu.adapter().is_software { 0.05 } else { 0.0 };
        // Of SwiftShader nothing is asked.
        gpu.take_for_hardware();
        let (_, found) = integer_trial::choose(device, milliseconds).await.expect("both ways come to the same");
        let times: Vec<f64> =
            found.split(' ').filter(|word| word.contains('.')).filter_map(|word| word.parse().ok()).collect();
        assert_eq!(times.len(), 4, "{found}");
        assert!(times.iter().all(|time| *time > least), "{found}");
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn milliseconds() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64() * 1e3
}

#[cfg(target_arch = "wasm32")]
fn milliseconds() -> f64 {
    js_sys::Date::now()
}

/// By clocks that say what they are told to.
#[cfg(not(target_arch = "wasm32"))]
mod told {
    use std::cell::Cell;

    use crate::support::now;
    use gander::device::Device;
    use gander::device_choice::{self, ChosenDevices, DeviceChoice};
    use gander::recording::Integers;

    /// Opens the GPU by a clock by which floats and whole numbers, which take turns, take so many milliseconds.
    fn open(floats: f64, integers: f64) -> (Integers, String) {
        let (calls, time) = (Cell::new(0), Cell::new(0.0));
        let clock = || {
            // Every second call ends a measurement.
            let call = calls.replace(calls.get() + 1);
            if call % 2 == 1 {
                time.set(time.get() + if call % 4 == 1 { floats } else { integers });
            }
            time.get()
        };
        let opened = now(device_choice::open(DeviceChoice::Gpu, 1, Ok(()), clock));
        let ChosenDevices { devices, reason } = opened.expect("a GPU, if only a software one");
        let Device::Gpu(gpu) = &devices.encoder else { panic!("a GPU was asked for") };
        (gpu.integers(), reason)
    }

    #[test]
    fn whole_numbers_are_used_where_they_are_faster() {
        let (integers, reason) = open(10.0, 5.0);
        assert_eq!(integers, Integers { one_token: true, many_tokens: true });
        let found = "5.000 ms instead of 10.000 for 1 token (used) and 5.000 ms instead of 10.000 for 32 tokens (used)";
        assert_eq!(reason, format!("asked for; integer dot products took {found}"));
    }

    #[test]
    fn whole_numbers_are_not_used_where_they_are_not() {
        let (integers, reason) = open(5.0, 4.9);
        assert_eq!(integers, Integers::default());
        assert!(reason.ends_with("4.900 ms instead of 5.000 for 32 tokens (not used)"), "{reason}");
    }
}
