//! Experts for the benchmark: as many gates as asked for, of which eight experts' win.
//!
//! The LoRA factors of 512 experts of rank 16 are five gigabytes, and a buffer of many adapters ends at 128 MiB. What a token
//! costs depends on how many gates are scored and how many experts serve it, not on which. So all gates are resident, and
//! the eight experts that can win are; the others have gates so small that layer norm's epsilon keeps their scores near
//! zero, and the eight come in pairs of opposite gates, so that four of them always score above it.

use gander::config::Config;
use gander::experts::Expert;
use gander::synthetic;

pub const RANK: usize = 16;
/// Experts that win.
const WINNERS: usize = 8;
/// Of gates that lose.
const SMALL: f32 = 1e-5;

pub struct Ocean {
    pub experts: Vec<Expert>,
    /// By page of the winners.
    pages: Vec<Vec<u8>>,
}

impl Ocean {
    /// The winners' pages, all in slots of the largest.
    pub const POOL_BYTES: usize = 112 << 20;

    pub fn new(config: &Config, count: usize) -> Ocean {
        let (mut experts, mut pages) = (Vec::<Expert>::new(), Vec::new());
        for index in 0..count {
            let name = format!("expert {index}");
            if index < WINNERS {
                let (mut expert, bytes) = synthetic::expert(config, &name, RANK, 100 + index as u64);
                if index % 2 == 1 {
                    for (module, gate) in &mut expert.gates {
                        let opposite = experts[index - 1].gates[module].iter().map(|value| -value);
                        *gate = opposite.collect();
                    }
                }
                experts.push(expert);
                pages.extend(bytes);
            } else {
                let winner = experts[index % WINNERS].clone();
                let mut expert = Expert { id: name.clone(), full_name: name, ..winner };
                let mut random = fastrand::Rng::with_seed(index as u64);
                for gate in expert.gates.values_mut().flatten() {
                    *gate = SMALL * (random.f32() - 0.5);
                }
                experts.push(expert);
            }
        }
        Ocean { experts, pages }
    }

    /// The bytes of a page. A page of an expert that loses is never asked for.
    pub fn bytes(&self, page: u32) -> &[u8] {
        &self.pages[page as usize]
    }
}

/// flan-t5-small.
pub fn config() -> Config {
    synthetic::config(512, 6, 1024, 8, 32128)
}
