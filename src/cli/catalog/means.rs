//! The mean input of each layer over examples, and what the encoder makes of a text: passes run by hand, to look into them.

use std::collections::BTreeMap;

use gander::Result;
use gander::config::Config;
use gander::device::Part;
use gander::experts::Expert;
use gander::kernels::input::read_input;
use gander::recording::Control;
use gander::session::{Request, Session, Strategy, now};
use gander::strategies::retrieval;

/// Sums of inputs, by module.
#[derive(Default)]
pub struct Means {
    sums: BTreeMap<String, Sum>,
}

#[derive(Default)]
struct Sum {
    sum: Vec<f64>,
    tokens: usize,
}

impl Means {
    /// Adds the inputs of an expert's layers on one example, whose scoring was started and whose pages are all there.
    pub fn add(&mut self, session: &mut Session, expert: &Expert, target: &[u32]) -> Result<()> {
        let config = session.model().config.clone();
        let control = Control { token: config.decoder_start_token_id, ..Control::default() };
        session.set_up(Part::Encoder, control);
        self.walk(session, Part::Encoder, &encoder_modules(&config), expert)?;
        let mut token = config.decoder_start_token_id;
        for (position, next) in (0..).zip(target) {
            session.set_up(Part::Decoder, Control { position, first: position, token, ..Control::default() });
            self.walk(session, Part::Decoder, &decoder_modules(&config), expert)?;
            token = *next;
        }
        Ok(())
    }

    /// Runs a part up to its last adapted layer, noting the input of each product on the way.
    fn walk(
        &mut self,
        session: &mut Session,
        part: Part,
        layers: &[Vec<String>],
        expert: &Expert,
    ) -> Result<()> {
        let (plans, devices) = session.plans().expect("a scoring was started");
        let (plan, device) = (plans[part as usize], devices.of(part));
        let mut layers = layers.iter();
        for (index, dispatch) in plan.recording.dispatches.iter().enumerate() {
            if dispatch.kernel.name == "linear" {
                let Some(modules) = layers.next() else { break };
                let input = now(read_input(dispatch, device))?;
                for module in modules {
                    let Some(place) = expert.placement(module) else { continue };
                    let Sum { sum, tokens } = self.sums.entry(module.clone()).or_default();
                    sum.resize(place.d_in, 0.0);
                    for u in input.chunks_exact(place.d_in) {
                        sum.iter_mut().zip(u).for_each(|(sum, u)| *sum += f64::from(*u));
                        *tokens += 1;
                    }
                }
            }
            device.run(plan, index..index + 1, 1);
        }
        Ok(())
    }

    /// The means.
    pub fn take(self) -> impl Iterator<Item = (String, Vec<f32>)> {
        self.sums.into_iter().map(|(module, Sum { sum, tokens })| {
            (module, sum.into_iter().map(|sum| (sum / tokens as f64) as f32).collect())
        })
    }
}

/// The layers of the encoder's products, in their order.
fn encoder_modules(config: &Config) -> Vec<Vec<String>> {
    let block = |block| {
        let block = format!("encoder.block.{block}");
        let attention = format!("{block}.layer.0.SelfAttention");
        attention_modules(&attention).into_iter().chain(feed_forward_modules(config, &block, 1))
    };
    let cross =
        |block| ["k", "v"].map(|name| format!("decoder.block.{block}.layer.1.EncDecAttention.{name}"));
    let cross_attention = (0..config.num_decoder_layers).flat_map(cross).collect();
    (0..config.num_layers).flat_map(block).chain([cross_attention]).collect()
}

/// The layers of the decoder's products, in their order; the head is none of them.
fn decoder_modules(config: &Config) -> Vec<Vec<String>> {
    let block = |block| {
        let block = format!("decoder.block.{block}");
        let cross = |name: &str| vec![format!("{block}.layer.1.EncDecAttention.{name}")];
        let attention = attention_modules(&format!("{block}.layer.0.SelfAttention"));
        let cross = [cross("q"), cross("o")];
        attention.into_iter().chain(cross).chain(feed_forward_modules(config, &block, 2)).collect::<Vec<_>>()
    };
    (0..config.num_decoder_layers).flat_map(block).collect()
}

fn attention_modules(part: &str) -> [Vec<String>; 2] {
    [&["q", "k", "v"][..], &["o"]].map(|names| names.iter().map(|name| format!("{part}.{name}")).collect())
}

fn feed_forward_modules(config: &Config, block: &str, layer: usize) -> [Vec<String>; 2] {
    [config.feed_forward.inputs(), &["wo"]].map(|names| {
        names.iter().map(|name| format!("{block}.layer.{layer}.DenseReluDense.{name}")).collect()
    })
}

/// What `retrieval` compares of a text.
pub fn embedding(session: &mut Session, text: &str) -> Result<Vec<f32>> {
    let request = Request { text: Some(text.to_owned()), strategy: Strategy::None, ..Request::default() };
    session.start(request)?;
    let d_model = session.model().config.d_model;
    Ok(retrieval::embedding(&now(session.read_encoded())?, d_model))
}
