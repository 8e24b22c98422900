//! What the types prove about the range of an integer value.
//!
//! Bounds are affine in the sizes, which are never negative. Anything that is not proven here is checked when a problem is prepared.

use spadina_ir::func::{Const, Entries, Func, InstData, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::types::{Size, SizeExpr};

/// How deep expressions are followed.
const DEEPEST: usize = 8;

/// True where `subscript` lies in `0..dim` for every size and all structural data that passed its own checks.
pub fn in_range(func: &Func, subscript: Value, dim: &SizeExpr) -> bool {
    let below = |highest: SizeExpr| {
        let slack = dim.checked_sub(&highest).and_then(|slack| slack.checked_sub(&SizeExpr::constant(1)));
        slack.is_some_and(|slack| not_negative(&slack))
    };
    least(func, subscript).is_some_and(|least| not_negative(&least))
        && most(func, subscript).is_some_and(below)
}

/// No value of the integer is less.
pub fn least(func: &Func, value: Value) -> Option<SizeExpr> {
    bound(func, value, Side::Least, DEEPEST)
}

/// No value of the integer is more.
pub fn most(func: &Func, value: Value) -> Option<SizeExpr> {
    bound(func, value, Side::Most, DEEPEST)
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

/// An expression that is neither less than this one nor negative.
pub fn at_least_zero(expr: &SizeExpr) -> Option<SizeExpr> {
    around(expr, &SizeExpr::default(), Side::Most)
}

/// Which bound is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Least,
    Most,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Least => Side::Most,
            Side::Most => Side::Least,
        }
    }
}

fn bound(func: &Func, value: Value, side: Side, depth: usize) -> Option<SizeExpr> {
    if let Some(exact) = as_size(func, value) {
        return Some(exact);
    }
    let depth = depth.checked_sub(1)?;
    let of = |value: Value, side: Side| bound(func, value, side, depth);
    match func.values[value].def {
        ValueDef::Param(region, 0) => {
            let bounds = |data: &InstData| match data {
                InstData::Loop { lo, hi, body, .. } if *body == region => Some((*lo, *hi)),
                _ => None,
            };
            // A loop still under construction has no instruction yet.
            let (lo, hi) = func.insts.values().rev().find_map(bounds)?;
            match side {
                Side::Least => of(lo, side),
                Side::Most => of(hi, side)?.checked_sub(&SizeExpr::constant(1)),
            }
        }
        ValueDef::Param(..) => None,
        ValueDef::Result(inst, n) => match &func.insts[inst] {
            InstData::Op(op, args) => of_operation(func, *op, args, side, &of),
            InstData::If { then, els, .. } => {
                let [then, els] =
                    [*then, *els].map(|region| of(func.regions[region].yields[n as usize], side));
                around(&then?, &els?, side)
            }
            InstData::Load(buffer, index) => match (&func.buffers[*buffer].entries, side) {
                (Entries::Any, _) => None,
                (_, Side::Least) => Some(SizeExpr::default()),
                (Entries::Index(bounds), Side::Most) => {
                    let column = match bounds.len() {
                        1 => 0,
                        _ => usize::try_from(func.as_int(*index.last()?)?).ok()?,
                    };
                    bounds.get(column)?.checked_sub(&SizeExpr::constant(1))
                }
                (Entries::Offsets(bound), Side::Most) => Some(bound.clone()),
            },
            _ => None,
        },
    }
}

fn of_operation(
    func: &Func,
    op: Op,
    args: &[Value],
    side: Side,
    of: &dyn Fn(Value, Side) -> Option<SizeExpr>,
) -> Option<SizeExpr> {
    let positive = |value: Value| func.as_int(value).filter(|&n| n > 0);
    match (op, side) {
        (Op::IntAdd, _) => of(args[0], side)?.checked_add(&of(args[1], side)?),
        (Op::IntSub, _) => of(args[0], side)?.checked_sub(&of(args[1], side.other())?),
        (Op::IntMul, _) => {
            let (factor, other) = match (func.as_int(args[0]), func.as_int(args[1])) {
                (Some(n), _) => (n, args[1]),
                (_, Some(n)) => (n, args[0]),
                (None, None) => return None,
            };
            of(other, if factor < 0 { side.other() } else { side })?.checked_scale(factor)
        }
        // A bound of either argument is one of the lesser (the greater); else both have to be bounded.
        (Op::IntMin, Side::Most) | (Op::IntMax, Side::Least) => {
            match (of(args[0], side), of(args[1], side)) {
                (Some(a), Some(b)) => {
                    let slack = a.checked_sub(&b)?;
                    Some(if not_negative(&slack) == (side == Side::Most) { b } else { a })
                }
                (a, b) => a.or(b),
            }
        }
        (Op::IntMin, Side::Least) | (Op::IntMax, Side::Most) => {
            around(&of(args[0], side)?, &of(args[1], side)?, side)
        }
        (Op::Select, _) => around(&of(args[1], side)?, &of(args[2], side)?, side),
        // Rounded down, by a positive number, of what is not negative.
        (Op::IntDiv, _) => {
            positive(args[1])?;
            of(args[0], Side::Least).filter(not_negative)?;
            if side == Side::Least { Some(SizeExpr::default()) } else { of(args[0], side) }
        }
        // Not negative; less than the divisor, unless that is a size that is 0.
        (Op::IntMod, _) => {
            let divisor = as_size(func, args[1]).filter(not_negative)?;
            match side {
                Side::Least => Some(SizeExpr::default()),
                Side::Most if positive(args[1]).is_some() => divisor.checked_sub(&SizeExpr::constant(1)),
                Side::Most => Some(divisor),
            }
        }
        _ => None,
    }
}

