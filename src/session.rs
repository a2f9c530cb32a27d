//! Generation as a state machine. It never fetches and never waits: it says what it lacks.
//!
//! ```text
//! start ─► step ─► Missing(pages) ─► provide each ─► step again
//!              ├─► Token ─► step
//!              └─► Done
//! ```
//!
//! A step that wanted absent pages is run again once they have come. Nothing of it was kept, so the answer is the one
//! that a session with every page resident gives, bit for bit.

mod attach;
mod request;
mod trace;

pub use request::{Request, Strategy};
pub use trace::RoutedToken;

use crate::adapter_pool::AdapterPool;
use crate::base::Base;
use crate::catalog::RouterDefaults;
use crate::device::Device;
use crate::error::{Error, ErrorCode, Result};
use crate::experts::{Expert, Page};
use crate::recording::Recording;
use crate::router::Routes;
use crate::sampling::Sampler;
use crate::stop::StopFilter;
use crate::t5::T5;
use crate::tensor::Tensor;
use crate::tokenizer::{StreamDecoder, Tokenizer};
use crate::workspace::Workspace;

/// Memory for adapter pages, unless told otherwise: 512 MiB.
pub const DEFAULT_POOL_BYTES: usize = 512 << 20;

/// One base model, its experts, and at most one answer in the making.
pub struct Session {
    device: Device,
    model: T5,
    tokenizer: Result<Tokenizer>,
    fingerprint: String,
    experts: Vec<Expert>,
    /// By page: its expert, and its place among that expert's pages.
    pages: Vec<(usize, usize)>,
    pool: AdapterPool,
    pool_budget_bytes: usize,
    /// Experts for each token and layer where a request does not say.
    default_top_k: usize,
    generation: Option<Generation>,
    observer: Option<Observer>,
}

/// Sees every named value of a pass: its name and its floats.
pub type Observer = Box<dyn FnMut(&str, &[f32])>;

/// An answer in the making.
struct Generation {
    input_ids: Vec<u32>,
    output_ids: Vec<u32>,
    request: Request,
    workspace: Workspace,
    encoder: (Recording, Routes),
    decoder: (Recording, Routes),
    encoded: bool,
    encoder_routing: Vec<RoutedToken>,
    sampler: Sampler,
    stream: StreamDecoder,
    stop: StopFilter,
    text: String,
    finish: Option<Finish>,
    work: Work,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model produced its end token.
    Eos,
    /// The most tokens that were asked for are produced.
    Length,
    /// A stop string appeared.
    Stop,
}

impl Finish {
    /// As JavaScript and the command line show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Finish::Eos => "eos",
            Finish::Length => "length",
            Finish::Stop => "stop",
        }
    }
}

/// What it took so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Runs of the encoder and of decoder steps, repetitions after a miss included.
    pub passes: usize,
    /// Pages provided since the start.
    pub pages_provided: usize,
    /// Their bytes.
    pub bytes_provided: usize,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A token was produced.
    Token(Token),
    /// These pages are wanted and absent. `provide` them and step again.
    Missing(Vec<u32>),
    /// The answer is complete.
    Done(Finish),
}

/// One token of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Its id; the end token too.
    pub id: u32,
    /// The text that is certain now: the texts of all tokens add up to the answer's. Empty without a tokenizer.
    pub text: String,
    /// Where traced, the experts that served this token, layer by layer.
    pub routing: Vec<RoutedToken>,
}

impl Session {
    /// A session over a base model.
    pub fn new(base: Base) -> Result<Session> {
        let Base { checkpoint, tokenizer } = base;
        let mut device = Device::cpu();
        let fingerprint = checkpoint.fingerprint();
        let model = T5::upload(&mut device, checkpoint)?;
        let pool = AdapterPool::new(&mut device, &[], 0);
        Ok(Session {
            device,
            model,
            tokenizer,
            fingerprint,
            experts: Vec::new(),
            pages: Vec::new(),
            pool,
            pool_budget_bytes: DEFAULT_POOL_BYTES,
            default_top_k: RouterDefaults::default().top_k,
            generation: None,
            observer: None,
        })
    }

    /// The model's shape.
    pub fn model(&self) -> &T5 {
        &self.model
    }

    /// The fingerprint of the base, which a catalogue must name.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The base's tokenizer, or what is wrong with it.
    pub fn tokenizer(&self) -> Result<&Tokenizer, &Error> {
        self.tokenizer.as_ref()
    }

    /// All experts, in the order in which ties between them are decided.
    pub fn experts(&self) -> &[Expert] {
        &self.experts
    }

