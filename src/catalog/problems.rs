//! What a catalogue says of itself, held against itself: everything that is known before another file is read.
//!
//! So nothing is allocated, and nothing fetched, by a number that the catalogue's own shapes do not bear out.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::location::Location;
use super::{BaseReference, Catalog, ExpertRecord, FileReference, ModuleRecord, PageRecord};
use crate::error::{Error, ErrorCode, Result};
use crate::experts::block_of;
use crate::formats::layout;
use crate::formats::overlap::overlaps;
use crate::formats::peft::LARGEST_RANK;

/// Beyond it JavaScript's numbers are no longer whole.
const LARGEST_SIZE: u64 = (1 << 53) - 1;

/// What a safetensors header has for a tensor beside its name, and for itself, at most.
const HEADER_BYTES_PER_TENSOR: u64 = 256;
const HEADER_BYTES: u64 = 1 << 16;

impl Catalog {
    /// Everything that is wrong with the catalogue, whatever the files hold that it names.
    pub fn problems(&self) -> Vec<Error> {
        let mut problems = Vec::new();
        if self.name.is_empty() || self.name.chars().any(char::is_control) {
            problems.push(invalid(
                "name",
                format!("is {:?}", self.name),
                "a name of the catalogue, in one line",
            ));
        }
        problems.extend(self.base.problems());
        if self.router.top_k == 0 {
            problems.push(invalid("router.top_k", "is 0", "at least one expert for each token"));
        }
        problems.extend(self.gates.problems().into_iter().map(|error| error.inside("gates")));
        let most = self.most_gate_bytes();
        if self.gates.bytes > most {
            let expected = format!("at most {most}, what gates of all the experts' modules take");
            problems.push(invalid("gates", format!("{} bytes", self.gates.bytes), expected));
        }
        let mut ids = HashSet::new();
        let mut files = HashMap::new();
        for expert in &self.experts {
            let place = format!("expert {:?}", expert.id);
            if expert.id.is_empty() || expert.id.chars().any(|c| c == '/' || c.is_control()) {
                problems.push(invalid(&place, "malformed id", "an id that is not empty and has no slash"));
            }
            if !ids.insert(&expert.id) {
                problems.push(invalid(&place, "there are two experts of this id", "every id once"));
            }
            let FileReference { url, bytes, sha256 } = &expert.adapter;
            if *files.entry(url).or_insert((bytes, sha256)) != (bytes, sha256) {
                let problem = format!("another expert says otherwise of {url:?}");
                problems.push(invalid(&place, problem, "one size and hash of a file"));
            }
            problems.extend(expert.problems().into_iter().map(|error| error.inside(&place)));
        }
        problems
    }

    /// The size of a file with a 32-bit gate for every module of every expert.
    fn most_gate_bytes(&self) -> u64 {
        let gate = |expert: &ExpertRecord, module: &ModuleRecord| {
            // A byte of a name is written as \u0000 at worst.
            let name = 6 * (expert.id.len() + module.module.len()) as u64;
            module.gate_bytes().saturating_add(name + HEADER_BYTES_PER_TENSOR)
        };
        (self.experts.iter())
            .flat_map(|expert| expert.modules().map(move |module| gate(expert, module)))
            .fold(HEADER_BYTES, u64::saturating_add)
    }
}

impl BaseReference {
    fn problems(&self) -> Vec<Error> {
        let digits = self.fingerprint.strip_prefix("sha256:").and_then(sha256_of);
        let fingerprint = digits.is_none().then(|| {
            let problem = format!("is {:?}", self.fingerprint);
            invalid("base.fingerprint", problem, "sha256: and 64 hexadecimal digits")
        });
        let file = self.sha256.as_deref().and_then(hash_problem).map(|error| error.inside("base"));
        fingerprint.into_iter().chain(file).collect()
    }
}

impl FileReference {
    pub(super) fn problems(&self) -> Vec<Error> {
        let size = (self.bytes == 0 || self.bytes > LARGEST_SIZE)
            .then(|| invalid("bytes", format!("is {}", self.bytes), format!("1 to {LARGEST_SIZE}")));
        Location::of(&self.url).err().into_iter().chain(size).chain(hash_problem(&self.sha256)).collect()
    }
}

impl ExpertRecord {
    /// Everything in which the expert contradicts itself.
    pub fn problems(&self) -> Vec<Error> {
        let mut problems: Vec<Error> =
            self.adapter.problems().into_iter().map(|error| error.inside("adapter")).collect();
        if self.pages.is_empty() {
            problems.push(invalid("pages", "there is none", "at least one page"));
        }
        let mut modules = HashSet::new();
        for page in &self.pages {
            let twice = page.modules.iter().filter(|module| !modules.insert(&module.module)).map(|module| {
                invalid(format!("{:?}", module.module), "it is there twice", "every module once")
            });
            let found = twice.chain(page.problems(&self.adapter));
            problems.extend(found.map(|error| error.inside(format!("page {:?}", page.block))));
        }
        let ranges = self.pages.iter().map(|page| {
            (page.offset..page.offset.saturating_add(page.bytes), format!("page {:?}", page.block))
        });
        problems.extend(shared_bytes(ranges.collect()));
        problems
    }

