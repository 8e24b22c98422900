//! Loops with every carry, nested branches, ragged loops, scratch arrays and phases, against the interpreter.
#![allow(clippy::unwrap_used)]
mod common;

use common::{all_slots, buffer, check_layouts};
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, Carry, Func, Role, Value};
use spadina_ir::interp::{ArrayData, Bindings};
use spadina_ir::op::Op;
use spadina_ir::types::{Size, SizeExpr, Ty};

const N: i64 = 7;

struct Kernel {
    b: Builder,
    n: Size,
    x: Buffer,
    k: Buffer,
    y: Buffer,
}

/// `x: f64[N]`, `k: int[N]` in, `y: f64[N]` out.
fn kernel() -> Kernel {
    let mut b = Builder::new(Func::new("control"));
    let n = b.size_symbol("N");
    let dims = [SizeExpr::size(n)];
    let x = buffer(&mut b, "x", Ty::F64, &dims, Role::Data);
    let k = buffer(&mut b, "k", Ty::Int, &dims, Role::Structural);
    let y = buffer(&mut b, "y", Ty::F64, &dims, Role::Output);
    Kernel { b, n, x, k, y }
}

fn bindings(kernel: &Kernel) -> Bindings {
    let mut bindings = Bindings::default();
    bindings.sizes.insert(kernel.n, N);
    bindings.arrays.insert(kernel.x, ArrayData::F64(vec![1.5, -2.0, 0.0, 3.25, -0.75, 10.0, 0.1]));
    bindings.arrays.insert(kernel.k, ArrayData::Int(vec![3, 0, 6, 1, -2, 4, 5]));
    bindings
}

/// An index program with as many phases, each checking `x[i]` for its iterations.
fn index_of(func: &Func, bounds: &[Option<SizeExpr>]) -> Func {
    let mut b = Builder::from_declarations(func, "index");
    for bound in bounds {
        let zero = b.int(0);
        let input = func.buffers.keys().next().unwrap();
        match bound {
            Some(bound) => {
                let bound = b.size(bound);
                let (iv, _) = b.begin_loop(zero, bound, 1, &[]);
                b.check(input, &[iv]);
                b.end_loop(&[]);
            }
            None => b.check(input, &[zero]),
        }
    }
    b.finish()
}

fn run(kernel: Kernel, phases: &[Option<SizeExpr>]) {
    let inputs = bindings(&kernel);
    let func = kernel.b.finish();
    let index = index_of(&func, phases);
    check_layouts(&func, &index, &inputs, &all_slots()[..1]);
}

fn to_float(b: &mut Builder, v: Value) -> Value {
    match b.func().ty(v) {
        Ty::F64 => v,
        Ty::F32 => b.op(Op::Widen, &[v]),
        Ty::Int => b.op(Op::IntToFloat, &[v]),
        Ty::Bool => b.op(Op::BoolToFloat, &[v]),
    }
}

#[test]
fn loops_carry_sums_products_extremes_and_states() {
    for narrow in [false, true] {
        let mut kernel = kernel();
        let b = &mut kernel.b;
        let bound = SizeExpr::size(kernel.n);
        let (zero, n) = (b.int(0), b.size(&bound));
        let (i, _) = b.begin_loop(zero, n, 1, &[]);
        let one = b.f64(1.0);
        let yes = b.bool(true);
        let start = if narrow { b.op(Op::Narrow, &[one]) } else { one };
        let hi = b.load(kernel.k, &[i]);
        let all = [Carry::Sum, Carry::Prod, Carry::Min, Carry::Max];
        let mut carries = [all, all].concat();
        carries.extend([Carry::State(start), Carry::State(zero), Carry::State(yes)]);
        let (j, states) = b.begin_loop(zero, hi, 2, &carries);
        let x = b.load(kernel.x, &[j]);
        let x = if narrow { b.op(Op::Narrow, &[x]) } else { x };
        let sum = b.add(states[0], x);
        let mixed = b.op(Op::IntMul, &[states[1], j]);
        let count = b.op(Op::IntAdd, &[mixed, i]);
        let flip = b.op(Op::Not, &[states[2]]);
        let negated = b.neg(x);
        let k = b.load(kernel.k, &[j]);
        let results = b.end_loop(&[negated, x, x, negated, k, k, k, j, sum, count, flip]);
        for result in results {
            let value = to_float(b, result);
            let finite = b.f64(1e6);
            let value = b.op(Op::Min, &[value, finite]);
            b.accum(kernel.y, &[i], value);
        }
        b.end_loop(&[]);
        run(kernel, &[Some(bound)]);
    }
}

