//! Accumulations of a sum move into the loop that computes it.
//!
//! # Problem
//! ```text
//! for e { s = for q sum { .. yield v };  t = c * s;  accum out[] += t }     ==>   for e { for q { ..; accum out[] += c * v } }
//! ```
//! An energy is eliminated value by value at its accumulations: the closer they stand to what is loaded, the smaller the elements.
//!
//! # Method
//! 1. The value of an accumulation into an output is taken apart: sums and differences into terms, products into a factor that was known
//!    before the loop and a rest. A term that is the result of a loop, a sum that nothing else uses, sinks into the loop if the loop stands
//!    in the same region and the subscripts were known before it.
//! 2. Repeated until nothing sinks.
//!
//! # Why it keeps the meaning
//! Accumulations add; only the order of additions changes.
//!
//! # Limits
//! Loops with recurrences are left alone.

use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use cranelift_entity::SecondaryMap;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Carry, Func, Inst, InstData, Region, Role, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// The pass.
pub const PASS: Pass =
    Pass { name: "sink", summary: "accumulate sums inside the loops that compute them", run };

/// Sinks accumulations as deep as they go.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    let mut current = func.clone();
    // Each round reaches one loop further in.
    for _ in 0..DEEPEST {
        let Some(next) = round(&current) else { break };
        current = next;
    }
    Ok(current)
}

/// Most nested loops that are followed.
const DEEPEST: usize = 8;

/// One result of a loop that is accumulated inside.
struct Sunk {
    result: usize,
    buffer: Buffer,
    index: Vec<Value>,
    /// Factors known before the loop.
    factors: Vec<Value>,
    negative: bool,
}

#[derive(Default)]
struct Sink {
    /// By loop.
    sunk: BTreeMap<Inst, Vec<Sunk>>,
    /// Accumulations that have been replaced, with what is left of their terms and its sign.
    replaced: BTreeMap<Inst, Vec<(Value, bool)>>,
}

fn round(func: &Func) -> Option<Func> {
    let mut uses: SecondaryMap<Value, u32> = SecondaryMap::new();
    let mut home: SecondaryMap<Inst, Option<Region>> = SecondaryMap::new();
    walk::visit_insts(func, func.body, &mut |region, inst| {
        home[inst] = Some(region);
        for v in func.insts[inst].operands() {
            uses[v] += 1;
        }
        for nested in func.insts[inst].regions() {
            for &v in &func.regions[nested].yields {
                uses[v] += 1;
            }
        }
    });
    let mut sink = Sink::default();
    walk::visit_insts(func, func.body, &mut |region, inst| {
        let InstData::Accum(buffer, index, value) = &func.insts[inst] else { return };
        if func.buffers[*buffer].role != Role::Output {
            return;
        }
        let mut rest = Vec::new();
        let mut found = false;
        let mut stack = vec![(*value, Vec::new(), false)];
        while let Some((v, factors, negative)) = stack.pop() {
            let taken = (uses[v] == 1).then(|| apart(func, v, negative)).flatten();
            match taken {
                Some(Apart::Terms(terms)) if factors.is_empty() => {
                    stack.extend(terms.into_iter().rev().map(|(v, negative)| (v, Vec::new(), negative)));
                    continue;
                }
                Some(Apart::Product(a, b)) => {
                    let of = |x: Value, y: Value| {
                        let (at, n) = sum_of(func, x)?;
                        let alone = uses[x] == 1 && home[at] == Some(region);
                        let before = |v: &Value| is_before(func, *v, at);
                        (alone && before(&y) && index.iter().all(before)).then_some((at, n, y))
                    };
                    if let Some((at, n, factor)) = of(a, b).or_else(|| of(b, a)) {
                        let sunk = Sunk {
                            result: n,
                            buffer: *buffer,
                            index: index.to_vec(),
                            factors: vec![factor],
                            negative,
                        };
                        sink.sunk.entry(at).or_default().push(sunk);
                        found = true;
                        continue;
                    }
                }
                _ => {}
            }
            let loop_result = sum_of(func, v).filter(|&(at, _)| {
                uses[v] == 1 && home[at] == Some(region) && index.iter().all(|i| is_before(func, *i, at))
            });
            match loop_result {
                Some((at, result)) => {
                    let sunk = Sunk { result, buffer: *buffer, index: index.to_vec(), factors, negative };
                    sink.sunk.entry(at).or_default().push(sunk);
                    found = true;
                }
                None => rest.push((v, negative)),
            }
        }
        if found {
            sink.replaced.insert(inst, rest);
        }
    });
    (!sink.replaced.is_empty()).then(|| Rewriter::new(func, func.name.clone()).run(&mut sink))
}

