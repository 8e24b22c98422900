//! Iterations side by side: every way in which lanes part and meet again, against the interpreter, to the bit.
#![allow(clippy::unwrap_used)]
mod common;

use common::{all_slots, buffer, check_layouts};
use spadina_codegen::jit::compile_eval;
use spadina_codegen::options::Options;
use spadina_codegen::text::FunctionText;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, Carry, Func, Role, Value};
use spadina_ir::interp::{ArrayData, Bindings};
use spadina_ir::op::Op;
use spadina_ir::types::{SizeExpr, Ty};

const N: i64 = 7;

fn lanes_here() -> bool {
    cfg!(any(target_arch = "x86_64", target_arch = "aarch64"))
}

struct Kernel {
    b: Builder,
    x: Buffer,
    k: Buffer,
    y: Buffer,
    total: Buffer,
    inputs: Bindings,
    /// Induction variable, `x[i]`, `k[i]`.
    i: Value,
    at: Value,
    count: Value,
}

/// Opens `for i in 0..N` over `x: f64[N]`, `k: int[N]`; `y: f64[N]` and a scalar are the outputs.
fn open() -> Kernel {
    let mut b = Builder::new(Func::new("lanes"));
    let n = b.size_symbol("N");
    let dims = [SizeExpr::size(n)];
    let x = buffer(&mut b, "x", Ty::F64, &dims, Role::Data);
    let k = buffer(&mut b, "k", Ty::Int, &dims, Role::Structural);
    let y = buffer(&mut b, "y", Ty::F64, &dims, Role::Output);
    let total = buffer(&mut b, "total", Ty::F64, &[], Role::Output);
    let mut inputs = Bindings::default();
    inputs.sizes.insert(n, N);
    inputs.arrays.insert(x, ArrayData::F64(vec![1.5, -2.0, 0.0, 3.25, -0.75, 10.0, 0.1]));
    inputs.arrays.insert(k, ArrayData::Int(vec![3, 0, 6, 1, 2, 4, 5]));
    let (zero, bound) = (b.int(0), b.size(&SizeExpr::size(n)));
    let (i, _) = b.begin_loop(zero, bound, 1, &[]);
    let (at, count) = (b.load(x, &[i]), b.load(k, &[i]));
    Kernel { b, x, k, y, total, inputs, i, at, count }
}

impl Kernel {
    /// Arithmetic enough for lanes to be worth it, whatever else is in the loop.
    fn busy(&mut self) -> Value {
        let mut value = self.at;
        for _ in 0..40 {
            let square = self.b.mul(value, self.at);
            let less = self.b.f64(0.7);
            let part = self.b.sub(square, less);
            let denominator = self.b.f64(9.5);
            value = self.b.div(part, denominator);
        }
        value
    }

    /// Adds values to `y[i]`, to `y[k[i]]` (which other iterations write too), to `y[0]` and to the scalar.
    fn close(mut self, values: &[Value]) {
        let busy = self.busy();
        let b = &mut self.b;
        let zero = b.int(0);
        for &value in values.iter().chain([&busy]) {
            let negated = b.neg(value);
            for at in [self.i, self.count, zero] {
                b.accum(self.y, &[at], value);
                b.accum(self.y, &[at], busy);
            }
            b.accum(self.total, &[], negated);
            b.accum(self.total, &[], value);
            b.accum(self.total, &[], busy);
        }
        b.end_loop(&[]);
        let func = self.b.finish();
        let mut index = Builder::from_declarations(&func, "index");
        let size = index.func().sizes.keys().next().unwrap();
        let (zero, bound) = (index.int(0), index.size(&SizeExpr::size(size)));
        let (iv, _) = index.begin_loop(zero, bound, 1, &[]);
        let subscript = index.load(self.k, &[iv]);
        index.check(self.x, &[subscript]);
        index.end_loop(&[]);
        let options = Options { texts: true, ..Options::default() };
        let program = compile_eval(&func, all_slots()[0], &options).unwrap();
        let vectors = |text: &FunctionText| text.name != "eval_0" || text.clif.contains("f64x2");
        assert!(lanes_here() == program.summary.texts.iter().all(vectors), "iterations run side by side");
        check_layouts(&func, &index.finish(), &self.inputs, &all_slots()[..1]);
    }
}

