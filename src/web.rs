//! The engine as JavaScript sees it. The only file that knows wasm-bindgen; the worker is its only caller.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use js_sys::{Function, JsString, Object, Reflect, Uint8Array, Uint32Array};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;
use web_sys::Performance;

use crate::catalog::{Catalog, ExpertRecord, FileReference};
use crate::device::{Device, Devices};
use crate::device_choice::{self, ChosenDevices, DeviceChoice};
use crate::error::{Error, ErrorCode};
use crate::kernels::route::Thresholds;
use crate::sampling::Sampling;
use crate::session::{Loading, OnMiss, Request, Routing, RoutingNames, ScoreStep, Session, Step, Strategy};

#[cfg(target_feature = "atomics")]
use crate::threads::workers::threads;

#[cfg(target_feature = "atomics")]
mod helpers;

/// A result whose error is an object with `code`, `place`, `problem`, `expected` and `message`.
type Result<T> = std::result::Result<T, JsValue>;

/// A base model, its experts, and at most one answer in the making.
#[wasm_bindgen]
#[derive(Default)]
pub struct Engine {
    choice: DeviceChoice,
    /// Opened, and waiting for a base.
    devices: Option<Devices>,
    /// Why it is these.
    reason: String,
    /// A base on its way.
    loading: Option<Loading>,
    session: Option<Session>,
    base_name: String,
    told: ToldRouting,
}

thread_local! {
    static TOLD_OF_PANIC: RefCell<Option<Function>> = const { RefCell::new(None) };
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceInfo<'a> {
    /// As JavaScript names it: "cpu", "webgpu" or "webgpu+cpu".
    name: &'static str,
    reason: &'a str,
    adapter: Option<&'a str>,
    /// "plain", "relaxed" or "threads".
    wasm_build: &'static str,
    /// That the CPU computes with.
    threads: usize,
}

/// Which build of this crate this is.
const WASM_BUILD: &str = if cfg!(target_feature = "atomics") {
    "threads"
} else if cfg!(feature = "relaxed-simd") {
    "relaxed"
} else {
    "plain"
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BaseInfo<'a> {
    name: &'a str,
    fingerprint: &'a str,
    vocab_size: usize,
    encoder_blocks: usize,
    decoder_blocks: usize,
    has_tokenizer: bool,
}

/// Files that a catalogue names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NamedFiles {
    gates: FileReference,
    base_sha256: Option<String>,
}

/// An expert without the layout of its pages.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExpertInfo<'a> {
    id: &'a str,
    catalog: &'a str,
    title: &'a str,
    description: &'a str,
    licence: &'a str,
    tags: &'a [String],
    source: &'a str,
    evaluation: &'a serde_json::Map<String, serde_json::Value>,
    bytes: u64,
    pages: usize,
}

/// What JavaScript asks for; absent fields take the defaults of [`Request`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct RequestOptions {
    text: Option<String>,
    input_ids: Option<Vec<u32>>,
    max_new_tokens: usize,
    top_k: Option<usize>,
    strategy: String,
    include: Vec<String>,
    exclude: Vec<String>,
    bias: BTreeMap<String, f32>,
    min_weight: f32,
    min_share: f32,
    on_miss: String,
    temperature: f32,
    sampling_top_k: usize,
    top_p: f32,
    repetition_penalty: f32,
    seed: u64,
    stop: Vec<String>,
    trace: bool,
}

