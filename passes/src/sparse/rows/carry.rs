//! Reuse along a row loop: what an iteration computes again of the iteration before it is carried over instead.
//!
//! # Problem
//! An iteration of the element program is met by each of its rows, so it is computed once for each:
//! ```text
//! for r in lo..hi { a = f(x[r-1], x[r]); b = f(x[r], x[r+1]); use(a, b) }
//!     ==>   for r in lo..hi state a = f(x[lo-1], x[lo]) { b = f(x[r], x[r+1]); use(a, b); yield b }
//! ```
//! # Method
//! 1. The *successor* of a value is the value of the same body that equals it with `r + 1` for `r`: found operation by operation
//!    from loads and affine subscripts on, up to sign: the builder keeps one of `a - b` and `b - a`.
//! 2. A value with a successor that something without one uses is carried: its first value is computed before the loop, each iteration
//!    yields the successor. Successors that have successors themselves are carried too (a window of three rows).
//! # Why it keeps the meaning
//! The successor computed in one iteration is, operation for operation, the value in the next: not one bit differs. What is read is
//! never written by the loop (inputs only).
//! # Limits
//! Innermost loops with direct emissions; values of branches and of loops are computed anew. Outer axes of a grid are.

use crate::analysis::affine::Affine;
use crate::rewrite::{Rewriter, Visitor};
use spadina_ir::func::{Buffer, Carry, Func, Inst, InstData, Region, Role, Value, Values};
use spadina_ir::op::Op;
use std::collections::{BTreeMap, BTreeSet};

/// Carries values from row to row.
pub(super) fn carry(func: &Func) -> Func {
    Rewriter::new(func, func.name.clone()).run(&mut CarryOver)
}

struct CarryOver;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Op(Op, Vec<Value>),
    Load(Buffer, Vec<Value>),
}

fn key(data: &InstData, map: impl Fn(Value) -> Option<Value>) -> Option<Key> {
    let all = |args: &[Value]| args.iter().map(|&a| map(a)).collect::<Option<Vec<Value>>>();
    match data {
        InstData::Op(op, args) => {
            let mut args = all(args)?;
            if op.is_commutative() {
                args.sort_unstable();
            }
            Some(Key::Op(*op, args))
        }
        InstData::Load(buffer, index) => Some(Key::Load(*buffer, all(index)?)),
        _ => None,
    }
}

/// A value, and whether it is negated.
type Signed = (Value, bool);

/// Values of a body and what they become one iteration later: `b - a` for `a - b` counts, negated.
struct Successors {
    of: BTreeMap<Value, Signed>,
}

/// The value among `known` that an operation on signed operands is.
fn signed(
    func: &Func,
    known: &BTreeMap<Key, Value>,
    data: &InstData,
    image: impl Fn(Value) -> Option<Signed>,
) -> Option<Signed> {
    let find = |op: Op, args: [Value; 2]| {
        known.get(&key(&InstData::Op(op, Values::from_slice(&args)), Some)?).copied()
    };
    match data {
        InstData::Op(Op::Neg, args) => image(args[0]).map(|(v, negated)| (v, !negated)),
        InstData::Op(op @ (Op::Mul | Op::Div), args) => {
            let ((x, p), (y, q)) = (image(args[0])?, image(args[1])?);
            find(*op, [x, y]).map(|v| (v, p != q))
        }
        InstData::Op(op @ (Op::Add | Op::Sub), args) => {
            let ((x, p), (y, q)) = (image(args[0])?, image(args[1])?);
            let q = q != (*op == Op::Sub);
            if p == q {
                return find(Op::Add, [x, y]).map(|v| (v, p));
            }
            find(Op::Sub, [x, y]).map(|v| (v, p)).or_else(|| find(Op::Sub, [y, x]).map(|v| (v, q)))
        }
        _ => {
            let plain = |v: Value| match image(v)? {
                (v, false) => Some(v),
                (v, true) => match func.def(v) {
                    Some(InstData::Op(Op::Neg, args)) => Some(args[0]),
                    _ => known.get(&Key::Op(Op::Neg, vec![v])).copied(),
                },
            };
            key(data, plain).and_then(|key| known.get(&key).copied()).map(|v| (v, false))
        }
    }
}