enum Apart {
    Terms(Vec<(Value, bool)>),
    Product(Value, Value),
}

fn apart(func: &Func, value: Value, negative: bool) -> Option<Apart> {
    match func.def(value)? {
        InstData::Op(Op::Add, args) => Some(Apart::Terms(vec![(args[0], negative), (args[1], negative)])),
        InstData::Op(Op::Sub, args) => Some(Apart::Terms(vec![(args[0], negative), (args[1], !negative)])),
        InstData::Op(Op::Neg, args) => Some(Apart::Terms(vec![(args[0], !negative)])),
        InstData::Op(Op::Mul, args) => Some(Apart::Product(args[0], args[1])),
        _ => None,
    }
}

/// The loop without recurrences whose sum a float value is.
fn sum_of(func: &Func, value: Value) -> Option<(Inst, usize)> {
    let ValueDef::Result(inst, n) = func.values[value].def else { return None };
    let InstData::Loop { carries, .. } = &func.insts[inst] else { return None };
    let plain = carries.iter().all(|c| *c == Carry::Sum) && func.ty(value).is_float();
    plain.then_some((inst, n as usize))
}

/// Whether a value is defined before a loop that it is visible beside.
fn is_before(func: &Func, value: Value, at: Inst) -> bool {
    let first = match &func.insts[at] {
        InstData::Loop { body, .. } => func.regions[*body].params.first().copied(),
        _ => None,
    };
    first.is_some_and(|first| value < first)
}

impl Visitor for Sink {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        if let Some(rest) = self.replaced.get(&inst) {
            let InstData::Accum(buffer, index, _) = &src.insts[inst] else { return };
            let index = rw.map.all(index);
            for &(v, negative) in rest {
                let v = rw.map.get(v);
                let v = if negative { rw.b.neg(v) } else { v };
                rw.b.accum(*buffer, &index, v);
            }
            return;
        }
        let Some(sunk) = self.sunk.remove(&inst) else {
            // Sums and products of what has sunk are not needed any more, and their operands are gone.
            let gone = src.insts[inst].operands().iter().any(|&v| rw.map.find(v).is_none());
            if !gone {
                rw.copy(inst, self);
            }
            return;
        };
        let InstData::Loop { lo, hi, step, carries, body } = &src.insts[inst] else { return };
        let moved: BTreeSet<usize> = sunk.iter().map(|s| s.result).collect();
        let kept: Vec<usize> = (0..carries.len()).filter(|n| !moved.contains(n)).collect();
        let (lo, hi) = (rw.map.get(*lo), rw.map.get(*hi));
        let images = vec![Carry::Sum; kept.len()];
        let (iv, _) = rw.b.begin_loop(lo, hi, *step, &images);
        rw.map.set(src.regions[*body].params[0], iv);
        rw.region(*body, self);
        let yields = &src.regions[*body].yields;
        for s in &sunk {
            let mut value = rw.map.get(yields[s.result]);
            for &factor in &s.factors {
                let factor = rw.map.get(factor);
                value = rw.b.mul(factor, value);
            }
            let value = if s.negative { rw.b.neg(value) } else { value };
            let index = rw.map.all(&s.index);
            rw.b.accum(s.buffer, &index, value);
        }
        let yields: Vec<Value> = kept.iter().map(|&n| rw.map.get(yields[n])).collect();
        let results = rw.b.end_loop(&yields);
        for (&n, &image) in kept.iter().zip(&results) {
            rw.map.set(src.results[inst][n], image);
        }
    }
}
