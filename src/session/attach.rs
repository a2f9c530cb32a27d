//! Experts, put beside the layers that they adapt.

use super::{Request, Session, Strategy};
use crate::adapter_pool::AdapterPool;
use crate::catalog::Catalog;
use crate::error::{Error, ErrorCode, Result};
use crate::experts::{Expert, Placement};
use crate::kernels::route::{Entry, Routing};
use crate::router::{Router, Routes};
use crate::tensor::DType;

impl Session {
    /// Adds experts after those already there. An answer in the making is dropped, and so are resident pages.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidFile`] for an id that is taken, and those of [`Expert::check_against`]. Nothing is added then.
    pub fn add_experts(&mut self, experts: Vec<Expert>) -> Result<()> {
        self.cancel();
        for (index, expert) in experts.iter().enumerate() {
            let others = self.experts.iter().chain(&experts[..index]);
            if others.into_iter().any(|other| other.id == expert.id) {
                let problem = "there are two experts of this id";
                let place = format!("expert {:?}", expert.id);
                return Err(Error::new(ErrorCode::InvalidFile, place, problem, "every id once"));
            }
            let place = || format!("expert {:?}", expert.id);
            expert.check_against(&self.model.config).map_err(|error| error.inside(place()))?;
        }
        self.experts.extend(experts);
        self.rebuild();
        Ok(())
    }

    /// Adds the experts of a catalogue, as [`Session::add_experts`] does, and takes its defaults for routing.
    ///
    /// # Errors
    /// Those of [`Catalog::check_base`], [`Catalog::experts`] and [`Session::add_experts`].
    pub fn add_catalog(&mut self, catalog: &Catalog, gates: &[u8]) -> Result<()> {
        catalog.check_base(&self.fingerprint)?;
        self.add_experts(catalog.experts(gates)?)?;
        self.default_top_k = catalog.router.top_k;
        Ok(())
    }

    /// Sets the memory for adapter pages, in bytes of decoded (32-bit) factors. Resident pages are dropped.
    pub fn set_pool_bytes(&mut self, bytes: usize) {
        self.cancel();
        self.pool_budget_bytes = bytes;
        self.rebuild();
    }

    /// Numbers the pages and uploads the gates of all experts.
    fn rebuild(&mut self) {
        for buffer in self.pool.buffers() {
            self.device.free(buffer);
        }
        self.pages = (self.experts.iter().enumerate())
            .flat_map(|(expert, description)| (0..description.pages.len()).map(move |page| (expert, page)))
            .collect();
        let floats: Vec<usize> =
            self.pages.iter().map(|(expert, page)| self.experts[*expert].pages[*page].float_len()).collect();
        self.pool = AdapterPool::new(&mut self.device, &floats, self.pool_budget_bytes);
        for linear in self.model.linears() {
            let entries: Vec<(Entry, &[f32])> = (self.pages.iter().enumerate())
                .filter_map(|(page, (expert, index))| {
                    let description = &self.experts[*expert];
                    let gate = description.gates.get(&linear.module)?;
                    let scale = *description.scales.get(&linear.module)?;
                    let Placement { a, b, rank, .. } = description.pages[*index].placement(&linear.module)?;
                    let [expert, page, a, b, rank] = [*expert, page, a, b, rank].map(|value| value as u32);
                    Some((Entry { expert, page, a, b, rank, scale }, gate.as_slice()))
                })
                .collect();
            for buffer in linear.router.iter().flat_map(Router::buffers) {
                self.device.free(buffer);
            }
            linear.router = match entries.is_empty() {
                true => None,
                false => Some(Router::upload(&mut self.device, &entries)),
            };
        }
    }

    /// What the routed layers of a recording over `tokens` tokens share.
    pub(super) fn routes(&mut self, request: &Request, allowed: &[u32], tokens: usize) -> Routes {
        let top_k = request.top_k.unwrap_or(self.default_top_k).min(self.experts.len());
        let layers = if request.trace { self.model.linears().count() } else { 1 };
        let enabled = request.strategy == Strategy::Phatgoose && allowed.contains(&1);
        let rows = if enabled { layers * tokens } else { 0 };
        let device = &mut self.device;
        Routes {
            allowed: device.upload(1, allowed.len(), DType::U32, allowed),
            wanted: device.alloc(1, self.pages.len(), DType::U32),
            pool: self.pool.tensors(),
            routing: Routing {
                choices: device.alloc(rows, top_k, DType::U32),
                weights: device.alloc(rows, top_k, DType::F32),
            },
            sites: Vec::new(),
            trace: request.trace,
            enabled,
        }
    }
}
