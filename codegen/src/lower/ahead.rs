//! Values are brought into the cache before anything is written to them.
//!
//! # Problem
//! Values are zeroed a block of iterations at a time, just before these add to them; complete rows are stored at once. Processors write in
//! order: each write waits for its line of the cache, and behind it wait all others. On meshes whose values are larger than the nearest caches
//! that is a tenth of an evaluation, in memory a third.
//!
//! # Method
//! - *Sums*: while one block of iterations runs, each pass of its loop asks for some of the lines that will be zeroed for the next block. Who
//!   calls knows what the next block will be the first to write, and says where that starts and how far an iteration goes on
//!   ([`spadina_layout::abi`]).
//! - *Rows* that are stored one after the other: each pass asks for the lines that lie [`AHEAD`] bytes behind its own.
//!
//! # Limits
//! How many lines a pass asks for is fixed when code is made: for sums half of what its emissions fill, as neighbors on a mesh share the
//! rest. Lists of iterations ask for nothing of their own; what single doubles are added to comes early enough by itself.

use crate::lower::context::Lower;
use crate::lower::lanes::{PER_SINGLES, PER_VECTOR};
use crate::lower::rows::ROWS;
use crate::prefetch::lines;
use cranelift_codegen::ir::{InstBuilder, Value as Clif, types};
use cranelift_frontend::Variable;
use spadina_layout::program::PhaseInfo;
use std::collections::BTreeSet;

/// How far behind a pair of rows lines are asked for.
const AHEAD: i64 = 512;
/// Bytes of a value.
const VALUE: usize = 8;

/// What passes of a loop ask for.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    /// Where the next pass does.
    next: Variable,
    /// Bytes from one pass to the next.
    step: Clif,
    /// Bytes that a pass asks for.
    bytes: usize,
}

/// Bytes that a pass of so many iterations asks for. Where that is one line, a call costs more than it brings.
fn summed(info: &PhaseInfo, lanes: usize) -> Option<usize> {
    let sites = info.sites.iter().filter(|site| !site.direct);
    let entries = sites.map(|site| site.per_iteration.unwrap_or(1) as usize * site.shape.expanded_len());
    let bytes = VALUE * lanes * entries.sum::<usize>() / 2;
    (lines(bytes) > 1).then_some(bytes)
}

/// For how many lines the code of a phase asks at a time, in any of its functions.
pub(crate) fn asked(info: &PhaseInfo) -> BTreeSet<usize> {
    let sums = [1, PER_VECTOR, PER_SINGLES].into_iter().filter_map(|lanes| summed(info, lanes));
    let rows = info.sites.iter().filter(|site| site.direct);
    let rows = rows.map(|site| VALUE * ROWS * site.shape.entries.len());
    sums.chain(rows).map(lines).collect()
}

impl Lower<'_, '_> {
    /// Has every pass of the loop that comes ask for lines, if it adds to values.
    pub(crate) fn start_asking_ahead(&mut self) {
        let Some(bytes) = self.info.and_then(|info| summed(info, self.lanes)) else { return };
        if self.program.prefetch.is_empty() {
            return;
        }
        let env = self.program.env;
        let (first, step) = (self.word(env.ahead()), self.word(env.ahead_step()));
        let step = self.scale(step, self.lanes as i64);
        let next = self.b.declare_var(types::I64);
        self.b.def_var(next, first);
        self.ahead = Some(Ahead { next, step, bytes });
    }

    /// Asks for what this pass is to ask for.
    pub(crate) fn ask_ahead(&mut self) {
        let Some(Ahead { next, step, bytes }) = self.ahead else { return };
        let here = self.b.use_var(next);
        self.ask(here, bytes);
        let after = self.b.ins().iadd(here, step);
        self.b.def_var(next, after);
    }

    /// Asks for lines behind a pair of rows of so many bytes.
    pub(crate) fn ask_behind(&mut self, rows: Clif, bytes: usize) {
        let behind = self.offset(rows, AHEAD);
        self.ask(behind, bytes);
    }

    fn ask(&mut self, address: Clif, bytes: usize) {
        if let Some(&function) = self.program.prefetch.get(&lines(bytes)) {
            self.b.ins().call(function, &[address]);
        }
    }
}
