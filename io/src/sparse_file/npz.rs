//! The `.npz` archive in which `scipy.sparse.save_npz` keeps a matrix: a zip of `.npy` entries.
//!
//! Written: `indices`, `indptr` (coo: `row`, `col`), `format`, `shape`, `data`. Read: csr, csc and coo.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use npyz::npz::{NpzArchive, NpzWriter};
use npyz::zip;

use crate::array::{Array, Data};
use crate::error::Error;
use crate::index::Index;
use crate::npy::header::encode;
use crate::npy::read::{read_from, read_text_from};
use crate::npy::write::{write_each, write_words};
use crate::output::write_file;
use crate::sparse_file::csr::{Csr, CsrRef};

/// How the entries of the archive are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are (`numpy.savez`).
    Store,
    /// Deflated (`numpy.savez_compressed`, scipy's default).
    Deflate,
}

/// How entries are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredLayout {
    /// Compressed rows.
    Csr,
    /// Compressed columns.
    Csc,
    /// Coordinates.
    Coo,
    /// Compressed rows of dense blocks with so many rows and columns.
    Bsr(usize, usize),
}

/// A matrix in one of scipy's formats. What it says is trusted to fit.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a, P = usize, I = usize> {
    /// The format.
    pub layout: StoredLayout,
    /// Rows and columns.
    pub shape: (usize, usize),
    /// `indptr`; `row` of coordinates.
    pub starts: &'a [P],
    /// `indices`; `col` of coordinates.
    pub indices: &'a [I],
    /// `data`; blocks one after the other, each row-major.
    pub values: &'a [f64],
}

/// Writes a matrix in any format as `scipy.sparse.save_npz` does.
///
/// # Errors
/// What the system reports; no partial file is left.
pub fn write_npz_stored<P: Index, I: Index>(
    path: &Path,
    matrix: Stored<'_, P, I>,
    compression: Compression,
) -> Result<(), Error> {
    write_file(path, |out| write_archive(out, matrix, compression).map_err(|e| Error::io(path, "write", e)))
}

/// Writes a matrix as `scipy.sparse.save_npz` does; the same matrix always gives the same bytes.
///
/// Indices are int32 where extents and entry count fit, int64 otherwise.
///
/// # Errors
/// An inconsistent matrix, what the system reports; no partial file is left.
pub fn write_npz<P: Index, I: Index>(
    path: &Path,
    matrix: CsrRef<'_, P, I>,
    compression: Compression,
) -> Result<(), Error> {
    matrix.check()?;
    let stored = Stored {
        layout: StoredLayout::Csr,
        shape: (matrix.nrows, matrix.ncols),
        starts: matrix.row_ptr,
        indices: matrix.col_idx,
        values: matrix.values,
    };
    write_npz_stored(path, stored, compression)
}

fn write_archive<P: Index, I: Index>(
    out: &mut (impl Write + Seek),
    m: Stored<'_, P, I>,
    compression: Compression,
) -> io::Result<()> {
    let method = match compression {
        Compression::Store => zip::CompressionMethod::Stored,
        Compression::Deflate => zip::CompressionMethod::Deflated,
    };
    let bytes = 8 * m.values.len().max(m.starts.len()) as u64;
    let options = zip::write::FileOptions::default()
        .compression_method(method)
        // Values hardly shrink further at higher levels, which take several times as long.
        .compression_level((compression == Compression::Deflate).then_some(1))
        .last_modified_time(zip::DateTime::default())
        .large_file(bytes + (1 << 16) > u64::from(u32::MAX));
    let narrow = i32::try_from(m.shape.0.max(m.shape.1).max(m.values.len())).is_ok();
    let mut archive = NpzWriter::new(out);
    let written = write_arrays(&mut archive, m, options, narrow);
    if written.is_err() {
        // Else it tries to end the archive, and prints that it cannot.
        std::mem::forget(archive);
    }
    written
}

fn write_arrays<P: Index, I: Index>(
    archive: &mut NpzWriter<&mut (impl Write + Seek)>,
    m: Stored<'_, P, I>,
    options: zip::write::FileOptions,
    narrow: bool,
) -> io::Result<()> {
    let zip = archive.zip_writer();
    let (format, indices, starts): (&[u8], _, _) = match m.layout {
        StoredLayout::Csr => (b"csr", "indices.npy", "indptr.npy"),
        StoredLayout::Csc => (b"csc", "indices.npy", "indptr.npy"),
        StoredLayout::Coo => (b"coo", "col.npy", "row.npy"),
        StoredLayout::Bsr(..) => (b"bsr", "indices.npy", "indptr.npy"),
    };
    zip.start_file(indices, options)?;
    write_indices(zip, narrow, m.indices)?;
    zip.start_file(starts, options)?;
    write_indices(zip, narrow, m.starts)?;
    zip.start_file("format.npy", options)?;
    zip.write_all(&encode("|S3", &[]))?;
    zip.write_all(format)?;
    zip.start_file("shape.npy", options)?;
    zip.write_all(&encode("<i8", &[2]))?;
    write_words(zip, &[m.shape.0 as i64, m.shape.1 as i64])?;
    zip.start_file("data.npy", options)?;
    let shape = match m.layout {
        StoredLayout::Bsr(rows, cols) => vec![m.indices.len(), rows, cols],
        StoredLayout::Csr | StoredLayout::Csc | StoredLayout::Coo => vec![m.values.len()],
    };
    zip.write_all(&encode("<f8", &shape))?;
    write_words(zip, m.values)?;
    zip.finish()?;
    Ok(())
}

