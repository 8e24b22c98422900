//! Loads, accumulations, clearing and positions.

use crate::common::sum_of;
use crate::error::Result;
use crate::lower::context::{Eval, Filter, Linear, Lower, Mode, clif_type};
use crate::lower::lanes::{Clifs, Lanes, PER_VECTOR};
use crate::program::row_buffer;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value as Clif, types};
use cranelift_frontend::Variable;
use smallvec::smallvec;
use spadina_ir::func::{Buffer, Inst, InstData, Role, Value};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;

/// Flags of memory that the function also writes.
pub(crate) fn shared_flags() -> MemFlagsData {
    MemFlagsData::trusted()
}

/// Flags of two doubles that the function also writes.
pub(crate) fn unaligned_flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

impl Lower<'_, '_> {
    /// `buffer[index]` by the read `inst`.
    pub(crate) fn load(&mut self, inst: Inst, buffer: Buffer, index: &[Value]) -> Result<Clif> {
        let data = &self.func.buffers[buffer];
        let (address, offset) = self.lane_address(inst, buffer, index)?;
        let flags = self.read_flags(inst, buffer, index, shared_flags());
        let value = self.b.ins().load(clif_type(data.elem), flags, address, offset);
        Ok(match data.elem {
            Ty::Bool => self.b.ins().icmp_imm_s(IntCC::NotEqual, value, 0),
            Ty::F64 | Ty::F32 | Ty::Int => value,
        })
    }

    /// `buffer[index]` and its neighbor, in all lanes, for the read `inst` of the first.
    pub(crate) fn load_neighbors(
        &mut self,
        inst: Inst,
        buffer: Buffer,
        index: &[Value],
    ) -> Result<(Lanes, Lanes)> {
        let mut pairs = Vec::with_capacity(self.lanes);
        for lane in 0..self.lanes {
            self.lane = lane;
            let (address, offset) = self.lane_address(inst, buffer, index)?;
            let flags = self.read_flags(inst, buffer, index, unaligned_flags());
            pairs.push(self.b.ins().load(types::F64X2, flags, address, offset));
        }
        self.lane = 0;
        let [first, second] = [false, true].map(|high| {
            let vectors = pairs.chunks(PER_VECTOR).map(|pair| self.halves(pair[0], pair[1], high));
            Lanes::Packed(vectors.collect())
        });
        Ok((first, second))
    }

    /// The address of an element in the current lane, for the access `inst`.
    pub(crate) fn lane_address(
        &mut self,
        inst: Inst,
        buffer: Buffer,
        index: &[Value],
    ) -> Result<(Clif, i32)> {
        let shift = Self::shift(self.func.buffers[buffer].elem);
        if let Some(stride) = self.strides.get(&inst).copied() {
            let behind = stride.delta.wrapping_mul(self.lane as i64).wrapping_shl(shift as u32);
            let (origin, offset) = stride.origin;
            let moved = self.scale(stride.row, stride.delta);
            let address = self.element(origin, Linear { dynamic: Some(moved), constant: 0 }, shift).0;
            return Ok(match i32::try_from(behind).ok().and_then(|n| offset.checked_add(n)) {
                Some(offset) => (address, offset),
                None => (self.offset(address, behind), offset),
            });
        }
        let base = self.base(buffer)?;
        self.element_of(base, buffer, index)
    }

    /// True for a read of doubles that moves by one element with each row.
    pub(crate) fn is_stream(&self, inst: Inst, buffer: Buffer) -> bool {
        let stride = self.strides.get(&inst);
        self.func.buffers[buffer].elem == Ty::F64 && stride.is_some_and(|stride| stride.delta == 1)
    }

    /// [`Self::is_stream`] in all lanes: one read.
    pub(crate) fn load_stream(&mut self, inst: Inst, buffer: Buffer, index: &[Value]) -> Result<Lanes> {
        let (address, offset) = self.lane_address(inst, buffer, index)?;
        let flags = self.read_flags(inst, buffer, index, unaligned_flags());
        let pair = self.b.ins().load(types::F64X2, flags, address, offset);
        Ok(Lanes::Packed(smallvec![pair]))
    }

    /// True for literal subscripts inside of literal axes: an element that is there whatever the data are.
    pub(crate) fn exists(&self, buffer: Buffer, index: &[Value]) -> bool {
        self.func.buffers[buffer].dims.iter().zip(index).all(|(dim, &subscript)| {
            let bounds = dim.as_constant().zip(self.func.as_int(subscript));
            bounds.is_some_and(|(dim, at)| 0 <= at && at < dim)
        })
    }

