//! Numbers that stay the same through a loop, read where they are used.
//!
//! # Problem
//! The weights of a convolution, the parameters of a material: reads that do not depend on the iteration move out of the loop. More of them
//! than there are registers go to the stack, and come back from there one by one, and the allocator writes them to the stack again at
//! the end of each iteration.
//! # Method
//! Where a loop has more than [`HELD`] such reads, each is done where its value is used: reading the array costs no more than reading
//! the stack. Two neighbors that are stored side by side are read side by side. To Cranelift the address moves with the iteration: it
//! adds the sign of the iteration's number, which is 0. So the read does not leave the loop, yet is free to stand at its use.
//!
//! # Why it keeps the meaning
//! Nothing writes to an input while a function runs.

use crate::error::Result;
use crate::lower::context::{Lower, clif_type};
use crate::lower::memory::{shared_flags, unaligned_flags};
use crate::varying::flat_place;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value as Clif, types};
use spadina_ir::func::{Buffer, InstData, Region, Role, Value};
use spadina_ir::types::Ty;

/// Numbers that a loop may hold in registers.
const HELD: usize = 8;

impl<'a> Lower<'a, '_> {
    /// Decides which reads of a loop's body are done where they are used, beside those that are already; `iteration` is not negative.
    pub(crate) fn choose_rereads(&mut self, body: Region, iteration: Clif) {
        let func = self.func;
        let still = |&inst: &_| {
            let InstData::Load(buffer, index) = &func.insts[inst] else { return None };
            let data = &func.buffers[*buffer];
            let input = matches!(data.role, Role::Var | Role::Data) && data.elem == Ty::F64;
            let wanted = input && self.exists(*buffer, index) && !self.is_batched(*buffer);
            func.result(inst).filter(|_| wanted)
        };
        let found: Vec<Value> = func.regions[body].insts.iter().filter_map(still).collect();
        if found.len() > HELD && self.checks.is_none() {
            self.rereads.extend(found);
            self.nothing = Some(self.b.ins().ushr_imm_u(iteration, 63));
        }
    }

    /// The number behind a value that is read where it is used.
    pub(crate) fn reread(&mut self, value: Value) -> Result<Option<Clif>> {
        let Some((buffer, index)) = self.reread_of(value) else { return Ok(None) };
        let ty = clif_type(self.func.buffers[buffer].elem);
        self.read_here(buffer, index, ty, shared_flags()).map(Some)
    }

    /// Two such numbers as one vector, if they are neighbors in memory.
    pub(crate) fn reread_both(&mut self, first: Value, second: Value) -> Result<Option<Clif>> {
        let (Some((buffer, index)), Some((other, next))) = (self.reread_of(first), self.reread_of(second))
        else {
            return Ok(None);
        };
        let (place, behind) = (flat_place(self.func, buffer, index), flat_place(self.func, other, next));
        if buffer != other || place.0 != behind.0 || place.1.checked_add(1) != Some(behind.1) {
            return Ok(None);
        }
        self.read_here(buffer, index, types::F64X2, unaligned_flags()).map(Some)
    }

    fn reread_of(&self, value: Value) -> Option<(Buffer, &'a [Value])> {
        let func = self.func;
        match func.def(value)? {
            InstData::Load(buffer, index) if self.rereads.contains(value) => Some((*buffer, index)),
            _ => None,
        }
    }

    fn read_here(&mut self, buffer: Buffer, index: &[Value], ty: Type, flags: MemFlagsData) -> Result<Clif> {
        let mut base = self.base(buffer)?;
        if let Some(nothing) = self.nothing {
            base = self.b.ins().iadd(base, nothing);
        }
        let linear = self.flatten(buffer, index)?;
        let (address, offset) = self.element(base, linear, Self::shift(self.func.buffers[buffer].elem));
        Ok(self.b.ins().load(ty, flags.with_readonly().with_can_move(), address, offset))
    }
}
