//! Where elements lie: row-major addresses in two parts, what all lanes share and what differs between them.
//!
//! # Problem
//! `flow[2, l, 1]` of `flow: f64[4, L, 3]` lies at `(2 L + l) 3 + 1`. Computed from left to right, each of several such reads multiplies
//! anew in every iteration.
//!
//! # Method
//! Subscripts that all lanes share are multiplied out for themselves and added to the base: that leaves the loop. What is left, `3 l` here,
//! is one number for all arrays of this shape. Literal parts are folded into the offset of the instruction.

use crate::error::Result;
use crate::lower::context::{Linear, Lower};
use crate::program::literal_product;
use cranelift_codegen::ir::{InstBuilder, Value as Clif};
use spadina_ir::func::{Buffer, InstData, Value};
use spadina_ir::op::Op;
use spadina_ir::types::{SizeExpr, Ty};

/// The two parts of an offset.
struct Parts {
    still: Linear,
    moving: Linear,
}

/// A sum of subscripts times strides, axis by axis; it is still to be multiplied by `pending`.
struct Horner {
    sum: Option<Clif>,
    pending: i64,
}

impl Default for Horner {
    fn default() -> Horner {
        Horner { sum: None, pending: 1 }
    }
}

impl Lower<'_, '_> {
    /// Splits a subscript into a run-time part and a literal.
    fn split_subscript(&mut self, value: Value) -> Result<(Option<Clif>, i64)> {
        if let Some(n) = self.func.as_int(value) {
            return Ok((None, n));
        }
        if let Some(InstData::Op(Op::IntAdd, args)) = self.func.def(value) {
            for (a, b) in [(args[0], args[1]), (args[1], args[0])] {
                if let Some(n) = self.func.as_int(b) {
                    return Ok((Some(self.get(a)?), n));
                }
            }
        }
        Ok((Some(self.get(value)?), 0))
    }

    /// The row-major offset of an element.
    pub(crate) fn flatten(&mut self, buffer: Buffer, index: &[Value]) -> Result<Linear> {
        let parts = self.flatten_apart(buffer, index)?;
        Ok(self.linear_add(parts.still, parts.moving))
    }

    /// [`Self::flatten`] in two parts: what all lanes share, and what differs between them.
    fn flatten_apart(&mut self, buffer: Buffer, index: &[Value]) -> Result<Parts> {
        let func = self.func;
        let dims = &func.buffers[buffer].dims;
        let (mut still, mut moving) = (Horner::default(), Horner::default());
        let mut constant = 0_i64;
        for (axis, &subscript) in index.iter().enumerate() {
            if axis > 0 {
                self.next_axis(&mut still, &dims[axis]);
                self.next_axis(&mut moving, &dims[axis]);
            }
            let (dynamic, literal) = self.split_subscript(subscript)?;
            if let Some(value) = dynamic {
                let part = if self.varying.contains(subscript) { &mut moving } else { &mut still };
                self.add_subscript(part, value);
            }
            match literal_product(&dims[axis + 1..]) {
                Some(stride) => constant = constant.wrapping_add(literal.wrapping_mul(stride)),
                None if literal != 0 => {
                    let value = self.int(literal);
                    self.add_subscript(&mut still, value);
                }
                None => {}
            }
        }
        let [still, moving] = [still, moving].map(|part| part.sum.map(|v| self.scale(v, part.pending)));
        let linear = |dynamic, constant| Linear { dynamic, constant };
        Ok(Parts { still: linear(still, 0), moving: linear(moving, constant) })
    }

    /// Multiplies what was summed up by the length of an axis; literal lengths wait.
    fn next_axis(&mut self, part: &mut Horner, dim: &SizeExpr) {
        let Some(sum) = part.sum else { return };
        if let Some(n) = dim.as_constant() {
            part.pending = part.pending.wrapping_mul(n);
        } else {
            let scaled = self.scale(sum, part.pending);
            *part = Horner { sum: Some(self.scale_by(scaled, dim)), pending: 1 };
        }
    }

    fn add_subscript(&mut self, part: &mut Horner, value: Clif) {
        let sum = match part.sum {
            Some(before) => {
                let scaled = self.scale(before, part.pending);
                self.b.ins().iadd(scaled, value)
            }
            None => value,
        };
        *part = Horner { sum: Some(sum), pending: 1 };
    }

    /// The address of an element. What all lanes share is added to the base: it leaves the loop, and the rest is the same number for many
    /// arrays.
    pub(crate) fn element_of(&mut self, base: Clif, buffer: Buffer, index: &[Value]) -> Result<(Clif, i32)> {
        let shift = Self::shift(self.func.buffers[buffer].elem);
        let Parts { still, moving } = self.flatten_apart(buffer, index)?;
        let (base, _) = self.element(base, still, shift);
        Ok(self.element(base, moving, shift))
    }

    /// `base + linear * 2^shift`, as an address and an offset.
    pub(crate) fn element(&mut self, base: Clif, linear: Linear, shift: i64) -> (Clif, i32) {
        let mut address = base;
        if let Some(value) = linear.dynamic {
            let scaled = self.shifted(value, shift);
            address = self.b.ins().iadd(address, scaled);
        }
        let bytes = linear.constant.wrapping_shl(shift as u32);
        match i32::try_from(bytes) {
            Ok(offset) => (address, offset),
            Err(_) => (self.offset(address, bytes), 0),
        }
    }

    pub(crate) fn shift(ty: Ty) -> i64 {
        match ty {
            Ty::F64 | Ty::Int => 3,
            Ty::F32 => 2,
            Ty::Bool => 0,
        }
    }
}
