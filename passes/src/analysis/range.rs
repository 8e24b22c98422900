//! What the types prove about the range of an integer value.
//!
//! Bounds are affine in the sizes, which are never negative. Anything that is not proven here is checked when a problem is prepared.

use spadina_ir::func::{Const, Entries, Func, InstData, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::types::SizeExpr;

/// True where `subscript` lies in `0..dim` for every size and all structural data that passed its own checks.
pub fn in_range(func: &Func, subscript: Value, dim: &SizeExpr) -> bool {
    match range(func, subscript) {
        Some((lo, hi)) => not_negative(&lo) && dim.checked_sub(&hi).is_some_and(|slack| not_negative(&slack)),
        None => false,
    }
}

fn not_negative(expr: &SizeExpr) -> bool {
    expr.constant >= 0 && expr.terms.iter().all(|&(_, c)| c > 0)
}

/// The value of an integer as an affine expression of sizes, if it is one.
pub fn as_size(func: &Func, value: Value) -> Option<SizeExpr> {
    match func.def(value)? {
        InstData::Const(Const::Int(n)) => Some(SizeExpr::constant(*n)),
        InstData::Size(expr) => Some(expr.clone()),
        InstData::Op(Op::IntAdd, args) => as_size(func, args[0])?.checked_add(&as_size(func, args[1])?),
        InstData::Op(Op::IntSub, args) => as_size(func, args[0])?.checked_sub(&as_size(func, args[1])?),
        InstData::Op(Op::IntMul, args) => {
            let (a, b) = (as_size(func, args[0])?, as_size(func, args[1])?);
            match (a.as_constant(), b.as_constant()) {
                (Some(n), _) => b.checked_scale(n),
                (_, Some(n)) => a.checked_scale(n),
                (None, None) => None,
            }
        }
        _ => None,
    }
}

/// `lo..hi` such that the value lies in it.
pub fn range(func: &Func, value: Value) -> Option<(SizeExpr, SizeExpr)> {
    if let Some(exact) = as_size(func, value) {
        let above = exact.checked_add(&SizeExpr::constant(1))?;
        return Some((exact, above));
    }
    match func.values[value].def {
        ValueDef::Param(region, 0) => {
            let owner = func.insts.iter().rev().find(|(_, data)| data.regions().contains(&region));
            match owner {
                Some((_, InstData::Loop { lo, hi, .. })) => loop_range(func, *lo, *hi),
                // A loop still under construction: its instruction does not exist yet.
                _ => None,
            }
        }
        ValueDef::Param(..) => None,
        ValueDef::Result(inst, _) => match &func.insts[inst] {
            InstData::Op(Op::IntAdd, args) => {
                let ((a, b), (c, d)) = (range(func, args[0])?, range(func, args[1])?);
                Some((a.checked_add(&c)?, b.checked_add(&d)?.checked_sub(&SizeExpr::constant(1))?))
            }
            InstData::Load(buffer, index) => match &func.buffers[*buffer].entries {
                Entries::Index(bounds) => {
                    let column = match bounds.len() {
                        1 => 0,
                        _ => usize::try_from(func.as_int(*index.last()?)?).ok()?,
                    };
                    Some((SizeExpr::default(), bounds.get(column)?.clone()))
                }
                Entries::Offsets(bound) => {
                    Some((SizeExpr::default(), bound.checked_add(&SizeExpr::constant(1))?))
                }
                Entries::Any => None,
            },
            _ => None,
        },
    }
}

fn loop_range(func: &Func, lo: Value, hi: Value) -> Option<(SizeExpr, SizeExpr)> {
    let lower = range(func, lo)?.0;
    let upper = range(func, hi)?.1.checked_sub(&SizeExpr::constant(1))?;
    Some((lower, upper))
}