impl Default for RequestOptions {
    fn default() -> Self {
        let Request { max_new_tokens, top_k, sampling, .. } = Request::default();
        let Sampling { repetition_penalty, temperature, top_k: sampling_top_k, top_p, seed } = sampling;
        RequestOptions {
            text: None,
            input_ids: None,
            max_new_tokens,
            top_k,
            strategy: "phatgoose".to_owned(),
            include: Vec::new(),
            exclude: Vec::new(),
            bias: BTreeMap::new(),
            min_weight: 0.0,
            min_share: 0.0,
            on_miss: "wait".to_owned(),
            temperature,
            sampling_top_k,
            top_p,
            repetition_penalty,
            seed,
            stop: Vec::new(),
            trace: false,
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
enum StepInfo<'a> {
    Token {
        token_id: u32,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        routing: Option<RoutingInfo>,
        /// What the steps did without so far, each page once.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<PageInfo<'a>>,
    },
    Missing {
        pages: Vec<PageInfo<'a>>,
    },
    Done {
        finish: &'static str,
        text: Option<&'a str>,
        input_ids: &'a [u32],
        output_ids: &'a [u32],
        #[serde(skip_serializing_if = "Option::is_none")]
        encoder_routing: Option<RoutingInfo>,
        /// What each input id adds to the text, where the encoder's routing is told.
        #[serde(skip_serializing_if = "Option::is_none")]
        input_texts: Option<Vec<String>>,
        passes: usize,
        pages_wanted: usize,
        bytes_wanted: usize,
        pages_skipped: usize,
        pages_provided: usize,
        bytes_provided: usize,
    },
}

/// Routing as numbers: crossing to JavaScript choice by choice, it would cost more than a twentieth of a small model's step.
#[derive(Serialize)]
struct RoutingInfo {
    /// One to a line: a single string crosses faster than many.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    modules: JsString,
    /// The first token, how many they are, top_k, how many runners-up; then (modules, tokens, top_k + runners_up): the expert's place
    /// among all, or `u32::MAX` for none; then in the same shape the weights, bits of floats.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    words: Uint32Array,
}

/// What JavaScript has of routing, for use in later steps.
#[derive(Default)]
struct ToldRouting {
    /// The modules' names, which are the same in every step of an answer.
    names: Option<(Arc<RoutingNames>, JsString)>,
    /// An array and how much of it is used: one for every step would keep the garbage collector busier than the routing itself.
    array: Option<(Uint32Array, u32)>,
}

impl ToldRouting {
    /// Words of an array: of many steps.
    const ARRAY_WORDS: u32 = 1 << 14;

    /// Nothing of nothing.
    fn describe(&mut self, routing: &Routing) -> Option<RoutingInfo> {
        let Routing { names, first_token, tokens, top_k, runners_up, choices, weights } = routing;
        if choices.is_empty() {
            return None;
        }
        let (_, modules) = match self.names.take().filter(|(known, _)| Arc::ptr_eq(known, names)) {
            Some(crossed) => self.names.insert(crossed),
            None => self.names.insert((names.clone(), names.modules.join("\n").into())),
        };
        let modules = modules.clone();
        let head = [*first_token, *tokens, *top_k, *runners_up].map(|count| count as u32);
        let words = [&head[..], choices, bytemuck::cast_slice(weights)].concat();
        Some(RoutingInfo { modules, words: self.array(&words) })
    }

    fn array(&mut self, words: &[u32]) -> Uint32Array {
        let count = words.len() as u32;
        let size = Self::ARRAY_WORDS.max(count);
        let (array, begins) = (self.array.take())
            .filter(|(_, used)| used + count <= size)
            .unwrap_or_else(|| (Uint32Array::new_with_length(size), 0));
        let part = array.subarray(begins, begins + count);
        part.copy_from(words);
        self.array = Some((array, begins + count));
        part
    }
}

/// An answer to be scored.
#[derive(Deserialize)]
#[serde(untagged)]
enum Choice {
    Text(String),
    Ids(Vec<u32>),
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
enum ScoreInfo<'a> {
    Token {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<PageInfo<'a>>,
    },
    Missing {
        pages: Vec<PageInfo<'a>>,
    },
    Scored {
        ids: Vec<u32>,
        log_likelihoods: Vec<f64>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<PageInfo<'a>>,
    },
    Done {
        passes: usize,
    },
}

#[derive(Serialize)]
struct PageInfo<'a> {
    page: u32,
    expert: &'a str,
    block: &'a str,
    url: &'a str,
    offset: u64,
    bytes: usize,
    sha256: Option<String>,
}

#[wasm_bindgen]
extern "C" {
    /// The files of a catalogue, as the host brings them.
    pub type CatalogFiles;
    /// The catalogue's own address.
    #[wasm_bindgen(method, getter)]
    fn url(this: &CatalogFiles) -> String;
    /// `catalog.json`
    #[wasm_bindgen(method, getter)]
    fn json(this: &CatalogFiles) -> Vec<u8>;
    /// The gates file that it names.
    #[wasm_bindgen(method, getter)]
    fn gates(this: &CatalogFiles) -> Vec<u8>;
}

#[wasm_bindgen]
impl Engine {
    /// An engine without a base.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Engine {
        Engine::default()
    }

