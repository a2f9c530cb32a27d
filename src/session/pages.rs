//! The pages of the experts' LoRA weights: which are wanted, and how they come.

use super::{Session, Work};
use crate::device::Part;
use crate::error::{Error, ErrorCode, Result};
use crate::experts::{Expert, FactorLayout, Page};
use crate::recording::Control;
use crate::router::Routes;

/// What became of the pages in an answer.
pub(super) struct Wishes {
    /// By page.
    wishes: Vec<Wish>,
    /// Pages that steps did without, not yet told.
    skipped: Vec<u32>,
}

/// What became of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    /// Nobody wanted it.
    None,
    Wanted,
    /// It was wanted, and a step did without.
    Skipped,
}

impl Wishes {
    /// Before the first step, with so many pages.
    pub fn of(pages: usize) -> Wishes {
        Wishes { wishes: vec![Wish::None; pages], skipped: Vec::new() }
    }

    /// Notes that a step wanted a page, and whether it did without. True if nobody wanted it before.
    fn note(&mut self, page: u32, skipped: bool, work: &mut Work) -> bool {
        let wish = if skipped { Wish::Skipped } else { Wish::Wanted };
        let before = self.wishes[page as usize];
        self.wishes[page as usize] = before.max(wish);
        let is_new = before == Wish::None;
        work.pages_wanted += is_new as usize;
        if skipped && before < wish {
            work.pages_skipped += 1;
            self.skipped.push(page);
        }
        is_new
    }
}

impl Session {
    /// An expert's id and one of its pages, by the page's number in [`Step::Missing`].
    pub fn page(&self, page: u32) -> Option<(&str, &Page)> {
        let (expert, index) = *self.pages.get(page as usize)?;
        Some((&self.experts[expert].id, &self.experts[expert].pages[index]))
    }

    /// Number of pages of all experts.
    pub fn page_count(&self) -> u32 {
        self.pages.len() as u32
    }

    /// Hands over the bytes of a page, as they are in its adapter file. A page that is already resident is ignored.
    ///
    /// # Errors
    /// [`ErrorCode::PageMismatch`] if they are not the bytes that the expert's description promises; nothing changes
    /// then, and the right bytes can be provided after.
    pub fn provide(&mut self, page: u32, bytes: &[u8]) -> Result<()> {
        self.check_page("provide", page)?;
        let (expert, index) = self.pages[page as usize];
        let Expert { id, pages, .. } = &self.experts[expert];
        let description = &pages[index];
        let floats = description.decode(id, bytes)?;
        // The encoder's device needs the decoder's pages too, for the keys and values of cross-attention.
        let for_encoder_alone = description.block.starts_with("encoder");
        for (index, (device, pool)) in self.devices.iter_mut().zip(&mut self.pools).enumerate() {
            if index == 0 || !for_encoder_alone {
                match pool.layout() {
                    FactorLayout::Floats => pool.insert(device, page, &floats),
                    FactorLayout::Panels => pool.insert(device, page, &description.pack(&floats)),
                }
            }
        }
        if let Some(generation) = &mut self.generation {
            generation.work.pages_provided += 1;
            generation.work.bytes_provided += bytes.len();
        }
        Ok(())
    }

    /// Does without a page for the rest of the answer, as long as nobody provides it: its expert adds nothing on the
    /// layers of that page. For a page that a step was missing and that is not worth its cost, or cannot be had.
    ///
    /// # Errors
    /// [`ErrorCode::PageMismatch`] if there is no such page; [`ErrorCode::InvalidState`] without an answer in the making.
    pub fn waive(&mut self, page: u32) -> Result<()> {
        self.check_page("waive", page)?;
        if self.generation.is_none() {
            return Err(Error::new(ErrorCode::InvalidState, "waive", "no answer was started", "start first"));
        }
        self.waive_page(page);
        Ok(())
    }

    pub(super) fn waive_page(&mut self, page: u32) {
        for (device, pool) in self.devices.iter_mut().zip(&mut self.pools) {
            pool.waive(device, page);
        }
    }

    /// Pages that steps did without since this was last asked, each the first time only.
    pub fn take_skipped(&mut self) -> Vec<u32> {
        let generation = self.generation.as_mut();
        generation.map(|generation| std::mem::take(&mut generation.wishes.skipped)).unwrap_or_default()
    }

    /// Drops all resident pages.
    pub fn evict_all(&mut self) {
        for (device, pool) in self.devices.iter_mut().zip(&mut self.pools) {
            pool.clear(device);
        }
    }

    fn check_page(&self, place: &str, page: u32) -> Result<()> {
        self.page(page).map(|_| ()).ok_or_else(|| {
            let problem = format!("there is no page {page}");
            let expected = format!("one of the {} pages of the loaded experts", self.page_count());
            Error::new(ErrorCode::PageMismatch, place, problem, expected)
        })
    }

    /// Notes what a run wanted, and returns the pages that its last step wanted and that are absent. `control` is what
    /// the run left.
    pub(super) fn harvest(
        &mut self,
        part: Part,
        routes: &Routes,
        wishes: &mut Wishes,
        work: &mut Work,
        flags: &[u32],
        control: Control,
    ) -> Result<Vec<u32>> {
        let last_wanted = &flags[1 + routes.flags.experts..];
        let index = self.devices.index(part);
        for (page, last) in (0..).zip(last_wanted) {
            if *last > control.first && wishes.note(page, self.pools[index].does_without(page), work) {
                work.bytes_wanted += self.page(page).map_or(0, |(_, page)| page.byte_len());
            }
        }
        let missed = flags[0] != 0;
        // Where nothing was missed, all that the run wanted was resident at once; it only tells the pool what is in use.
        let since = if missed { control.position } else { control.first };
        let wanted = last_wanted.iter().enumerate();
        let wanted: Vec<u32> =
            wanted.filter(|(_, last)| **last > since).map(|(page, _)| page as u32).collect();
        self.pools[index].touch(&wanted)
    }
}
