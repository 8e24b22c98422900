//! Reads `.npy` files into C order, whatever their memory order and byte order.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use crate::array::{Array, Data, Shape, element_count};
use crate::error::Error;
use crate::npy::header::{Element, Header, read_header};

/// Bytes decoded at a time; every element size divides it.
const CHUNK: usize = 1 << 16;

/// Reads a `.npy` file: versions 1 to 3, f4 f8 i4 i8 u4 u8 b1 c16, either memory order, either byte order.
///
/// Complex numbers get a trailing dimension of 2 (real, imaginary).
///
/// # Errors
/// A file that cannot be read, another dtype, a malformed header, too few or too many bytes for the shape.
pub fn read_npy(path: &Path) -> Result<Array, Error> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| Error::io(path, "read", e))?;
    let meta = file.metadata().map_err(|e| Error::io(path, "read", e))?;
    let size = meta.is_file().then_some(meta.len());
    read_from(&mut BufReader::with_capacity(CHUNK, file), size, &name)
}

/// Reads a `.npy` file from memory; `name` stands for it in messages.
///
/// # Errors
/// As [`read_npy`].
pub fn read_npy_bytes(bytes: &[u8], name: &str) -> Result<Array, Error> {
    read_from(&mut &bytes[..], Some(bytes.len() as u64), name)
}

/// Reads one `.npy` from a stream that must end with it; `size` is the stream's length where it is known.
pub(crate) fn read_from(input: &mut impl Read, size: Option<u64>, file: &str) -> Result<Array, Error> {
    let header = read_header(input, file)?;
    let (big_endian, element) = header.element(file)?;
    let count = checked_payload(&header, element.bytes(), size, file)?;
    let payload = Payload { count, size_known: size.is_some(), file };
    let shape = header.shape;
    let data = match element {
        Element::F8 => {
            Data::F64(payload.decode(input, order(big_endian, f64::from_le_bytes, f64::from_be_bytes))?)
        }
        Element::F4 => {
            Data::F32(payload.decode(input, order(big_endian, f32::from_le_bytes, f32::from_be_bytes))?)
        }
        Element::I8 => {
            Data::I64(payload.decode(input, order(big_endian, i64::from_le_bytes, i64::from_be_bytes))?)
        }
        Element::I4 => {
            Data::I32(payload.decode(input, order(big_endian, i32::from_le_bytes, i32::from_be_bytes))?)
        }
        Element::U8 => {
            Data::U64(payload.decode(input, order(big_endian, u64::from_le_bytes, u64::from_be_bytes))?)
        }
        Element::U4 => {
            Data::U32(payload.decode(input, order(big_endian, u32::from_le_bytes, u32::from_be_bytes))?)
        }
        Element::B1 => Data::Bool(payload.decode(input, |b: [u8; 1]| b[0] != 0)?),
        Element::C16 => {
            let part = order(big_endian, f64::from_le_bytes, f64::from_be_bytes);
            let pairs: Vec<[f64; 2]> = payload.decode(input, |b: [u8; 16]| {
                let (re, im) = b.split_at(8);
                let half = |s: &[u8]| part(s.try_into().expect("16 bytes split in the middle"));
                [half(re), half(im)]
            })?;
            let pairs = if header.fortran_order { to_c_order(&pairs, &shape) } else { pairs };
            return Array::complex(shape, pairs);
        }
    };
    let data = if header.fortran_order { reorder(data, &shape) } else { data };
    Array::new(shape, data)
}

/// Reads an entry of strings (numpy kinds `S` and `U`) that holds a single one, as sparse archives name their format.
pub(crate) fn read_text_from(input: &mut impl Read, file: &str) -> Result<String, Error> {
    const LONGEST: usize = 64;
    let header = read_header(input, file)?;
    let refuse = || Error::Dtype { file: file.to_string(), dtype: header.descr.clone() };
    let kind = header.descr.trim_start_matches(['<', '>', '|', '=']);
    let big_endian = header.descr.starts_with('>');
    let (unit, digits) = match kind.split_at_checked(1) {
        Some(("S", digits)) => (1, digits),
        Some(("U", digits)) => (4, digits),
        _ => return Err(refuse()),
    };
    let length: usize = digits.parse().map_err(|_| refuse())?;
    if length > LONGEST || element_count(&header.shape) != Some(1) {
        return Err(Error::format(file, "expected one short string"));
    }
    let mut bytes = vec![0_u8; length * unit];
    input.read_exact(&mut bytes).map_err(|_| Error::format(file, "the file ends inside its data"))?;
    let code = |b: &[u8]| match (b, big_endian) {
        (&[a, b, c, d], true) => u32::from_be_bytes([a, b, c, d]),
        (&[a, b, c, d], false) => u32::from_le_bytes([a, b, c, d]),
        _ => u32::from(b[0]),
    };
    let text: String = bytes.chunks_exact(unit).filter_map(|b| char::from_u32(code(b))).collect();
    Ok(text.trim_end_matches('\0').to_string())
}

