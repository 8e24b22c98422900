//! The plan as one flat relocatable buffer: a versioned header, then sections that are found by offsets.
//!
//! # Format (version 1; 64-bit words, native byte order)
//! | word | contents |
//! |---|---|
//! | 0 | [`MAGIC`] (reads differently in the other byte order) |
//! | 1 | version in the low half, number of sections in the high half |
//! | 2 | length of the whole buffer in words |
//! | 3 | hash of words 4.. |
//! | 4 + 3 k .. | section k: kind and element bytes (halves of one word), offset in words, length in elements |
//!
//! Elements are packed from the low end of each word; a section starts at a word. Sections of one kind keep their order.

use crate::error::LayoutError;
use alloc::vec::Vec;

/// First word of every plan.
pub const MAGIC: u64 = u64::from_le_bytes(*b"spadina\x01");
/// The format that this code writes and reads.
pub const VERSION: u32 = 1;

const HEADER: usize = 4;
const ENTRY: usize = 3;

/// What a section holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// Numbers that describe the rest; their meaning is the writer's.
    Header = 1,
    /// Values of the symbolic sizes.
    Sizes = 2,
    /// Outer iterations of each phase.
    Trips = 3,
    /// Start of each row.
    RowPtr = 4,
    /// Columns.
    ColIdx = 5,
    /// Start of each row, by position.
    RowStart = 6,
    /// Slot records of a site.
    Slots = 7,
    /// First emission of each iteration of a site; empty where the count is fixed.
    SiteFirst = 8,
    /// Rows whose diagonal entry is one.
    Identity = 9,
}

impl Kind {
    fn from_u32(kind: u32) -> Option<Kind> {
        use Kind::{ColIdx, Header, Identity, RowPtr, RowStart, SiteFirst, Sizes, Slots, Trips};
        [Header, Sizes, Trips, RowPtr, ColIdx, RowStart, Slots, SiteFirst, Identity]
            .into_iter()
            .find(|k| *k as u32 == kind)
    }
}

/// Writes a plan section by section.
#[derive(Clone, Debug, Default)]
pub struct PlanWriter {
    entries: Vec<(Kind, usize, usize, usize)>,
    body: Vec<u64>,
}

impl PlanWriter {
    /// An empty plan.
    pub fn new() -> PlanWriter {
        PlanWriter::default()
    }

    /// Adds a section of 64-bit elements.
    pub fn put_u64(&mut self, kind: Kind, data: &[u64]) {
        self.entries.push((kind, 8, self.body.len(), data.len()));
        self.body.extend_from_slice(data);
    }

    /// Adds a section of 32-bit elements.
    pub fn put_u32(&mut self, kind: Kind, data: &[u32]) {
        self.pack(kind, 4, data.len(), data.iter().map(|&x| u64::from(x)));
    }

    /// Adds a section of 16-bit elements.
    pub fn put_u16(&mut self, kind: Kind, data: &[u16]) {
        self.pack(kind, 2, data.len(), data.iter().map(|&x| u64::from(x)));
    }

    /// Adds a section of bytes.
    pub fn put_u8(&mut self, kind: Kind, data: &[u8]) {
        self.pack(kind, 1, data.len(), data.iter().map(|&x| u64::from(x)));
    }

    fn pack(&mut self, kind: Kind, bytes: usize, len: usize, data: impl Iterator<Item = u64>) {
        self.entries.push((kind, bytes, self.body.len(), len));
        let per_word = 8 / bytes;
        let (mut word, mut filled) = (0, 0);
        for x in data {
            word |= x << (8 * bytes * filled);
            filled += 1;
            if filled == per_word {
                self.body.push(word);
                (word, filled) = (0, 0);
            }
        }
        if filled > 0 {
            self.body.push(word);
        }
    }

    /// The finished buffer.
    pub fn finish(self) -> Vec<u64> {
        let start = HEADER + ENTRY * self.entries.len();
        let mut words = Vec::with_capacity(start + self.body.len());
        words.push(MAGIC);
        words.push(u64::from(VERSION) | (self.entries.len() as u64) << 32);
        words.push((start + self.body.len()) as u64);
        words.push(0);
        for &(kind, bytes, offset, len) in &self.entries {
            words.push(u64::from(kind as u32) | (bytes as u64) << 32);
            words.push((start + offset) as u64);
            words.push(len as u64);
        }
        words.extend_from_slice(&self.body);
        words[3] = hash(&words[HEADER..]);
        words
    }
}