    /// Flags of a read of a buffer. Out of a construct that may not run moves only what is there in any case; what moves along with
    /// the rows does not leave their loop.
    fn read_flags(&self, inst: Inst, buffer: Buffer, index: &[Value], plain: MemFlagsData) -> MemFlagsData {
        let data = &self.func.buffers[buffer];
        match data.role {
            Role::Var | Role::Data | Role::Structural => {
                let stays = self.exists(buffer, index) || self.strides.contains_key(&inst);
                let still = (self.conditional > 0 && !stays) || self.checks.is_some();
                let flags = plain.with_readonly();
                if still { flags } else { flags.with_can_move() }
            }
            Role::Scratch | Role::Output => plain,
        }
    }

    /// True for an array that holds several doubles an element.
    pub(crate) fn is_batched(&self, buffer: Buffer) -> bool {
        self.wide
            && self.program.analyzed.batched.as_ref().is_some_and(|batch| batch.buffers.contains(&buffer))
    }

    /// The address of the first lane of an element of a batched array.
    fn first_lane(&mut self, buffer: Buffer, index: &[Value]) -> Result<(Clif, i32)> {
        let base = self.base(buffer)?;
        let linear = self.flatten(buffer, index)?;
        let lanes = self.lanes as i64;
        let linear = Linear {
            dynamic: linear.dynamic.map(|v| self.scale(v, lanes)),
            constant: linear.constant.wrapping_mul(lanes),
        };
        Ok(self.element(base, linear, Self::shift(Ty::F64)))
    }

    /// All lanes of an element of a batched array.
    pub(crate) fn load_lanes(&mut self, buffer: Buffer, index: &[Value]) -> Result<Lanes> {
        let (address, offset) = self.first_lane(buffer, index)?;
        let mut vectors = Clifs::with_capacity(self.lanes / PER_VECTOR);
        for n in 0..self.lanes / PER_VECTOR {
            let offset = offset + 16 * n as i32;
            vectors.push(self.b.ins().load(types::F64X2, unaligned_flags(), address, offset));
        }
        Ok(Lanes::Packed(vectors))
    }

    /// `buffer[index] += value` in all lanes.
    fn accum_lanes(&mut self, buffer: Buffer, index: &[Value], value: Value) -> Result<()> {
        let (mut address, mut offset) = self.first_lane(buffer, index)?;
        (address, offset) = self.mine(buffer, index, address, offset)?;
        let (value, negated) = match self.func.def(value) {
            Some(InstData::Op(Op::Neg, args)) => (args[0], true),
            _ => (value, false),
        };
        let lanes = self.lanes_of(value)?;
        for (n, vector) in self.packed(&lanes).into_iter().enumerate() {
            let offset = offset + 16 * n as i32;
            let before = self.b.ins().load(types::F64X2, unaligned_flags(), address, offset);
            let after = if negated { self.float_sub(before, vector) } else { self.float_add(before, vector) };
            self.b.ins().store(unaligned_flags(), after, address, offset);
        }
        Ok(())
    }

    /// The position of `buffer[index]` among the rows or columns.
    pub(crate) fn position_of(&mut self, buffer: Buffer, index: &[Value]) -> Result<Linear> {
        let linear = self.flatten(buffer, index)?;
        let base = self.position_base(buffer)?;
        Ok(self.linear_add(base, linear))
    }

    /// `buffer[index] += value`
    pub(crate) fn accum(&mut self, buffer: Buffer, index: &[Value], value: Value) -> Result<()> {
        if let Some(&(_, variable)) = self.sums.iter().find(|&&(b, _)| b == buffer) {
            return self.add_to_subtotal(variable, value);
        }
        if let Some(variable) = self.corner_sum(buffer, index) {
            return self.add_to_subtotal(variable, value);
        }
        if self.is_batched(buffer) {
            return self.accum_lanes(buffer, index, value);
        }
        let elem = self.func.buffers[buffer].elem;
        let base = self.base(buffer)?;
        let (address, offset) = self.element_of(base, buffer, index)?;
        let (address, offset) = self.mine(buffer, index, address, offset)?;
        self.add_to_memory(address, offset, value, elem)
    }

    /// The subtotal of what is added to an element of the corner.
    fn corner_sum(&self, buffer: Buffer, index: &[Value]) -> Option<Variable> {
        if self.corner.is_empty() {
            return None;
        }
        let wanted = sum_of(self.func, buffer, index)?;
        self.corner.iter().find(|(sum, _)| *sum == wanted).map(|&(_, variable)| variable)
    }

