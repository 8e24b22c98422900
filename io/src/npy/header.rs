//! The header of a `.npy` file: a Python dictionary literal with dtype, memory order and shape.
//!
//! Parsed here rather than by a general Python literal parser, so that nesting cannot exhaust the stack and a
//! stated header length cannot make us allocate it.
//! Reference: numpy.lib.format, versions 1.0, 2.0 and 3.0.

use std::io::Read;

use crate::error::Error;

/// The six bytes every file starts with.
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest header text that is read; numpy itself refuses beyond 10,000 unless told otherwise.
const MAX_HEADER: usize = 1 << 20;

/// Type of element, as the header names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Double precision.
    F8,
    /// Single precision.
    F4,
    /// Signed 64-bit.
    I8,
    /// Signed 32-bit.
    I4,
    /// Unsigned 64-bit.
    U8,
    /// Unsigned 32-bit.
    U4,
    /// Truth value, one byte.
    B1,
    /// Complex number, two double-precision parts.
    C16,
}

impl Element {
    /// Bytes of one element in a file.
    pub fn bytes(self) -> usize {
        match self {
            Self::F8 | Self::I8 | Self::U8 => 8,
            Self::F4 | Self::I4 | Self::U4 => 4,
            Self::B1 => 1,
            Self::C16 => 16,
        }
    }
}

/// What a header says, before the dtype is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The dtype's text, e.g. `<f8`; a structured one keeps its whole literal.
    pub descr: String,
    /// Whether the first subscript is fastest in memory.
    pub fortran_order: bool,
    /// Extents.
    pub shape: Vec<usize>,
    /// Bytes before the payload.
    pub bytes: usize,
}

impl Header {
    /// Byte order (`true` for big endian) and type of element.
    ///
    /// # Errors
    /// Any dtype that is not read, by name.
    pub fn element(&self, file: &str) -> Result<(bool, Element), Error> {
        let refuse = || Error::Dtype { file: file.to_string(), dtype: self.descr.clone() };
        let mut chars = self.descr.chars();
        let order = chars.next().ok_or_else(refuse)?;
        let (order, kind) =
            if order.is_ascii_alphabetic() { ('=', self.descr.as_str()) } else { (order, chars.as_str()) };
        let element = match kind {
            "f8" | "d" => Element::F8,
            "f4" | "f" => Element::F4,
            "i8" => Element::I8,
            "i4" => Element::I4,
            "u8" => Element::U8,
            "u4" => Element::U4,
            "b1" | "?" => Element::B1,
            "c16" => Element::C16,
            _ => return Err(refuse()),
        };
        match order {
            '<' => Ok((false, element)),
            '>' => Ok((true, element)),
            '=' => Ok((cfg!(target_endian = "big"), element)),
            '|' if element == Element::B1 => Ok((false, element)),
            _ => Err(refuse()),
        }
    }
}

/// Reads the magic, the version and the header text.
///
/// # Errors
/// Anything that is not a `.npy` header of version 1 to 3.
pub fn read_header(input: &mut impl Read, file: &str) -> Result<Header, Error> {
    let mut start = Vec::with_capacity(8);
    input.take(8).read_to_end(&mut start).map_err(|e| Error::io(std::path::Path::new(file), "read", e))?;
    // A short text is no .npy file, rather than one that ends too soon.
    if !start.iter().zip(MAGIC).all(|(found, known)| found == known) {
        return Err(Error::format(file, "not a .npy file (its first bytes are not \\x93NUMPY)"));
    }
    let &[_, _, _, _, _, _, version, minor] = &start[..] else { return Err(too_short(file)) };
    let (length, prefix) = match version {
        1 => {
            let mut b = [0_u8; 2];
            fill(input, &mut b, file)?;
            (usize::from(u16::from_le_bytes(b)), 10)
        }
        2 | 3 => {
            let mut b = [0_u8; 4];
            fill(input, &mut b, file)?;
            (u32::from_le_bytes(b) as usize, 12)
        }
        v => {
            let message = format!(".npy format version {v}.{minor} is not supported (versions 1 to 3 are)");
            return Err(Error::format(file, message));
        }
    };
    if length > MAX_HEADER {
        return Err(Error::format(file, format!("the .npy header claims {length} bytes")));
    }
    let mut text = vec![0_u8; length];
    fill(input, &mut text, file)?;
    // Version 1 and 2 headers are Latin-1; only field names of structured dtypes, which are refused, can differ.
    let text = String::from_utf8_lossy(&text);
    let mut header =
        parse(&text).map_err(|what| Error::format(file, format!("malformed .npy header: {what}")))?;
    header.bytes = prefix + length;
    Ok(header)
}

fn too_short(file: &str) -> Error {
    Error::format(file, "the file ends inside the .npy header")
}

fn fill(input: &mut impl Read, buffer: &mut [u8], file: &str) -> Result<(), Error> {
    input.read_exact(buffer).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => too_short(file),
        _ => Error::io(std::path::Path::new(file), "read", e),
    })
}

