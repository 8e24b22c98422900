//! How compiled functions are called: one argument layout for the JIT, native objects, C and Python.
//!
//! Every compiled function takes a pointer to an *environment*: an array of 8-byte words, laid out by [`EnvLayout`]:
//!
//! | words | contents |
//! |---|---|
//! | one per symbolic size | its value (`i64`) |
//! | one per buffer | address of its first element (buffers that a program does not touch may be null) |
//! | `values` | address of the matrix values (`f64`) |
//! | `row_start` | address of the start of each row in `values`, by position (`u32`) |
//! | `owner` | address of the owner of each row, by position (`u8`) |
//! | `me` | the owner on whose behalf the call is made |
//! | `error` | address of an [`ErrorRecord`] |
//! | two per site | address of the slot records (evaluation) or of the stream (index program); address of the first emission of each outer iteration (`u32`, `trip + 1` of them) or null where the count per iteration is fixed |
//! | `element_sums` | address of per-iteration sums (`f64`, one row of `trip` per rank-0 output of the phase) |
//! | `ahead`, `ahead_step` | address of what the first iteration asks memory for, ahead of its being written; how many bytes each iteration goes on. Native objects do not ask: they read neither |
//!
//! # Functions of a program
//! - `trips(env, out: *mut i64)`: outer iterations of every phase.
//! - `eval_P(env, begin: i64, end: i64, sums: *mut f64)`: iterations `begin..end` of phase P, every row written; the sums over the
//!   range of the phase's rank-0 outputs are *stored* to `sums` (each iteration summed first, from 0).
//! - `eval_owned_P(env, elements: *const u32, count: i64)`: the listed iterations, ascending; only rows with `owner[row] == me` are
//!   written. The top bit of an element says that its sums are stored to `element_sums`. A phase whose iterations store complete rows and do
//!   nothing else but sums has no such function: its iterations are shared as they are.
//! - `eval_listed_P(env, elements, count)`: the same, every row written: for iterations that nobody else runs.
//! - `eval_either_P(env, elements, mask: i64, begin, end, sums)`, by which the JIT makes both for large phases: with mask -1 places
//!   `begin..end` of a list as `eval_listed_P`, with mask 0 and the address of a zero a range as `eval_P`.
//! - `count_P(env, begin, end, counts: *mut u32)`: emissions of each site in each iteration (`counts[s * (end - begin) + i - begin]`,
//!   s over matrix sites then row sites of the phase), for phases with a site of unknown count. Returns 0, or 1 after writing the error record.
//! - `index_P(env, begin, end)`: writes the streams of iterations `begin..end` and checks every subscript. Returns like `count_P`.

/// Where the words of the environment are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnvLayout {
    /// Number of symbolic sizes.
    pub sizes: usize,
    /// Number of buffers.
    pub buffers: usize,
    /// Number of sites.
    pub sites: usize,
}

impl EnvLayout {
    /// Word of the n-th size.
    pub fn size(&self, n: usize) -> usize {
        n
    }

    /// Word of the n-th buffer.
    pub fn buffer(&self, n: usize) -> usize {
        self.sizes + n
    }

    fn globals(&self) -> usize {
        self.sizes + self.buffers
    }

    /// Word of the matrix values.
    pub fn values(&self) -> usize {
        self.globals()
    }

    /// Word of the row starts.
    pub fn row_start(&self) -> usize {
        self.globals() + 1
    }

    /// Word of the row owners.
    pub fn owner(&self) -> usize {
        self.globals() + 2
    }

    /// Word of the calling owner.
    pub fn me(&self) -> usize {
        self.globals() + 3
    }

    /// Word of the error record.
    pub fn error(&self) -> usize {
        self.globals() + 4
    }

    /// Word of the per-iteration sums.
    pub fn element_sums(&self) -> usize {
        self.globals() + 5
    }

    /// Word of what iterations ask for first.
    pub fn ahead(&self) -> usize {
        self.globals() + 6
    }

    /// Word of the bytes from what one iteration asks for to what the next does.
    pub fn ahead_step(&self) -> usize {
        self.globals() + 7
    }

    /// Word of the slot records or stream of a site.
    pub fn site_data(&self, site: usize) -> usize {
        self.globals() + 8 + 2 * site
    }

    /// Word of the first emission of each iteration of a site.
    pub fn site_first(&self, site: usize) -> usize {
        self.site_data(site) + 1
    }

    /// Number of words.
    pub fn words(&self) -> usize {
        self.globals() + 8 + 2 * self.sites
    }
}

/// What an index program found wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct ErrorRecord {
    /// Number of the buffer that was subscripted.
    pub buffer: i64,
    /// The axis.
    pub axis: i64,
    /// The subscript.
    pub index: i64,
    /// The length of the axis.
    pub bound: i64,
    /// Start of the source span (byte offset).
    pub span_start: i64,
    /// End of the source span.
    pub span_end: i64,
}

/// Top bit of a listed element: its sums are counted here.
pub const COUNTED: u32 = 1 << 31;
