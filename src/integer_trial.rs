//! Do integer dot products pay on a GPU? Asked of each that opens and has them, for one token and for many apart: hardware that
//! multiplies four bytes in one instruction gains by them, whatever emulates it loses.
//!
//! Two products are computed both ways, and must come to the same.

use crate::device::Device;
use crate::error::{Error, ErrorCode, Result};
use crate::kernels::input::Input;
use crate::kernels::linear::{self, Output};
use crate::kernels::weight::Weight;
use crate::quant::{Matrix, Values};
use crate::recording::{Control, Integers, Recording};
use crate::tensor::{BufferId, DType, Tensor};

/// What a product in whole numbers may take of the time that floats take, to be worth it: less is noise.
const WORTH: f64 = 0.9;
/// A measurement shorter than this tells more of the clock than of the GPU.
const LEAST_MILLISECONDS: f64 = 2.0;
const MOST_TIMES: usize = 64;
/// Of each way, in turn; the least counts.
const ROUNDS: usize = 3;
const D_IN: usize = 512;
/// Distance from the same product in floats that rounding explains: the sums are around 10.
const TOLERANCE: f32 = 1e-2;

const FLOATS: Integers = Integers { one_token: false, many_tokens: false };
const INTEGERS: Integers = Integers { one_token: true, many_tokens: true };

/// What a product took, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Timed {
    tokens: usize,
    floats: f64,
    integers: f64,
}

impl Timed {
    fn pays(&self) -> bool {
        self.integers <= WORTH * self.floats
    }
}

impl std::fmt::Display for Timed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Timed { tokens, floats, integers } = self;
        let verdict = if self.pays() { "used" } else { "not used" };
        let unit = if *tokens == 1 { "token" } else { "tokens" };
        write!(f, "{integers:.3} ms instead of {floats:.3} for {tokens} {unit} ({verdict})")
    }
}

/// Has a GPU multiply in whole numbers where that pays, and says for people what was found. `now` tells the time in milliseconds.
///
/// # Errors
/// [`ErrorCode::DeviceWrong`] if both ways do not come to the same; those of [`Device::read_bytes`]. The device is then of no more
/// use.
pub async fn choose(mut device: Device, now: impl Fn() -> f64) -> Result<(Device, String)> {
    match &device {
        // It takes them apart into shifts: compiling them to find that out takes seconds.
        Device::Gpu(gpu) if gpu.adapter().is_swiftshader => {
            return Ok((device, "SwiftShader has nothing for integer dot products".to_owned()));
        }
        Device::Gpu(gpu) if gpu.has_integer_dots() => {}
        _ => return Ok((device, "there are no integer dot products".to_owned())),
    }
    let one = time(&mut device, 1, 2048, &now).await?;
    let many = time(&mut device, 32, 512, &now).await?;
    device.reset();
    set(&mut device, Integers { one_token: one.pays(), many_tokens: many.pays() });
    Ok((device, format!("integer dot products took {one} and {many}")))
}

fn set(device: &mut Device, integers: Integers) {
    if let Device::Gpu(gpu) = device {
        gpu.set_integers(integers);
    }
}

async fn time(device: &mut Device, tokens: usize, d_out: usize, now: &impl Fn() -> f64) -> Result<Timed> {
    let Product { recordings: [floats, integers], y, buffers } = Product::new(device, tokens, d_out);
    let mut plans = Vec::new();
    let mut results = Vec::new();
    for (recording, way) in [(floats, FLOATS), (integers, INTEGERS)] {
        set(device, way);
        let plan = device.prepare(recording);
        // The first run compiles.
        device.run(&plan, 0..1, 1);
        results.push(device.read_floats(&y).await?);
        plans.push(plan);
    }
    compare(&results[0], &results[1])?;
    let mut times = 1;
    let mut least = [f64::INFINITY; 2];
    let mut round = 0;
    while round < ROUNDS {
        let mut longest = 0.0f64;
        for (plan, least) in plans.iter().zip(&mut least) {
            let start = now();
            device.run(plan, 0..1, times);
            // In a browser only what is read is waited for.
            device.read_bytes(&[y]).await?;
            let took = now() - start;
            longest = longest.max(took);
            *least = least.min(took / times as f64);
        }
        if longest < LEAST_MILLISECONDS && times < MOST_TIMES {
            times *= 4;
            least = [f64::INFINITY; 2];
            round = 0;
        } else {
            round += 1;
        }
    }
    for buffer in buffers {
        device.free(buffer);
    }
    Ok(Timed { tokens, floats: least[0], integers: least[1] })
}

/// A product, recorded once for each way.
struct Product {
    recordings: [Recording; 2],
    y: Tensor,
    buffers: Vec<BufferId>,
}

impl Product {
    fn new(device: &mut Device, tokens: usize, d_out: usize) -> Product {
        let mut random = fastrand::Rng::with_seed(1);
        let mut floats = |count: usize| (0..count).map(|_| random.f32() - 0.5).collect::<Vec<f32>>();
        let matrix = Matrix { rows: d_out, cols: D_IN, values: Values::q8_0_from(&floats(d_out * D_IN)) };
        let weight = Weight::upload(device, &matrix);
        let control = device.upload(1, Control::WORDS, DType::U32, &[0u32; Control::WORDS]);
        let x = device.upload(tokens, D_IN, DType::F32, &floats(tokens * D_IN));
        let y = device.alloc(tokens, d_out, DType::F32);
        let recordings = [(), ()].map(|()| {
            let mut recording = Recording::default();
            let input = Input::Plain(x);
            linear::record(&mut recording, control, input, &weight, 1.0, None, Output::Store, y);
            recording
        });
        let buffers = [weight.values, weight.scales, control, x, y].map(|tensor| tensor.buffer).to_vec();
        Product { recordings, y, buffers }
    }
}

fn compare(floats: &[f32], integers: &[f32]) -> Result<()> {
    for (output, (float, integer)) in floats.iter().zip(integers).enumerate() {
        // NaN is no distance at all, and wrong too.
        let is_close = (float - integer).abs() <= TOLERANCE;
        if !is_close {
            let problem = format!("output {output} is {integer} in whole numbers, in floats {float}");
            let expected = "the same but for rounding";
            return Err(Error::new(
                ErrorCode::DeviceWrong,
                "trial of integer dot products",
                problem,
                expected,
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::now;

    #[test]
    fn a_cpu_has_none_and_stays_as_it_is() {
        let (device, reason) = now(choose(Device::cpu(), || 0.0)).unwrap();
        assert_eq!((device.name(), &*reason), ("cpu", "there are no integer dot products"));
    }

    #[test]
    fn they_are_used_where_they_take_clearly_less() {
        let timed = |integers| Timed { tokens: 1, floats: 1.0, integers };
        assert!(timed(0.5).pays() && !timed(0.95).pays() && !timed(2.0).pays());
        assert_eq!(timed(0.5).to_string(), "0.500 ms instead of 1.000 for 1 token (used)");
    }

    #[test]
    fn what_differs_is_named() {
        compare(&[1.0, 2.0], &[1.001, 2.0]).unwrap();
        for wrong in [2.1, f32::NAN] {
            assert_eq!(compare(&[1.0, 2.0], &[1.0, wrong]).unwrap_err().code, ErrorCode::DeviceWrong);
        }
    }
}