#[test]
fn every_operation_gives_the_bits_of_one_lane() {
    let mut kernel = open();
    let (b, x) = (&mut kernel.b, kernel.at);
    let half = b.f64(0.5);
    let mut values = Vec::new();
    for op in [Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Min, Op::Max, Op::Copysign, Op::Atan2, Op::Rem] {
        values.extend([b.op(op, &[x, half]), b.op(op, &[half, x])]);
    }
    for op in [Op::Neg, Op::Abs, Op::Sqrt, Op::Floor, Op::Round, Op::Sign, Op::Sin, Op::StopGradient] {
        values.push(b.op(op, &[x]));
    }
    let negated = b.neg(x);
    values.push(b.add(negated, half));
    let mut truths = Vec::new();
    for op in [Op::FloatEq, Op::FloatNe, Op::FloatLt, Op::FloatLe] {
        truths.push(b.op(op, &[x, half]));
    }
    let two = b.int(2);
    truths.push(b.op(Op::IntLt, &[two, kernel.count]));
    let yes = b.bool(true);
    truths.push(b.op(Op::And, &[truths[0], yes]));
    truths.push(b.op(Op::And, &[truths[2], truths[4]]));
    truths.push(b.op(Op::Or, &[truths[2], truths[0]]));
    truths.push(b.op(Op::Not, &[truths[3]]));
    for truth in truths {
        values.push(b.op(Op::BoolToFloat, &[truth]));
        values.push(b.select(truth, x, half));
        let index = b.op(Op::Select, &[truth, kernel.i, two]);
        values.push(b.op(Op::IntToFloat, &[index]));
    }
    let narrow = b.op(Op::Narrow, &[x]);
    let square = b.mul(narrow, narrow);
    values.push(b.op(Op::Widen, &[square]));
    let finite: Vec<Value> = values
        .into_iter()
        .map(|value| {
            let bound = b.f64(1e3);
            let number = b.op(Op::FloatEq, &[value, value]);
            let small = b.op(Op::Min, &[value, bound]);
            b.select(number, small, half)
        })
        .collect();
    kernel.close(&finite);
}

#[test]
fn short_branches_are_computed_in_every_lane_without_leaks() {
    let mut kernel = open();
    let (b, x) = (&mut kernel.b, kernel.at);
    let zero = b.f64(0.0);
    let positive = b.op(Op::FloatLt, &[zero, x]);
    b.begin_if(positive);
    // NaN where it is not taken.
    let root = b.op(Op::Sqrt, &[x]);
    let inverse = b.div(root, x);
    b.begin_else(&[inverse, kernel.i]);
    let two = b.int(2);
    let square = b.mul(x, x);
    let results = b.end_if(&[square, two]);
    let second = b.op(Op::IntToFloat, &[results[1]]);
    kernel.close(&[results[0], second]);
}

/// Branches that every lane takes, none, or one of two; with calls, branches inside, results of every type and a value from outside.
#[test]
fn branches_without_reads_are_shared() {
    for bound in [-1, 0, 2, 3, 5, 6, 9] {
        let mut kernel = open();
        let (b, x) = (&mut kernel.b, kernel.at);
        let bound = b.int(bound);
        let large = b.op(Op::IntLt, &[bound, kernel.count]);
        b.begin_if(large);
        let tan = b.op(Op::Tan, &[x]);
        let narrow = b.op(Op::Narrow, &[tan]);
        let zero = b.f64(0.0);
        let positive = b.op(Op::FloatLt, &[zero, x]);
        b.begin_if(positive);
        let log = b.op(Op::Log1p, &[x]);
        b.begin_else(&[log]);
        let exp = b.op(Op::Expm1, &[x]);
        let inner = b.end_if(&[exp]);
        let both = b.add(inner[0], tan);
        b.begin_else(&[both, x, narrow, kernel.i, positive]);
        let sine = b.op(Op::Sinh, &[x]);
        let half = b.float(Ty::F32, 0.5);
        let not = b.op(Op::Not, &[large]);
        let results = b.end_if(&[sine, sine, half, kernel.count, not]);
        let wide = b.op(Op::Widen, &[results[2]]);
        let index = b.op(Op::IntToFloat, &[results[3]]);
        let truth = b.op(Op::BoolToFloat, &[results[4]]);
        kernel.close(&[results[0], results[1], wide, index, truth]);
    }
}

