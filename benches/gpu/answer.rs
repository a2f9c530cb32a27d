//! One answer, timed.

use std::time::Instant;

use gander::base::{Base, no_tokenizer};
use gander::device::{Counts, Device};
use gander::quant::Values;
use gander::session::{Request, Session, Step};
use gander::synthetic;

use crate::ocean::{self, Ocean};

/// Tokens out. All runs of steps are full up to the last but one: 1 + 2 + 4 + 7 × 8.
const TOKENS_OUT: usize = 64;

/// A model on a device, with the experts' pages that it wants.
pub struct Subject {
    session: Session,
    ocean: Ocean,
    input_ids: Vec<u32>,
}

/// What one answer took.
pub struct Answer {
    /// Recording and binding.
    pub start_ms: f64,
    /// From then until the first token: the encoder and one decoder step.
    pub first_token_ms: f64,
    /// Every further token.
    pub token_ms: f64,
    /// What the device did up to the first token, and for all but the last of the others.
    pub until_first: Counts,
    pub after_first: Counts,
}

impl Answer {
    /// Further tokens that `after_first` counts.
    pub const FURTHER_TOKENS: f64 = (TOKENS_OUT - 2) as f64;

    /// The encoder, with keys and values for the decoder.
    pub fn encoder_ms(&self) -> f64 {
        self.first_token_ms - self.token_ms
    }
}

impl Subject {
    pub fn new(device: Device, experts: usize, tokens: usize) -> Subject {
        let mut config = ocean::config();
        // No answer ends early.
        config.eos_token_ids.clear();
        let checkpoint = synthetic::checkpoint(&config, 1, |_, floats| Values::q8_0_from(floats));
        let base = Base::new(checkpoint, Err(no_tokenizer("benchmark")));
        let mut session = Session::on(device, base).expect("the checkpoint is whole");
        let ocean = Ocean::new(&config, experts);
        if experts > 0 {
            session.set_pool_bytes(Ocean::POOL_BYTES);
            session.add_experts(ocean.experts.clone()).expect("the experts fit the model");
        }
        let mut random = fastrand::Rng::with_seed(7);
        let input_ids = (0..tokens).map(|_| random.u32(2..config.vocab_size as u32)).collect();
        let mut subject = Subject { session, ocean, input_ids };
        // Compiles what is compiled once, and brings the pages.
        subject.answer();
        subject
    }

    pub fn answer(&mut self) -> Answer {
        let request = Request {
            input_ids: Some(self.input_ids.clone()),
            max_new_tokens: TOKENS_OUT,
            ..Request::default()
        };
        let begin = Instant::now();
        self.session.start(request).expect("the request can be answered");
        let start_ms = milliseconds(begin);
        let before = self.counts();
        let begin = Instant::now();
        let (mut first, mut first_counts) = (0.0, before);
        let (mut last, mut last_counts) = (0.0, before);
        loop {
            match self.session.step().expect("the device computes") {
                Step::Missing(pages) => {
                    for page in pages {
                        let bytes = self.ocean.bytes(page);
                        self.session.provide(page, bytes).expect("the page is the right one");
                    }
                }
                Step::Token(_) => match self.session.output_ids().len() {
                    1 => (first, first_counts) = (milliseconds(begin), self.counts()),
                    n if n == TOKENS_OUT - 1 => (last, last_counts) = (milliseconds(begin), self.counts()),
                    _ => {}
                },
                Step::Done(_) => break,
            }
        }
        Answer {
            start_ms,
            first_token_ms: first,
            token_ms: (last - first) / Answer::FURTHER_TOKENS,
            until_first: difference(first_counts, before),
            after_first: difference(last_counts, first_counts),
        }
    }

    fn counts(&self) -> Counts {
        match &self.session.devices().encoder {
            Device::Gpu(gpu) => gpu.counts,
            Device::Cpu(_) => Counts::default(),
        }
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn difference(a: Counts, b: Counts) -> Counts {
    Counts {
        dispatches: a.dispatches - b.dispatches,
        submissions: a.submissions - b.submissions,
        readbacks: a.readbacks - b.readbacks,
        objects: a.objects - b.objects,
    }
}
