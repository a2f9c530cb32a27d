//! Experts, put beside the layers that they adapt.

use super::{RUNNERS_UP, Request, Session};
use crate::adapter_pool::{AdapterPool, PageSize};
use crate::catalog::{Catalog, vectors};
use crate::config::Config;
use crate::device::{Device, Part};
use crate::error::{Error, ErrorCode, Result};
use crate::experts::{Expert, FactorLayout, Placement, name_apart};
use crate::kernels::route::{Entry, Flags};
use crate::kernels::score::{LOWEST, Rule};
use crate::router::{GatedEntry, RoutedLinears, Router, Routes};
use crate::strategies::{Count, Definition, Strategy, Vectors};
use crate::t5::T5;
use crate::tensor::{DType, Tensor};

impl Session {
    /// Adds experts after those already there, and names all apart. An answer in the making is dropped, and so are resident
    /// pages.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidFile`] for an id that is taken, and those of [`Expert::check_against`]. Nothing is added then.
    pub fn add_experts(&mut self, experts: Vec<Expert>) -> Result<()> {
        self.cancel();
        for (index, expert) in experts.iter().enumerate() {
            let others = self.experts.iter().chain(&experts[..index]);
            if others.into_iter().any(|other| other.full_name == expert.full_name) {
                let problem = "there are two experts of this id";
                let place = format!("expert {:?}", expert.full_name);
                return Err(Error::new(ErrorCode::InvalidFile, place, problem, "every id once"));
            }
            let place = || format!("expert {:?}", expert.id);
            expert.check_against(&self.model.config).map_err(|error| error.inside(place()))?;
        }
        self.experts.extend(experts);
        name_apart(&mut self.experts);
        self.rebuild();
        Ok(())
    }

    /// Adds the experts of a catalogue, as [`Session::add_experts`] does. The first catalogue's defaults for routing
    /// are taken.
    ///
    /// # Errors
    /// Those of [`Catalog::check_base`], [`Catalog::experts`] and [`Session::add_experts`].
    pub fn add_catalog(&mut self, catalog: &Catalog, gates: &[u8]) -> Result<()> {
        catalog.check_base(&self.fingerprint)?;
        self.add_experts_of(catalog, catalog.experts(gates)?)
    }

    /// Adds the experts that were made of a catalogue, as [`Session::add_catalog`] does.
    ///
    /// # Errors
    /// Those of [`Catalog::check_base`] and [`Session::add_experts`].
    pub fn add_experts_of(&mut self, catalog: &Catalog, experts: Vec<Expert>) -> Result<()> {
        catalog.check_base(&self.fingerprint)?;
        let is_first = !self.experts.iter().any(Expert::is_catalogued);
        self.add_experts(experts)?;
        if is_first {
            self.default_top_k = catalog.router.top_k;
        }
        Ok(())
    }

    /// Adds the vectors that a strategy needs, from the bytes of a file of a catalogue, compared with their hash before. `catalog`
    /// and `file` are their names. An answer in the making is dropped.
    ///
    /// # Errors
    /// Those of [`vectors::attach`].
    pub fn add_vectors(
        &mut self,
        catalog: &str,
        strategy: &Strategy,
        file: &str,
        bytes: &[u8],
    ) -> Result<()> {
        self.cancel();
        let d_model = self.model.config.d_model;
        vectors::attach(&mut self.experts, catalog, strategy, file, bytes, d_model)?;
        self.upload_vectors();
        Ok(())
    }

    /// Sets the memory for adapter pages, in bytes of factors as the device keeps them. Resident pages are dropped.
    pub fn set_pool_bytes(&mut self, bytes: usize) {
        self.cancel();
        self.pool_budget_bytes = bytes;
        self.rebuild();
    }

    /// Numbers the pages and uploads what tells the experts apart.
    pub(super) fn rebuild(&mut self) {
        self.pages = (self.experts.iter().enumerate())
            .flat_map(|(expert, description)| (0..description.pages.len()).map(move |page| (expert, page)))
            .collect();
        let layouts = self.factor_layouts();
        for ((device, pool), layout) in self.devices.iter_mut().zip(&mut self.pools).zip(layouts) {
            let config = &self.model.config;
            let size = |(expert, page): &(usize, usize)| {
                let page = &self.experts[*expert].pages[*page];
                PageSize { words: page.word_len(layout), block: place_of(&page.block, config) }
            };
            let sizes: Vec<PageSize> = self.pages.iter().map(size).collect();
            pool.free(device);
            *pool = AdapterPool::new(device, layout, &sizes, self.pool_budget_bytes);
        }
        let device = self.devices.of(Part::Encoder);
        self.model.encoder.linears().for_each(|linears| linears.free_router(device));
        self.model.group_cross(self.pools[0].groups());
        self.upload_vectors();
    }

