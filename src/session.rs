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
mod loading;
mod pages;
mod request;
mod retrieve;
mod score;
mod trace;

pub use loading::Loading;
use pages::Wishes;
pub use request::{OnMiss, Request};
pub use score::{ScoreStep, Scored};
pub use trace::{RUNNERS_UP, RoutedToken, Routing, RoutingNames};

pub use crate::strategies::Strategy;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::adapter_pool::AdapterPool;
use crate::base::Base;
use crate::catalog::RouterDefaults;
use crate::device::{Device, Devices, Part, Plan};
use crate::error::{Error, ErrorCode, Result};
use crate::experts::Expert;
use crate::formats::Checkpoint;
use crate::recording::{Control, Recording};
use crate::router::Routes;
use crate::stop::StopFilter;
use crate::strategies::Definition;
use crate::t5::T5;
use crate::tensor::{DType, Tensor};
use crate::tokenizer::{StreamDecoder, Tokenizer};
use crate::workspace::{DecoderWorkspace, EncoderWorkspace};

/// Memory for adapter pages, unless told otherwise: 512 MiB.
pub const DEFAULT_POOL_BYTES: usize = 512 << 20;

/// A pool that is not made smaller any more: 16 MiB.
const LEAST_POOL_BYTES: usize = 16 << 20;

/// One base model, its experts, and at most one answer in the making.
pub struct Session {
    devices: Devices,
    model: T5,
    /// Of the model's weights those that a device may go away with, if one may.
    kept: Option<Checkpoint>,
    tokenizer: Result<Tokenizer>,
    fingerprint: String,
    experts: Vec<Expert>,
    /// By page: its expert, and its place among that expert's pages.
    pages: Vec<(usize, usize)>,
    /// One for each device.
    pools: Vec<AdapterPool>,
    pool_budget_bytes: usize,
    /// Whose vectors the layers have now.
    placed: Definition,
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
    /// By expert, what is added to its scores.
    biases: Vec<f32>,
    reading: EncoderWorkspace,
    writing: DecoderWorkspace,
    encoder: (Plan, Routes),
    decoder: (Plan, Routes),
    /// The encoder without experts, where it is to find one and has not yet.
    retrieval: Option<Plan>,
    encoded: bool,
    /// What the encoder's routing is told in, and the decoder's.
    names: [Arc<RoutingNames>; 2],
    encoder_routing: Routing,
    /// How many tokens the device has produced; it may be ahead of the answer.
    produced: usize,
    /// The tokens that it is ahead by, with their routing.
    ahead: VecDeque<(u32, Routing)>,
    /// How many steps the next run makes before the host looks: one at first, so that the first token comes at once.
    steps: usize,
    stream: StreamDecoder,
    stop: StopFilter,
    text: String,
    finish: Option<Finish>,
    wishes: Wishes,
    /// The answers to be scored, where that is what is asked for.
    scoring: Option<score::Scoring>,
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
    /// Pages that the router chose, resident or not; each counts once.
    pub pages_wanted: usize,
    /// Their bytes.
    pub bytes_wanted: usize,
    /// Those of them that some step did without.
    pub pages_skipped: usize,
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
    pub routing: Routing,
}

impl Session {
    /// A session over a base model, on the CPU.
    pub fn new(base: Base) -> Result<Session> {
        Session::on(Device::cpu(), base)
    }

    /// A session over a base model, on one device or two.
    ///
    /// What goes wrong on a GPU shows with the first step; see [`Session::settle`].
    pub fn on(devices: impl Into<Devices>, base: Base) -> Result<Session> {
        let mut devices = devices.into();
        let Base { checkpoint, tokenizer } = base;
        let fingerprint = checkpoint.fingerprint();
        let (model, kept) = match devices.may_go_away() {
            true => (T5::upload(&mut devices, Cow::Borrowed(&checkpoint))?, Some(checkpoint)),
            false => (T5::upload(&mut devices, Cow::Owned(checkpoint))?, None),
        };
        let mut session = Session::of(devices, model, kept, tokenizer, fingerprint);
        session.let_go_of_what_is_safe();
        Ok(session)
    }

