//! Writes `.npy` files: little endian, C order, format version 1.

use std::io::{self, Write};
use std::path::Path;

use crate::array::{Array, Data};
use crate::error::Error;
use crate::npy::header::encode;
use crate::output::write_file;

/// Writes an array with the element type it has.
///
/// # Errors
/// What the system reports; no partial file is left.
pub fn write_npy(path: &Path, array: &Array) -> Result<(), Error> {
    write_file(path, |out| write_array(out, array).map_err(|e| Error::io(path, "write", e)))
}

/// Writes a flat vector of doubles of shape `[values.len()]`.
///
/// # Errors
/// What the system reports; no partial file is left.
pub fn write_npy_f64(path: &Path, values: &[f64]) -> Result<(), Error> {
    write_file(path, |out| {
        let done = out.write_all(&encode("<f8", &[values.len()])).and_then(|()| write_words(out, values));
        done.map_err(|e| Error::io(path, "write", e))
    })
}

/// Writes header and values of an array to a stream.
///
/// # Errors
/// What the stream reports.
pub fn write_array(out: &mut impl Write, array: &Array) -> io::Result<()> {
    let descr = match array.data() {
        Data::F64(_) => "<f8",
        Data::F32(_) => "<f4",
        Data::I64(_) => "<i8",
        Data::I32(_) => "<i4",
        Data::U64(_) => "<u8",
        Data::U32(_) => "<u4",
        Data::Bool(_) => "|b1",
    };
    out.write_all(&encode(descr, array.shape()))?;
    crate::array::with_vec!(array.data(), v => write_words(out, v))
}

/// A value with a little-endian form in files.
pub(crate) trait Word: Copy {
    /// Appends the value's bytes.
    fn put(self, bytes: &mut Vec<u8>);
}

macro_rules! words {
    ($($t:ty),*) => {$(
        impl Word for $t {
            fn put(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
words!(f64, f32, i64, i32, u64, u32);

impl Word for bool {
    fn put(self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self));
    }
}

/// Writes values without a header.
pub(crate) fn write_words<T: Word>(out: &mut impl Write, values: &[T]) -> io::Result<()> {
    write_each(out, values.iter().copied())
}

/// Writes values as they come, in pieces.
pub(crate) fn write_each<T: Word>(out: &mut impl Write, values: impl Iterator<Item = T>) -> io::Result<()> {
    const PIECE: usize = 1 << 15;
    let mut bytes = Vec::with_capacity(PIECE + 8);
    for value in values {
        value.put(&mut bytes);
        if bytes.len() >= PIECE {
            out.write_all(&bytes)?;
            bytes.clear();
        }
    }
    out.write_all(&bytes)
}
