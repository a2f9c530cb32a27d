//! Which adapter pages are in the device's memory, and which make room for others.

use crate::device::Device;
use crate::error::{Error, ErrorCode, Result};
use crate::kernels::ABSENT;
use crate::tensor::{BufferId, DType, Tensor};

/// One buffer: a table that says where each page begins, then slots of equal size, each for one page.
pub struct AdapterPool {
    /// (1, pages + slots × slot_floats) of `u32`, as the kernels see it.
    pub tensor: Tensor,
    slot_floats: usize,
    /// By slot, the page in it.
    slots: Vec<Option<u32>>,
    /// By page, its slot.
    slot_of: Vec<Option<u32>>,
    /// By page, the last pass that wanted it.
    last_wanted: Vec<u64>,
    pass: u64,
}

impl AdapterPool {
    /// A pool for pages of the given sizes in floats, within a budget of bytes. A budget too small for any page still
    /// gives one slot.
    pub fn new(device: &mut Device, page_floats: &[usize], budget_bytes: usize) -> AdapterPool {
        let slot_floats = page_floats.iter().copied().max().unwrap_or(0).max(1);
        let slot_bytes = slot_floats * DType::F32.bytes();
        let pages = page_floats.len();
        // Places in the pool are 32-bit, and their last value means absent.
        let addressable = (ABSENT as usize).min(device.largest_buffer() / DType::F32.bytes());
        let most = addressable.saturating_sub(pages + 1) / slot_floats;
        let slot_count = (budget_bytes / slot_bytes).clamp(1, pages.max(1)).min(most.max(1));
        let tensor = device.alloc(1, pages + slot_count * slot_floats, DType::U32);
        device.write(&Tensor { cols: pages, ..tensor }, &vec![ABSENT; pages]);
        AdapterPool {
            tensor,
            slot_floats,
            slots: vec![None; slot_count],
            slot_of: vec![None; pages],
            last_wanted: vec![0; pages],
            pass: 0,
        }
    }

    /// Whether a page is resident.
    pub fn contains(&self, page: u32) -> bool {
        self.slot_of[page as usize].is_some()
    }

    /// Notes what a pass wanted and returns the pages of it that are absent. Until the next call, none of the wanted
    /// pages makes room for another.
    ///
    /// # Errors
    /// [`ErrorCode::PoolTooSmall`] if the pass wants more pages than there are slots: it could never succeed.
    pub fn touch(&mut self, wanted: &[u32]) -> Result<Vec<u32>> {
        if wanted.len() > self.slots.len() {
            let slot_bytes = self.slot_floats * DType::F32.bytes();
            return Err(Error::new(
                ErrorCode::PoolTooSmall,
                "adapter pool",
                format!("one step wants {} pages, {} fit", wanted.len(), self.slots.len()),
                format!("a pool of at least {} bytes", wanted.len() * slot_bytes),
            ));
        }
        self.pass += 1;
        for page in wanted {
            self.last_wanted[*page as usize] = self.pass;
        }
        Ok(wanted.iter().copied().filter(|page| !self.contains(*page)).collect())
    }

    /// Puts a decoded page into a free slot, or in the place of the page that was wanted longest ago.
    pub fn insert(&mut self, device: &mut Device, page: u32, floats: &[f32]) {
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
        let start = self.slot_of.len() + slot * self.slot_floats;
        device.write(&self.words(start, floats.len()), floats);
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
            device.write(&self.words(page as usize, 1), &[ABSENT]);
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
        let mut pool = AdapterPool::new(&mut device, &[3, 2, 3], 2 * PAGE_BYTES);
        assert_eq!(pool.touch(&[0]).unwrap(), [0]);
        pool.insert(&mut device, 0, &[1.0; 3]);
        assert_eq!(pool.touch(&[1]).unwrap(), [1]);
        pool.insert(&mut device, 1, &[2.0; 2]);
        assert!(pool.touch(&[0]).unwrap().is_empty());
        assert_eq!(pool.touch(&[2]).unwrap(), [2]);
        pool.insert(&mut device, 2, &[3.0; 3]);
        let [one, three] = [1.0f32, 3.0].map(f32::to_bits);
        let expected = [3, ABSENT, 6, one, one, one, three, three, three];
        assert_eq!(words(&mut device, &pool), expected);
    }

    #[test]
    fn a_page_that_the_running_step_wants_stays() {
        let mut device = Device::cpu();
        let mut pool = AdapterPool::new(&mut device, &[3, 3], PAGE_BYTES);
        pool.touch(&[1]).unwrap();
        pool.insert(&mut device, 1, &[1.0; 3]);
        pool.insert(&mut device, 0, &[2.0; 3]);
        assert!(pool.contains(1) && !pool.contains(0));
    }

    #[test]
    fn a_step_that_can_never_fit_is_an_error_at_once() {
        let mut device = Device::cpu();
        let mut pool = AdapterPool::new(&mut device, &[3, 3], PAGE_BYTES);
        assert_eq!(pool.touch(&[0, 1]).unwrap_err().code, ErrorCode::PoolTooSmall);
    }
}