    /// The modules of all pages.
    pub fn modules(&self) -> impl Iterator<Item = &ModuleRecord> {
        self.pages.iter().flat_map(|page| &page.modules)
    }
}

impl PageRecord {
    fn problems(&self, adapter: &FileReference) -> Vec<Error> {
        let mut problems = Vec::new();
        if self.bytes == 0 || self.offset.checked_add(self.bytes).is_none_or(|end| end > adapter.bytes) {
            let problem = format!("{} bytes from {}", self.bytes, self.offset);
            let expected = format!("a range within the file's {} bytes", adapter.bytes);
            problems.push(invalid("range", problem, expected));
        }
        problems.extend(hash_problem(&self.sha256));
        if self.modules.is_empty() {
            problems.push(invalid("modules", "there is none", "at least one module"));
        }
        let mut ranges = Vec::new();
        // An adapter file may hold its gates too, each behind its module's factors.
        let mut most = 0u64;
        for module in &self.modules {
            let place = format!("{:?}", module.module);
            let found = module.problems(&self.block, self.bytes);
            problems.extend(found.into_iter().map(|error| error.inside(&place)));
            for (part, factor) in [("A", &module.a), ("B", &module.b)] {
                let bytes = factor.bytes().unwrap_or(0);
                most = most.saturating_add(bytes);
                let start = factor.offset as u64;
                ranges.push((start..start.saturating_add(bytes), format!("{part} of {place}")));
            }
            most = most.saturating_add(module.gate_bytes());
        }
        problems.extend(shared_bytes(ranges));
        if self.bytes > most {
            let expected = format!("at most {most}, what its factors and their gates take");
            problems.push(invalid("bytes", format!("is {}", self.bytes), expected));
        }
        problems
    }
}

impl ModuleRecord {
    fn problems(&self, block: &str, page_bytes: u64) -> Vec<Error> {
        let mut problems = Vec::new();
        if !layout::is_linear(&self.module) || block_of(&self.module) != block {
            let expected = format!("the name of a linear layer in {block:?}");
            problems.push(invalid("module", "it is none of this page's layers", expected));
        }
        if !self.scale.is_finite() {
            let problem = format!("is {}", self.scale);
            problems.push(Error::new(ErrorCode::NotFinite, "scale", problem, "a finite number"));
        }
        for (part, factor) in [("a", &self.a), ("b", &self.b)] {
            problems.extend(factor.dtype().err().map(|error| error.inside(part)));
            let [rows, cols] = factor.shape;
            let end = factor.bytes().and_then(|bytes| bytes.checked_add(factor.offset as u64));
            if rows == 0 || cols == 0 || end.is_none_or(|end| end > page_bytes) {
                let problem = format!("{rows} × {cols} values at byte {}", factor.offset);
                problems.push(invalid(part, problem, format!("values within the page's {page_bytes} bytes")));
            }
        }
        let (a, b) = (self.a.shape[0], self.b.shape[1]);
        if a != b || a as u64 > LARGEST_RANK {
            let expected = format!("A (rank, d_in) and B (d_out, rank) of one rank up to {LARGEST_RANK}");
            problems.push(invalid("shape", format!("ranks {a} and {b}"), expected));
        }
        problems
    }

    /// The size of the module's gate in 32-bit floats.
    fn gate_bytes(&self) -> u64 {
        4u64.saturating_mul(self.a.shape[1] as u64)
    }
}

fn hash_problem(sha256: &str) -> Option<Error> {
    let problem = || invalid("sha256", format!("is {sha256:?}"), "64 hexadecimal digits");
    sha256_of(sha256).is_none().then(problem)
}

/// Pairs of neighbours that share bytes.
fn shared_bytes(ranges: Vec<(Range<u64>, String)>) -> Vec<Error> {
    let (ranges, names): (Vec<_>, Vec<_>) = ranges.into_iter().unzip();
    let pairs = overlaps(ranges.into_iter().zip(0..).collect()).into_iter();
    pairs
        .map(|[(first, one), (second, other)]| {
            let problem = format!("bytes {first:?}, and {} has {second:?}", names[other]);
            invalid(&names[one], problem, "ranges that do not overlap")
        })
        .collect()
}

/// The hash that 64 hexadecimal digits write.
pub fn sha256_of(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

pub fn invalid(place: impl Into<String>, problem: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidFile, place, problem, expected)
}

/// The first problem, as an error.
pub fn first(problems: Vec<Error>) -> Result<()> {
    problems.into_iter().next().map_or(Ok(()), Err)
}
