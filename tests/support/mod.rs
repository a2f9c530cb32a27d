//! What the tests share: the golden files, and how a session is run over them.
#![allow(dead_code, unused_imports, unused_macros, reason = "every test file uses a part of it")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use gander::base::{Base, no_tokenizer};
use gander::device::{Device, Devices};
use gander::experts::Expert;
use gander::formats::Checkpoint;
use gander::formats::peft::Adapter;
use gander::recording::Integers;
use gander::session::{Request, RoutedToken, Session, Step, Token};
use include_dir::{Dir, include_dir};
use serde::Deserialize;

/// Made by tools/goldens.py with transformers and PEFT; its README says how. Inside the binary, so that the browser
/// runs the same tests.
pub static GOLDENS: Dir = include_dir!("$CARGO_MANIFEST_DIR/tests/goldens");

/// The bytes of a golden file; `..` in the path goes up.
pub fn golden(path: &str) -> &'static [u8] {
    let path = normal(path);
    GOLDENS.get_file(&path).unwrap_or_else(|| panic!("tests/goldens/{path} is missing")).contents()
}

/// `expected.json` of a case.
#[derive(Deserialize)]
pub struct Case {
    #[serde(skip)]
    pub name: String,
    pub bases: Vec<String>,
    pub experts: Vec<String>,
    pub input_ids: Vec<u32>,
    pub max_new_tokens: usize,
    pub routing_tokens: Option<Vec<usize>>,
    pub runs: Vec<Run>,
}

/// What the reference answers for one k.
#[derive(Deserialize)]
pub struct Run {
    pub top_k: usize,
    pub output_ids: Vec<u32>,
    pub finish: String,
    /// Left out of cases that differ from another only in the format of the base.
    pub routing: Option<Vec<Choice>>,
}

/// What the reference chooses for one token on one layer.
#[derive(Deserialize)]
pub struct Choice {
    pub module: String,
    pub token: usize,
    pub experts: Vec<String>,
    pub weights: Vec<f32>,
    /// Score of the last expert chosen, minus that of the best one left out.
    pub margin: Option<f32>,
    /// Smallest distance between the scores of chosen experts.
    pub order_margin: Option<f32>,
}

impl Case {
    /// Reads a case.
    pub fn load(name: &str) -> Case {
        let case: Case = serde_json::from_slice(golden(&format!("{name}/expected.json"))).expect("a case");
        Case { name: name.to_owned(), ..case }
    }

    /// The reference's tensors, by name: (rows, cols) and floats.
    pub fn tensors(&self) -> BTreeMap<String, Vec<f32>> {
        let bytes = golden(&format!("{}/expected.safetensors", self.name));
        let file = safetensors::SafeTensors::deserialize(bytes).expect("a safetensors file");
        let floats =
            |data: &[u8]| data.chunks_exact(4).map(|f| f32::from_le_bytes(f.try_into().unwrap())).collect();
        file.iter().map(|(name, tensor)| (name.to_owned(), floats(tensor.data()))).collect()
    }

    /// A session over one of the case's bases on the CPU, with its experts and none of their pages.
    pub fn session(&self, base: &str) -> Session {
        self.session_on(Device::cpu(), base)
    }

    /// The same on a device.
    pub fn session_on(&self, device: Device, base: &str) -> Session {
        let base = base_without_text(checkpoint(&format!("{}/{base}", self.name)));
        let mut session = Session::on(device, base).expect("a base");
        let experts = self.experts.iter().map(|path| expert(&format!("{}/{path}", self.name))).collect();
        session.add_experts(experts).expect("experts that fit");
        session
    }

    /// The request that the reference answered.
    pub fn request(&self, top_k: usize) -> Request {
        Request {
            input_ids: Some(self.input_ids.clone()),
            max_new_tokens: self.max_new_tokens,
            top_k: Some(top_k),
            trace: true,
            ..Request::default()
        }
    }
}

