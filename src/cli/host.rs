//! What fetches for a session here: the file system.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Instant;

use gander::base::Base;
use gander::catalog::location::Location;
use gander::catalog::{Catalog, FileReference};
use gander::device_choice::{self, ChosenDevices, DeviceChoice};
use gander::experts::Expert;
use gander::formats::open::{read, unreadable};
use gander::formats::peft::{self, Adapter};
use gander::session::{Session, Step, Strategy, now};
use gander::{Error, ErrorCode, Result};

/// What a catalogue's own file is called.
pub const CATALOG: &str = "catalog.json";

/// A session over a base on disk and experts on disk (catalogues and PEFT folders, in this order), with the vectors that
/// `strategies` need, and why it is on the device that it is on.
pub fn open(
    choice: DeviceChoice,
    threads: usize,
    base: &Path,
    experts: &[impl AsRef<Path>],
    strategies: &[Strategy],
) -> Result<(Session, String)> {
    let base = Base::open(base)?;
    let start = Instant::now();
    let clock = || start.elapsed().as_secs_f64() * 1e3;
    let ChosenDevices { devices, mut reason } = now(device_choice::open(choice, threads, Ok(()), clock))?;
    let mut session = Session::on(devices, base)?;
    now(device_choice::settle(&mut session, choice, threads, &mut reason))?;
    for path in experts {
        let path = path.as_ref();
        let added = match path.is_dir() && !path.join(CATALOG).exists() {
            true => open_adapter(path).and_then(|expert| session.add_experts(vec![expert])),
            false => add_catalog(&mut session, path, strategies),
        };
        added.map_err(|error| error.inside(path.display()))?;
    }
    now(device_choice::settle(&mut session, choice, threads, &mut reason))?;
    Ok((session, reason))
}

/// Goes on by one token or to the end, reading the pages that are missing.
pub fn step(session: &mut Session) -> Result<Step> {
    loop {
        match session.step()? {
            Step::Missing(pages) => provide(session, &pages)?,
            step => {
                // What the step did without comes behind it.
                let skipped = session.take_skipped();
                provide(session, &skipped)?;
                return Ok(step);
            }
        }
    }
}

/// Reads pages from their files.
pub fn provide(session: &mut Session, pages: &[u32]) -> Result<()> {
    for page in pages {
        let bytes = read_page(session, *page)?;
        session.provide(*page, &bytes)?;
    }
    Ok(())
}

/// An expert from a PEFT folder, named after it.
fn open_adapter(folder: &Path) -> Result<Expert> {
    let file = folder.join(peft::WEIGHTS);
    let adapter = AdapterFiles::read(folder)?.adapter()?;
    if adapter.gates.is_empty() {
        eprintln!("gander: {}: no trained gate, so this expert is never chosen", folder.display());
    }
    Ok(Expert::from_adapter(&expert_id(folder), &file.display().to_string(), adapter))
}

/// An expert's id: the name of its folder as it was given, not of what a link leads to.
pub fn expert_id(folder: &Path) -> String {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The files of a PEFT folder.
pub struct AdapterFiles {
    /// `adapter_config.json`
    pub config: Vec<u8>,
    /// `adapter_model.safetensors`
    pub weights: Vec<u8>,
    /// `gates.safetensors`, where there is one.
    pub gates: Option<Vec<u8>>,
}

impl AdapterFiles {
    /// Reads a folder.
    pub fn read(folder: &Path) -> Result<AdapterFiles> {
        let gates = folder.join(peft::GATES);
        Ok(AdapterFiles {
            config: read(&folder.join(peft::CONFIG))?,
            weights: read(&folder.join(peft::WEIGHTS))?,
            gates: gates.exists().then(|| read(&gates)).transpose()?,
        })
    }

    /// What they say.
    pub fn adapter(&self) -> Result<Adapter> {
        Adapter::from_files(&self.config, &self.weights, self.gates.as_deref())
    }
}

/// The path of a catalogue's file, given that or the folder that it is in.
pub fn catalog_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(CATALOG) } else { path.to_owned() }
}

/// Where a file is that a catalogue names, if it is not on the web.
pub fn beside(catalog_file: &Path, url: &str) -> Result<Option<PathBuf>> {
    let folder = catalog_file.parent().unwrap_or(Path::new(""));
    Ok(match Location::of(url)? {
        Location::Beside(names) => Some(folder.join(names.iter().collect::<PathBuf>())),
        Location::Web => None,
    })
}

/// The file that a catalogue describes. No more is read of it than the catalogue says that it has.
pub fn read_described(path: &Path, description: &FileReference) -> Result<Vec<u8>> {
    let check = |length: u64| {
        let expected = format!("{} bytes, as the catalogue says", description.bytes);
        let (place, problem) = (path.display().to_string(), format!("{length} bytes"));
        let mismatch = Error::new(ErrorCode::PageMismatch, place, problem, expected);
        if length == description.bytes { Ok(()) } else { Err(mismatch) }
    };
    check(fs::metadata(path).map_err(|error| unreadable(path, &error))?.len())?;
    let bytes = read(path)?;
    // Somebody may have written it in between.
    check(bytes.len() as u64)?;
    Ok(bytes)
}

/// Adds a catalogue: the path of its folder or of its `catalog.json`.
fn add_catalog(session: &mut Session, path: &Path, strategies: &[Strategy]) -> Result<()> {
    let file = catalog_file(path);
    let catalog = Catalog::parse(&file.display().to_string(), &read(&file)?)?;
    catalog.check_base(session.fingerprint())?;
    let read_named = |description: &FileReference| match beside(&file, &description.url)? {
        Some(path) => read_described(&path, description),
        None => Err(on_a_network(&description.url)),
    };
    let gates = read_named(&catalog.gates)?;
    let mut experts = catalog.experts(&gates)?;
    for page in experts.iter_mut().flat_map(|expert| &mut expert.pages) {
        if let Some(path) = beside(&file, &page.file)? {
            page.file = path.display().to_string();
        }
    }
    session.add_experts_of(&catalog, experts)?;
    let vectors = catalog.vector_files()?;
    for strategy in strategies {
        if let Some(description) = vectors.get(&strategy.name()) {
            let bytes = read_named(description)?;
            description.check(&bytes)?;
            session.add_vectors(&catalog.name, strategy, &description.url, &bytes)?;
        }
    }
    Ok(())
}

/// Reads a page from its file.
pub fn read_page(session: &Session, page: u32) -> Result<Vec<u8>> {
    let Some((_, page)) = session.page(page) else { unreachable!("the session named this page") };
    if Location::of(&page.file) == Ok(Location::Web) {
        return Err(on_a_network(&page.file));
    }
    let read = || {
        let mut file = File::open(&page.file)?;
        // Before memory is taken for it.
        if file.metadata()?.len() < page.range.end {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; page.byte_len()];
        file.seek(SeekFrom::Start(page.range.start))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error: std::io::Error| {
        let expected = format!("bytes {} to {} of an adapter file", page.range.start, page.range.end);
        Error::new(ErrorCode::Io, &page.file, error.to_string(), expected)
    })
}

fn on_a_network(url: &str) -> Error {
    let expected =
        "a file beside the catalogue: this program does not fetch (--exclude leaves an expert out)";
    Error::new(ErrorCode::Unsupported, url, "is on a network", expected)
}
