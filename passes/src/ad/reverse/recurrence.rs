//! Reversal of recurrences: states are recorded on a tape, and read backward.
//!
//! # Method
//! The loop runs once more and writes the state before each iteration to a tape, an array of its own; a second loop goes from the last
//! iteration to the first, takes the states from there and hands the adjoint of each state to the one before.
//!
//! # Limits
//! `recurrence-length`: a tape needs a length that sizes bound. `recurrence-int`: states that are no floats.

use super::{Policy, Reverse};
use crate::analysis::range::{as_size, at_least_zero, least, most};
use crate::dce::state_carries;
use crate::rewrite::Rewriter;
use spadina_ir::func::{Buffer, BufferData, Carry, Entries, Func, Inst, InstData, Plane, Role, Value};
use spadina_ir::op::Op;
use spadina_ir::types::SizeExpr;
use std::collections::BTreeSet;

impl Reverse {
    pub(super) fn backward_recurrence(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let InstData::Loop { lo, hi, step, carries, body } = &src.insts[inst] else {
            unreachable!("called on loops");
        };
        let Some(length) = length(src, *lo, *hi) else {
            self.refuse(
                src,
                inst,
                "recurrence-length",
                "the reversal of this recurrence needs a tape, and its length is not known from the sizes",
                "let the recurrence run over a range of sizes and literals, such as `0..K`",
            );
            return;
        };
        let states = state_carries(carries);
        let params = &src.regions[*body].params;
        if params[1..].iter().any(|&p| !src.ty(p).is_float()) {
            self.refuse(
                src,
                inst,
                "recurrence-int",
                "a recurrence with an integer or boolean state is not differentiated",
                "compute the index from the loop variable instead of carrying it",
            );
            return;
        }
        let tapes: Vec<Buffer> = params[1..]
            .iter()
            .map(|&p| {
                let name = rw.b.func().fresh_buffer_name("tape");
                rw.b.buffer(BufferData {
                    name,
                    elem: src.ty(p),
                    dims: vec![length.clone()],
                    role: Role::Scratch,
                    plane: Plane::Primal,
                    entries: Entries::Any,
                    default: None,
                    span: src.spans[inst],
                })
            })
            .collect();
        // Forward, recording.
        let recording = std::mem::replace(&mut self.policy, Policy::Again(BTreeSet::new()));
        let (lo_v, hi_v) = (rw.map.get(*lo), rw.map.get(*hi));
        let exact = as_size(src, *hi).is_some() && as_size(src, *lo).is_some();
        let used = rw.b.op(Op::IntSub, &[hi_v, lo_v]);
        for &tape in &tapes {
            // A ragged recurrence uses the beginning of a tape that is as long as its table.
            if exact {
                rw.b.reset(tape);
            } else {
                rw.b.reset_first(tape, used);
            }
        }
        let images: Vec<Carry> = states.iter().map(|&n| rw.map_carry(carries[n])).collect();
        let (iv, values) = rw.b.begin_loop(lo_v, hi_v, *step, &images);
        rw.map.set(params[0], iv);
        let at = rw.b.op(Op::IntSub, &[iv, lo_v]);
        for ((&param, &value), &tape) in params[1..].iter().zip(&values).zip(&tapes) {
            rw.map.set(param, value);
            rw.b.accum(tape, &[at], value);
        }
        rw.region(*body, self);
        let yields: Vec<Value> = states.iter().map(|&n| rw.map.get(src.regions[*body].yields[n])).collect();
        rw.b.end_loop(&yields);
        self.policy = recording;
        // Backward, from the last iteration to the first.
        let captured = self.active_captures(src, inst);
        let active: Vec<usize> = (0..states.len()).filter(|&p| self.activity.value(params[p + 1])).collect();
        let mut images = Vec::new();
        for &p in &active {
            images.push(Carry::State(self.bar_or_zero(rw, src.results[inst][states[p]])));
        }
        images.extend(captured.iter().map(|_| Carry::Sum));
        let (t, bars) = rw.b.begin_loop(lo_v, hi_v, *step, &images);
        let iv = mirrored(rw, lo_v, hi_v, *step, t);
        rw.map.set(params[0], iv);
        let at = rw.b.op(Op::IntSub, &[iv, lo_v]);
        for (&param, &tape) in params[1..].iter().zip(&tapes) {
            let value = rw.b.load(tape, &[at]);
            rw.map.set(param, value);
        }
        rw.region(*body, self);
        let outer = std::mem::take(&mut self.bars);
        for (n, &y) in src.regions[*body].yields.iter().enumerate() {
            let state = states.iter().position(|&c| c == n);
            let bar = match state {
                Some(p) => active.iter().position(|&q| q == p).map(|q| bars[q]),
                None => outer.find(src.results[inst][n]),
            };
            if let Some(bar) = bar {
                self.add_bar(rw, y, bar);
            }
        }
        self.backward_nested(rw, *body);
        let mut yields = Vec::new();
        for &p in &active {
            yields.push(self.bar_or_zero(rw, params[p + 1]));
        }
        for &value in &captured {
            yields.push(self.bar_or_zero(rw, value));
        }
        let results = rw.b.end_loop(&yields);
        self.bars = outer;
        for (k, &p) in active.iter().enumerate() {
            if let Carry::State(init) = carries[states[p]] {
                self.add_bar(rw, init, results[k]);
            }
        }
        for (&value, &sum) in captured.iter().zip(&results[active.len()..]) {
            self.add_bar(rw, value, sum);
        }
    }
}

/// An upper bound of `hi - lo` as a size expression: exact for affine bounds, the length of the table for offsets.
fn length(src: &Func, lo: Value, hi: Value) -> Option<SizeExpr> {
    let exact = as_size(src, hi).zip(as_size(src, lo)).and_then(|(hi, lo)| hi.checked_sub(&lo));
    // Where the range is empty the difference may be negative, the length of an array may not.
    exact.or_else(|| most(src, hi)?.checked_sub(&least(src, lo)?)).and_then(|length| at_least_zero(&length))
}

/// The induction value that the iteration at `t` of the backward loop stands for.
fn mirrored(rw: &mut Rewriter<'_>, lo: Value, hi: Value, step: i64, t: Value) -> Value {
    let one = rw.b.int(1);
    let span = rw.b.op(Op::IntSub, &[hi, lo]);
    let last = rw.b.op(Op::IntSub, &[span, one]);
    let last = if step == 1 {
        last
    } else {
        let stride = rw.b.int(step);
        let count = rw.b.op(Op::IntDiv, &[last, stride]);
        rw.b.op(Op::IntMul, &[count, stride])
    };
    let top = rw.b.op(Op::IntAdd, &[lo, last]);
    let offset = rw.b.op(Op::IntSub, &[t, lo]);
    rw.b.op(Op::IntSub, &[top, offset])
}
