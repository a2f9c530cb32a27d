//! Experts, put beside the layers that they adapt.

use super::{Request, Session, Strategy};
use crate::adapter_pool::AdapterPool;
use crate::catalog::Catalog;
use crate::error::{Error, ErrorCode, Result};
use crate::experts::{Expert, Placement};
use crate::kernels::route::{Entry, Flags};
use crate::router::{GatedEntry, Router, Routes};
use crate::tensor::DType;
use crate::workspace::Workspace;

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
        self.device.free(self.pool.buffer());
        self.pages = (self.experts.iter().enumerate())
            .flat_map(|(expert, description)| (0..description.pages.len()).map(move |page| (expert, page)))
            .collect();
        let floats: Vec<usize> =
            self.pages.iter().map(|(expert, page)| self.experts[*expert].pages[*page].float_len()).collect();
        self.pool = AdapterPool::new(&mut self.device, &floats, self.pool_budget_bytes);
        for linears in self.model.linears() {
            let entries = |module: &String| -> Vec<GatedEntry> {
                let entry = |(page, (expert, index)): (usize, &(usize, usize))| {
                    let description = &self.experts[*expert];
                    let gate = description.gates.get(module)?;
                    let scale = *description.scales.get(module)?;
                    let Placement { a, b, rank, .. } = description.pages[*index].placement(module)?;
                    let [expert, page, a, b, rank] = [*expert, page, a, b, rank].map(|value| value as u32);
                    Some((Entry { expert, page, a, b, rank, scale }, gate.as_slice()))
                };
                self.pages.iter().enumerate().filter_map(entry).collect()
            };
            let sites: Vec<Vec<GatedEntry>> = linears.modules.iter().map(entries).collect();
            for buffer in linears.router.iter().flat_map(Router::buffers) {
                self.device.free(buffer);
            }
            linears.router = match sites.iter().all(Vec::is_empty) {
                true => None,
                false => Some(Router::upload(&mut self.device, linears.weight.d_in, &sites)),
            };
        }
    }

    /// What the routed layers of a recording over `tokens` tokens share. Where traced, the choices of so many steps are
    /// kept.
    pub(super) fn routes(
        &mut self,
        request: &Request,
        allowed: &[u32],
        workspace: &Workspace,
        tokens: usize,
        steps: usize,
    ) -> Routes {
        let top_k = request.top_k.unwrap_or(self.default_top_k).min(self.experts.len());
        let enabled = request.strategy == Strategy::Phatgoose && allowed.contains(&1);
        let (mut all_sites, mut most_sites, mut delta_words) = (0, 0, 0);
        for linears in self.model.linears() {
            all_sites += linears.modules.len();
            most_sites = most_sites.max(linears.modules.len());
            let words = linears.router.as_ref().map_or(0, |router| router.delta_words(top_k));
            delta_words = delta_words.max(words);
        }
        let rows_per_step = if request.trace { all_sites * tokens } else { 0 };
        let (rows, delta_words) = match (enabled, request.trace) {
            (false, _) => (0, 0),
            (true, true) => (rows_per_step * steps, delta_words),
            (true, false) => (most_sites * tokens, delta_words),
        };
        let device = &mut self.device;
        Routes {
            control: workspace.control,
            flags: Flags {
                tensor: device.alloc(1, 1 + allowed.len() + self.pages.len(), DType::U32),
                experts: allowed.len(),
            },
            pool: self.pool.tensor,
            choices: device.alloc(rows, 2 * top_k, DType::U32),
            rows_per_step,
            deltas: device.alloc(tokens, delta_words, DType::U32),
            sites: Vec::new(),
            trace: request.trace && enabled,
            enabled,
            next_row: 0,
        }
    }

    /// Readies the flags for a run: the experts allowed, nothing missed, nothing wanted.
    pub(super) fn reset(&mut self, flags: &Flags, allowed: &[u32]) {
        let mut words = vec![0];
        words.extend(allowed);
        words.resize(flags.tensor.len(), 0);
        self.device.write(&flags.tensor, &words);
    }
}