/// A section of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// What it holds.
    pub kind: Kind,
    /// Bytes of an element: 1, 2, 4 or 8.
    pub bytes: usize,
    /// Number of elements.
    pub len: usize,
    words: &'a [u64],
}

impl<'a> Section<'a> {
    /// The elements.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<'a> {
        let (bytes, words) = (self.bytes, self.words);
        let (per_word, mask) = (8 / bytes, if bytes == 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 });
        (0..self.len).map(move |k| (words[k / per_word] >> (8 * bytes * (k % per_word))) & mask)
    }

    /// The elements of a 64-bit section.
    pub fn as_u64(&self) -> Option<&'a [u64]> {
        (self.bytes == 8).then_some(self.words)
    }
}

/// A plan whose header and sections have been checked.
#[derive(Clone, Copy, Debug)]
pub struct PlanReader<'a> {
    words: &'a [u64],
    sections: usize,
}

impl<'a> PlanReader<'a> {
    /// Checks magic, version, length, hash and that every section lies inside the buffer.
    pub fn new(words: &'a [u64]) -> Result<PlanReader<'a>, LayoutError> {
        let bad = LayoutError::Plan;
        let &[magic, version, len, sum] = words.first_chunk::<HEADER>().ok_or(bad("too short"))?;
        if magic != MAGIC {
            return Err(bad("magic number or byte order"));
        }
        if version as u32 != VERSION {
            return Err(bad("version"));
        }
        if len != words.len() as u64 {
            return Err(bad("length"));
        }
        if sum != hash(&words[HEADER..]) {
            return Err(bad("hash"));
        }
        let sections = (version >> 32) as usize;
        let start = HEADER + ENTRY * sections;
        if start > words.len() {
            return Err(bad("section table"));
        }
        for entry in words[HEADER..start].chunks_exact(ENTRY) {
            let (bytes, offset, len) = (entry[0] >> 32, entry[1], entry[2]);
            if Kind::from_u32(entry[0] as u32).is_none() || !matches!(bytes, 1 | 2 | 4 | 8) {
                return Err(bad("section kind"));
            }
            let end = len.div_ceil(8 / bytes).checked_add(offset);
            if offset < start as u64 || end.is_none_or(|end| end > words.len() as u64) {
                return Err(bad("section bounds"));
            }
        }
        Ok(PlanReader { words, sections })
    }

    /// All sections in order.
    pub fn sections(&self) -> impl Iterator<Item = Section<'a>> + use<'a> {
        let words = self.words;
        words[HEADER..HEADER + ENTRY * self.sections].chunks_exact(ENTRY).filter_map(move |entry| {
            let (bytes, offset, len) = ((entry[0] >> 32) as usize, entry[1] as usize, entry[2] as usize);
            let kind = Kind::from_u32(entry[0] as u32)?;
            Some(Section { kind, bytes, len, words: &words[offset..offset + len.div_ceil(8 / bytes)] })
        })
    }

    /// The n-th section of a kind.
    pub fn section(&self, kind: Kind, n: usize) -> Result<Section<'a>, LayoutError> {
        self.sections().filter(|s| s.kind == kind).nth(n).ok_or(LayoutError::Plan("missing section"))
    }
}

/// A 64-bit hash of words (multiply and fold, four lanes); for recognizing equal data, not against adversaries.
pub fn hash(words: &[u64]) -> u64 {
    let mut lanes = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03, 0x94d0_49bb_1331_11eb, words.len() as u64];
    let chunks = words.chunks_exact(4);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &word) in lanes.iter_mut().zip(chunk) {
            *lane = mix(*lane, word);
        }
    }
    for &word in rest {
        lanes[0] = mix(lanes[0], word);
    }
    let [a, b, c, d] = lanes;
    mix(mix(mix(a, b), c), d)
}

fn mix(state: u64, word: u64) -> u64 {
    let product = u128::from(state ^ word ^ 0x2545_f491_4f6c_dd1d) * 0xbf58_476d_1ce4_e5b9_u128;
    (product as u64) ^ ((product >> 64) as u64) ^ word.rotate_left(23)
}
