//! The partials of every operation: their structural zeros against a published table, their values against difference quotients at
//! random points, and what is promised at edges.
//!
//! The table (`../shared/reference/operators.csv`: name, arity, class, first and second partials by argument, cross) is read where it
//! stands beside the checkout.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, BufferData, Entries, Func, Plane, Role};
use spadina_ir::interp::{ArrayData, Bindings, run};
use spadina_ir::op::{Op, Signature, Smoothness};
use spadina_ir::types::Ty;
use spadina_passes::ad::rules;
use spadina_testkit::rng::Rng;
use std::path::Path;

/// Central differences of values near 1 with this step are good to about its square.
const STEP: f64 = 1e-5;
const FIRST: f64 = 1e-8;
const POINTS: usize = 200;

/// Operations with float arguments whose derivatives somebody may ask for. Projections act on whole blocks and have tests of their own.
fn operations() -> impl Iterator<Item = Op> {
    let own = [Op::StopGradient, Op::Hidden, Op::Attach, Op::ProjectClamp, Op::ProjectAbs];
    Op::ALL.iter().copied().filter(move |op| op.signature() == Signature::Float && !own.contains(op))
}

/// Which partials are no structural zeros: by argument, second by argument, cross.
fn classes(op: Op) -> ([bool; 2], [bool; 2], bool) {
    let mut b = Builder::new(Func::new("classes"));
    let args: Vec<_> = ["a", "b"][..op.arity()].iter().map(|name| input(&mut b, name)).collect();
    let args: Vec<_> = args.iter().map(|&buffer| b.load(buffer, &[])).collect();
    let v = b.op(op, &args);
    let first = rules::first(&mut b, op, &args, v);
    let second = rules::second(&mut b, op, &args, v);
    let has = |i: usize, j: usize| second.iter().any(|&(p, q, _)| (p, q) == (i, j));
    let slope = |i: usize| first.get(i).is_some_and(Option::is_some);
    ([slope(0), slope(1)], [has(0, 0), has(1, 1)], has(0, 1))
}

fn buffer(b: &mut Builder, name: &str, role: Role) -> Buffer {
    b.buffer(BufferData {
        name: name.to_owned(),
        elem: Ty::F64,
        dims: Vec::new(),
        role,
        plane: Plane::Primal,
        entries: Entries::Any,
        default: None,
        span: (0, 0),
    })
}

fn input(b: &mut Builder, name: &str) -> Buffer {
    buffer(b, name, Role::Data)
}

/// Value, first partials, and second partials `aa`, `ab`, `bb` of an operation; structural zeros are 0.
struct Partials {
    func: Func,
    inputs: Vec<Buffer>,
}

impl Partials {
    fn of(op: Op) -> Partials {
        let mut b = Builder::new(Func::new(op.name()));
        let inputs: Vec<Buffer> = ["a", "b"][..op.arity()].iter().map(|name| input(&mut b, name)).collect();
        let outputs: Vec<Buffer> = ["v", "da", "db", "aa", "ab", "bb"]
            .iter()
            .map(|name| buffer(&mut b, name, Role::Output))
            .collect();
        let args: Vec<_> = inputs.iter().map(|&buffer| b.load(buffer, &[])).collect();
        let v = b.op(op, &args);
        b.accum(outputs[0], &[], v);
        for (n, partial) in rules::first(&mut b, op, &args, v).into_iter().enumerate() {
            if let Some(partial) = partial {
                b.accum(outputs[1 + n], &[], partial);
            }
        }
        for (i, j, partial) in rules::second(&mut b, op, &args, v) {
            b.accum(outputs[3 + i + j], &[], partial);
        }
        Partials { func: b.finish(), inputs }
    }

    fn at(&self, args: [f64; 2]) -> [f64; 6] {
        let mut bindings = Bindings::default();
        for (&buffer, &x) in self.inputs.iter().zip(&args) {
            bindings.arrays.insert(buffer, ArrayData::F64(vec![x]));
        }
        let outputs = run(&self.func, &bindings).unwrap();
        ["v", "da", "db", "aa", "ab", "bb"].map(|name| outputs.scalar(&self.func, name).unwrap())
    }
}

/// The name in the table of an operation that stands there.
fn listed(op: Op) -> Option<&'static str> {
    Some(match op {
        Op::Add => "+",
        Op::Sub => "-",
        Op::Mul => "*",
        Op::Div => "/",
        Op::Neg => "unary-",
        Op::Rem => "mod",
        Op::Pow => "^",
        Op::Softplus => "NN.softplus",
        Op::Erf => return None,
        other => other.name(),
    })
}

#[test]
fn structural_zeros_are_those_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference/operators.csv");
    let Ok(table) = std::fs::read_to_string(path) else {
        eprintln!("skipped: ../shared/reference is not beside the checkout");
        return;
    };
    let mut met = 0;
    for op in operations() {
        let Some(name) = listed(op) else { continue };
        let row = table.lines().find(|line| {
            let mut fields = line.split(',');
            fields.next() == Some(name) && fields.next() == Some(if op.arity() == 1 { "1" } else { "2" })
        });
        let row = row.unwrap_or_else(|| panic!("`{name}` is not in the table"));
        let fields: Vec<bool> = row.split(',').skip(3).map(|field| field == "1").collect();
        let wanted = ([fields[0], fields[2]], [fields[1], fields[3]], fields[4]);
        assert_eq!(classes(op), wanted, "`{}`: {row}", op.name());
        met += 1;
    }
    assert!(met > 35, "{met} operations are in the table");
}

