//! Which adapter pages are in the device's memory, and which make room for others.

use bytemuck::NoUninit;

use crate::device::Device;
use crate::error::{Error, ErrorCode, Result};
use crate::experts::FactorLayout;
use crate::kernels::{ABSENT, WAIVED};
use crate::tensor::{DType, Tensor};

/// A page, as a pool sees it.
#[derive(Debug, Clone, Copy)]
pub struct PageSize {
    /// Words of 32 bits.
    pub words: usize,
    /// Index of its block among those of its stack, and how many these are.
    pub block: [usize; 2],
}

/// Slots for pages: in one buffer, or, where a device's buffers are too small for the budget, in several, each for some blocks. All
/// layers that are computed together have their pages in one of them, so that a kernel binds one.
pub struct AdapterPool {
    layout: FactorLayout,
    buffers: Vec<Slots>,
    /// By page, which of the buffers is its own.
    buffer_of: Vec<usize>,
}

/// Which of some groups a block belongs to: neighbours together, no group without blocks.
pub fn group_of_block([block, blocks]: [usize; 2], groups: usize) -> usize {
    block * groups.min(blocks) / blocks.max(1)
}

impl AdapterPool {
    /// A pool for no pages.
    pub fn empty(device: &mut Device) -> AdapterPool {
        AdapterPool::new(device, FactorLayout::Floats, &[], 0)
    }

    /// A pool for pages within a budget of bytes. A budget too small for any page still gives one slot.
    pub fn new(
        device: &mut Device,
        layout: FactorLayout,
        sizes: &[PageSize],
        budget_bytes: usize,
    ) -> AdapterPool {
        let slot_words = sizes.iter().map(|size| size.words).max().unwrap_or(0).max(1);
        let slot_bytes = slot_words * DType::F32.bytes();
        let pages = sizes.len();
        let slots = (budget_bytes / slot_bytes).clamp(1, pages.max(1));
        // Places in a buffer are 32-bit, and their last value means absent.
        let addressable = (ABSENT as usize).min(device.largest_buffer() / DType::F32.bytes());
        let most = (addressable.saturating_sub(pages + 1) / slot_words).max(1);
        let most_groups = sizes.iter().map(|size| size.block[1]).max().unwrap_or(1).max(1);
        let own = |groups: usize| {
            let mut own = vec![0; groups];
            sizes.iter().for_each(|size| own[group_of_block(size.block, groups)] += 1);
            own
        };
        // A group's share of the slots is as large as its share of the pages.
        let share = |own: usize| (slots * own / pages.max(1)).max(1);
        let groups = (1..most_groups).find(|groups| own(*groups).into_iter().all(|own| share(own) <= most));
        let groups = groups.unwrap_or(most_groups);
        let buffers = own(groups).into_iter().map(|own| {
            let slots = share(own).min(most);
            Slots::new(device, layout, [pages, own], slot_words, slots)
        });
        let buffers = buffers.collect();
        let buffer_of = sizes.iter().map(|size| group_of_block(size.block, groups)).collect();
        AdapterPool { layout, buffers, buffer_of }
    }

    /// How factors lie in it.
    pub fn layout(&self) -> FactorLayout {
        self.layout
    }

    /// In how many groups of blocks pages lie: the buffers.
    pub fn groups(&self) -> usize {
        self.buffers.len()
    }

    /// Where a page is, as kernels see it: (1, pages + slots × words of a slot) of `u32`, whose type says how factors lie in it.
    pub fn tensor_of(&self, page: u32) -> Tensor {
        self.slots_of(page).tensor
    }

    /// Whether a page is resident.
    pub fn contains(&self, page: u32) -> bool {
        self.slots_of(page).contains(page)
    }

    /// Lets passes go on without a page as long as it is absent: its expert then adds nothing on its layers.
    pub fn waive(&mut self, device: &mut Device, page: u32) {
        self.buffers[self.buffer_of[page as usize]].waive(device, page);
    }

    /// Waits for every page again.
    pub fn waive_none(&mut self, device: &mut Device) {
        self.buffers.iter_mut().for_each(|slots| slots.waive_none(device));
    }

    /// Whether passes go on without this page: it is absent and waived.
    pub fn does_without(&self, page: u32) -> bool {
        self.slots_of(page).does_without(page)
    }

    /// Notes what a pass wanted and returns the pages of it that are absent and not waived. Until the next call, none of
    /// the wanted pages makes room for another.
    ///
    /// # Errors
    /// [`ErrorCode::PoolTooSmall`] if the pass wants more pages than there are slots: it could never succeed.
    pub fn touch(&mut self, wanted: &[u32]) -> Result<Vec<u32>> {
        let mut groups = vec![Vec::new(); self.buffers.len()];
        wanted.iter().for_each(|page| groups[self.buffer_of[*page as usize]].push(*page));
        for (slots, wanted) in self.buffers.iter().zip(&groups) {
            let (needed, fit) = (slots.needed(wanted), slots.slots.len());
            if needed > fit {
                let among = match self.buffers.len() {
                    1 => String::new(),
                    buffers => format!(" of blocks that share one of {buffers} buffers"),
                };
                let bytes = (needed * self.buffer_of.len()).div_ceil(slots.own_pages)
                    * slots.slot_words
                    * DType::F32.bytes();
                return Err(Error::new(
                    ErrorCode::PoolTooSmall,
                    "adapter pool",
                    format!("one step wants {needed} pages{among}, {fit} fit"),
                    format!("a pool of at least {bytes} bytes"),
                ));
            }
        }
        let mut missing: Vec<u32> =
            self.buffers.iter_mut().zip(&groups).flat_map(|(slots, wanted)| slots.touch(wanted)).collect();
        missing.sort_unstable();
        Ok(missing)
    }