    /// Has a function told of a panic: its message. Nothing of the module may be used after one.
    #[wasm_bindgen(js_name = onPanic)]
    pub fn on_panic(told: Function) {
        TOLD_OF_PANIC.set(Some(told));
        std::panic::set_hook(Box::new(|panic| {
            console_error_panic_hook::hook(panic);
            let message = JsValue::from_str(&panic.to_string());
            TOLD_OF_PANIC
                .with_borrow(|told| told.iter().for_each(|told| drop(told.call1(&JsValue::NULL, &message))));
        }));
    }

    /// Opens the device that the next base is loaded on: "auto", "cpu", "webgpu" or "webgpu+cpu". Without this call it is
    /// the CPU.
    #[wasm_bindgen(js_name = openDevice)]
    pub async fn open_device(&mut self, choice: &str) -> Result<()> {
        self.choice = DeviceChoice::parse(choice).map_err(thrown)?;
        let chosen =
            device_choice::open(self.choice, threads(), webgpu(), milliseconds).await.map_err(thrown)?;
        self.devices = Some(chosen.devices);
        self.reason = chosen.reason;
        Ok(())
    }

    /// Where the base computes: `{ name, reason, adapter, wasmBuild, threads }`.
    #[wasm_bindgen(js_name = deviceInfo)]
    pub fn device_info(&self) -> Result<JsValue> {
        let devices = self.session()?.devices();
        let adapter = match &devices.encoder {
            Device::Cpu(_) => None,
            Device::Gpu(gpu) => Some(gpu.adapter().name.as_str()),
        };
        let name = match devices.name() {
            "gpu" => "webgpu",
            "gpu+cpu" => "webgpu+cpu",
            name => name,
        };
        let threads = devices.threads();
        to_js(&DeviceInfo { name, reason: &self.reason, adapter, wasm_build: WASM_BUILD, threads })
    }

    /// After a device failed or went away: the same base and experts on a device that is there, a GPU if one was asked for
    /// and can be had again, else the CPU. Nothing needs to be loaded again but pages.
    pub async fn reopen(&mut self) -> Result<()> {
        let chosen = device_choice::open(self.choice, threads(), webgpu(), milliseconds).await;
        let ChosenDevices { devices, reason } = chosen.unwrap_or_else(|error| ChosenDevices {
            devices: Device::cpu_with_threads(threads()).into(),
            reason: error.to_string(),
        });
        self.reason = reason;
        let session = self.session.as_mut().ok_or_else(no_base)?;
        if let Err(error) = session.reopen(devices).await {
            self.reason = error.to_string();
            session.reopen(Device::cpu_with_threads(threads())).await.map_err(thrown)?;
        }
        Ok(())
    }

    /// Begins a base that is one GGUF file. What has come of another is dropped.
    #[wasm_bindgen(js_name = beginGguf)]
    pub fn begin_gguf(&mut self) {
        self.loading = Some(Loading::gguf(self.emptied_devices()));
    }

