//! Several output files that appear together or not at all: written beside their targets, then renamed.

use spadina::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Files that are written but not yet in place.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    files: Vec<(PathBuf, PathBuf)>,
}

impl Staged {
    /// Writes a file through `write`, under another name with the same ending.
    ///
    /// Pipes and devices are written directly. A link is followed.
    pub(crate) fn add(
        &mut self,
        path: &Path,
        write: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        if let Ok(meta) = fs::metadata(&target) {
            if meta.is_dir() {
                return Err(Error::Data(format!("cannot write `{}`: it is a directory", path.display())));
            }
            if !meta.is_file() {
                return write(&target);
            }
            if meta.permissions().readonly() {
                return Err(Error::Data(format!("cannot write `{}`: it is read-only", path.display())));
            }
        }
        let name = target.file_name().and_then(|n| n.to_str());
        let name =
            name.ok_or_else(|| Error::Data(format!("cannot write `{}`: not a file name", path.display())))?;
        let (process, count) = (std::process::id(), self.files.len());
        let staged = target.with_file_name(format!(".{process}-{count}.{name}"));
        let described = |error: Error| match error {
            // The user knows the file by its final name.
            Error::Data(text) => {
                Error::Data(text.replace(&staged.display().to_string(), &path.display().to_string()))
            }
            other => other,
        };
        let written = write(&staged).map_err(described);
        self.files.push((staged, target));
        written
    }

    /// Puts every file in its place.
    pub(crate) fn commit(mut self) -> Result<(), Error> {
        for (staged, target) in &self.files {
            fs::rename(staged, target)
                .map_err(|e| Error::Data(format!("cannot write `{}`: {e}", target.display())))?;
        }
        self.files.clear();
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for (staged, _) in &self.files {
            // What could not be written is not there; nothing better can be done about the rest.
            let _ = fs::remove_file(staged);
        }
    }
}
