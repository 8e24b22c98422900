//! Bounds checks of index programs: every subscript that is not known to be right is compared, a wrong one is recorded.

use crate::error::Result;
use crate::lower::context::Lower;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, InstBuilder, MemFlagsData, types};
use spadina_ir::func::{Buffer, Inst, InstData, Value};
use spadina_ir::types::SizeExpr;

/// The state of checking.
pub(crate) struct Checks {
    /// Returns 1, after the error record is written.
    pub(crate) fail: Block,
    /// Values known to lie in `0..bound` from here on.
    pub(crate) proven: Vec<(Value, SizeExpr)>,
}

impl Lower<'_, '_> {
    /// Starts checking: makes the block that failures jump to.
    pub(crate) fn start_checks(&mut self) {
        let fail = self.b.create_block();
        self.b.set_cold_block(fail);
        self.checks = Some(Checks { fail, proven: Vec::new() });
    }

    /// Fills the failure block and ends the function's other path with `return 0`.
    pub(crate) fn finish_checks(&mut self) {
        let zero = self.int(0);
        self.b.ins().return_(&[zero]);
        if let Some(checks) = self.checks.take() {
            self.b.seal_block(checks.fail);
            self.b.switch_to_block(checks.fail);
            let one = self.int(1);
            self.b.ins().return_(&[one]);
        }
    }

    /// Refuses to go on unless every subscript lies inside the buffer. Each check has a block of its own that writes the error record:
    /// passed to a common one as parameters, the words of all checks would be one problem of register allocation, which takes
    /// more than linear time.
    pub(crate) fn check(&mut self, inst: Inst, buffer: Buffer, index: &[Value]) -> Result<()> {
        let func = self.func;
        let dims = &func.buffers[buffer].dims;
        for ((axis, &subscript), dim) in (0..).zip(index).zip(dims) {
            if self.is_proven(subscript, dim) {
                continue;
            }
            let Some(checks) = &mut self.checks else { return Ok(()) };
            checks.proven.push((subscript, dim.clone()));
            let fail = checks.fail;
            let value = self.get(subscript)?;
            let bound = self.size_expr(dim);
            // A negative subscript is a large unsigned one; sizes are never negative.
            let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, value, bound);
            let [wrong, inside] = [(); 2].map(|()| self.b.create_block());
            self.b.ins().brif(outside, wrong, &[], inside, &[]);
            self.b.seal_block(wrong);
            self.b.switch_to_block(wrong);
            self.b.set_cold_block(wrong);
            let (start, end) = func.spans[inst];
            let facts = [i64::from(buffer.as_u32()), axis, i64::from(start), i64::from(end)];
            let [buffer, axis, start, end] = facts.map(|n| self.int(n));
            // Not moved out of this block, as other reads of the environment are.
            let offset = i32::try_from(8 * self.program.env.error()).unwrap_or(i32::MAX);
            let record = self.b.ins().load(types::I64, MemFlagsData::trusted(), self.env, offset);
            for (n, word) in (0..).zip([buffer, axis, value, bound, start, end]) {
                self.b.ins().store(MemFlagsData::trusted(), word, record, 8 * n);
            }
            self.b.ins().jump(fail, &[]);
            self.b.seal_block(inside);
            self.b.switch_to_block(inside);
        }
        Ok(())
    }

    fn is_proven(&self, subscript: Value, dim: &SizeExpr) -> bool {
        if let (Some(n), Some(bound)) = (self.func.as_int(subscript), dim.as_constant()) {
            return (0..bound).contains(&n);
        }
        let known = |(value, bound): &(Value, SizeExpr)| *value == subscript && covers(dim, bound);
        self.checks.as_ref().is_some_and(|checks| checks.proven.iter().any(known))
    }

    /// Notes that an induction variable stays inside its loop's bounds; [`Lower::forget_range`] takes it back.
    pub(crate) fn note_range(&mut self, iv: Value, lo: Value, hi: Value) -> Option<usize> {
        let bound = match (self.func.def(hi), self.func.as_int(hi)) {
            (_, Some(n)) => SizeExpr::constant(n),
            (Some(InstData::Size(expr)), None) => expr.clone(),
            _ => return None,
        };
        if self.func.as_int(lo).is_none_or(|lo| lo < 0) {
            return None;
        }
        let checks = self.checks.as_mut()?;
        checks.proven.push((iv, bound));
        Some(checks.proven.len() - 1)
    }

    pub(crate) fn forget_range(&mut self, mark: Option<usize>) {
        if let (Some(mark), Some(checks)) = (mark, &mut self.checks) {
            checks.proven.truncate(mark);
        }
    }
}

/// True where `0..bound` surely lies inside `0..dim`: sizes are never negative.
fn covers(dim: &SizeExpr, bound: &SizeExpr) -> bool {
    dim.checked_sub(bound).is_some_and(|rest| rest.constant >= 0 && rest.terms.iter().all(|&(_, c)| c >= 0))
}