    /// Begins a base that is a Hugging Face folder with so many files of weights. The others are given: an object from file
    /// names to bytes. What has come of another base is dropped.
    #[wasm_bindgen(js_name = beginFolder)]
    pub fn begin_folder(&mut self, small_files: Object, weight_files: usize) -> Result<()> {
        let mut contents = Vec::new();
        for key in Object::keys(&small_files) {
            let file = key.as_string().unwrap_or_default();
            let bytes: Uint8Array = Reflect::get(&small_files, &key)?.dyn_into().map_err(|_| {
                thrown(Error::new(ErrorCode::InvalidOption, &file, "not a Uint8Array", "the file's bytes"))
            })?;
            contents.push((file, bytes.to_vec()));
        }
        let devices = self.emptied_devices();
        self.loading = Some(Loading::folder(devices, &contents, weight_files).map_err(thrown)?);
        self.check_tokenizer()
    }

    /// Begins a file of weights, of `bytes` bytes as far as that is known. `is_hashed`: `endFile` returns its SHA-256.
    #[wasm_bindgen(js_name = beginFile)]
    pub fn begin_file(&mut self, name: &str, bytes: Option<f64>, is_hashed: bool) -> Result<()> {
        self.loading()?.begin_file(name, bytes.map(|bytes| bytes as usize), is_hashed);
        Ok(())
    }

