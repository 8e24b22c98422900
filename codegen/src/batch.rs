//! Batched arrays: several directions of a derivative evaluated by one call, side by side.
//!
//! # Problem
//! A product of a Jacobian with a direction does little for a direction and much beside: it computes the primal again and reads
//! subscripts. Compressed evaluation forms many products at one point.
//!
//! # Method
//! The program stays as it is. Some of its inputs and results hold `lanes` doubles for each element instead of one, side by side. A
//! value is batched if it depends on such an array, an array if a batched value is added to it; both are iterated to a fixed point. Batched
//! values become vectors (`lower::lanes`), all others are computed once. Each lane does what scalar code does, in the same
//! order, so it has the same bits.
//!
//! # Limits
//! What is batched must be `f64`, decide no branch and no bound, and be no result of rank 0. Other programs are refused ([`batched`] gives
//! `None`), and so are programs with matrix entries, with more local arrays than the stack takes, and those with batched results that the caller does not list. Products with directions of kernels in `f64` qualify, unless a result (or, in reverse
//! mode, an unknown) is a single number.

use crate::local::{MOST_BYTES, local_scratch};
use crate::options::Batch;
use crate::program::literal_product;
use crate::varying::Marks;
use cranelift_codegen::entity::EntitySet;
use spadina_ir::func::{Buffer, Func, InstData, Role, Value};
use spadina_ir::types::Ty;
use spadina_ir::walk;
use std::collections::BTreeSet;

/// What is batched in a program.
#[derive(Clone, Debug)]
pub struct Batched {
    /// Doubles an element.
    pub(crate) lanes: usize,
    pub(crate) values: EntitySet<Value>,
    pub(crate) buffers: BTreeSet<Buffer>,
}

impl Batched {
    /// The arrays that hold several doubles an element: those listed, and what depends on them.
    pub fn buffers(&self) -> &BTreeSet<Buffer> {
        &self.buffers
    }

    /// Whether a value depends on them.
    pub fn holds(&self, value: Value) -> bool {
        self.values.contains(value)
    }
}

/// What is batched in a program when `batch.buffers` are; `None` where that cannot be compiled, or the number of lanes is odd or 0.
pub fn batched(func: &Func, batch: &Batch) -> Option<Batched> {
    if batch.lanes == 0 || !batch.lanes.is_multiple_of(2) {
        return None;
    }
    let (values, buffers) = Marks::batched(func, &batch.buffers);
    let wrong = |&b: &Buffer| {
        let data = &func.buffers[b];
        let written = !matches!(data.role, Role::Var | Role::Data | Role::Structural);
        let unlisted = data.role == Role::Output && !batch.buffers.contains(&b);
        data.elem != Ty::F64 || data.role == Role::Structural || unlisted || (written && data.dims.is_empty())
    };
    if buffers.iter().any(wrong) {
        return None;
    }
    // Local arrays are on the stack, which is not large.
    let local = local_scratch(func).into_iter().filter(|b| buffers.contains(b));
    let bytes = local.filter_map(|b| literal_product(&func.buffers[b].dims)).sum::<i64>() * 8;
    if bytes.saturating_mul(batch.lanes as i64) > MOST_BYTES {
        return None;
    }
    let mut plain = true;
    walk::visit_insts(func, func.body, &mut |_, inst| {
        let varies = |v: &Value| values.contains(*v);
        plain &= func.results[inst].iter().all(|v| !varies(v) || func.ty(*v) == Ty::F64);
        plain &= match &func.insts[inst] {
            InstData::Loop { lo, hi, body, .. } => {
                let params = &func.regions[*body].params;
                !varies(lo) && !varies(hi) && params.iter().all(|v| !varies(v) || func.ty(*v) == Ty::F64)
            }
            InstData::If { cond, .. } => !varies(cond),
            InstData::Emit(_) => false,
            _ => true,
        };
    });
    plain.then_some(Batched { lanes: batch.lanes, values, buffers })
}