    /// The device that computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// An expert's id and one of its pages, by the page's number in [`Step::Missing`].
    pub fn page(&self, page: u32) -> Option<(&str, &Page)> {
        let (expert, index) = *self.pages.get(page as usize)?;
        Some((&self.experts[expert].id, &self.experts[expert].pages[index]))
    }

    /// Number of pages of all experts.
    pub fn page_count(&self) -> u32 {
        self.pages.len() as u32
    }

    /// Shows every named value of each pass to `observer`: block outputs, logits. For tests and for curiosity.
    pub fn observe(&mut self, observer: impl FnMut(&str, &[f32]) + 'static) {
        self.observer = Some(Box::new(observer));
    }

    /// Begins an answer. One that was in the making is dropped; resident pages stay.
    pub fn start(&mut self, request: Request) -> Result<()> {
        self.cancel();
        let allowed = request.allowed(&self.experts)?;
        let input_ids = request.check(&self.model.config, self.tokenizer.as_ref())?;
        let tokens = input_ids.len();
        let workspace =
            Workspace::alloc(&mut self.device, &self.model.config, tokens, request.max_new_tokens);
        self.device.write(&workspace.ids, &input_ids);

        let mut encoder = (Recording::default(), self.routes(&request, &allowed, tokens));
        self.model.record_encoder(&mut encoder.0, &workspace, &mut encoder.1);
        let mut decoder = (Recording::default(), self.routes(&request, &allowed, 1));
        self.model.record_decoder_step(&mut decoder.0, &workspace.for_one_token(), &mut decoder.1);

        self.generation = Some(Generation {
            input_ids,
            output_ids: Vec::new(),
            workspace,
            encoder,
            decoder,
            encoded: false,
            encoder_routing: Vec::new(),
            sampler: Sampler::new(request.sampling.clone()),
            stream: StreamDecoder::new(),
            stop: StopFilter::new(request.stop.clone()),
            text: String::new(),
            finish: None,
            work: Work::default(),
            request,
        });
        Ok(())
    }

    /// Goes on by one token, as far as the resident pages allow.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidState`] before [`Session::start`]; [`ErrorCode::PoolTooSmall`]; [`ErrorCode::NotFinite`] if
    /// the model computes NaN or infinity. After an error the answer is dropped and the session is ready to start anew.
    pub fn step(&mut self) -> Result<Step> {
        let Some(mut generation) = self.generation.take() else {
            return Err(Error::new(ErrorCode::InvalidState, "step", "no answer was started", "start first"));
        };
        let step = self.advance(&mut generation);
        match step {
            Ok(_) => self.generation = Some(generation),
            Err(_) => self.free(generation),
        }
        step
    }

    fn advance(&mut self, generation: &mut Generation) -> Result<Step> {
        if let Some(finish) = generation.finish {
            return Ok(Step::Done(finish));
        }
        if !generation.encoded {
            let missing = self.pass(&generation.encoder, &mut generation.work)?;
            if !missing.is_empty() {
                return Ok(Step::Missing(missing));
            }
            generation.encoded = true;
            generation.encoder_routing = self.read_trace(&generation.encoder.1, 0);
        }
        let position = generation.output_ids.len();
        let start = self.model.config.decoder_start_token_id;
        let previous = generation.output_ids.last().copied().unwrap_or(start);
        let workspace = &generation.workspace;
        self.device.write(&Tensor { cols: 1, ..workspace.ids }, &[previous]);
        self.device.write(&workspace.position, &[position as u32]);
        let missing = self.pass(&generation.decoder, &mut generation.work)?;
        if !missing.is_empty() {
            return Ok(Step::Missing(missing));
        }
        let id = self.next_token(generation, start)?;
        let routing = self.read_trace(&generation.decoder.1, position);
        let text = self.accept(generation, id)?;
        Ok(Step::Token(Token { id, text, routing }))
    }

    /// Runs a recording once and returns the pages that it wanted and that are absent.
    fn pass(&mut self, (recording, routes): &(Recording, Routes), work: &mut Work) -> Result<Vec<u32>> {
        work.passes += 1;
        self.device.write(&routes.wanted, &vec![0u32; routes.wanted.len()]);
        match &mut self.observer {
            None => self.device.run(&recording.dispatches),
            Some(observer) => {
                let mut done = 0;
                for mark in &recording.marks {
                    self.device.run(&recording.dispatches[done..mark.after]);
                    observer(&mark.name, &self.device.read(&mark.tensor));
                    done = mark.after;
                }
                self.device.run(&recording.dispatches[done..]);
            }
        }
        let wanted: Vec<u32> = self.device.read(&routes.wanted);
        let wanted: Vec<u32> = (0..self.page_count()).filter(|page| wanted[*page as usize] != 0).collect();
        self.pool.touch(&wanted)
    }