    /// Readies the layers for a strategy, whose experts have what it takes.
    ///
    /// # Errors
    /// [`ErrorCode::MissingTensor`] for an expert that may be chosen and has none of the strategy's vectors;
    /// [`ErrorCode::Unsupported`] for a strategy that the devices cannot compute.
    pub(super) fn ready_for(&mut self, strategy: &Strategy, biases: &[f32]) -> Result<()> {
        let definition = strategy.definition();
        let may_be_chosen = self.experts.iter().zip(biases).filter(|(_, bias)| **bias != LOWEST);
        for (expert, _) in may_be_chosen {
            let is_known = match strategy {
                Strategy::Retrieval => !expert.vectors.examples.is_empty(),
                Strategy::AverageActivation | Strategy::Arrow => {
                    !expert.vectors_of(definition.vectors).is_empty()
                }
                _ => true,
            };
            if !is_known {
                let problem = format!("the expert {:?} has no vectors for it", expert.id);
                let expected = "a catalogue with them (gander catalog vectors), or the expert excluded";
                return Err(Error::new(ErrorCode::MissingTensor, strategy.name(), problem, expected));
            }
        }
        let is_on_gpu = self.devices.iter_mut().any(|device| matches!(device, Device::Gpu(_)));
        if definition.rule == Rule::Length && is_on_gpu {
            let expected = "the CPU for a device";
            return Err(Error::new(ErrorCode::Unsupported, strategy.name(), "it has no shader", expected));
        }
        // The base alone computes with any.
        let is_placed = *strategy == Strategy::None
            || (definition.vectors, definition.rule) == (self.placed.vectors, self.placed.rule);
        if !is_placed {
            self.placed = definition;
            self.upload_vectors();
        }
        Ok(())
    }

    fn upload_vectors(&mut self) {
        let T5 { encoder, decoder, .. } = &mut self.model;
        let known = Known { experts: &self.experts, pages: &self.pages, placed: self.placed };
        for (part, linears) in [
            (Part::Encoder, encoder.linears().collect()),
            (Part::Decoder, decoder.linears().collect::<Vec<_>>()),
        ] {
            let pool = &self.pools[self.devices.index(part)];
            known.upload(self.devices.of(part), pool, linears);
        }
    }

    /// How each device wants factors: as it has the weights beside them, so that what rounds nothing goes on rounding nothing.
    fn factor_layouts(&mut self) -> [FactorLayout; 2] {
        let T5 { encoder, decoder, .. } = &mut self.model;
        let in_panels = |linears: &mut RoutedLinears| linears.weight.is_in_panels();
        let [of_encoder, of_decoder] = [encoder.linears().all(in_panels), decoder.linears().all(in_panels)];
        let of_first = of_encoder && (of_decoder || self.devices.decoder.is_some());
        [of_first, of_decoder].map(|panels| if panels { FactorLayout::Panels } else { FactorLayout::Floats })
    }