/// What bounds both on one side, sizes being not negative: the lesser (greater) of each coefficient.
fn around(a: &SizeExpr, b: &SizeExpr, side: Side) -> Option<SizeExpr> {
    let pick = |x: i64, y: i64| if side == Side::Least { x.min(y) } else { x.max(y) };
    let coefficient =
        |expr: &SizeExpr, size: Size| expr.terms.iter().find(|&&(s, _)| s == size).map_or(0, |&(_, c)| c);
    let mut sum = SizeExpr::constant(pick(a.constant, b.constant));
    for &(size, _) in a.terms.iter().chain(b.terms.iter().filter(|(s, _)| coefficient(a, *s) == 0)) {
        let term = SizeExpr::size(size).checked_scale(pick(coefficient(a, size), coefficient(b, size)))?;
        sum = sum.checked_add(&term)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spadina_ir::builder::Builder;
    use spadina_ir::func::{BufferData, Plane, Role};
    use spadina_ir::interp::{ArrayData, Bindings, run};
    use spadina_ir::types::Ty;

    /// Random integers of a loop variable, a table and sizes: what they take lies between their bounds, at all sizes.
    #[test]
    fn bounds_hold() {
        let mut state = 7_u64;
        let mut random = move |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let mut bounded = 0;
        for _ in 0..3000 {
            let mut b = Builder::new(Func::new("k"));
            let [n, m] = ["N", "M"].map(|name| b.size_symbol(name));
            let [size, other] = [n, m].map(SizeExpr::size);
            let mut declare = |name: &str, elem, role, dims, entries| {
                let (name, plane) = (name.to_owned(), Plane::Primal);
                b.buffer(BufferData { name, elem, dims, role, plane, entries, default: None, span: (0, 0) })
            };
            let index = Entries::Index(vec![other.clone()]);
            let table = declare("t", Ty::Int, Role::Structural, vec![size.clone()], index);
            let lowest = declare("low", Ty::F64, Role::Output, vec![size.clone()], Entries::Any);
            let (zero, end) = (b.int(0), b.size(&size));
            let (i, _) = b.begin_loop(zero, end, 1, &[]);
            let loaded = b.load(table, &[i]);
            let (size_value, other_value) = (b.size(&size), b.size(&other));
            let mut pool = vec![i, loaded, size_value, other_value];
            for _ in 0..=random(6) {
                let literal = b.int(random(5) as i64 - 2);
                let mut pick =
                    || if random(4) == 0 { literal } else { pool[random(pool.len() as u64) as usize] };
                let (x, y) = (pick(), pick());
                let op = [Op::IntAdd, Op::IntSub, Op::IntMul, Op::IntMin, Op::IntMax, Op::IntDiv, Op::IntMod]
                    [random(7) as usize];
                let y = match op {
                    Op::IntMod if random(2) == 0 => b.int(1 + random(3) as i64),
                    Op::IntMod => other_value,
                    Op::IntDiv => b.int(1 + random(3) as i64),
                    _ => y,
                };
                let value = if random(5) == 0 {
                    let cond = b.op(Op::IntLt, &[x, y]);
                    b.begin_if(cond);
                    b.begin_else(&[x]);
                    b.end_if(&[y])[0]
                } else {
                    b.op(op, &[x, y])
                };
                pool.push(value);
            }
            let value = pool[pool.len() - 1];
            let float = b.op(Op::IntToFloat, &[value]);
            b.accum(lowest, &[i], float);
            b.end_loop(&[]);
            let func = b.finish();
            let bounds = [least(&func, value), most(&func, value)];
            bounded += bounds.iter().flatten().count();
            for (sizes, entries) in [((3, 2), vec![0, 1, 1]), ((1, 5), vec![4]), ((4, 1), vec![0; 4])] {
                let mut bindings = Bindings::default();
                bindings.sizes.extend([(n, sizes.0), (m, sizes.1)]);
                bindings.arrays.insert(table, ArrayData::Int(entries));
                let Ok(outputs) = run(&func, &bindings) else { continue };
                let at = |bound: &SizeExpr| {
                    bound.eval(&|s| if s == n { sizes.0 } else { sizes.1 }).unwrap() as f64
                };
                for x in outputs.arrays[&lowest].to_f64() {
                    assert!(
                        bounds[0].as_ref().is_none_or(|l| at(l) <= x),
                        "{x} is less than {:?}\n{func}",
                        bounds[0]
                    );
                    assert!(
                        bounds[1].as_ref().is_none_or(|u| x <= at(u)),
                        "{x} is more than {:?}\n{func}",
                        bounds[1]
                    );
                }
            }
        }
        assert!(bounded > 3000, "only {bounded} bounds were found");
    }
}