/// A base from a golden folder or GGUF file.
pub fn checkpoint(path: &str) -> Checkpoint {
    if path.ends_with(".gguf") {
        return Checkpoint::from_gguf(path, golden(path)).expect("a GGUF base");
    }
    let folder = GOLDENS.get_dir(path).unwrap_or_else(|| panic!("tests/goldens/{path} is missing"));
    let shards: Vec<(&str, &[u8])> = folder
        .files()
        .filter_map(|file| {
            let name = file.path().file_name()?.to_str()?;
            name.ends_with(".safetensors").then_some((name, file.contents()))
        })
        .collect();
    Checkpoint::from_huggingface(golden(&format!("{path}/config.json")), &shards)
        .expect("a Hugging Face base")
}

/// A base that has no tokenizer.
pub fn base_without_text(checkpoint: Checkpoint) -> Base {
    Base::new(checkpoint, Err(no_tokenizer("base")))
}

/// An expert from a golden PEFT folder. Its id is the folder's name.
pub fn expert(path: &str) -> Expert {
    let id = path.rsplit('/').next().unwrap();
    let folder: String = path.to_owned();
    let gates =
        GOLDENS.get_file(format!("{}/gates.safetensors", normal(&folder))).map(|file| file.contents());
    let file = format!("{folder}/adapter_model.safetensors");
    let adapter = Adapter::from_files(golden(&format!("{folder}/adapter_config.json")), golden(&file), gates);
    Expert::from_adapter(id, &file, adapter.expect("a PEFT adapter"))
}

/// The path without its `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The bytes of one page, cut from the golden file.
pub fn page_bytes(session: &Session, page: u32) -> &'static [u8] {
    let (_, page) = session.page(page).expect("a page of the session");
    &golden(&page.file)[page.range.start as usize..page.range.end as usize]
}

/// Provides every page.
pub fn make_resident(session: &mut Session) {
    for page in 0..session.page_count() {
        let bytes = page_bytes(session, page);
        session.provide(page, bytes).expect("the right bytes");
    }
}

/// Everything that a session says of an answer.
#[derive(Clone)]
pub struct Answer {
    pub output_ids: Vec<u32>,
    pub finish: String,
    pub routing: Vec<RoutedToken>,
    /// By name, the values of the pass that counted, one after another.
    pub values: Values,
    /// How many times a step was missing pages.
    pub misses: usize,
}

/// Runs a request to its end, providing what it misses.
pub async fn answer_on_any(session: &mut Session, request: Request) -> Answer {
    try_answer_on_any(session, request).await.expect("an answer")
}

/// The same where a step may fail.
pub async fn try_answer_on_any(session: &mut Session, request: Request) -> gander::Result<Answer> {
    let pass: Pass = Rc::default();
    let seen = pass.clone();
    session.observe(move |name, values| drop(seen.borrow_mut().insert(name.to_owned(), values.to_vec())));
    to_the_end(session, request, &pass).await
}

/// Without looking at the values on the way, so that a GPU may run several steps before it is asked. Not for a session
/// that was observed before.
pub async fn answer_unobserved(session: &mut Session, request: Request) -> Answer {
    to_the_end(session, request, &Pass::default()).await.expect("an answer")
}

/// On a device that answers at once.
pub fn answer(session: &mut Session, request: Request) -> Answer {
    now(answer_on_any(session, request))
}

/// By name, the values of a pass.
type Values = BTreeMap<String, Vec<f32>>;
type Pass = Rc<RefCell<Values>>;

async fn to_the_end(session: &mut Session, request: Request, pass: &Pass) -> gander::Result<Answer> {
    session.start(request)?;
    let mut values = Values::new();
    let (mut routing, mut misses) = (Vec::new(), 0);
    loop {
        match session.next_step().await? {
            Step::Missing(pages) => {
                misses += 1;
                pass.borrow_mut().clear();
                for page in pages {
                    let bytes = page_bytes(session, page);
                    session.provide(page, bytes).expect("the right bytes");
                }
            }
            Step::Token(Token { routing: step, .. }) => {
                if session.output_ids().len() == 1 {
                    routing.extend(session.encoder_routing());
                }
                routing.extend(step);
                for (name, floats) in std::mem::take(&mut *pass.borrow_mut()) {
                    values.entry(name).or_default().extend(floats);
                }
            }
            Step::Done(finish) => {
                let output_ids = session.output_ids().to_vec();
                let finish = finish.as_str().to_owned();
                return Ok(Answer { output_ids, finish, routing, values, misses });
            }
        }
    }
}