#[test]
fn smoothness_says_what_the_rules_do() {
    for op in operations() {
        let (first, second, cross) = classes(op);
        let (slopes, curved) = (first[0] || first[1], second[0] || second[1] || cross);
        let expected = match op.smoothness() {
            Smoothness::Discrete | Smoothness::Flat => (false, false),
            Smoothness::Linear => (true, false),
            Smoothness::Smooth => (true, true),
        };
        assert_eq!((slopes, curved), expected, "`{}`", op.name());
    }
}

/// Where an argument may lie so that the operation and its neighborhood are smooth.
fn range(op: Op) -> [(f64, f64); 2] {
    match op {
        Op::Sqrt | Op::Cbrt | Op::Log | Op::Log2 | Op::Log10 => [(0.3, 3.0); 2],
        Op::Log1p => [(-0.6, 3.0); 2],
        Op::Asin | Op::Acos | Op::Atanh => [(-0.9, 0.9); 2],
        Op::Acosh => [(1.2, 4.0); 2],
        Op::Tan => [(-1.2, 1.2); 2],
        Op::Pow => [(0.3, 2.5), (-3.0, 3.0)],
        Op::Div | Op::Rem => [(-2.0, 2.0), (0.5, 2.0)],
        _ => [(-2.0, 2.0); 2],
    }
}

#[test]
fn partials_are_limits_of_difference_quotients() {
    let mut rng = Rng::new(7);
    for op in operations() {
        let partials = Partials::of(op);
        let bounds = range(op);
        let mut compared = 0;
        for _ in 0..POINTS {
            let point = bounds.map(|(lo, hi)| rng.float(lo, hi));
            let here = partials.at(point);
            for n in 0..op.arity() {
                let moved = |by: f64| {
                    let mut point = point;
                    point[n] += by;
                    partials.at(point)
                };
                let (after, before, further) = (moved(STEP), moved(-STEP), moved(2.0 * STEP));
                // A kink or a jump in between: nothing to compare.
                let jumps = (after[0] - before[0]).abs() > 1e3 * STEP
                    || (further[0] - after[0] - (here[0] - before[0])).abs() > 1e3 * STEP * STEP;
                if jumps {
                    continue;
                }
                let slope = |k: usize| (after[k] - before[k]) / (2.0 * STEP);
                // First partials from values, second ones from first ones.
                let pairs = if n == 0 { [(0, 1), (1, 3), (2, 4)] } else { [(0, 2), (1, 4), (2, 5)] };
                for (from, to) in pairs {
                    if op.arity() == 1 && (from == 2 || to > 3) {
                        continue;
                    }
                    let scale = here.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
                    let error = (slope(from) - here[to]).abs() / scale.powi(2);
                    assert!(
                        error < FIRST.sqrt() * 0.1,
                        "`{}` at {point:?}: number {to} is {}, differences say {}",
                        op.name(),
                        here[to],
                        slope(from)
                    );
                }
                compared += 1;
            }
        }
        assert!(compared > POINTS / 2, "`{}` was compared at {compared} points", op.name());
    }
}

#[test]
fn edges_have_the_promised_slopes() {
    let at = |op: Op, a: f64, b: f64| Partials::of(op).at([a, b]);
    // Powers at 0: exponents 0, 1, 2 and 3; and of negative bases.
    assert_eq!(at(Op::Pow, 0.0, 0.0)[..2], [1.0, 0.0]);
    assert_eq!(at(Op::Pow, 0.0, 1.0)[..2], [0.0, 1.0]);
    assert_eq!(at(Op::Pow, 0.0, 1.0)[3], 0.0);
    assert_eq!([0, 1, 3].map(|n| at(Op::Pow, 0.0, 2.0)[n]), [0.0, 0.0, 2.0]);
    assert_eq!([0, 1, 3].map(|n| at(Op::Pow, 0.0, 3.0)[n]), [0.0, 0.0, 0.0]);
    assert_eq!([0, 1, 3].map(|n| at(Op::Pow, -2.0, 3.0)[n]), [-8.0, 12.0, -12.0]);
    assert!(at(Op::Pow, 0.0, 2.0).iter().all(|x| x.is_finite()));
    // Kinks: the slope of the first argument on ties, none of an absolute value at 0.
    assert_eq!(at(Op::Abs, 0.0, 0.0)[1], 0.0);
    for op in [Op::Min, Op::Max] {
        assert_eq!(at(op, 0.5, 0.5)[1..3], [1.0, 0.0], "{}", op.name());
    }
    assert_eq!(at(Op::Copysign, -2.0, 1.0)[..2], [2.0, -1.0]);
    for zero in [0.0, -0.0] {
        assert_eq!(at(Op::Copysign, -2.0, zero)[..2], [2.0, -1.0], "zeros count as positive");
    }
    // Jumps are flat beside themselves.
    for op in [Op::Floor, Op::Ceil, Op::Round, Op::Trunc, Op::Sign] {
        assert_eq!(at(op, 1.0, 0.0)[1], 0.0, "{}", op.name());
    }
    // The root has no slope at 0: not a number that looks like one.
    assert!(!at(Op::Sqrt, 0.0, 0.0)[1].is_finite());
    // Far away, where naive formulas overflow.
    assert_eq!(at(Op::Softplus, 800.0, 0.0)[1], 1.0);
    assert_eq!(at(Op::Softplus, -800.0, 0.0)[1..4], [0.0, 0.0, 0.0]);
    assert_eq!(at(Op::Tanh, 400.0, 0.0)[1], 0.0);
}