    /// Where an element is written by its owner, and what others write goes.
    fn own_place(&mut self, buffer: Buffer, index: &[Value]) -> Result<(Clif, i32)> {
        let base = self.base(buffer)?;
        let (address, offset) = self.element_of(base, buffer, index)?;
        self.mine(buffer, index, address, offset)
    }

    /// `buffer[index] = value`, where nothing else writes this element.
    pub(crate) fn store_element(&mut self, buffer: Buffer, index: &[Value], value: Value) -> Result<()> {
        let (address, offset) = self.own_place(buffer, index)?;
        let value = self.get(value)?;
        let value = self.convert(value, clif_type(self.func.buffers[buffer].elem));
        self.b.ins().store(shared_flags(), value, address, offset);
        Ok(())
    }

    /// `buffer[index] = 0 + value`, where nothing was written before.
    pub(crate) fn fill_element(&mut self, buffer: Buffer, index: &[Value], value: Value) -> Result<()> {
        if self.is_batched(buffer) {
            let (address, offset) = self.first_lane(buffer, index)?;
            let (address, offset) = self.mine(buffer, index, address, offset)?;
            let lanes = self.lanes_of(value)?;
            let zero = self.b.ins().f64const(0.0);
            let zero = self.b.ins().splat(types::F64X2, zero);
            for (n, vector) in self.packed(&lanes).into_iter().enumerate() {
                let sum = self.float_add(zero, vector);
                self.b.ins().store(unaligned_flags(), sum, address, offset + 16 * n as i32);
            }
            return Ok(());
        }
        let elem = self.func.buffers[buffer].elem;
        let (address, offset) = self.own_place(buffer, index)?;
        let value = self.get(value)?;
        let value = self.convert(value, clif_type(elem));
        let sum = match elem {
            Ty::F64 => {
                let zero = self.b.ins().f64const(0.0);
                self.float_add(zero, value)
            }
            Ty::F32 => {
                let zero = self.b.ins().f32const(0.0);
                self.float_add(zero, value)
            }
            Ty::Int | Ty::Bool => value,
        };
        self.b.ins().store(shared_flags(), sum, address, offset);
        Ok(())
    }

    /// The address of an element that is accumulated into, or of junk where its row has another owner.
    fn mine(&mut self, buffer: Buffer, index: &[Value], address: Clif, offset: i32) -> Result<(Clif, i32)> {
        if let Mode::Eval(Eval { filter: Some(filter), junk, .. }) = self.mode
            && self.is_filtered(buffer)
        {
            let (rows, rank) = row_buffer(self.func, buffer);
            let position = self.position_of(rows, &index[..rank.min(index.len())])?;
            let owned = self.owned(filter, position);
            let target = self.offset(address, i64::from(offset));
            return Ok((self.or_junk(owned, target, junk), 0));
        }
        Ok((address, offset))
    }

    /// Adds the values of two accumulations to neighbors in memory, if that is what they are.
    pub(crate) fn accum_pair(&mut self, first: Inst, second: Inst) -> Result<bool> {
        let func = self.func;
        let (InstData::Accum(buffer, index, a), InstData::Accum(other, next, b)) =
            (&func.insts[first], &func.insts[second])
        else {
            return Ok(false);
        };
        if [first, second].iter().any(|inst| {
            self.program.analyzed.stored.contains(inst) || self.program.analyzed.filled.contains(inst)
        }) {
            return Ok(false);
        }
        let filtered = matches!(self.mode, Mode::Eval(Eval { filter: Some(_), .. }));
        let (Some((last, before)), Some((last_next, before_next))) = (index.split_last(), next.split_last())
        else {
            return Ok(false);
        };
        let pairs = buffer == other
            && before == before_next
            && func.buffers[*buffer].elem == Ty::F64
            && func.ty(*a) == Ty::F64
            && func.ty(*b) == Ty::F64
            && !(filtered && self.is_filtered(*buffer))
            && self.corner_sum(*buffer, index).is_none()
            && self.corner_sum(*buffer, next).is_none()
            && self.follows(*last, *last_next);
        if !pairs {
            return Ok(false);
        }
        let base = self.base(*buffer)?;
        let linear = self.flatten(*buffer, index)?;
        let (address, offset) = self.element(base, linear, Self::shift(Ty::F64));
        self.add_two_to_memory(address, offset, *a, *b)?;
        Ok(true)
    }

