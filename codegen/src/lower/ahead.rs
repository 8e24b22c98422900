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
//! - *Rows* that are stored one after the other: each pass asks for lines some rows further on, those of several matrices or parts of one in one
//!   call. A single line it reads, and does nothing with it, which is as good where it soon comes, and takes less than a call.
//!
//! # Limits
//! How many lines a pass asks for is fixed when code is made: for sums [`SHARED`] of what its emissions fill, as neighbors on a mesh share the
//! rest. Where that is a single line nothing is asked for: it would cost more than it brings. Nor is anything for lists of iterations.

use crate::lower::context::Lower;
use crate::lower::lanes::{PER_SINGLES, PER_VECTOR};
use crate::lower::rows::ROWS;
use crate::prefetch::{ADDRESSES, Ask, lines};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value as Clif, types};
use cranelift_frontend::Variable;
use spadina_layout::program::{PhaseInfo, ProgramInfo};
use std::collections::{BTreeMap, BTreeSet};

/// How many bytes further on a pair of rows asks.
const FURTHER: usize = 512;
/// Bytes of a value.
const VALUE: usize = 8;
/// One in so many of the values that iterations add to is one that no earlier iteration has added to.
const SHARED: usize = 2;

/// What passes of a loop ask for.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    /// Where the next pass does.
    next: Variable,
    /// Bytes from one pass to the next.
    step: Clif,
    /// Lines that a pass asks for.
    lines: usize,
}

/// Lines that a pass of so many iterations is the first to write.
fn for_sums(info: &PhaseInfo, lanes: usize) -> usize {
    let sites = info.sites.iter().filter(|site| !site.direct);
    let entries = sites.map(|site| site.per_iteration.unwrap_or(1) as usize * site.shape.expanded_len());
    lines(VALUE * lanes * entries.sum::<usize>() / SHARED)
}

/// Lines of a pair of rows of so many values each.
fn for_rows(values: usize) -> usize {
    lines(VALUE * ROWS * values)
}

/// All that the code of a program may ask for, in any of its functions.
pub(crate) fn asked(info: &ProgramInfo) -> BTreeSet<Ask> {
    let lanes = [1, PER_VECTOR, PER_SINGLES];
    let sums = info.phases.iter().flat_map(|phase| lanes.map(|lanes| ask_for_sums(for_sums(phase, lanes))));
    let rows = info.phases.iter().flat_map(|phase| {
        let mut sites: BTreeMap<usize, usize> = BTreeMap::new();
        for site in phase.sites.iter().filter(|site| site.direct) {
            *sites.entry(for_rows(site.shape.entries.len())).or_default() += 1;
        }
        let asks = |(lines, sites): (usize, usize)| {
            (1..=sites.min(ADDRESSES)).map(move |addresses| ask_for_rows(addresses, lines))
        };
        sites.into_iter().flat_map(asks)
    });
    sums.chain(rows).filter(|ask| ask.lines > 1).collect()
}

fn ask_for_sums(lines: usize) -> Ask {
    Ask { addresses: 1, lines, behind: 0 }
}

fn ask_for_rows(addresses: usize, lines: usize) -> Ask {
    Ask { addresses, lines, behind: FURTHER }
}

impl Lower<'_, '_> {
    /// Has every pass of the loop that comes ask for lines, if it adds to values.
    pub(crate) fn start_asking_ahead(&mut self) {
        let lines = self.info.map_or(0, |info| for_sums(info, self.lanes));
        if lines < 2 || self.program.prefetch.is_empty() {
            return;
        }
        let env = self.program.env;
        let (first, step) = (self.word(env.ahead()), self.word(env.ahead_step()));
        let step = self.scale(step, self.lanes as i64);
        let next = self.b.declare_var(types::I64);
        self.b.def_var(next, first);
        self.ahead = Some(Ahead { next, step, lines });
    }

    /// Asks for what this pass is to ask for.
    pub(crate) fn ask_ahead(&mut self) {
        let Some(Ahead { next, step, lines }) = self.ahead else { return };
        let here = self.b.use_var(next);
        self.ask(ask_for_sums(lines), &[here]);
        let after = self.b.ins().iadd(here, step);
        self.b.def_var(next, after);
    }

    /// Asks for lines further on than some pairs of rows; of each the address, that of the last pair, and how many values a row has.
    pub(crate) fn ask_further(&mut self, rows: &[(Clif, Clif, usize)]) {
        let mut many: BTreeMap<usize, Vec<Clif>> = BTreeMap::new();
        for &(row, last, values) in rows {
            match for_rows(values) {
                0 => {}
                // A read that might trap, for all that the compiler knows, is not removed, though nobody uses what it gives.
                1 => {
                    let further = self.offset(row, FURTHER as i64);
                    let further = self.b.ins().umin(further, last);
                    self.b.ins().load(types::I64, MemFlagsData::new(), further, 0);
                }
                lines => many.entry(lines).or_default().push(row),
            }
        }
        for (lines, rows) in many {
            for rows in rows.chunks(ADDRESSES) {
                self.ask(ask_for_rows(rows.len(), lines), rows);
            }
        }
    }

    fn ask(&mut self, ask: Ask, addresses: &[Clif]) {
        let functions = self.program.prefetch;
        debug_assert!(functions.is_empty() || functions.contains_key(&ask), "`asked` tells of all");
        if let Some(&function) = functions.get(&ask) {
            self.b.ins().call(function, addresses);
        }
    }
}