    /// Takes the file's next bytes.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        self.loading()?.push(chunk).map_err(thrown)?;
        self.check_tokenizer()
    }

    /// The file has no more bytes.
    #[wasm_bindgen(js_name = endFile)]
    pub fn end_file(&mut self) -> Result<Option<String>> {
        let sha256 = self.loading()?.end_file().map_err(thrown)?;
        self.check_tokenizer()?;
        Ok(sha256)
    }

    /// All files have come: from now on the base is loaded. Experts loaded before are dropped.
    #[wasm_bindgen(js_name = finishBase)]
    pub async fn finish_base(&mut self, name: &str) -> Result<()> {
        self.session = None;
        let loading = self.loading.take().ok_or_else(no_base)?;
        self.session = Some(loading.finish().map_err(thrown)?);
        self.base_name = name.to_owned();
        self.settle().await
    }

    /// The base that is loaded.
    #[wasm_bindgen(js_name = baseInfo)]
    pub fn base_info(&self) -> Result<JsValue> {
        let session = self.session()?;
        let config = &session.model().config;
        to_js(&BaseInfo {
            name: &self.base_name,
            fingerprint: session.fingerprint(),
            vocab_size: config.vocab_size,
            encoder_blocks: config.num_layers,
            decoder_blocks: config.num_decoder_layers,
            has_tokenizer: session.tokenizer().is_ok(),
        })
    }

    /// Sets the memory for adapter pages, in bytes of 32-bit factors. Resident pages are dropped.
    #[wasm_bindgen(js_name = setPoolBytes)]
    pub fn set_pool_bytes(&mut self, bytes: f64) -> Result<()> {
        self.session_mut()?.set_pool_bytes(bytes as usize);
        Ok(())
    }

    /// What a catalogue says of other files: `{ gates: { url, bytes, sha256 }, baseSha256 }`, the last one where the catalogue
    /// insists on one base file.
    #[wasm_bindgen(js_name = filesOf)]
    pub fn files_of(catalog_name: &str, catalog_json: &[u8]) -> Result<JsValue> {
        let Catalog { base, gates, .. } = Catalog::parse(catalog_name, catalog_json).map_err(thrown)?;
        to_js(&NamedFiles { gates, base_sha256: base.sha256 })
    }

    /// Adds the experts of catalogues. Returns, catalogue by catalogue, what people may want to know of each.
    #[wasm_bindgen(js_name = addCatalogs)]
    pub async fn add_catalogs(&mut self, catalogs: Vec<CatalogFiles>) -> Result<JsValue> {
        let session = self.session_mut()?;
        let known = session.experts().len();
        let mut added = Vec::new();
        for files in catalogs {
            let url = files.url();
            let catalog = Catalog::parse(&url, &files.json()).map_err(thrown)?;
            session.add_catalog(&catalog, &files.gates()).map_err(|error| thrown(error.inside(&url)))?;
            added.push(catalog);
        }
        self.settle().await?;
        // Only now is it known which names set all of them apart.
        let mut names = self.session()?.experts()[known..].iter().map(|expert| expert.id.as_str());
        let infos = added.iter().map(|catalog| {
            let named = catalog.experts.iter().zip(&mut names);
            named.map(|(record, name)| ExpertInfo::new(catalog, record, name)).collect::<Vec<_>>()
        });
        to_js(&infos.collect::<Vec<_>>())
    }

    /// Adds what a strategy tells the experts of a catalogue apart by: the bytes of a file that the catalogue names.
    #[wasm_bindgen(js_name = addVectors)]
    pub fn add_vectors(&mut self, catalog: &str, strategy: &str, url: &str, bytes: &[u8]) -> Result<()> {
        let strategy = Strategy::parse(strategy).map_err(thrown)?;
        self.session_mut()?.add_vectors(catalog, &strategy, url, bytes).map_err(thrown)
    }

    /// Begins an answer; one that was in the making is dropped.
    pub fn start(&mut self, request: JsValue) -> Result<()> {
        let options: RequestOptions = from_js("request", request)?;
        let request = options.request().map_err(refused)?;
        self.session_mut()?.start(request).map_err(refused)
    }

    /// Begins to score the choices, each a text or a list of token ids.
    #[wasm_bindgen(js_name = startScoring)]
    pub fn start_scoring(&mut self, request: JsValue, choices: JsValue) -> Result<()> {
        let options: RequestOptions = from_js("request", request)?;
        let choices: Vec<Choice> = from_js("choices", choices)?;
        let request = options.request().map_err(refused)?;
        let session = self.session_mut()?;
        let ids = choices.into_iter().map(|choice| match choice {
            Choice::Text(text) => session.choice_ids(&text),
            Choice::Ids(ids) => Ok(ids),
        });
        let ids = ids.collect::<crate::Result<_>>().map_err(thrown)?;
        session.start_scoring(request, ids).map_err(refused)
    }

    /// Goes on with the scoring by one token: `{ kind: "token" | "missing" | "scored" | "done", … }`.
    #[wasm_bindgen(js_name = nextScore)]
    pub async fn next_score(&mut self) -> Result<JsValue> {
        let step = self.session_mut()?.next_score().await.map_err(thrown)?;
        let skipped = self.session_mut()?.take_skipped();
        let session = self.session()?;
        let skipped = describe_pages(session, &skipped);
        to_js(&match step {
            ScoreStep::Token => ScoreInfo::Token { skipped },
            ScoreStep::Missing(pages) => ScoreInfo::Missing { pages: describe_pages(session, &pages) },
            ScoreStep::Scored(scored) => {
                ScoreInfo::Scored { ids: scored.ids, log_likelihoods: scored.log_likelihoods, skipped }
            }
            ScoreStep::Done => ScoreInfo::Done { passes: session.work().passes },
        })
    }

    /// Goes on by one token, on the CPU: `{ kind: "token" | "missing" | "done", … }`.
    pub fn step(&mut self) -> Result<JsValue> {
        let step = self.session_mut()?.step().map_err(thrown)?;
        self.describe(step)
    }

    /// Goes on by one token, on any device.
    #[wasm_bindgen(js_name = nextStep)]
    pub async fn next_step(&mut self) -> Result<JsValue> {
        let step = self.session_mut()?.next_step().await.map_err(thrown)?;
        self.describe(step)
    }

    /// Hands over the bytes of a page that a step was missing.
    pub fn provide(&mut self, page: u32, bytes: &[u8]) -> Result<()> {
        self.session_mut()?.provide(page, bytes).map_err(thrown)
    }

    /// Goes on without a page that a step was missing, until the answer is complete.
    pub fn waive(&mut self, page: u32) -> Result<()> {
        self.session_mut()?.waive(page).map_err(thrown)
    }

    /// Drops the answer in the making.
    pub fn cancel(&mut self) {
        if let Some(session) = &mut self.session {
            session.cancel();
        }
    }
}