    /// A session over a model that is on its devices.
    fn of(
        mut devices: Devices,
        model: T5,
        kept: Option<Checkpoint>,
        tokenizer: Result<Tokenizer>,
        fingerprint: String,
    ) -> Session {
        let pools = devices.iter_mut().map(AdapterPool::empty).collect();
        Session {
            devices,
            model,
            kept,
            tokenizer,
            fingerprint,
            experts: Vec::new(),
            pages: Vec::new(),
            pools,
            pool_budget_bytes: DEFAULT_POOL_BYTES,
            placed: Strategy::default().definition(),
            default_top_k: RouterDefaults::default().top_k,
            generation: None,
            observer: None,
        }
    }

    /// Has GPUs compile what answers take, so that the first one need not wait for it: for an input, and a token after the other.
    /// Nothing is computed. Without a GPU it does nothing.
    ///
    /// # Errors
    /// Those of [`Session::start`]. What a driver refuses shows with [`Session::settle`].
    pub fn warm_up(&mut self) -> Result<()> {
        /// As many tokens as are multiplied together; no checkpoint has fewer ids.
        const INPUT: [u32; 32] = [1; 32];
        if self.devices.iter_mut().any(|device| matches!(device, Device::Gpu(_))) {
            let input_ids = Some(INPUT.to_vec());
            self.start(Request { input_ids, max_new_tokens: 1, ..Request::default() })?;
            self.cancel();
        }
        Ok(())
    }

    /// Waits until the devices have done all that was asked of them.
    ///
    /// # Errors
    /// Whatever went wrong on them: [`ErrorCode::OutOfMemory`], [`ErrorCode::DeviceLimit`], [`ErrorCode::DeviceLost`].
    pub async fn settle(&mut self) -> Result<()> {
        for device in self.devices.iter_mut() {
            device.read_bytes(&[]).await?;
        }
        Ok(())
    }

    /// [`Session::settle`], with a smaller pool for adapter pages where the devices' memory is too small for this one.
    ///
    /// # Errors
    /// Those of [`Session::settle`], if nothing helps.
    pub async fn settle_with_smaller_pool(&mut self) -> Result<()> {
        loop {
            match self.settle().await {
                // Without experts the pool is not what is too large.
                Err(error) if self.experts.is_empty() => return Err(error),
                Err(error)
                    if error.code == ErrorCode::OutOfMemory && self.pool_budget_bytes > LEAST_POOL_BYTES =>
                {
                    self.pool_budget_bytes /= 2;
                    for (device, pool) in self.devices.iter_mut().zip(&mut self.pools) {
                        pool.clear(device);
                        if let Device::Gpu(gpu) = device {
                            gpu.forgive_out_of_memory();
                        }
                    }
                    self.rebuild();
                }
                settled => return settled,
            }
        }
    }

    /// Goes on elsewhere: the same base and experts on other devices, with nothing loaded again but the pages. An answer
    /// in the making is dropped.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidState`] on the CPU, which does not go away and keeps no second copy of its weights; those of
    /// [`Session::settle`].
    pub async fn reopen(&mut self, devices: impl Into<Devices>) -> Result<()> {
        self.generation = None;
        let Some(checkpoint) = &mut self.kept else {
            let expected = "a model that is on a GPU";
            return Err(Error::new(ErrorCode::InvalidState, "reopen", "the model is on the CPU", expected));
        };
        checkpoint.tensors.extend(self.model.take_back(&mut self.devices).await?);
        self.devices = devices.into();
        self.model = T5::upload(&mut self.devices, Cow::Borrowed(checkpoint))?;
        self.let_go_of_what_is_safe();
        self.pools = self.devices.iter_mut().map(AdapterPool::empty).collect();
        // The weights first: if they do not fit, no smaller pool helps.
        self.settle().await?;
        self.rebuild();
        self.settle_with_smaller_pool().await
    }

