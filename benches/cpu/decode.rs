//! A token of flan-t5-small with random weights, against the memory that it reads.

use std::time::Instant;

use gander::base::{Base, no_tokenizer};
use gander::device::{Device, Part};
use gander::quant::Values;
use gander::recording::Dispatch;
use gander::session::{Request, Session, Step, now};
use gander::synthetic;

/// A decoder step, again and again.
pub struct Decode {
    session: Session,
    /// Of all weights that it reads: each once.
    pub bytes: usize,
    control: Vec<u32>,
}

impl Decode {
    /// At the 16th token of an answer to 64.
    pub fn new(round: fn(&[f32]) -> Values) -> Decode {
        let mut config = synthetic::config(512, 6, 1024, 8, 32128);
        config.eos_token_ids.clear();
        let checkpoint = synthetic::checkpoint(&config, 1, |_, floats| round(floats));
        let base = Base::new(checkpoint, Err(no_tokenizer("benchmark")));
        let mut session = Session::on(Device::cpu(), base).expect("the checkpoint is whole");
        let input_ids = Some((2..66).collect());
        session.start(Request { input_ids, max_new_tokens: 64, ..Request::default() }).expect("a request");
        while session.output_ids().len() < 16 {
            assert!(matches!(session.step(), Ok(Step::Token(_))), "the answer is long");
        }
        let (plans, devices) = session.plans().expect("an answer in the making");
        let plan = plans[Part::Decoder as usize];
        let bytes = plan.recording.dispatches.iter().map(weight_bytes).sum();
        let control = plan.recording.dispatches[0].tensors[0];
        let read = now(devices.of(Part::Decoder).read_words(&[control])).expect("a CPU's are there");
        Decode { control: read[0].clone(), session, bytes }
    }

    /// Seconds of a token.
    pub fn measure(&mut self) -> f64 {
        let (plans, devices) = self.session.plans().expect("an answer in the making");
        let (plan, device) = (plans[Part::Decoder as usize], devices.of(Part::Decoder));
        device.write(&plan.recording.dispatches[0].tensors[0], &self.control);
        let start = Instant::now();
        device.run(plan, 0..plan.recording.dispatches.len(), 1);
        start.elapsed().as_secs_f64()
    }
}

fn weight_bytes(dispatch: &Dispatch) -> usize {
    match dispatch.kernel.name {
        "linear" => dispatch.tensors[3].byte_len() + dispatch.tensors[4].byte_len(),
        _ => 0,
    }
}