/// Number of elements, after the shape was held against the length of the stream.
fn checked_payload(header: &Header, width: usize, size: Option<u64>, file: &str) -> Result<usize, Error> {
    let shape = Shape(&header.shape);
    let overflow =
        || Error::format(file, format!("shape {shape} has more elements than memory has addresses"));
    let count = element_count(&header.shape).ok_or_else(overflow)?;
    // The trailing pair of complex numbers must fit as well.
    let bytes =
        count.checked_mul(width.max(2)).filter(|&b| isize::try_from(b).is_ok()).ok_or_else(overflow)?;
    let wanted = if width == 1 { count } else { bytes };
    if let Some(size) = size {
        let held = size.saturating_sub(header.bytes as u64);
        let message =
            format!("shape {shape} of `{}` needs {wanted} bytes, the file holds {held}", header.descr);
        if held < wanted as u64 {
            return Err(Error::format(file, format!("truncated: {message}")));
        }
        if held > wanted as u64 {
            return Err(Error::format(file, format!("trailing bytes: {message}")));
        }
    }
    Ok(count)
}

/// How many elements follow and how far their number can be trusted.
struct Payload<'a> {
    count: usize,
    size_known: bool,
    file: &'a str,
}

impl Payload<'_> {
    fn decode<T, const W: usize>(
        &self,
        input: &mut impl Read,
        decode: impl Fn([u8; W]) -> T,
    ) -> Result<Vec<T>, Error> {
        let trusted = if self.size_known { self.count } else { 0 };
        let mut out: Vec<T> = Vec::new();
        out.try_reserve_exact(trusted)
            .map_err(|_| Error::format(self.file, "not enough memory for its data"))?;
        let mut buffer = vec![0_u8; CHUNK.min(self.count.saturating_mul(W))];
        while out.len() < self.count {
            let bytes = (self.count - out.len()).saturating_mul(W).min(buffer.len());
            let piece = &mut buffer[..bytes];
            input.read_exact(piece).map_err(|e| self.failure(e, out.len()))?;
            let (words, _) = piece.as_chunks::<W>();
            out.extend(words.iter().map(|w| decode(*w)));
        }
        let mut one = [0_u8; 1];
        match input.read(&mut one) {
            Ok(0) => Ok(out),
            Ok(_) => Err(Error::format(self.file, format!("trailing bytes after {} elements", self.count))),
            Err(e) => Err(self.failure(e, out.len())),
        }
    }

    fn failure(&self, e: std::io::Error, seen: usize) -> Error {
        match e.kind() {
            ErrorKind::UnexpectedEof => {
                let message = format!("truncated: fewer than {} elements (about {seen} read)", self.count);
                Error::format(self.file, message)
            }
            _ => Error::io(Path::new(self.file), "read", e),
        }
    }
}

fn order<T, const W: usize>(big: bool, le: fn([u8; W]) -> T, be: fn([u8; W]) -> T) -> fn([u8; W]) -> T {
    if big { be } else { le }
}

fn reorder(data: Data, shape: &[usize]) -> Data {
    match data {
        Data::F64(v) => Data::F64(to_c_order(&v, shape)),
        Data::F32(v) => Data::F32(to_c_order(&v, shape)),
        Data::I64(v) => Data::I64(to_c_order(&v, shape)),
        Data::I32(v) => Data::I32(to_c_order(&v, shape)),
        Data::U64(v) => Data::U64(to_c_order(&v, shape)),
        Data::U32(v) => Data::U32(to_c_order(&v, shape)),
        Data::Bool(v) => Data::Bool(to_c_order(&v, shape)),
    }
}

/// Values stored with the first subscript fastest, put in the order where the last is.
fn to_c_order<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1_usize;
    for &extent in shape {
        strides.push(stride);
        stride = stride.saturating_mul(extent);
    }
    let mut subs = vec![0_usize; shape.len()];
    let mut at = 0;
    let mut out = Vec::with_capacity(values.len());
    while out.len() < values.len() {
        out.push(values[at]);
        for d in (0..shape.len()).rev() {
            subs[d] += 1;
            at += strides[d];
            if subs[d] < shape[d] {
                break;
            }
            at -= strides[d] * shape[d];
            subs[d] = 0;
        }
    }
    out
}