    fn next_token(&mut self, generation: &mut Generation, start: u32) -> Result<u32> {
        let [best, finite] = self.device.read::<u32>(&generation.workspace.result)[..] else {
            unreachable!("the result is two numbers")
        };
        if finite == 0 {
            let place = format!("logits of output token {}", generation.output_ids.len());
            let expected = "finite numbers: the weights, or an adapter's, are damaged or overflow";
            return Err(Error::new(ErrorCode::NotFinite, place, "NaN or infinity", expected));
        }
        if generation.request.sampling.is_argmax() {
            return Ok(best);
        }
        let mut logits: Vec<f32> = self.device.read(&generation.workspace.logits);
        let mut previous = vec![start];
        previous.extend(&generation.output_ids);
        Ok(generation.sampler.draw(&mut logits, &previous))
    }

    /// Takes a token into the answer and returns the text that is certain with it.
    fn accept(&mut self, generation: &mut Generation, id: u32) -> Result<String> {
        generation.output_ids.push(id);
        if self.model.config.eos_token_ids.contains(&id) {
            generation.finish = Some(Finish::Eos);
        } else if generation.output_ids.len() == generation.request.max_new_tokens {
            generation.finish = Some(Finish::Length);
        }
        let Ok(tokenizer) = &self.tokenizer else { return Ok(String::new()) };
        let mut decoded = generation.stream.push(tokenizer, id)?;
        if generation.finish.is_some() {
            decoded.push_str(&generation.stream.finish(tokenizer));
        }
        let mut text = generation.stop.push(&decoded);
        if generation.stop.stopped() {
            generation.finish = Some(Finish::Stop);
        } else if generation.finish.is_some() {
            text.push_str(&generation.stop.finish());
        }
        generation.text.push_str(&text);
        Ok(text)
    }

    /// Hands over the bytes of a page, as they are in its adapter file. A page that is already resident is ignored.
    ///
    /// # Errors
    /// [`ErrorCode::PageMismatch`] if they are not the bytes that the expert's description promises; nothing changes
    /// then, and the right bytes can be provided after.
    pub fn provide(&mut self, page: u32, bytes: &[u8]) -> Result<()> {
        let Some((expert, description)) = self.page(page) else {
            let problem = format!("there is no page {page}");
            let expected = format!("one of the {} pages of the loaded experts", self.page_count());
            return Err(Error::new(ErrorCode::PageMismatch, "provide", problem, expected));
        };
        let floats = description.decode(expert, bytes)?;
        self.pool.insert(&mut self.device, page, &floats);
        if let Some(generation) = &mut self.generation {
            generation.work.pages_provided += 1;
            generation.work.bytes_provided += bytes.len();
        }
        Ok(())
    }

    /// Drops the answer in the making, if there is one. Resident pages stay.
    pub fn cancel(&mut self) {
        if let Some(generation) = self.generation.take() {
            self.free(generation);
        }
    }

    fn free(&mut self, generation: Generation) {
        let routes = [&generation.encoder.1, &generation.decoder.1];
        let routes = routes.into_iter().flat_map(Routes::buffers);
        for buffer in generation.workspace.buffers().chain(routes) {
            self.device.free(buffer);
        }
    }

    /// Drops all resident pages.
    pub fn evict_all(&mut self) {
        self.pool.clear(&mut self.device);
    }

    /// The ids that went in.
    pub fn input_ids(&self) -> &[u32] {
        self.generation.as_ref().map_or(&[], |generation| &generation.input_ids)
    }

    /// The ids produced so far, without the start token, with the end token if it was reached.
    pub fn output_ids(&self) -> &[u32] {
        self.generation.as_ref().map_or(&[], |generation| &generation.output_ids)
    }

    /// The text produced so far; none without a tokenizer.
    pub fn text(&self) -> Option<&str> {
        self.tokenizer.as_ref().ok()?;
        self.generation.as_ref().map(|generation| generation.text.as_str())
    }

    /// The logits (vocabulary) behind the last token.
    pub fn logits(&self) -> Vec<f32> {
        self.generation
            .as_ref()
            .map_or(Vec::new(), |generation| self.device.read(&generation.workspace.logits))
    }

    /// Where traced, the experts that served the input's tokens, once the first token is out: those of the encoder by
    /// layer, then those of the decoder's keys and values over the encoder's output.
    pub fn encoder_routing(&self) -> &[RoutedToken] {
        self.generation.as_ref().map_or(&[], |generation| &generation.encoder_routing)
    }

    /// What the answer took so far.
    pub fn work(&self) -> Work {
        self.generation.as_ref().map_or(Work::default(), |generation| generation.work)
    }
}