    /// Puts the words of a page into a free slot, or in the place of the page that was wanted longest ago.
    pub fn insert<T: NoUninit>(&mut self, device: &mut Device, page: u32, words: &[T]) {
        self.buffers[self.buffer_of[page as usize]].insert(device, page, words);
    }

    /// Drops every resident page.
    pub fn clear(&mut self, device: &mut Device) {
        self.buffers.iter_mut().for_each(|slots| slots.clear(device));
    }

    /// Gives the device memory back that the pool occupies.
    pub fn free(&self, device: &mut Device) {
        self.buffers.iter().for_each(|slots| device.free(slots.tensor.buffer));
    }

    fn slots_of(&self, page: u32) -> &Slots {
        &self.buffers[self.buffer_of[page as usize]]
    }
}

/// One buffer: a table that says where each page begins, then slots of equal size, each for one page.
struct Slots {
    /// (1, pages + slots × slot_words) of `u32`, as the kernels see it: its type says how factors lie in it.
    tensor: Tensor,
    /// How many pages belong here.
    own_pages: usize,
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

impl Slots {
    /// For `[all pages, those of its own]`.
    fn new(
        device: &mut Device,
        layout: FactorLayout,
        [pages, own_pages]: [usize; 2],
        slot_words: usize,
        slots: usize,
    ) -> Slots {
        let tensor = device.alloc(1, pages + slots * slot_words, layout.dtype());
        device.write(&Tensor { cols: pages, ..tensor }, &vec![ABSENT; pages]);
        Slots {
            tensor,
            own_pages,
            slot_words,
            slots: vec![None; slots],
            slot_of: vec![None; pages],
            last_wanted: vec![0; pages],
            waived: vec![false; pages],
            pass: 0,
        }
    }

    /// Whether a page is resident.
    fn contains(&self, page: u32) -> bool {
        self.slot_of[page as usize].is_some()
    }

    /// Lets passes go on without a page as long as it is absent: its expert then adds nothing on its layers.
    fn waive(&mut self, device: &mut Device, page: u32) {
        self.waived[page as usize] = true;
        self.tell_absence(device, page);
    }

    /// Waits for every page again.
    fn waive_none(&mut self, device: &mut Device) {
        for page in 0..self.waived.len() {
            if std::mem::take(&mut self.waived[page]) {
                self.tell_absence(device, page as u32);
            }
        }
    }

    /// Whether passes go on without this page: it is absent and waived.
    fn does_without(&self, page: u32) -> bool {
        self.waived[page as usize] && !self.contains(page)
    }

    /// How many pages of a pass must be resident for it.
    fn needed(&self, wanted: &[u32]) -> usize {
        wanted.iter().filter(|page| !self.does_without(**page)).count()
    }

    /// Notes what a pass wanted, of the pages that belong here, and returns those that are absent and not waived.
    fn touch(&mut self, wanted: &[u32]) -> Vec<u32> {
        self.pass += 1;
        for page in wanted {
            self.last_wanted[*page as usize] = self.pass;
        }
        let is_missing = |page: &u32| !self.contains(*page) && !self.does_without(*page);
        wanted.iter().copied().filter(is_missing).collect()
    }

    /// Puts the words of a page into a free slot, or in the place of the page that was wanted longest ago.
    fn insert<T: NoUninit>(&mut self, device: &mut Device, page: u32, words: &[T]) {
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
    fn clear(&mut self, device: &mut Device) {
        for slot in 0..self.slots.len() {
            self.evict(device, slot);
        }
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

    fn of_one_block<const PAGES: usize>(words: [usize; PAGES]) -> [PageSize; PAGES] {
        words.map(|words| PageSize { words, block: [0, 1] })
    }

    fn words(device: &mut Device, pool: &AdapterPool) -> Vec<u32> {
        now(device.read_words(&[pool.tensor_of(0)])).unwrap().remove(0)
    }

    #[test]
    fn the_page_wanted_longest_ago_makes_room() {
        let mut device = Device::cpu();
        let mut pool =
            AdapterPool::new(&mut device, FactorLayout::Floats, &of_one_block([3, 2, 3]), 2 * PAGE_BYTES);
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
        let mut pool = AdapterPool::new(&mut device, FactorLayout::Floats, &of_one_block([3, 3]), PAGE_BYTES);
        pool.touch(&[1]).unwrap();
        pool.insert(&mut device, 1, &[1.0f32; 3]);
        pool.insert(&mut device, 0, &[2.0f32; 3]);
        assert!(pool.contains(1) && !pool.contains(0));
    }

    #[test]
    fn nobody_waits_for_a_waived_page_until_it_is_there() {
        let mut device = Device::cpu();
        let mut pool = AdapterPool::new(&mut device, FactorLayout::Floats, &of_one_block([1, 1, 1]), 4);
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
        let mut pool = AdapterPool::new(&mut device, FactorLayout::Floats, &of_one_block([3, 3]), PAGE_BYTES);
        assert_eq!(pool.touch(&[0, 1]).unwrap_err().code, ErrorCode::PoolTooSmall);
    }

    #[test]
    fn neighbouring_blocks_share_a_group_and_none_is_empty() {
        let groups = |blocks, groups| -> Vec<usize> {
            (0..blocks).map(|block| group_of_block([block, blocks], groups)).collect()
        };
        assert_eq!(groups(8, 3), [0, 0, 0, 1, 1, 1, 2, 2]);
        assert_eq!(groups(2, 5), [0, 1]);
        assert_eq!(groups(3, 1), [0, 0, 0]);
    }
}