impl Engine {
    fn describe(&mut self, step: Step) -> Result<JsValue> {
        let Engine { session, told, .. } = self;
        let session = session.as_mut().ok_or_else(no_base)?;
        let skipped = session.take_skipped();
        match step {
            Step::Token(token) => {
                let routing = told.describe(&token.routing);
                let skipped = describe_pages(session, &skipped);
                to_js(&StepInfo::Token { token_id: token.id, text: &token.text, routing, skipped })
            }
            Step::Missing(pages) => to_js(&StepInfo::Missing { pages: describe_pages(session, &pages) }),
            Step::Done(finish) => {
                let work = session.work();
                let encoder_routing = told.describe(&session.encoder_routing());
                to_js(&StepInfo::Done {
                    finish: finish.as_str(),
                    text: session.text(),
                    input_ids: session.input_ids(),
                    output_ids: session.output_ids(),
                    input_texts: if encoder_routing.is_some() { session.input_texts() } else { None },
                    encoder_routing,
                    passes: work.passes,
                    pages_wanted: work.pages_wanted,
                    bytes_wanted: work.bytes_wanted,
                    pages_skipped: work.pages_skipped,
                    pages_provided: work.pages_provided,
                    bytes_provided: work.bytes_provided,
                })
            }
        }
    }

    /// The devices for a base that begins.
    fn emptied_devices(&mut self) -> Devices {
        let in_use = self.loading.take().map(Loading::into_devices);
        in_use.or_else(|| self.devices.take()).unwrap_or_else(|| Device::cpu_with_threads(threads()).into())
    }

    fn loading(&mut self) -> Result<&mut Loading> {
        self.loading.as_mut().ok_or_else(no_base)
    }

    /// A base without a tokenizer is of use, to those who bring token ids; one with a broken tokenizer is broken.
    fn check_tokenizer(&mut self) -> Result<()> {
        match self.loading()?.tokenizer_error() {
            Some(error) if error.code != ErrorCode::NoTokenizer => Err(thrown(error.clone())),
            _ => Ok(()),
        }
    }

    /// Has shaders compiled, and hears what went wrong on the devices.
    async fn settle(&mut self) -> Result<()> {
        let session = self.session.as_mut().ok_or_else(no_base)?;
        // Should no answer be possible, the first one says why.
        let _ = session.warm_up();
        device_choice::settle(session, self.choice, threads(), &mut self.reason).await.map_err(thrown)
    }

    fn session(&self) -> Result<&Session> {
        self.session.as_ref().ok_or_else(no_base)
    }

    fn session_mut(&mut self) -> Result<&mut Session> {
        self.session.as_mut().ok_or_else(no_base)
    }
}

impl RequestOptions {
    fn request(self) -> crate::Result<Request> {
        Ok(Request {
            text: self.text,
            input_ids: self.input_ids,
            max_new_tokens: self.max_new_tokens,
            top_k: self.top_k,
            strategy: Strategy::parse(&self.strategy)?,
            include: self.include,
            exclude: self.exclude,
            bias: self.bias,
            thresholds: Thresholds { weight: self.min_weight, share: self.min_share },
            on_miss: OnMiss::parse(&self.on_miss)?,
            sampling: Sampling {
                repetition_penalty: self.repetition_penalty,
                temperature: self.temperature,
                top_k: self.sampling_top_k,
                top_p: self.top_p,
                seed: self.seed,
            },
            stop: self.stop,
            trace: self.trace,
        })
    }
}

