//! Lines of the values are read before anything is written to them.
//!
//! # Problem
//! Values are zeroed a block of iterations at a time, just before these add to them. Processors write in order: the zeros wait for one line
//! of the cache after the other, and behind them waits the rest. On meshes whose values are larger than the nearest cache that is a tenth of an
//! evaluation. Reading the lines of a block all at once is no better, as then the reads wait for each other.
//!
//! # Method
//! While one block of iterations runs, each pass of its loop reads a few of the lines that will be zeroed for the next block, and does
//! nothing with them: they come while the pass computes. Who calls knows what the next block will be the first to write, and says where that
//! starts, where it ends, and how far an iteration goes on ([`spadina_layout::abi`]); the code only stops at the end.
//!
//! # Limits
//! How many lines a pass reads is fixed when code is made: half of what its emissions fill, as neighbors on a mesh share the rest. Lists of
//! iterations read nothing ahead.

use crate::lower::context::Lower;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value as Clif, types};
use cranelift_frontend::Variable;
use spadina_layout::abi::AHEAD_ROOM;

/// Bytes of a line of a cache.
pub(crate) const LINE: usize = 64;

/// What passes of a loop read ahead.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    /// Where the next pass reads, at most `last`.
    next: Variable,
    last: Clif,
    /// Bytes from one pass to the next.
    step: Clif,
    /// Bytes that a pass reads from.
    bytes: usize,
}

impl Lower<'_, '_> {
    /// Has every pass of the loop that comes read lines ahead, if it adds to values.
    pub(crate) fn start_reading_ahead(&mut self) {
        let sites = self.info.map(|info| &info.sites[..]).unwrap_or_default();
        let added = sites.iter().filter(|site| !site.direct);
        let entries: usize =
            added.map(|site| site.per_iteration.unwrap_or(1) as usize * site.shape.expanded_len()).sum();
        if entries == 0 || !self.program.reads_ahead {
            return;
        }
        let bytes = (8 * entries * self.lanes / 2).next_multiple_of(LINE).min(AHEAD_ROOM);
        let env = self.program.env;
        let [first, last, step] =
            [env.ahead(), env.ahead_last(), env.ahead_step()].map(|word| self.word(word));
        let step = self.scale(step, self.lanes as i64);
        let next = self.b.declare_var(types::I64);
        self.b.def_var(next, first);
        self.ahead = Some(Ahead { next, last, step, bytes });
    }

    /// Reads what a pass reads ahead.
    pub(crate) fn read_ahead(&mut self) {
        let Some(Ahead { next, last, step, bytes }) = self.ahead else { return };
        let here = self.b.use_var(next);
        self.read_lines(here, bytes);
        let after = self.b.ins().iadd(here, step);
        let after = self.b.ins().umin(after, last);
        self.b.def_var(next, after);
    }

    /// Reads all lines of so many bytes.
    pub(crate) fn read_lines(&mut self, address: Clif, bytes: usize) {
        for at in (0..bytes).step_by(LINE) {
            // A read that might trap, for all that the compiler knows, is not removed, though nobody uses what it gives.
            self.b.ins().load(types::I64, MemFlagsData::new(), address, at as i32);
        }
    }
}
