//! Which device a model gets: the one that was asked for, or the faster of those that are there.

use crate::base::{Base, no_tokenizer};
use crate::device::{Device, Devices, Gpu};
use crate::error::{Error, ErrorCode, Result};
use crate::integer_trial;
use crate::quant::Values;
use crate::recording::Integers;
use crate::self_test;
use crate::session::{Request, Session, Step};
use crate::synthetic;

/// What was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// For each part of the model the faster of the CPU and a real GPU, by a short trial. Whatever is wrong with the GPU, the CPU takes over.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU, even one that a CPU plays. Whatever is wrong with it is an error.
    Gpu,
    /// A GPU for the encoder, the CPU for the decoder.
    Split,
}

impl DeviceChoice {
    /// The choice of that name: `auto`, `cpu`, `gpu`, or `gpu+cpu` for encoder and decoder. In a browser the GPU is called
    /// `webgpu`.
    pub fn parse(name: &str) -> Result<DeviceChoice> {
        match name {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "gpu" | "webgpu" => Ok(DeviceChoice::Gpu),
            "gpu+cpu" | "webgpu+cpu" => Ok(DeviceChoice::Split),
            _ => {
                let problem = format!("{name:?} is not a device");
                let expected = "auto, cpu, webgpu or webgpu+cpu";
                Err(Error::new(ErrorCode::InvalidOption, "device", problem, expected))
            }
        }
    }
}

/// Devices, and why it is these.
pub struct ChosenDevices {
    /// Opened and, if it is a GPU, tested.
    pub devices: Devices,
    /// For people.
    pub reason: String,
}

/// Opens the devices that were asked for, a CPU with so many threads. `allowed` is an error where it is clear beforehand that there is no GPU; `now`
/// tells the time in milliseconds.
///
/// # Errors
/// For [`DeviceChoice::Gpu`] and [`DeviceChoice::Split`] alone: that of `allowed`, those of [`Gpu::open`] and [`self_test::check`].
pub async fn open(
    choice: DeviceChoice,
    threads: usize,
    allowed: Result<()>,
    now: impl Fn() -> f64,
) -> Result<ChosenDevices> {
    let cpu = || Device::cpu_with_threads(threads);
    let on_cpu = |reason| ChosenDevices { devices: cpu().into(), reason };
    match choice {
        DeviceChoice::Cpu => Ok(on_cpu("asked for".to_owned())),
        DeviceChoice::Gpu | DeviceChoice::Split => {
            allowed?;
            let (encoder, integers) = test(Gpu::open().await?, &now).await?;
            let decoder = (choice == DeviceChoice::Split).then(cpu);
            let reason = format!("asked for; {integers}");
            Ok(ChosenDevices { devices: Devices { encoder, decoder }, reason })
        }
        DeviceChoice::Auto => {
            Ok(choose(cpu, allowed, now).await.unwrap_or_else(|error| on_cpu(error.to_string())))
        }
    }
}

/// Hears what went wrong on the devices while a session was filled. Where they were chosen by [`DeviceChoice::Auto`], the CPU
/// takes over, and what was wrong is the new `reason`.
///
/// # Errors
/// Those of [`Session::settle_with_smaller_pool`].
pub async fn settle(
    session: &mut Session,
    choice: DeviceChoice,
    threads: usize,
    reason: &mut String,
) -> Result<()> {
    match session.settle_with_smaller_pool().await {
        Err(error) if choice == DeviceChoice::Auto => {
            *reason = error.to_string();
            session.reopen(Device::cpu_with_threads(threads)).await
        }
        settled => settled,
    }
}

async fn choose(
    cpu: impl Fn() -> Device,
    allowed: Result<()>,
    now: impl Fn() -> f64,
) -> Result<ChosenDevices> {
    allowed?;
    let gpu = Gpu::open().await?;
    if gpu.adapter().is_software {
        let reason = format!("the only adapter is software ({})", gpu.adapter().name);
        return Ok(ChosenDevices { devices: cpu().into(), reason });
    }
    let (gpu, integers) = test(gpu, &now).await?;
    let (gpu, on_gpu) = trial(gpu, &now).await?;
    let (cpu, on_cpu) = trial(cpu(), &now).await?;
    let mut reason = format!("in a trial, the GPU took {on_gpu}, the CPU {on_cpu}");
    if on_gpu.encoder < on_cpu.encoder || on_gpu.token < on_cpu.token {
        reason = format!("{reason}; {integers}");
    }
    let devices = match (on_gpu.encoder < on_cpu.encoder, on_gpu.token < on_cpu.token) {
        (_, true) => Devices::from(gpu),
        (true, false) => Devices { encoder: gpu, decoder: Some(cpu) },
        (false, false) => Devices::from(cpu),
    };
    Ok(ChosenDevices { devices, reason })
}

/// Tests a GPU, and has it multiply in whole numbers where that pays, of which it says what was found. Where something is wrong
/// with whole numbers alone, the GPU is opened again and does without them.
async fn test(gpu: Gpu, now: &impl Fn() -> f64) -> Result<(Device, String)> {
    let gpu = self_test::check(Device::Gpu(Box::new(gpu))).await?;
    match try_integers(gpu, now).await {
        Ok(tried) => Ok(tried),
        Err(error) => {
            let gpu = self_test::check(Device::gpu().await?).await?;
            Ok((gpu, format!("without integer dot products: {error}")))
        }
    }
}

async fn try_integers(gpu: Device, now: &impl Fn() -> f64) -> Result<(Device, String)> {
    let (gpu, found) = integer_trial::choose(gpu, now).await?;
    let are_used = matches!(&gpu, Device::Gpu(gpu) if gpu.integers() != Integers::default());
    let gpu = if are_used { self_test::check(gpu).await? } else { gpu };
    Ok((gpu, found))
}

/// What a device took for a small model, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Trial {
    encoder: f64,
    token: f64,
}

impl std::fmt::Display for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ms for 64 tokens in and {:.1} ms for each token out", self.encoder, self.token)
    }
}

/// Runs an eighth of a flan-t5-small: its widths, one block of each kind, a small vocabulary.
async fn trial(device: Device, now: impl Fn() -> f64) -> Result<(Device, Trial)> {
    const TOKENS: usize = 8;
    let mut config = synthetic::config(512, 6, 1024, 1, 4096);
    config.eos_token_ids.clear();
    let checkpoint = synthetic::checkpoint(&config, 1, |_, floats| Values::q8_0_from(floats));
    let mut session = Session::on(device, Base::new(checkpoint, Err(no_tokenizer("trial"))))?;
    let mut best = Trial { encoder: f64::INFINITY, token: f64::INFINITY };
    // The first round pays for what is done once.
    for _ in 0..2 {
        let input_ids = Some((2..66).collect());
        session.start(Request { input_ids, max_new_tokens: TOKENS, ..Request::default() })?;
        let start = now();
        let mut first = f64::NAN;
        while !matches!(session.next_step().await?, Step::Done(_)) {
            if session.output_ids().len() == 1 {
                first = now();
            }
        }
        let token = (now() - first) / (session.output_ids().len() as f64 - 1.0).max(1.0);
        best.token = best.token.min(token);
        best.encoder = best.encoder.min((first - start - token).max(0.0));
    }
    let mut device = session.into_devices().encoder;
    device.reset();
    Ok((device, best))
}
