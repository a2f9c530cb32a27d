//! Does a device compute what the CPU computes? Asked of every GPU before it gets a model: browsers and drivers have shipped
//! that answer wrongly, and say nothing.
//!
//! A tiny T5 of random numbers, each of its weights in another format, with experts, answers a line on both devices. That
//! runs every kernel. It takes some milliseconds, nearly all of them to compile shaders that the model needs anyway.

use crate::base::{Base, no_tokenizer};
use crate::device::Device;
use crate::error::{Error, ErrorCode, Result};
use crate::quant::Values;
use crate::session::{Request, Session, Step};
use crate::synthetic;

/// Distance of a logit from the CPU's that rounding explains. The logits are around 1; what is wrong is wrong by far more.
const TOLERANCE: f32 = 1e-2;
const EXPERTS: usize = 3;
const TOKENS: usize = 3;

/// Gives the device back if it answers as the CPU does.
///
/// # Errors
/// [`ErrorCode::DeviceWrong`], saying where it first differs; whatever goes wrong on the device.
pub async fn check(device: Device) -> Result<Device> {
    let expected = answer(Device::cpu()).await?.1;
    let (mut device, found) = answer(device).await?;
    compare(&expected, &found)?;
    device.reset();
    Ok(device)
}

/// The tokens of an answer and the logits behind its first.
type Answer = (Vec<u32>, Vec<f32>);

async fn answer(device: Device) -> Result<(Device, Answer)> {
    let config = synthetic::config(64, 2, 96, 1, 64);
    let formats = [
        |floats: &[f32]| Values::F32(floats.to_vec()),
        Values::f16_from,
        Values::q8_0_from,
        Values::q4_0_from,
    ];
    let checkpoint =
        synthetic::checkpoint(&config, 1, |number, floats| formats[number % formats.len()](floats));
    let mut session = Session::on(device, Base::new(checkpoint, Err(no_tokenizer("self-test"))))?;
    let (experts, pages): (Vec<_>, Vec<_>) =
        (0..EXPERTS).map(|index| synthetic::expert(&config, &index.to_string(), 4, 2 + index as u64)).unzip();
    session.add_experts(experts)?;
    let pages = pages.concat();
    // As many tokens as make both forms of the product run: tiles in the encoder, rows in the decoder.
    let input_ids = Some((2..40).collect());
    session.start(Request { input_ids, max_new_tokens: TOKENS, ..Request::default() })?;
    let mut logits = Vec::new();
    loop {
        match session.next_step().await? {
            // The first pass has no page resident: missing is a part of the test.
            Step::Missing(missing) => {
                for page in missing {
                    session.provide(page, &pages[page as usize])?;
                }
            }
            Step::Token(_) if logits.is_empty() => logits = session.read_logits().await?,
            Step::Token(_) => {}
            Step::Done(_) => {
                let tokens = session.output_ids().to_vec();
                return Ok((session.into_devices().encoder, (tokens, logits)));
            }
        }
    }
}

fn compare(expected: &Answer, found: &Answer) -> Result<()> {
    let wrong = |problem: String| {
        let expected = "what the CPU computes: update the browser or the driver, or use the CPU";
        Err(Error::new(ErrorCode::DeviceWrong, "self-test of the GPU", problem, expected))
    };
    for (id, (found, expected)) in found.1.iter().zip(&expected.1).enumerate() {
        // NaN is no distance at all, and wrong too.
        let is_close = (found - expected).abs() <= TOLERANCE;
        if !is_close {
            return wrong(format!("logit {id} is {found}, on the CPU {expected}"));
        }
    }
    if found.0 != expected.0 {
        return wrong(format!("tokens {:?}, on the CPU {:?}", found.0, expected.0));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::now;

    #[test]
    fn the_cpu_agrees_with_itself() {
        now(check(Device::cpu())).unwrap();
    }

    #[test]
    fn a_wrong_logit_a_nan_and_a_wrong_token_are_named() {
        let expected = (vec![3, 4], vec![1.0, 2.0]);
        for found in
            [(vec![3, 4], vec![1.0, 2.1]), (vec![3, 4], vec![f32::NAN, 2.0]), (vec![3, 5], vec![1.0, 2.0])]
        {
            assert_eq!(compare(&expected, &found).unwrap_err().code, ErrorCode::DeviceWrong);
        }
        compare(&expected, &expected).unwrap();
    }
}
