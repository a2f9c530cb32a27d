//! What fetches for a session here: the file system.

use std::path::Path;
use std::time::Instant;

use gander::base::Base;
use gander::catalog::Catalog;
use gander::device_choice::{self, ChosenDevices, DeviceChoice};
use gander::experts::Expert;
use gander::formats::open::read;
use gander::formats::peft::{self, Adapter};
use gander::session::{Session, Step, now};
use gander::{Error, ErrorCode, Result};

/// A session over a base on disk and experts on disk (catalogues and PEFT folders, in this order), and why it is on the
/// device that it is on.
pub fn open(choice: DeviceChoice, base: &Path, experts: &[impl AsRef<Path>]) -> Result<(Session, String)> {
    let base = Base::open(base)?;
    let start = Instant::now();
    let clock = || start.elapsed().as_secs_f64() * 1e3;
    let ChosenDevices { devices, mut reason } = now(device_choice::open(choice, Ok(()), clock))?;
    let mut session = Session::on(devices, base)?;
    now(device_choice::settle(&mut session, choice, &mut reason))?;
    for path in experts {
        let path = path.as_ref();
        let added = match path.is_dir() && !path.join("catalog.json").exists() {
            true => open_adapter(path).and_then(|expert| session.add_experts(vec![expert])),
            false => add_catalog(&mut session, path),
        };
        added.map_err(|error| error.inside(path.display()))?;
    }
    now(device_choice::settle(&mut session, choice, &mut reason))?;
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
    let adapter = read_adapter(folder)?;
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

/// A PEFT folder's adapter with its gates.
pub fn read_adapter(folder: &Path) -> Result<Adapter> {
    let gates = folder.join(peft::GATES);
    let gates = gates.exists().then(|| read(&gates)).transpose()?;
    let config = read(&folder.join(peft::CONFIG))?;
    Adapter::from_files(&config, &read(&folder.join(peft::WEIGHTS))?, gates.as_deref())
}

/// Adds a catalogue: the path of its folder or of its `catalog.json`.
fn add_catalog(session: &mut Session, path: &Path) -> Result<()> {
    let file = if path.is_dir() { path.join("catalog.json") } else { path.to_owned() };
    let folder = file.parent().unwrap_or(Path::new(""));
    let local = |url: &mut String| match url.contains("://") {
        false => {
            *url = folder.join(&url).display().to_string();
            Ok(())
        }
        true => {
            let expected = "a file beside the catalogue: this program does not fetch";
            Err(Error::new(ErrorCode::Unsupported, url.clone(), "is on a network", expected))
        }
    };
    let mut catalog = Catalog::parse(&file.display().to_string(), &read(&file)?)?;
    local(&mut catalog.gates.url)?;
    catalog.experts.iter_mut().try_for_each(|expert| local(&mut expert.adapter.url))?;
    let gates = read(Path::new(&catalog.gates.url))?;
    session.add_catalog(&catalog, &gates)
}

fn read_page(session: &Session, page: u32) -> Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let Some((_, page)) = session.page(page) else { unreachable!("the session named this page") };
    let mut bytes = vec![0; page.byte_len()];
    std::fs::File::open(&page.file)
        .and_then(|mut file| {
            file.seek(SeekFrom::Start(page.range.start))?;
            file.read_exact(&mut bytes)
        })
        .map_err(|error| {
            let expected = format!("bytes {} to {} of an adapter file", page.range.start, page.range.end);
            Error::new(ErrorCode::Io, &page.file, error.to_string(), expected)
        })?;
    Ok(bytes)
}