    /// True where the second subscript is a literal, one more than the first: components of one point. Neighbors along a loop are left
    /// alone: the next iteration would read across two writes that have not reached memory.
    fn follows(&self, first: Value, second: Value) -> bool {
        let literals = self.func.as_int(first).zip(self.func.as_int(second));
        literals.is_some_and(|(first, second)| first.checked_add(1) == Some(second))
    }

    /// `address[0] += a` and `address[1] += b`, doubles of one lane.
    pub(crate) fn add_two_to_memory(&mut self, address: Clif, offset: i32, a: Value, b: Value) -> Result<()> {
        let before = self.b.ins().load(types::F64X2, unaligned_flags(), address, offset);
        let negated = |v: Value| match self.func.def(v) {
            Some(InstData::Op(Op::Neg, args)) => Some(args[0]),
            _ => None,
        };
        let after = if let (Some(a), Some(b)) = (negated(a), negated(b)) {
            let pair = self.side_by_side(a, b)?;
            self.float_sub(before, pair)
        } else {
            let pair = self.side_by_side(a, b)?;
            self.float_add(before, pair)
        };
        self.b.ins().store(unaligned_flags(), after, address, offset);
        Ok(())
    }

    /// Whether the row at a position belongs to the caller.
    pub(crate) fn owned(&mut self, filter: Filter, position: Linear) -> Clif {
        let (address, offset) = self.element(filter.owner, position, 0);
        let owner = self.b.ins().load(types::I8, MemFlagsData::trusted().with_readonly(), address, offset);
        self.b.ins().icmp(IntCC::Equal, owner, filter.me)
    }

    /// `*address += value`
    pub(crate) fn add_to_memory(&mut self, address: Clif, offset: i32, value: Value, elem: Ty) -> Result<()> {
        let ty = clif_type(elem);
        let before = self.b.ins().load(ty, shared_flags(), address, offset);
        let after = match elem {
            Ty::F64 | Ty::F32 => self.add_signed(before, value, ty)?,
            Ty::Int => {
                let value = self.get(value)?;
                self.b.ins().iadd(before, value)
            }
            Ty::Bool => {
                let value = self.get(value)?;
                self.b.ins().bor(before, value)
            }
        };
        self.b.ins().store(shared_flags(), after, address, offset);
        Ok(())
    }

    /// Every entry of a buffer becomes zero, or the first ones up to a length.
    pub(crate) fn reset(&mut self, buffer: Buffer, length: Option<Value>) -> Result<()> {
        let data = &self.func.buffers[buffer];
        let (ty, bytes) = (clif_type(data.elem), data.elem.bytes() as i64);
        let base = self.base(buffer)?;
        let zero = match data.elem {
            Ty::F64 => self.b.ins().f64const(0.0),
            Ty::F32 => self.b.ins().f32const(0.0),
            Ty::Int | Ty::Bool => self.b.ins().iconst(ty, 0),
        };
        let mut count = match length {
            Some(length) => {
                let all = self.product(&data.dims);
                let all = self.linear_value(all);
                let length = self.get(length)?;
                // Whatever the length is, nothing beyond the array is written.
                Linear { dynamic: Some(self.b.ins().smin(length, all)), constant: 0 }
            }
            None => self.product(&data.dims),
        };
        if self.is_batched(buffer) {
            let lanes = self.lanes as i64;
            count.dynamic = count.dynamic.map(|v| self.scale(v, lanes));
            count.constant = count.constant.wrapping_mul(lanes);
        }
        if let (None, 0..=16) = (count.dynamic, count.constant) {
            for n in 0..count.constant {
                self.b.ins().store(shared_flags(), zero, base, (n * bytes) as i32);
            }
            return Ok(());
        }
        let count = self.linear_value(count);
        let length = self.scale(count, bytes);
        let end = self.b.ins().iadd(base, length);
        let (body, exit) = (self.b.create_block(), self.b.create_block());
        let at = self.b.append_block_param(body, types::I64);
        let some = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThan, count, 0);
        self.b.ins().brif(some, body, &[base.into()], exit, &[]);
        self.b.switch_to_block(body);
        self.b.ins().store(shared_flags(), zero, at, 0);
        let next = self.offset(at, bytes);
        let more = self.b.ins().icmp(IntCC::UnsignedLessThan, next, end);
        self.b.ins().brif(more, body, &[next.into()], exit, &[]);
        self.b.seal_block(body);
        self.b.seal_block(exit);
        self.b.switch_to_block(exit);
        Ok(())
    }
}