fn write_indices<I: Index>(out: &mut impl Write, narrow: bool, indices: &[I]) -> io::Result<()> {
    if narrow {
        out.write_all(&encode("<i4", &[indices.len()]))?;
        write_each(out, indices.iter().map(|i| i.get() as i32))
    } else {
        out.write_all(&encode("<i8", &[indices.len()]))?;
        write_each(out, indices.iter().map(|i| i.get() as i64))
    }
}

/// Reads a matrix that `scipy.sparse.save_npz` wrote in csr, csc or coo format; values become float64.
///
/// # Errors
/// A file that is no such archive, another format (by name), indices that do not fit the shape.
pub fn read_npz(path: &Path) -> Result<Csr, Error> {
    let file = File::open(path).map_err(|e| Error::io(path, "read", e))?;
    let meta = file.metadata().map_err(|e| Error::io(path, "read", e))?;
    if meta.is_dir() {
        return Err(Error::io(path, "read", io::ErrorKind::IsADirectory.into()));
    }
    read_archive(BufReader::new(file), &path.display().to_string())
}

/// Reads such an archive from memory; `name` stands for it in messages.
///
/// # Errors
/// As [`read_npz`].
pub fn read_npz_bytes(bytes: &[u8], name: &str) -> Result<Csr, Error> {
    read_archive(io::Cursor::new(bytes), name)
}

fn read_archive<R: Read + Seek>(reader: R, name: &str) -> Result<Csr, Error> {
    let archive =
        NpzArchive::new(reader).map_err(|e| Error::format(name, format!("not an .npz archive: {e}")))?;
    let mut from = Entries { archive, name };
    let format = from.open("format", |mut input, file| read_text_from(&mut input, file))?;
    let shape = from.array("shape")?.to_usize(&from.entry("shape"))?;
    let &[nrows, ncols] = shape.as_slice() else {
        return Err(Error::format(name, format!("a matrix of {} dimensions", shape.len())));
    };
    let located = |e: Error| match e {
        Error::Invalid(message) => Error::format(name, message),
        other => other,
    };
    match format.as_str() {
        "csr" | "csc" => {
            let transposed = format == "csc";
            let indptr = from.array("indptr")?.to_usize(&from.entry("indptr"))?;
            let indices = from.array("indices")?.to_usize(&from.entry("indices"))?;
            let data = from.values()?;
            let (outer, inner) = if transposed { (ncols, nrows) } else { (nrows, ncols) };
            let csr = Csr::from_parts(outer, inner, indptr, indices, data).map_err(located)?;
            Ok(if transposed { csr.transpose() } else { csr })
        }
        "coo" => {
            let (rows, cols) = if from.has("row") {
                let rows = from.array("row")?.to_usize(&from.entry("row"))?;
                (rows, from.array("col")?.to_usize(&from.entry("col"))?)
            } else {
                // Sparse arrays of scipy 1.15 and later keep `coords` of shape [2, entries].
                let coords = from.array("coords")?;
                let &[2, n] = coords.shape() else {
                    return Err(Error::format(&from.entry("coords"), "expected shape [2, entries]"));
                };
                let mut rows = coords.to_usize(&from.entry("coords"))?;
                let cols = rows.split_off(n);
                (rows, cols)
            };
            let data = from.values()?;
            Csr::from_triplets(nrows, ncols, &rows, &cols, &data).map_err(located)
        }
        other => Err(Error::format(
            name,
            format!("sparse format `{other}` is not supported (csr, csc and coo are)"),
        )),
    }
}

/// The arrays of an open archive.
struct Entries<'a, R: Read + Seek> {
    archive: NpzArchive<R>,
    name: &'a str,
}

impl<R: Read + Seek> Entries<'_, R> {
    fn entry(&self, array: &str) -> String {
        format!("{}/{array}.npy", self.name)
    }

    fn has(&self, array: &str) -> bool {
        self.archive.array_names().any(|n| n == array)
    }

    fn open<T>(
        &mut self,
        array: &str,
        read: impl FnOnce(&mut dyn Read, &str) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let entry = self.entry(array);
        let found = self.archive.zip_archive().by_name(&format!("{array}.npy"));
        let mut file = found.map_err(|e| match e {
            zip::result::ZipError::FileNotFound => {
                Error::format(self.name, format!("no array `{array}`: not written by scipy.sparse.save_npz"))
            }
            other => Error::format(&entry, other.to_string()),
        })?;
        read(&mut file, &entry)
    }

    fn array(&mut self, array: &str) -> Result<Array, Error> {
        // What the archive says of the entry's size is not trusted: memory grows with the bytes that really come.
        self.open(array, |mut input, entry| read_from(&mut input, None, entry))
    }

    fn values(&mut self) -> Result<Vec<f64>, Error> {
        let entry = self.entry("data");
        let array = self.array("data")?;
        match array.data() {
            Data::Bool(v) => Ok(v.iter().map(|&b| f64::from(u8::from(b))).collect()),
            _ => array.to_f64(&entry).map(Cow::into_owned),
        }
    }
}