impl Successors {
    fn new(func: &Func, body: Region) -> Successors {
        let region = &func.regions[body];
        let iv = region.params[0];
        let mut inside: BTreeSet<Value> = region.params.iter().copied().collect();
        let (mut known, mut forms) = (BTreeMap::new(), Vec::new());
        let form = |v: Value| Affine::of(func, v).filter(|f| f.terms.iter().any(|t| t.0 == iv));
        forms.push((form(iv), iv));
        for &inst in &region.insts {
            let data = &func.insts[inst];
            let pure = matches!(data, InstData::Const(_) | InstData::Size(_) | InstData::Op(..));
            if !pure || data.operands().iter().any(|v| inside.contains(v)) {
                inside.extend(func.results[inst].iter().copied());
            }
            let Some(value) = func.result(inst) else { continue };
            if let Some(found) = form(value) {
                forms.push((Some(found), value));
            } else if let Some(key) = key(data, Some) {
                known.insert(key, value);
            }
        }
        let mut of = BTreeMap::new();
        let next = |v: Value| {
            let mut next = Affine::of(func, v)?;
            let step = next.terms.iter().find(|t| t.0 == iv)?.1;
            next = next.offset(step)?;
            forms.iter().find(|(f, _)| f.as_ref() == Some(&next)).map(|&(_, v)| v)
        };
        if let Some(value) = next(iv) {
            of.insert(iv, (value, false));
        }
        for &inst in &region.insts {
            let Some(value) = func.result(inst) else { continue };
            let reads_input = match &func.insts[inst] {
                InstData::Load(buffer, _) => {
                    !matches!(func.buffers[*buffer].role, Role::Scratch | Role::Output)
                }
                _ => true,
            };
            let successor = if form(value).is_some() {
                next(value).map(|v| (v, false))
            } else if reads_input {
                let image =
                    |v: Value| if inside.contains(&v) { of.get(&v).copied() } else { Some((v, false)) };
                signed(func, &known, &func.insts[inst], image)
            } else {
                None
            };
            if let Some(successor) = successor.filter(|&(s, _)| s != value) {
                of.insert(value, successor);
            }
        }
        Successors { of }
    }

    /// What is carried: float results of operations that something without a successor uses, and their successors.
    fn carried(&self, func: &Func, body: Region) -> Vec<Value> {
        let float = |v: Value| {
            func.ty(v).is_float() && matches!(func.def(v), Some(InstData::Op(op, _)) if *op != Op::Neg)
        };
        let mut found = BTreeSet::new();
        for &inst in &func.regions[body].insts {
            let recomputed = func
                .result(inst)
                .is_some_and(|v| self.of.contains_key(&v) && (float(v) || !func.ty(v).is_float()));
            if recomputed {
                continue;
            }
            let nested = spadina_ir::walk::captures(func, inst);
            for value in func.insts[inst].operands().into_iter().chain(nested) {
                let mut value = self.source(func, value);
                while float(value) && self.of.contains_key(&value) && found.insert(value) {
                    value = self.of[&value].0;
                }
            }
        }
        found.into_iter().collect()
    }

    /// A negation is not worth a place: what it negates is carried.
    fn source(&self, func: &Func, value: Value) -> Value {
        match func.def(value) {
            Some(InstData::Op(Op::Neg, args)) if self.of.contains_key(&args[0]) => args[0],
            _ => value,
        }
    }
}

fn stores_rows(func: &Func, body: Region) -> bool {
    let insts = &func.regions[body].insts;
    insts.iter().any(|&i| matches!(&func.insts[i], InstData::Emit(emit) if emit.direct))
}

impl CarryOver {
    fn loop_(&mut self, rw: &mut Rewriter<'_>, inst: Inst, carried: &[Value]) {
        let src = rw.src;
        let InstData::Loop { lo, hi, step, body, .. } = &src.insts[inst] else { return };
        let (lo, hi) = (rw.map.get(*lo), rw.map.get(*hi));
        let region = &src.regions[*body];
        // The first values; nothing is read where the loop does not run.
        let some = rw.b.op(Op::IntLt, &[lo, hi]);
        rw.map.set(region.params[0], lo);
        rw.b.begin_if(some);
        for &inst in &region.insts {
            if matches!(
                src.insts[inst],
                InstData::Op(..) | InstData::Load(..) | InstData::Const(_) | InstData::Size(_)
            ) && src.insts[inst].operands().iter().all(|&v| rw.map.find(v).is_some())
            {
                rw.copy(inst, self);
            }
        }
        let first = rw.map.all(carried);
        rw.b.begin_else(&[]);
        let zeros: Vec<Value> = carried.iter().map(|&v| rw.b.float(src.ty(v), 0.0)).collect();
        let inits = rw.b.end_if_with(&first, &zeros);
        let carries: Vec<Carry> = inits.iter().map(|&v| Carry::State(v)).collect();
        let (iv, states) = rw.b.begin_loop(lo, hi, *step, &carries);
        rw.map.set(region.params[0], iv);
        let state_of: BTreeMap<Value, Value> = carried.iter().copied().zip(states).collect();
        for &inst in &region.insts {
            match src.result(inst).and_then(|v| Some((v, state_of.get(&v)?))) {
                Some((value, &state)) => rw.map.set(value, state),
                None => self.visit(rw, inst),
            }
        }
        let successors = Successors::new(src, *body);
        let yields: Vec<Value> = carried
            .iter()
            .map(|v| {
                let (successor, negated) = successors.of[v];
                let image = rw.map.get(successor);
                if negated { rw.b.neg(image) } else { image }
            })
            .collect();
        rw.b.end_loop(&yields);
    }
}

impl Visitor for CarryOver {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        if let InstData::Loop { body, step: 1, carries, .. } = &rw.src.insts[inst]
            && carries.is_empty()
            && stores_rows(rw.src, *body)
        {
            let carried = Successors::new(rw.src, *body).carried(rw.src, *body);
            if !carried.is_empty() {
                self.loop_(rw, inst, &carried);
                return;
            }
        }
        rw.copy(inst, self);
    }
}