#[test]
fn branches_nest_and_join() {
    let mut kernel = kernel();
    let b = &mut kernel.b;
    let bound = SizeExpr::size(kernel.n);
    let (zero, n) = (b.int(0), b.size(&bound));
    let (i, _) = b.begin_loop(zero, n, 1, &[]);
    let x = b.load(kernel.x, &[i]);
    let float_zero = b.f64(0.0);
    let positive = b.op(Op::FloatLt, &[float_zero, x]);
    b.begin_if(positive);
    let k = b.load(kernel.k, &[i]);
    let two = b.int(2);
    let large = b.op(Op::IntLt, &[two, k]);
    b.begin_if(large);
    // Only the branch taken is executed: x[k] is in range here.
    let at = b.load(kernel.x, &[k]);
    let root = b.op(Op::Exp, &[at]);
    b.accum(kernel.y, &[k], root);
    b.begin_else(&[root, k]);
    let log = b.op(Op::Log, &[x]);
    let inner = b.end_if(&[log, i]);
    let k_float = b.op(Op::IntToFloat, &[inner[1]]);
    let product = b.mul(inner[0], k_float);
    b.begin_else(&[product]);
    let sine = b.op(Op::Sin, &[x]);
    let joined = b.end_if(&[sine]);
    b.accum(kernel.y, &[i], joined[0]);
    b.end_loop(&[]);
    run(kernel, &[Some(bound)]);
}

#[test]
fn empty_loops_read_nothing() {
    let mut kernel = kernel();
    let b = &mut kernel.b;
    let bound = SizeExpr::size(kernel.n);
    let (zero, n) = (b.int(0), b.size(&bound));
    let (i, _) = b.begin_loop(zero, n, 1, &[]);
    let far = b.int(1 << 40);
    let (_, _) = b.begin_loop(n, i, 1, &[]);
    // Never executed, and invariant: must not move out of the loop.
    let wild = b.load(kernel.x, &[far]);
    b.accum(kernel.y, &[i], wild);
    b.end_loop(&[]);
    let one = b.f64(1.0);
    b.accum(kernel.y, &[i], one);
    b.end_loop(&[]);
    run(kernel, &[Some(bound)]);
}

#[test]
fn phases_share_pure_code_and_scratch() {
    let mut kernel = kernel();
    let b = &mut kernel.b;
    let bound = SizeExpr::size(kernel.n);
    let scratch = buffer(b, "s", Ty::F64, std::slice::from_ref(&bound), Role::Scratch);
    let energy = buffer(b, "energy", Ty::F64, &[], Role::Output);
    let count = buffer(b, "count", Ty::F64, &[], Role::Output);
    let (zero, n) = (b.int(0), b.size(&bound));
    // A pure loop at the top: computed again in every phase that uses it.
    let (j, _) = b.begin_loop(zero, n, 1, &[Carry::Sum, Carry::Max]);
    let x = b.load(kernel.x, &[j]);
    let totals = b.end_loop(&[x, x]);
    // Phase 0: fills scratch.
    let (i, _) = b.begin_loop(zero, n, 1, &[]);
    let x = b.load(kernel.x, &[i]);
    let scaled = b.mul(x, totals[0]);
    b.accum(scratch, &[i], scaled);
    b.accum(scratch, &[zero], x);
    b.end_loop(&[]);
    // Phase 1: one accumulation.
    b.accum(energy, &[], totals[1]);
    // Phase 2: reads scratch, strided, with a lower bound.
    let one = b.int(1);
    let (i, _) = b.begin_loop(one, n, 2, &[]);
    let s = b.load(scratch, &[i]);
    let first = b.load(scratch, &[zero]);
    let total = b.add(s, first);
    b.accum(energy, &[], total);
    b.accum(kernel.y, &[i], total);
    let unit = b.f64(1.0);
    b.accum(count, &[], unit);
    b.end_loop(&[]);
    let inputs = bindings(&kernel);
    let func = kernel.b.finish();
    let mut index = Builder::from_declarations(&func, "index");
    let (zero, one, n) = (index.int(0), index.int(1), index.size(&bound));
    for (lo, step) in [(zero, 1), (zero, 0), (one, 2)] {
        if step == 0 {
            index.check(kernel.x, &[zero]);
            continue;
        }
        let (i, _) = index.begin_loop(lo, n, step, &[]);
        index.check(kernel.x, &[i]);
        index.end_loop(&[]);
    }
    check_layouts(&func, &index.finish(), &inputs, &all_slots()[..1]);
}