/// Natively a test like any other, in a browser one that waits.
macro_rules! async_test {
    ($(#[$attribute:meta])* async fn $name:ident() $body:block) => {
        $(#[$attribute])*
        #[cfg(not(target_arch = "wasm32"))]
        #[test]
        fn $name() {
            $crate::support::now(async $body)
        }

        $(#[$attribute])*
        #[cfg(target_arch = "wasm32")]
        #[wasm_bindgen_test::wasm_bindgen_test]
        async fn $name() $body
    };
}
pub(crate) use async_test;

/// The same test on each kind of device: `cpu::name` and `gpu::name`. The parameter opens a device.
macro_rules! test_on {
    ($($(#[$attribute:meta])* async fn $name:ident($device:ident) $body:block)*) => {
        mod cpu {
            #[allow(unused_imports, reason = "some test files need nothing from outside")]
            use super::*;
            $($crate::support::async_test! {
                $(#[$attribute])*
                async fn $name() {
                    let $device = $crate::support::cpu;
                    $body
                }
            })*
        }

        mod gpu {
            #[allow(unused_imports, reason = "some test files need nothing from outside")]
            use super::*;
            $($crate::support::async_test! {
                $(#[$attribute])*
                async fn $name() {
                    let $device = $crate::support::gpu;
                    $body
                }
            })*
        }
    };
}
pub(crate) use test_on;

/// The CPU.
pub async fn cpu() -> Device {
    Device::cpu()
}

/// A GPU. Where there is none the test fails: what did not run proves nothing.
pub async fn gpu() -> Device {
    match OPENED.take() {
        Some(device) => device,
        None => {
            Device::gpu().await.expect("a GPU, if only a software one: llvmpipe, or Chromium's SwiftShader")
        }
    }
}

/// The encoder on a GPU, the decoder on the CPU.
pub async fn split() -> Devices {
    Devices { encoder: gpu().await, decoder: Some(Device::cpu()) }
}

thread_local! {
    /// A browser runs all tests in one thread, and takes a hundred times as long to compile a shader as Vulkan does: one
    /// test leaves its GPU to the next.
    static OPENED: Cell<Option<Device>> = const { Cell::new(None) };
}

/// Ends a session, whose GPU the next test may have.
pub fn close(session: Session) {
    let mut device = session.into_devices().encoder;
    device.reset();
    if cfg!(target_arch = "wasm32")
        && let Device::Gpu(gpu) = &mut device
    {
        gpu.set_integers(Integers::default());
        OPENED.set(Some(device));
    }
}

/// What a device is: `cpu`, or `gpu (llvmpipe, Vulkan)`.
pub fn describe(device: &Device) -> String {
    match device {
        Device::Cpu(_) => "cpu".to_owned(),
        Device::Gpu(gpu) => format!("gpu ({}, {})", gpu.adapter().name, gpu.adapter().backend),
    }
}

/// Whether this place may be without integer dot products in WGSL: some browser. Where shaders are naga's they are there.
pub fn may_lack_integer_dots() -> bool {
    cfg!(target_arch = "wasm32")
}

/// Prints a line that is seen of tests that pass too.
pub fn report(line: &str) {
    #[cfg(not(target_arch = "wasm32"))]
    {
        use std::io::Write;
        // Not println!, which the test harness keeps to itself.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    #[cfg(target_arch = "wasm32")]
    wasm_bindgen_test::console_log!("{line}");
}

/// The value of a future that has nothing to wait for, as none has natively.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("this device does not answer at once: await it"),
    }
}