    /// What is on the CPU need not be kept a second time.
    fn let_go_of_what_is_safe(&mut self) {
        let Session { kept, model, devices, .. } = self;
        if let Some(kept) = kept {
            model.safe_tensors(devices).for_each(|name| drop(kept.tensors.remove(name)));
        }
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

    /// Where it computes.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// The devices, for another use. Their memory is still as the session left it.
    pub fn into_devices(self) -> Devices {
        self.devices
    }

    /// Shows every named value of each pass to `observer`: block outputs, logits. For tests and for curiosity.
    pub fn observe(&mut self, observer: impl FnMut(&str, &[f32]) + 'static) {
        self.observer = Some(Box::new(observer));
    }

    /// Begins an answer. One that was in the making is dropped; resident pages stay.
    pub fn start(&mut self, request: Request) -> Result<()> {
        self.cancel();
        let biases = request.biases(&self.experts)?;
        let input_ids = request.check(&self.model.config, self.tokenizer.as_ref())?;
        self.ready_for(&request.strategy, &biases)?;
        let config = &self.model.config;
        let reading = EncoderWorkspace::alloc(self.devices.of(Part::Encoder), config, &input_ids);
        let cross = match self.devices.decoder.is_some() {
            true => self.devices.of(Part::Decoder).alloc(reading.cross.rows, reading.cross.cols, DType::F32),
            false => reading.cross,
        };
        let writing =
            DecoderWorkspace::alloc(self.devices.of(Part::Decoder), config, cross, request.max_new_tokens);

        let mut recording = Recording::default();
        let (control, tokens) = (reading.activations.control, input_ids.len());
        let mut routes = self.routes(Part::Encoder, &request, &biases, control, tokens, 1);
        self.model.encoder.record(&mut recording, &self.model.config, &reading, &mut routes);
        let encoder = (self.devices.of(Part::Encoder).prepare(recording), routes);
        let retrieval =
            (request.strategy == Strategy::Retrieval).then(|| self.plan_retrieval(&reading, &encoder.1));

        let mut recording = Recording::default();
        let steps = self.devices.of(Part::Decoder).steps_per_look();
        let control = writing.activations.control;
        let mut routes = self.routes(Part::Decoder, &request, &biases, control, 1, steps);
        if request.on_miss == OnMiss::Skip {
            (0..self.page_count()).for_each(|page| self.waive_page(page));
        }
        let (config, rules) = (&self.model.config, &request.sampling);
        self.model.decoder.record_step(&mut recording, config, &writing, &mut routes, rules);
        let decoder = (self.devices.of(Part::Decoder).prepare(recording), routes);

        self.generation = Some(Generation {
            input_ids,
            output_ids: Vec::new(),
            biases,
            reading,
            writing,
            names: [self.routing_names(&encoder.1), self.routing_names(&decoder.1)],
            encoder,
            decoder,
            retrieval,
            encoded: false,
            encoder_routing: Routing::default(),
            produced: 0,
            ahead: VecDeque::new(),
            steps: 1,
            stream: StreamDecoder::new(),
            stop: StopFilter::new(request.stop.clone()),
            text: String::new(),
            finish: None,
            wishes: Wishes::of(self.pages.len()),
            scoring: None,
            work: Work::default(),
            request,
        });
        Ok(())
    }

    /// Goes on by one token, as far as the resident pages allow. For a device that answers at once: the CPU, and
    /// natively any. In a browser, a GPU does not; see [`Session::next_step`].
    ///
    /// # Errors
    /// Those of [`Session::next_step`].
    pub fn step(&mut self) -> Result<Step> {
        now(self.next_step())
    }

    /// Goes on by one token, as far as the resident pages allow.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidState`] before [`Session::start`]; [`ErrorCode::PoolTooSmall`]; [`ErrorCode::NotFinite`] if
    /// the model computes NaN or infinity; those of [`Device::read_bytes`]. After an error the answer is dropped and
    /// the session is ready to start anew.
    pub async fn next_step(&mut self) -> Result<Step> {
        let generation = self.generation.take_if(|generation| generation.scoring.is_none());
        let Some(mut generation) = generation else {
            return Err(Error::new(ErrorCode::InvalidState, "step", "no answer was started", "start first"));
        };
        let step = self.advance(&mut generation).await;
        self.keep(generation, step)
    }

    /// Puts the answer back that a step was made of; drops it if the step failed.
    fn keep<S>(&mut self, generation: Generation, step: Result<S>) -> Result<S> {
        match step {
            Ok(_) => self.generation = Some(generation),
            Err(_) => self.free(generation),
        }
        step
    }

    async fn advance(&mut self, generation: &mut Generation) -> Result<Step> {
        if let Some(finish) = generation.finish {
            return Ok(Step::Done(finish));
        }
        let missing = self.encode(generation).await?;
        if !missing.is_empty() {
            return Ok(Step::Missing(missing));
        }
        if generation.ahead.is_empty() {
            let missing = self.decode(generation).await?;
            if generation.ahead.is_empty() {
                return Ok(Step::Missing(missing));
            }
        }
        let (id, routing) = generation.ahead.pop_front().expect("a run that misses nothing produces a token");
        let text = self.accept(generation, id)?;
        Ok(Step::Token(Token { id, text, routing }))
    }

    /// Runs the encoder, unless that is done, and returns the pages that it wanted and that are absent.
    async fn encode(&mut self, generation: &mut Generation) -> Result<Vec<u32>> {
        if generation.encoded {
            return Ok(Vec::new());
        }
        if let Some(plan) = generation.retrieval.take() {
            self.retrieve(&plan, generation).await?;
        }
        let Generation { reading, writing, encoder, biases, wishes, work, .. } = generation;
        let routes = &encoder.1;
        work.passes += 1;
        let control = Control { token: self.model.config.decoder_start_token_id, ..Control::default() };
        self.run_from(Part::Encoder, encoder, biases, control, Run::Times(1)).await?;
        let mut tensors = vec![routes.flags.tensor, traced(routes)];
        let is_split = self.devices.decoder.is_some();
        if is_split {
            tensors.push(reading.cross);
        }
        let read = self.devices.of(Part::Encoder).read_words(&tensors).await?;
        let missing = self.harvest(Part::Encoder, routes, wishes, work, &read[0], control)?;
        if missing.is_empty() {
            generation.encoded = true;
            generation.encoder_routing = Routing::read(&generation.names[0], routes, &read[1], 0, 0);
            if is_split {
                self.devices.of(Part::Decoder).write(&writing.cross, &read[2]);
            }
        }
        Ok(missing)
    }

    /// Runs decoder steps, puts the tokens they produce behind those `ahead`, and returns the pages that the last of
    /// them wanted and that are absent.
    async fn decode(&mut self, generation: &mut Generation) -> Result<Vec<u32>> {
        let Generation { writing, decoder, names, biases, produced, wishes, work, .. } = generation;
        let routes = &decoder.1;
        let first = *produced;
        let token = match generation.output_ids.last() {
            Some(last) => *last,
            None => self.model.config.decoder_start_token_id,
        };
        let steps = if self.observer.is_some() { 1 } else { generation.steps };
        let control = Control { position: first as u32, first: first as u32, token, ..Control::default() };
        self.run_from(Part::Decoder, decoder, biases, control, Run::Times(steps)).await?;
        let count = steps.min(writing.produced.len() - first);
        let new = Tensor { offset: writing.produced.offset + 4 * first, cols: count, ..writing.produced };
        let tensors = [writing.activations.control, new, routes.flags.tensor, traced(routes)];
        let read = self.devices.of(Part::Decoder).read_words(&tensors).await?;
        let [control, new, flags, choices] = &read[..] else { unreachable!("four tensors were read") };
        let control: Control = bytemuck::cast_slice(control)[0];
        let committed = control.position as usize - first;
        for (step, token) in new[..committed].iter().enumerate() {
            let routing = Routing::read(&names[1], routes, choices, step, first + step);
            generation.ahead.push_back((*token, routing));
        }
        *produced += committed;
        work.passes += committed;
        check_finite(control, || format!("output token {}", first + committed))?;
        // After a miss another is likely, and what runs behind it is for nothing.
        let missed = control.halted == Control::MISSED;
        work.passes += missed as usize;
        let most = self.devices.of(Part::Decoder).steps_per_look();
        generation.steps = if missed { 1 } else { (2 * steps).min(most) };
        self.harvest(Part::Decoder, routes, wishes, work, flags, control)
    }

    /// Runs a plan anew from the given control words.
    async fn run_from(
        &mut self,
        part: Part,
        (plan, routes): &(Plan, Routes),
        biases: &[f32],
        control: Control,
        run: Run,
    ) -> Result<()> {
        self.ready(part, routes, biases, control);
        self.run(part, plan, run).await
    }

    /// Readies a part for being run from the given control words on.
    fn ready(&mut self, part: Part, routes: &Routes, biases: &[f32], control: Control) {
        self.reset(part, &routes.flags, biases);
        self.devices.of(part).write(&routes.control, bytemuck::cast_slice::<Control, u32>(&[control]));
    }

    /// Runs a plan; where somebody observes, with a stop at each named value.
    async fn run(&mut self, part: Part, plan: &Plan, run: Run) -> Result<()> {
        let device = self.devices.of(part);
        let end = plan.recording.dispatches.len();
        let Some(observer) = &mut self.observer else {
            match run {
                Run::Times(times) => device.run(plan, 0..end, times),
                Run::LeavingLogits => {
                    device.run(plan, 0..logits_end(plan), 1);
                    device.run(plan, logits_end(plan)..end, 1);
                }
            }
            return Ok(());
        };
        let mut done = 0;
        for mark in &plan.recording.marks {
            device.run(plan, done..mark.after, 1);
            observer(&mark.name, &device.read_floats(&mark.tensor).await?);
            done = mark.after;
        }
        device.run(plan, done..end, 1);
        Ok(())
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

    /// Drops the answer in the making, if there is one. Resident pages stay.
    pub fn cancel(&mut self) {
        if let Some(generation) = self.generation.take() {
            self.free(generation);
        }
    }

    fn free(&mut self, generation: Generation) {
        for (device, pool) in self.devices.iter_mut().zip(&mut self.pools) {
            pool.waive_none(device);
        }
        let Generation { reading, writing, encoder, decoder, .. } = generation;
        if self.devices.decoder.is_some() {
            self.devices.of(Part::Decoder).free(writing.cross.buffer);
        }
        for buffer in reading.buffers().chain(encoder.1.buffers()) {
            self.devices.of(Part::Encoder).free(buffer);
        }
        for buffer in writing.buffers().chain(decoder.1.buffers()) {
            self.devices.of(Part::Decoder).free(buffer);
        }
    }

    /// The ids that went in.
    pub fn input_ids(&self) -> &[u32] {
        self.generation.as_ref().map_or(&[], |generation| &generation.input_ids)
    }

    /// What each input id adds to the text; none without a tokenizer. One that the vocabulary lacks adds nothing.
    pub fn input_texts(&self) -> Option<Vec<String>> {
        let tokenizer = self.tokenizer.as_ref().ok()?;
        let mut stream = StreamDecoder::new();
        Some(self.input_ids().iter().map(|id| stream.push(tokenizer, *id).unwrap_or_default()).collect())
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

    /// The logits (vocabulary) behind the last token that was computed: the first token's while it is the only one. They are
    /// computed for this, since a step need not leave them anywhere.
    ///
    /// # Errors
    /// Those of [`Device::read_bytes`].
    pub async fn read_logits(&mut self) -> Result<Vec<f32>> {
        let Some(Generation { decoder: (plan, _), writing, .. }) = &self.generation else {
            return Ok(Vec::new());
        };
        let device = self.devices.of(Part::Decoder);
        let control = bytemuck::cast_slice::<Control, u32>(&[Control::default()]).to_vec();
        device.write(&writing.activations.control, &control);
        let end = logits_end(plan);
        device.run(plan, end - 1..end, 1);
        device.read_floats(&writing.logits).await
    }

    /// [`Session::read_logits`], for a device that answers at once.
    ///
    /// # Errors
    /// Those of [`Session::read_logits`].
    pub fn logits(&mut self) -> Result<Vec<f32>> {
        now(self.read_logits())
    }

    /// Where traced, the experts that served the input's tokens, once the first token is out: those of the encoder by
    /// layer, then those of the decoder's keys and values over the encoder's output.
    pub fn encoder_routing(&self) -> Routing {
        self.generation
            .as_ref()
            .map_or_else(Routing::default, |generation| generation.encoder_routing.clone())
    }

    /// The work of the answer in the making, the encoder's and that of one decoder step, and the devices that do it. For
    /// counting it, and for looking at it dispatch by dispatch.
    pub fn plans(&mut self) -> Option<([&Plan; 2], &mut Devices)> {
        let Session { generation, devices, .. } = self;
        generation.as_ref().map(|generation| ([&generation.encoder.0, &generation.decoder.0], devices))
    }

    /// Readies a part of the work for being run by hand with [`Session::plans`]: from these control words on. Not once an
    /// answer was gone on with.
    pub fn set_up(&mut self, part: Part, control: Control) {
        let Some(generation) = self.generation.take() else { return };
        let (_, routes) = match part {
            Part::Encoder => &generation.encoder,
            Part::Decoder => &generation.decoder,
        };
        self.ready(part, routes, &generation.biases, control);
        self.generation = Some(generation);
    }

    /// Runs the encoder by itself, and returns its final output (tokens, d_model). Of a request without experts.
    ///
    /// # Errors
    /// Those of [`Device::read_bytes`].
    pub async fn read_encoded(&mut self) -> Result<Vec<f32>> {
        self.set_up(Part::Encoder, Control::default());
        let Some(Generation { encoder, reading, .. }) = &self.generation else { return Ok(Vec::new()) };
        let device = self.devices.of(Part::Encoder);
        device.run(&encoder.0, 0..encoder.0.recording.dispatches.len(), 1);
        device.read_floats(&reading.encoded).await
    }

    /// What the answer took so far.
    pub fn work(&self) -> Work {
        self.generation.as_ref().map_or(Work::default(), |generation| generation.work)
    }
}

/// How a plan is run.
#[derive(Clone, Copy)]
enum Run {
    /// So many times in a row.
    Times(usize),
    /// A decoder step, once, after which its logits are in memory.
    LeavingLogits,
}

/// How many of a decoder step's dispatches have run when all logits are there. Between them and those behind, who wants the
/// logits must stop.
fn logits_end(plan: &Plan) -> usize {
    let mark = plan.recording.marks.iter().find(|mark| mark.name == "logits");
    mark.expect("a decoder step names its logits").after
}

/// An error if a step halted at logits that are no numbers. `token` names the one that they are of.
fn check_finite(control: Control, token: impl FnOnce() -> String) -> Result<()> {
    if control.halted != Control::NOT_FINITE {
        return Ok(());
    }
    let place = format!("logits of {}", token());
    let expected = "finite numbers: the weights, or an adapter's, are damaged or overflow";
    Err(Error::new(ErrorCode::NotFinite, place, "NaN or infinity", expected))
}

/// The choices of a recording that traces; no rows of one that does not.
fn traced(routes: &Routes) -> Tensor {
    if routes.trace { routes.choices } else { Tensor { rows: 0, ..routes.choices } }
}

/// The value of a future that has nothing to wait for: on the CPU, and natively on any device, all of them.
///
/// # Panics
/// If there was something to wait for.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("this device does not answer at once: await the step"),
    }
}
