//! Files that take the place of others only when all of them are written.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use gander::{Error, ErrorCode, Result};

/// Files written beside those that they will replace. Dropped without [`Output::commit`], they leave no trace.
#[derive(Default)]
pub struct Output {
    /// The names that the files will have.
    files: Vec<PathBuf>,
    /// Folders that were made for them, outer ones first.
    folders: Vec<PathBuf>,
}

impl Output {
    /// Makes a folder, and those above it, where they are not there.
    pub fn folder(&mut self, path: &Path) -> Result<()> {
        let missing =
            path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        for folder in missing.into_iter().rev() {
            fs::create_dir(&folder).map_err(|error| unwritable(&folder, &error))?;
            self.folders.push(folder);
        }
        Ok(())
    }

    /// Writes a file beside its place.
    pub fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        let partial = partial_name(path);
        self.files.push(path.to_owned());
        File::create(&partial)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            })
            .map_err(|error| unwritable(&partial, &error))
    }

    /// Puts all files in their places, in the order in which they were written.
    pub fn commit(mut self) -> Result<()> {
        for path in &self.files {
            fs::rename(partial_name(path), path).map_err(|error| unwritable(path, &error))?;
        }
        self.files.clear();
        self.folders.clear();
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // The error that stopped the writing says more than one about the clean-up would.
        for path in &self.files {
            let _ = fs::remove_file(partial_name(path));
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// What a file is called while it is being written.
pub fn partial_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// The error of a file or folder that cannot be written.
pub fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorCode::Io, path.display().to_string(), error.to_string(), "a place that can be written")
}