#[test]
fn scratch_is_cleared_inside_a_phase() {
    let mut kernel = kernel();
    let b = &mut kernel.b;
    let bound = SizeExpr::size(kernel.n);
    let small = buffer(b, "small", Ty::F64, &[SizeExpr::constant(3)], Role::Scratch);
    let large = buffer(b, "large", Ty::F32, &[bound.clone(), SizeExpr::constant(2)], Role::Scratch);
    let (zero, n) = (b.int(0), b.size(&bound));
    let (i, _) = b.begin_loop(zero, n, 1, &[]);
    b.reset(small);
    b.reset(large);
    let x = b.load(kernel.x, &[i]);
    let three = b.int(3);
    let (j, _) = b.begin_loop(zero, three, 1, &[]);
    b.accum(small, &[j], x);
    b.accum(small, &[zero], x);
    let narrow = b.op(Op::Narrow, &[x]);
    let one = b.int(1);
    b.accum(large, &[i, one], narrow);
    b.end_loop(&[]);
    let a = b.load(small, &[zero]);
    let one = b.int(1);
    let c = b.load(large, &[i, one]);
    let c = b.op(Op::Widen, &[c]);
    let sum = b.add(a, c);
    b.accum(kernel.y, &[i], sum);
    b.end_loop(&[]);
    run(kernel, &[Some(bound)]);
}

#[test]
fn the_first_entries_of_scratch_are_cleared() {
    let mut kernel = kernel();
    let b = &mut kernel.b;
    let bound = SizeExpr::size(kernel.n);
    let ring = buffer(b, "ring", Ty::F64, &[SizeExpr::constant(40)], Role::Scratch);
    let (zero, n) = (b.int(0), b.size(&bound));
    let (i, _) = b.begin_loop(zero, n, 1, &[]);
    // Longer and shorter from iteration to iteration, once longer than the array.
    let k = b.load(kernel.k, &[i]);
    let nine = b.int(9);
    let length = b.op(Op::IntMul, &[k, nine]);
    b.reset_first(ring, length);
    let last = b.int(39);
    let length = b.op(Op::IntMin, &[length, last]);
    let x = b.load(kernel.x, &[i]);
    let (j, _) = b.begin_loop(zero, length, 1, &[]);
    b.accum(ring, &[j], x);
    b.end_loop(&[]);
    let (j, _) = b.begin_loop(zero, length, 1, &[]);
    let entry = b.load(ring, &[j]);
    b.accum(kernel.y, &[i], entry);
    b.end_loop(&[]);
    b.end_loop(&[]);
    run(kernel, &[Some(bound)]);
}

#[test]
fn recurrences_with_effects_run_as_one_iteration() {
    let mut kernel = kernel();
    let b = &mut kernel.b;
    let bound = SizeExpr::size(kernel.n);
    let (zero, n, start) = (b.int(0), b.size(&bound), b.f64(0.5));
    let (i, states) = b.begin_loop(zero, n, 1, &[Carry::State(start)]);
    let x = b.load(kernel.x, &[i]);
    let next = b.add(states[0], x);
    b.accum(kernel.y, &[i], next);
    b.end_loop(&[next]);
    run(kernel, &[None]);
}

#[test]
fn subscripts_of_several_dimensions() {
    let mut kernel = kernel();
    let b = &mut kernel.b;
    let (bound, three) = (SizeExpr::size(kernel.n), SizeExpr::constant(3));
    let wide = SizeExpr { constant: 1, terms: vec![(kernel.n, 2)] };
    let grid = buffer(b, "grid", Ty::F64, &[bound.clone(), wide.clone(), three.clone()], Role::Data);
    let flags = buffer(b, "flags", Ty::Bool, &[three.clone(), bound.clone()], Role::Structural);
    let small = buffer(b, "small", Ty::F32, &[bound.clone(), three.clone(), three], Role::Data);
    let out = buffer(b, "out", Ty::F64, &[bound.clone(), bound.clone()], Role::Output);
    let (zero, one, two, n) = (b.int(0), b.int(1), b.int(2), b.size(&bound));
    let (i, _) = b.begin_loop(zero, n, 1, &[]);
    let (j, _) = b.begin_loop(zero, n, 1, &[]);
    let next = b.op(Op::IntAdd, &[j, one]);
    let twice = b.op(Op::IntAdd, &[i, j]);
    for index in [[i, j, zero], [i, next, two], [i, twice, one], [two, next, one]] {
        let value = b.load(grid, &index);
        b.accum(out, &[i, j], value);
    }
    let flag = b.load(flags, &[two, j]);
    let value = b.load(small, &[j, one, two]);
    let value = b.op(Op::Widen, &[value]);
    let nothing = b.f64(-1.0);
    let value = b.select(flag, value, nothing);
    b.accum(out, &[j, i], value);
    b.end_loop(&[]);
    b.end_loop(&[]);
    let mut inputs = bindings(&kernel);
    let count = |n: i64| (0..n).map(|k| (k * 37 % 101) as f64 / 8.0);
    inputs.arrays.insert(grid, ArrayData::F64(count(N * (2 * N + 1) * 3).collect()));
    inputs.arrays.insert(flags, ArrayData::Bool((0..3 * N).map(|k| k % 3 != 0).collect()));
    inputs.arrays.insert(small, ArrayData::F32(count(N * 9).map(|x| x as f32).collect()));
    let func = kernel.b.finish();
    let index = index_of(&func, &[Some(bound)]);
    check_layouts(&func, &index, &inputs, &all_slots()[..1]);
}
