//! Output files that appear whole or not at all: written beside the target, then renamed onto it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;

/// Distinguishes the temporary files of one process.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// Removes the temporary file unless it was renamed.
struct Temporary {
    path: PathBuf,
    armed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.armed {
            // Nothing better can be done with a failure here: the first error is already on its way up.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes a file through `fill`; when anything fails, what stood at `path` before still stands there untouched.
///
/// A link is followed, permissions of an existing file are kept, and devices and pipes are written directly.
///
/// # Errors
/// What the system or `fill` report, with the file's name.
pub fn write_file<E: From<Error>>(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
) -> Result<(), E> {
    let fail = |e: io::Error| Error::io(path, "write", e);
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let existing = fs::metadata(&target).ok();
    if existing.as_ref().is_some_and(|m| !m.is_file()) {
        let mut out = BufWriter::new(File::options().write(true).open(&target).map_err(fail)?);
        fill(&mut out)?;
        return Ok(out.flush().map_err(fail)?);
    }
    let name = target.file_name().ok_or_else(|| {
        Error::io(path, "write", io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))
    })?;
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}-{serial}.tmp", std::process::id()));
    let mut temporary = Temporary { path: target.with_file_name(hidden), armed: false };
    let file = File::options().write(true).create_new(true).open(&temporary.path).map_err(fail)?;
    temporary.armed = true;
    let mut out = BufWriter::with_capacity(1 << 16, file);
    fill(&mut out)?;
    let file = out.into_inner().map_err(|e| fail(e.into_error()))?;
    if let Some(meta) = existing {
        file.set_permissions(meta.permissions()).map_err(fail)?;
    }
    drop(file);
    fs::rename(&temporary.path, &target).map_err(fail)?;
    temporary.armed = false;
    Ok(())
}

/// Writes bytes that are already in memory, whole or not at all.
///
/// # Errors
/// As [`write_file`].
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_file(path, |out| out.write_all(bytes).map_err(|e| Error::io(path, "write", e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let dir = std::env::temp_dir().join(format!("spadina-io-output-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("a.txt");
        write_bytes(&path, b"first").unwrap();
        let failed: Result<(), Error> = write_file(&path, |out| {
            out.write_all(b"second").unwrap();
            Err(Error::Invalid("changed my mind".into()))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        write_bytes(&path, b"third").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        assert!(write_bytes(&dir.join("missing/a.txt"), b"x").is_err());
        assert!(write_bytes(&dir, b"x").is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