impl<'a> ExpertInfo<'a> {
    fn new(catalog: &'a Catalog, record: &'a ExpertRecord, name: &'a str) -> Self {
        ExpertInfo {
            id: name,
            catalog: &catalog.name,
            title: &record.title,
            description: &record.description,
            licence: &record.licence,
            tags: &record.tags,
            source: &record.source,
            evaluation: &record.evaluation,
            bytes: record.adapter.bytes,
            pages: record.pages.len(),
        }
    }
}

/// Where the bytes of pages are.
fn describe_pages<'a>(session: &'a Session, pages: &[u32]) -> Vec<PageInfo<'a>> {
    let describe = |number: &u32| {
        let (expert, page) = session.page(*number)?;
        Some(PageInfo {
            page: *number,
            expert,
            block: &page.block,
            url: &page.file,
            offset: page.range.start,
            bytes: page.byte_len(),
            sha256: page.sha256.map(|hash| crate::experts::hex(&hash)),
        })
    };
    pages.iter().filter_map(describe).collect()
}

/// WebAssembly that a page may load anywhere has one.
#[cfg(not(target_feature = "atomics"))]
fn threads() -> usize {
    1
}

/// Whether WebGPU may be asked for at all: wgpu panics where it may not.
fn webgpu() -> crate::Result<()> {
    let global = js_sys::global();
    let get =
        |object: &JsValue, name: &str| Reflect::get(object, &JsValue::from_str(name)).unwrap_or_default();
    let in_browser = ["Window", "WorkerGlobalScope"].iter().any(|name| get(&global, name).is_function());
    match in_browser && get(&get(&global, "navigator"), "gpu").is_object() {
        true => Ok(()),
        false => {
            let expected = "a browser with WebGPU, on a page served by HTTPS or from localhost; or the CPU";
            Err(Error::new(ErrorCode::NoGpu, "navigator.gpu", "there is no WebGPU here", expected))
        }
    }
}

/// The time in milliseconds, of a page or of a worker.
fn milliseconds() -> f64 {
    let performance = Reflect::get(&js_sys::global(), &JsValue::from_str("performance"));
    performance.ok().and_then(|value| value.dyn_into::<Performance>().ok()).map_or(0.0, |clock| clock.now())
}

/// A plain JavaScript value: objects rather than maps, so that it crosses to the page unchanged.
fn to_js<T: Serialize>(value: &T) -> Result<JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    value.serialize(&serializer).map_err(JsValue::from)
}

/// What JavaScript gave, if it is what it should be.
fn from_js<T: DeserializeOwned>(place: &str, value: JsValue) -> Result<T> {
    serde_wasm_bindgen::from_value(value).map_err(|error| {
        thrown(Error::new(ErrorCode::InvalidOption, place, error.to_string(), "the documented options"))
    })
}

fn no_base() -> JsValue {
    thrown(Error::new(
        ErrorCode::InvalidState,
        "engine",
        "no base is loaded",
        "beginGguf or beginFolder, the files, and finishBase",
    ))
}

/// What is wrong with a request: its place is the option as JavaScript spells it, `maxNewTokens` for "max new tokens".
fn refused(mut error: Error) -> JsValue {
    if error.code == ErrorCode::InvalidOption {
        let mut words = error.place.split([' ', '-']);
        let first = words.next().unwrap_or_default().to_owned();
        error.place = words.fold(first, |name, word| {
            let (initial, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
            name + &initial.to_ascii_uppercase() + rest
        });
    }
    thrown(error)
}

/// An error as the object that the worker turns into a `GanderError`.
fn thrown(error: Error) -> JsValue {
    #[derive(Serialize)]
    struct Thrown<'a> {
        code: &'a str,
        place: &'a str,
        problem: &'a str,
        expected: &'a str,
        message: String,
    }
    let message = error.to_string();
    let Error { code, place, problem, expected } = &error;
    to_js(&Thrown { code: code.as_str(), place, problem, expected, message })
        .unwrap_or_else(|_| message_only(&error))
}

fn message_only(error: &Error) -> JsValue {
    JsValue::from_str(&error.to_string())
}