/// Angles beyond the short reduction in no lane, in one of two and in both; 1600 is the last that it serves. What is computed before such
/// a call and used behind it stays what it is.
#[test]
fn large_angles_are_called_aside() {
    for scale in [1.0, 160.0, 160.000_000_000_000_03, 800.0, 1e18, f64::INFINITY] {
        let mut kernel = open();
        let before = kernel.busy();
        let (b, x) = (&mut kernel.b, kernel.at);
        let scale = b.f64(scale);
        let angle = b.mul(scale, x);
        let (sin, cos) = (b.op(Op::Sin, &[angle]), b.op(Op::Cos, &[angle]));
        let behind = b.mul(before, sin);
        kernel.close(&[sin, cos, behind]);
    }
}

#[test]
fn branches_with_reads_and_calls_run_lane_by_lane() {
    let mut kernel = open();
    let (b, x) = (&mut kernel.b, kernel.at);
    let two = b.int(2);
    let large = b.op(Op::IntLt, &[two, kernel.count]);
    b.begin_if(large);
    let read = b.load(kernel.x, &[kernel.count]);
    let exp = b.op(Op::Exp, &[read]);
    b.begin_else(&[exp, large]);
    let not = b.op(Op::Not, &[large]);
    let results = b.end_if(&[x, not]);
    let truth = b.op(Op::BoolToFloat, &[results[1]]);
    kernel.close(&[results[0], truth]);
}

#[test]
fn loops_of_equal_length_are_shared_and_ragged_ones_are_not() {
    for ragged in [false, true] {
        let mut kernel = open();
        let (b, x) = (&mut kernel.b, kernel.at);
        let (zero, three, yes) = (b.int(0), b.int(3), b.bool(true));
        let one = b.f64(1.0);
        let hi = if ragged { kernel.count } else { three };
        let carries = [
            Carry::Sum,
            Carry::Prod,
            Carry::Min,
            Carry::Max,
            Carry::Sum,
            Carry::Max,
            Carry::State(one),
            Carry::State(zero),
            Carry::State(yes),
        ];
        let (j, states) = b.begin_loop(zero, hi, 1, &carries);
        let read = b.load(kernel.x, &[j]);
        let both = b.mul(read, x);
        let negated = b.neg(both);
        let k = b.load(kernel.k, &[j]);
        let kj = b.op(Op::IntAdd, &[k, kernel.i]);
        let sum = b.add(states[0], both);
        let counted = b.op(Op::IntAdd, &[states[1], k]);
        let flip = b.op(Op::Not, &[states[2]]);
        let results = b.end_loop(&[negated, both, both, both, kj, kj, sum, counted, flip]);
        let mut values = Vec::new();
        for result in results {
            let value = match b.func().ty(result) {
                Ty::Int => b.op(Op::IntToFloat, &[result]),
                Ty::Bool => b.op(Op::BoolToFloat, &[result]),
                Ty::F64 | Ty::F32 => result,
            };
            let bound = b.f64(1e3);
            let below = b.op(Op::Min, &[value, bound]);
            let lower = b.f64(-1e3);
            values.push(b.op(Op::Max, &[below, lower]));
        }
        kernel.close(&values);
    }
}
