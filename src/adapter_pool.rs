//! Which adapter pages are in the device's memory, and which make room for others.

use bytemuck::NoUninit;

use crate::device::Device;
use crate::error::{Error, ErrorCode, Result};
use crate::experts::FactorLayout;
use crate::kernels::{ABSENT, WAIVED};
use crate::tensor::{BufferId, DType, Tensor};

/// One buffer: a table that says where each page begins, then slots of equal size, each for one page.
pub struct AdapterPool {
    /// (1, pages + slots × slot_words) of `u32`, as the kernels see it: its type says how factors lie in it.
    pub tensor: Tensor,
    layout: FactorLayout,
    slot_words: usize,
    /// By slot, the page in it.
    slots: Vec<Option<u32>>,
    /// By page, its slot.
    slot_of: Vec<Option<u32>>,
    /// By page, the last pass that wanted it.
    last_wanted: Vec<u64>,
    /// By page, whether the answer goes on without it while it is absent.
    waived: Vec<bool>,
    pass: u64,
}

impl AdapterPool {
    /// A pool for no pages.
    pub fn empty(device: &mut Device) -> AdapterPool {
        AdapterPool::new(device, FactorLayout::Floats, &[], 0)
    }

    /// A pool for pages of the given sizes in words of 32 bits, within a budget of bytes. A budget too small for any page
    /// still gives one slot.
    pub fn new(
        device: &mut Device,
        layout: FactorLayout,
        page_words: &[usize],
        budget_bytes: usize,
    ) -> AdapterPool {
        let slot_words = page_words.iter().copied().max().unwrap_or(0).max(1);
        let slot_bytes = slot_words * DType::F32.bytes();
        let pages = page_words.len();
        // Places in the pool are 32-bit, and their last value means absent.
        let addressable = (ABSENT as usize).min(device.largest_buffer() / DType::F32.bytes());
        let most = addressable.saturating_sub(pages + 1) / slot_words;
        let slot_count = (budget_bytes / slot_bytes).clamp(1, pages.max(1)).min(most.max(1));
        let tensor = device.alloc(1, pages + slot_count * slot_words, layout.dtype());
        device.write(&Tensor { cols: pages, ..tensor }, &vec![ABSENT; pages]);
        AdapterPool {
            tensor,
            layout,
            slot_words,
            slots: vec![None; slot_count],
            slot_of: vec![None; pages],
            last_wanted: vec![0; pages],
            waived: vec![false; pages],
            pass: 0,
        }
    }

    /// How factors lie in it.
    pub fn layout(&self) -> FactorLayout {
        self.layout
    }

    /// Whether a page is resident.
    pub fn contains(&self, page: u32) -> bool {
        self.slot_of[page as usize].is_some()
    }

    /// Lets passes go on without a page as long as it is absent: its expert then adds nothing on its layers.
    pub fn waive(&mut self, device: &mut Device, page: u32) {
        self.waived[page as usize] = true;
        self.tell_absence(device, page);
    }

    /// Waits for every page again.
    pub fn waive_none(&mut self, device: &mut Device) {
        for page in 0..self.waived.len() {
            if std::mem::take(&mut self.waived[page]) {
                self.tell_absence(device, page as u32);
            }
        }
    }

    /// Whether passes go on without this page: it is absent and waived.
    pub fn does_without(&self, page: u32) -> bool {
        self.waived[page as usize] && !self.contains(page)
    }

    /// Notes what a pass wanted and returns the pages of it that are absent and not waived. Until the next call, none of
    /// the wanted pages makes room for another.
    ///
    /// # Errors
    /// [`ErrorCode::PoolTooSmall`] if the pass wants more pages than there are slots: it could never succeed.
    pub fn touch(&mut self, wanted: &[u32]) -> Result<Vec<u32>> {
        let needed = wanted.iter().filter(|page| !self.does_without(**page)).count();
        if needed > self.slots.len() {
            let slot_bytes = self.slot_words * DType::F32.bytes();
            return Err(Error::new(
                ErrorCode::PoolTooSmall,
                "adapter pool",
                format!("one step wants {needed} pages, {} fit", self.slots.len()),
                format!("a pool of at least {} bytes", needed * slot_bytes),
            ));
        }
        self.pass += 1;
        for page in wanted {
            self.last_wanted[*page as usize] = self.pass;
        }
        let is_missing = |page: &u32| !self.contains(*page) && !self.does_without(*page);
        Ok(wanted.iter().copied().filter(is_missing).collect())
    }