    /// What the routed layers of a recording over `tokens` tokens share. Where traced, the choices of so many steps are
    /// kept.
    pub(super) fn routes(
        &mut self,
        part: Part,
        request: &Request,
        biases: &[f32],
        control: Tensor,
        tokens: usize,
        steps: usize,
    ) -> Routes {
        let allowed = biases.iter().filter(|bias| **bias != LOWEST).count();
        let definition = request.strategy.definition();
        let top_k = match definition.count {
            Count::K => request.top_k.unwrap_or(self.default_top_k),
            Count::One => 1,
            Count::All => allowed,
        };
        let top_k = top_k.min(self.experts.len());
        let enabled = request.strategy != Strategy::None && allowed > 0;
        let Size { all_sites, most_sites, delta_words } = match part {
            Part::Encoder => Size::of(self.model.encoder.linears(), top_k),
            Part::Decoder => Size::of(self.model.decoder.linears(), top_k),
        };
        let runners_up = if request.trace { RUNNERS_UP.min(self.experts.len() - top_k) } else { 0 };
        let rows_per_step = if request.trace { all_sites * tokens } else { 0 };
        let (rows, delta_words) = match (enabled, request.trace) {
            (false, _) => (0, 0),
            (true, true) => (rows_per_step * steps, delta_words),
            (true, false) => (most_sites * tokens, delta_words),
        };
        let device = self.devices.of(part);
        Routes {
            control,
            flags: Flags {
                tensor: device.alloc(1, 1 + biases.len() + self.pages.len(), DType::U32),
                experts: biases.len(),
            },
            thresholds: request.thresholds,
            choices: device.alloc(rows, 2 * (top_k + runners_up), DType::U32),
            runners_up,
            rows_per_step,
            deltas: device.alloc(tokens, delta_words, DType::U32),
            sites: Vec::new(),
            trace: request.trace && enabled,
            seed: request.sampling.seed as u32,
            opens: definition.opens,
            enabled,
            next_row: 0,
        }
    }

    /// Readies the flags for a run: the experts' biases, nothing missed, nothing wanted.
    pub(super) fn reset(&mut self, part: Part, flags: &Flags, biases: &[f32]) {
        let mut words = vec![0];
        words.extend(biases.iter().map(|bias| bias.to_bits()));
        words.resize(flags.tensor.len(), 0);
        self.devices.of(part).write(&flags.tensor, &words);
    }
}

/// The experts of a session, and by page the expert and its place there.
struct Known<'a> {
    experts: &'a [Expert],
    pages: &'a [(usize, usize)],
    placed: Definition,
}

impl Known<'_> {
    /// Gives every layer the gates of its experts, or what stands in their place, instead of those it had.
    fn upload(&self, device: &mut Device, pool: &AdapterPool, linears: Vec<&mut RoutedLinears>) {
        for linears in linears {
            let sites: Vec<Vec<GatedEntry>> =
                linears.modules.iter().map(|module| self.entries(module, pool.layout())).collect();
            linears.free_router(device);
            // The layers are of one block, or of blocks whose pages are together.
            let page = sites.iter().flatten().next().map(|(entry, _)| entry.page);
            linears.router = page.map(|page| {
                let (d_in, rule) = (linears.weight.d_in, self.placed.rule);
                Router::upload(device, d_in, &sites, rule, pool.tensor_of(page))
            });
        }
    }

    /// The experts that are considered on a layer.
    fn entries(&self, module: &str, layout: FactorLayout) -> Vec<GatedEntry<'_>> {
        let entry = |(page, (expert, index)): (usize, &(usize, usize))| {
            let description = &self.experts[*expert];
            let vector = match self.placed.vectors {
                Vectors::None => &[],
                vectors => description.vectors_of(vectors).get(module)?.as_slice(),
            };
            let scale = *description.scales.get(module)?;
            let Placement { a, b, rank, .. } = description.pages[*index].placement(module, layout)?;
            let [expert, page, a, b, rank] = [*expert, page, a, b, rank].map(|value| value as u32);
            Some((Entry { expert, page, a, b, rank, scale, ..Entry::default() }, vector))
        };
        self.pages.iter().enumerate().filter_map(entry).collect()
    }
}

/// A block's index in its stack, and how many blocks that has: of `decoder.block.3`, 3 and the decoder's.
fn place_of(block: &str, config: &Config) -> [usize; 2] {
    let blocks = if block.starts_with("decoder") { config.num_decoder_layers } else { config.num_layers };
    let index = block.rsplit('.').next().and_then(|index| index.parse().ok()).unwrap_or(0);
    [index.min(blocks.saturating_sub(1)), blocks]
}

/// How much memory routing takes.
#[derive(Default)]
struct Size {
    /// Layers, in all and of those that share an input at most.
    all_sites: usize,
    most_sites: usize,
    /// For each token.
    delta_words: usize,
}

impl Size {
    fn of<'l>(linears: impl Iterator<Item = &'l mut RoutedLinears>, top_k: usize) -> Size {
        linears.fold(Size::default(), |size, linears| Size {
            all_sites: size.all_sites + linears.modules.len(),
            most_sites: size.most_sites.max(linears.modules.len()),
            delta_words: size
                .delta_words
                .max(linears.router.as_ref().map_or(0, |router| router.delta_words(top_k))),
        })
    }
}