/// A position in the header's text.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: char) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: char) -> Result<(), String> {
        if self.eat(token) { Ok(()) } else { Err(format!("expected `{token}` at `{}`", head(self.rest))) }
    }

    fn string(&mut self) -> Result<&'a str, String> {
        self.skip_space();
        let quote = if self.rest.starts_with('"') { '"' } else { '\'' };
        self.expect(quote)?;
        let end = self.rest.find(quote).ok_or("a string does not end")?;
        let (value, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        Ok(value)
    }

    fn word(&mut self) -> &'a str {
        self.skip_space();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(end);
        self.rest = rest;
        value
    }

    fn extent(&mut self) -> Result<usize, String> {
        self.skip_space();
        if self.rest.starts_with('-') {
            return Err(format!("negative extent `{}`", head(self.rest)));
        }
        let word = self.word();
        // Python 2 wrote long integers with a trailing L.
        word.trim_end_matches('L').parse().map_err(|_| format!("extent `{}` is not a size", head(word)))
    }

    /// The literal of a list or tuple, brackets balanced by counting.
    fn bracketed(&mut self) -> Result<&'a str, String> {
        let mut depth = 0_usize;
        for (at, c) in self.rest.char_indices() {
            match c {
                '[' | '(' => depth += 1,
                ']' | ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                let end = at + c.len_utf8();
                let value = &self.rest[..end];
                self.rest = &self.rest[end..];
                return Ok(value);
            }
        }
        Err("a bracket does not close".into())
    }
}

fn head(text: &str) -> String {
    text.chars().take(20).collect()
}

fn parse(text: &str) -> Result<Header, String> {
    let mut at = Cursor { rest: text };
    let (mut descr, mut order, mut shape) = (None, None, None);
    at.expect('{')?;
    while !at.eat('}') {
        let key = at.string()?;
        at.expect(':')?;
        match key {
            "descr" => {
                at.skip_space();
                let quoted = at.rest.starts_with(['\'', '"']);
                descr = Some(if quoted { at.string()? } else { at.bracketed()? }.to_string());
            }
            "fortran_order" => {
                order = Some(match at.word() {
                    "True" => true,
                    "False" => false,
                    other => return Err(format!("fortran_order is `{}`", head(other))),
                });
            }
            "shape" => {
                let mut extents = Vec::new();
                at.expect('(')?;
                while !at.eat(')') {
                    extents.push(at.extent()?);
                    if !at.eat(',') {
                        at.expect(')')?;
                        break;
                    }
                }
                shape = Some(extents);
            }
            other => return Err(format!("unknown key `{}`", head(other))),
        }
        if !at.eat(',') {
            at.expect('}')?;
            break;
        }
    }
    at.skip_space();
    if !at.rest.is_empty() {
        return Err(format!("`{}` after the dictionary", head(at.rest)));
    }
    Ok(Header {
        descr: descr.ok_or("`descr` is missing")?,
        fortran_order: order.ok_or("`fortran_order` is missing")?,
        shape: shape.ok_or("`shape` is missing")?,
        bytes: 0,
    })
}

/// The bytes of a version 1 header (version 2 when the text is too long), padded so that data start at a multiple of 64.
pub fn encode(descr: &str, shape: &[usize]) -> Vec<u8> {
    let extents: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let text =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}", extents.join(", "));
    let wide = text.len() + 64 > usize::from(u16::MAX);
    let prefix = if wide { 12 } else { 10 };
    let padded = (prefix + text.len() + 1).next_multiple_of(64);
    let length = padded - prefix;
    let mut bytes = MAGIC.to_vec();
    if wide {
        bytes.extend([2, 0]);
        bytes.extend((length as u32).to_le_bytes());
    } else {
        bytes.extend([1, 0]);
        bytes.extend((length as u16).to_le_bytes());
    }
    bytes.extend(text.as_bytes());
    bytes.resize(padded - 1, b' ');
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numpy_spellings_are_understood() {
        let h = parse("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }   \n").unwrap();
        assert_eq!(
            (h.descr.as_str(), h.fortran_order, h.shape.as_slice()),
            ("<f8", false, [3, 4].as_slice())
        );
        assert_eq!(
            parse("{\"shape\": (5L,), 'fortran_order': True, 'descr': '|b1'}").unwrap().shape,
            vec![5]
        );
        let scalar = parse("{'descr': '>i4', 'fortran_order': False, 'shape': ()}").unwrap();
        assert_eq!((scalar.shape.len(), scalar.element("s").unwrap()), (0, (true, Element::I4)));
        let record =
            parse("{'descr': [('a', '<f8'), ('b', '<i4', (2,))], 'fortran_order': False, 'shape': (1,)}")
                .unwrap();
        assert!(
            record.element("r.npy").unwrap_err().to_string().contains("[('a', '<f8'), ('b', '<i4', (2,))]")
        );
    }

    #[test]
    fn nonsense_is_named() {
        for (text, part) in [
            ("", "expected `{`"),
            ("{'descr': '<f8', 'fortran_order': False}", "`shape` is missing"),
            ("{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}", "fortran_order is `0`"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", "negative extent"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}", "not a size"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)} x", "after the dictionary"),
            ("{'descr': [[[[[[", "does not close"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn headers_end_on_a_multiple_of_64() {
        for shape in [vec![], vec![7], vec![2, 3], vec![1; 30_000]] {
            let bytes = encode("<f8", &shape);
            assert_eq!(bytes.len() % 64, 0);
            let back = read_header(&mut bytes.as_slice(), "t").unwrap();
            assert_eq!((back.bytes, back.shape), (bytes.len(), shape));
        }
    }
}