    /// Puts the words of a page into a free slot, or in the place of the page that was wanted longest ago.
    pub fn insert<T: NoUninit>(&mut self, device: &mut Device, page: u32, words: &[T]) {
        if self.contains(page) {
            return;
        }
        let slot = match self.slots.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                let age = |slot: &usize| self.slots[*slot].map_or(0, |page| self.last_wanted[page as usize]);
                let oldest = (0..self.slots.len()).min_by_key(age).expect("a pool has at least one slot");
                // A page nobody asked for never takes the place of one that the running step wants.
                let running = |page: u32| self.last_wanted[page as usize] == self.pass && self.pass > 0;
                if self.slots[oldest].is_some_and(running) && !running(page) {
                    return;
                }
                self.evict(device, oldest);
                oldest
            }
        };
        let start = self.slot_of.len() + slot * self.slot_words;
        device.write(&self.words(start, words.len()), words);
        self.slots[slot] = Some(page);
        self.slot_of[page as usize] = Some(slot as u32);
        device.write(&self.words(page as usize, 1), &[start as u32]);
    }

    /// Drops every resident page.
    pub fn clear(&mut self, device: &mut Device) {
        for slot in 0..self.slots.len() {
            self.evict(device, slot);
        }
    }

    /// The device memory that the pool occupies.
    pub fn buffer(&self) -> BufferId {
        self.tensor.buffer
    }

    fn evict(&mut self, device: &mut Device, slot: usize) {
        if let Some(page) = self.slots[slot].take() {
            self.slot_of[page as usize] = None;
            self.tell_absence(device, page);
        }
    }

    /// Writes into the table what the absence of a page means, if it is absent.
    fn tell_absence(&self, device: &mut Device, page: u32) {
        if !self.contains(page) {
            let word = if self.waived[page as usize] { WAIVED } else { ABSENT };
            device.write(&self.words(page as usize, 1), &[word]);
        }
    }

    fn words(&self, first: usize, count: usize) -> Tensor {
        Tensor { offset: self.tensor.offset + first * DType::U32.bytes(), cols: count, ..self.tensor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::now;

    const PAGE_BYTES: usize = 3 * 4;

    fn words(device: &mut Device, pool: &AdapterPool) -> Vec<u32> {
        now(device.read_words(&[pool.tensor])).unwrap().remove(0)
    }

    #[test]
    fn the_page_wanted_longest_ago_makes_room() {
        let mut device = Device::cpu();
        let mut pool = AdapterPool::new(&mut device, FactorLayout::Floats, &[3, 2, 3], 2 * PAGE_BYTES);
        assert_eq!(pool.touch(&[0]).unwrap(), [0]);
        pool.insert(&mut device, 0, &[1.0f32; 3]);
        assert_eq!(pool.touch(&[1]).unwrap(), [1]);
        pool.insert(&mut device, 1, &[2.0f32; 2]);
        assert!(pool.touch(&[0]).unwrap().is_empty());
        assert_eq!(pool.touch(&[2]).unwrap(), [2]);
        pool.insert(&mut device, 2, &[3.0f32; 3]);
        let [one, three] = [1.0f32, 3.0].map(f32::to_bits);
        let expected = [3, ABSENT, 6, one, one, one, three, three, three];
        assert_eq!(words(&mut device, &pool), expected);
    }

    #[test]
    fn a_page_that_the_running_step_wants_stays() {
        let mut device = Device::cpu();
        let mut pool = AdapterPool::new(&mut device, FactorLayout::Floats, &[3, 3], PAGE_BYTES);
        pool.touch(&[1]).unwrap();
        pool.insert(&mut device, 1, &[1.0f32; 3]);
        pool.insert(&mut device, 0, &[2.0f32; 3]);
        assert!(pool.contains(1) && !pool.contains(0));
    }

    #[test]
    fn nobody_waits_for_a_waived_page_until_it_is_there() {
        let mut device = Device::cpu();
        let mut pool = AdapterPool::new(&mut device, FactorLayout::Floats, &[1, 1, 1], 4);
        pool.waive(&mut device, 1);
        pool.waive(&mut device, 2);
        assert_eq!(pool.touch(&[0, 1, 2]).unwrap(), [0], "one slot is enough for what is waited for");
        assert_eq!(words(&mut device, &pool)[..3], [ABSENT, WAIVED, WAIVED]);
        pool.insert(&mut device, 1, &[1.0f32]);
        assert!(pool.contains(1) && !pool.does_without(1) && pool.does_without(2));
        pool.touch(&[2]).unwrap();
        pool.insert(&mut device, 2, &[2.0f32]);
        assert_eq!(words(&mut device, &pool)[..3], [ABSENT, WAIVED, 3]);
        pool.waive_none(&mut device);
        assert_eq!(words(&mut device, &pool)[..3], [ABSENT, ABSENT, 3]);
    }

    #[test]
    fn a_step_that_can_never_fit_is_an_error_at_once() {
        let mut device = Device::cpu();
        let mut pool = AdapterPool::new(&mut device, FactorLayout::Floats, &[3, 3], PAGE_BYTES);
        assert_eq!(pool.touch(&[0, 1]).unwrap_err().code, ErrorCode::PoolTooSmall);
    }
}
