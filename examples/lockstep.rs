//! Where do CPU and GPU part? Runs the encoder and one decoder step on both, dispatch by dispatch, each time from what the CPU
//! has, and stops at the first dispatch that leaves something else behind.
//!
//! ```text
//! cargo run --release --example lockstep                                  a model of random numbers
//! cargo run --release --example lockstep -- BASE [EXPERT_FOLDER ...]      a GGUF file or a Hugging Face folder
//! ```

use std::collections::HashSet;
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};

use gander::base::{Base, no_tokenizer};
use gander::device::{Device, Part};
use gander::experts::Expert;
use gander::formats::peft::Adapter;
use gander::quant::Values;
use gander::recording::{Access, Dispatch};
use gander::session::{Request, Session, Step};
use gander::synthetic;
use gander::tensor::{BufferId, DType, Tensor};

/// Greatest distance of two floats, relative to the largest of their tensor.
const TOLERANCE: f32 = 1e-4;
/// In memory that a dispatch need not fill: this was not filled.
const UNTOUCHED: u32 = 0xdead_beef;

/// Experts, and the bytes of all their pages.
type Experts = (Vec<Expert>, Vec<Vec<u8>>);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let open = || match arguments.split_first() {
        Some((base, experts)) => (Base::open(base).expect("a base"), open_experts(experts)),
        None => random_model(),
    };
    let gpu = now(Device::gpu()).expect("a GPU");
    let mut cpu = start(Device::cpu(), open());
    let mut gpu = start(gpu, open());
    // Then all that a decoder step reads is in place. The GPU gets it from the CPU.
    let step = cpu.step().expect("a step");
    assert!(matches!(step, Step::Token(_)), "{step:?}, though every page is resident");
    for part in [Part::Encoder, Part::Decoder] {
        match walk(part, &mut cpu, &mut gpu) {
            Ok(count) => println!("{part:?}: {count} dispatches, the same on both"),
            Err(difference) => {
                println!("{part:?}: {difference}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// A session with every page resident and an answer begun.
fn start(device: Device, (base, (experts, pages)): (Base, Experts)) -> Session {
    let mut session = Session::on(device, base).expect("a model");
    session.add_experts(experts).expect("experts of this base");
    for (page, bytes) in pages.iter().enumerate() {
        session.provide(page as u32, bytes).expect("the right bytes");
    }
    let input_ids = Some((2..42).collect());
    session.start(Request { input_ids, max_new_tokens: 8, ..Request::default() }).expect("a request");
    session
}

/// Runs a part's dispatches on both, one by one, and says how many there were or what differs first.
fn walk(part: Part, cpu: &mut Session, gpu: &mut Session) -> Result<usize, String> {
    let activations = activations(cpu);
    let count = dispatches(part, cpu).len();
    for index in 0..count {
        let dispatch = &dispatches(part, cpu)[index];
        let (name, access) = (dispatch.kernel.name, dispatch.kernel.access);
        let tensors = dispatch.tensors.clone();
        let same = |tensor: &usize| {
            access[*tensor] == Access::Control || activations.contains(&tensors[*tensor].buffer)
        };
        let inputs: Vec<usize> = (0..tensors.len()).filter(same).collect();
        let written: Vec<usize> =
            (0..tensors.len()).filter(|tensor| access[*tensor] == Access::Write).collect();
        let mut before = look(part, cpu, index, &inputs);
        // What routing leaves for the product has room that only a GPU uses, for scores.
        let has_room = |tensor: usize| name == "route" && Some(&tensor) == written.last();
        for (tensor, words) in inputs.iter().zip(&mut before).filter(|(tensor, _)| has_room(**tensor)) {
            words.fill(UNTOUCHED);
            put(part, cpu, index, *tensor, words);
        }
        for (tensor, words) in inputs.iter().zip(&before) {
            put(part, gpu, index, *tensor, words);
        }
        run(part, cpu, index);
        run(part, gpu, index);
        let (on_cpu, on_gpu) = (look(part, cpu, index, &written), look(part, gpu, index, &written));
        for (tensor, (cpu, gpu)) in written.iter().zip(on_cpu.iter().zip(&on_gpu)) {
            let Tensor { rows, cols, dtype, .. } = tensors[*tensor];
            if let Some((at, cpu, gpu)) = first_difference(dtype, has_room(*tensor), cpu, gpu) {
                return Err(format!(
                    "dispatch {index} of {count}, {name}: element {at} of its tensor {tensor} ({rows}, {cols}) is {cpu} \
                     on the CPU, {gpu} on the GPU"
                ));
            }
        }
    }
    Ok(count)
}

/// The buffers that any dispatch writes.
fn activations(session: &mut Session) -> HashSet<BufferId> {
    let (plans, _) = session.plans().expect("an answer in the making");
    let dispatches = plans.into_iter().flat_map(|plan| &plan.recording.dispatches);
    let uses = dispatches.flat_map(|dispatch| dispatch.tensors.iter().zip(dispatch.kernel.access));
    uses.filter(|(_, access)| **access == Access::Write).map(|(tensor, _)| tensor.buffer).collect()
}

fn dispatches(part: Part, session: &mut Session) -> &[Dispatch] {
    let (plans, _) = session.plans().expect("an answer in the making");
    &plans[part as usize].recording.dispatches
}

fn run(part: Part, session: &mut Session, index: usize) {
    let (plans, devices) = session.plans().expect("an answer in the making");
    devices.of(part).run(plans[part as usize], index..index + 1, 1);
}

/// What is in some of a dispatch's tensors.
fn look(part: Part, session: &mut Session, index: usize, which: &[usize]) -> Vec<Vec<u32>> {
    let (plans, devices) = session.plans().expect("an answer in the making");
    let tensors = &plans[part as usize].recording.dispatches[index].tensors;
    let tensors: Vec<Tensor> = which.iter().map(|tensor| tensors[*tensor]).collect();
    now(devices.of(part).read_words(&tensors)).expect("results")
}

/// Fills one of a dispatch's tensors.
fn put(part: Part, session: &mut Session, index: usize, tensor: usize, words: &[u32]) {
    let (plans, devices) = session.plans().expect("an answer in the making");
    devices.of(part).write(&plans[part as usize].recording.dispatches[index].tensors[tensor], words);
}

/// The first element that differs: its index, and what it is on either device.
fn first_difference(
    dtype: DType,
    has_room: bool,
    cpu: &[u32],
    gpu: &[u32],
) -> Option<(usize, String, String)> {
    let float = |word: &u32| f32::from_bits(*word);
    let largest =
        cpu.iter().map(float).filter(|value| value.is_finite()).fold(0.0, |a: f32, b| a.max(b.abs()));
    let near = |cpu: &u32, gpu: &u32| (float(cpu) - float(gpu)).abs() <= TOLERANCE * largest;
    let same = |(cpu, gpu): (&u32, &u32)| match dtype {
        _ if has_room && *cpu == UNTOUCHED => true,
        DType::F32 => near(cpu, gpu),
        // Whole numbers, which as floats would be subnormal; or the bits of floats.
        _ => cpu == gpu || (float(cpu) - float(gpu)).abs() <= TOLERANCE && float(cpu).is_normal(),
    };
    let at = cpu.iter().zip(gpu).position(|pair| !same(pair))?;
    let show = |word: &u32| match dtype {
        DType::F32 => float(word).to_string(),
        _ => format!("{word} ({} as a float)", float(word)),
    };
    Some((at, show(&cpu[at]), show(&gpu[at])))
}

/// A model of random numbers with three experts.
fn random_model() -> (Base, Experts) {
    let config = synthetic::config(128, 2, 192, 2, 512);
    let checkpoint = synthetic::checkpoint(&config, 1, |_, floats| Values::q8_0_from(floats));
    let (experts, pages): (Vec<_>, Vec<_>) =
        (0..3).map(|index| synthetic::expert(&config, &index.to_string(), 4, 2 + index)).unzip();
    (Base::new(checkpoint, Err(no_tokenizer("random"))), (experts, pages.concat()))
}

/// PEFT folders.
fn open_experts(folders: &[String]) -> Experts {
    let (mut experts, mut pages) = (Vec::new(), Vec::new());
    for folder in folders {
        let file = |name: &str| std::fs::read(Path::new(folder).join(name));
        let config = file("adapter_config.json").expect("adapter_config.json");
        let weights = file("adapter_model.safetensors").expect("adapter_model.safetensors");
        let gates = file("gates.safetensors").ok();
        let adapter = Adapter::from_files(&config, &weights, gates.as_deref()).expect("a PEFT adapter");
        let expert = Expert::from_adapter(folder, "adapter_model.safetensors", adapter);
        let range = |page: &gander::experts::Page| page.range.start as usize..page.range.end as usize;
        pages.extend(expert.pages.iter().map(|page| weights[range(page)].to_vec()));
        experts.push(expert);
    }
    (experts, pages)
}

/// The value of a future: natively every device answers at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a device that does not answer at once"),
    }
}
