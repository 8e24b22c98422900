//! Every rewrite rule of `simplify`, numerically, on random points and on edge values.

use egg::{ENodeOrVar, Language, Pattern, PatternAst, Var};
use spadina_ir::func::Const;
use spadina_ir::math;
use spadina_ir::op::{Op, Signature};
use spadina_ir::types::Ty;
use spadina_passes::simplify::language::Scalar;
use spadina_passes::simplify::rules::{FAMILIES, Family, Rule, When, compile, is_power_of_two};
use std::collections::BTreeMap;

/// Points tried per rule.
const POINTS: usize = 2000;
/// Points per rule that must satisfy its conditions, so that no rule passes untested.
const LEAST: usize = 40;
/// Rounding of a handful of operations, and of library functions whose condition number is the size of their argument.
const TOLERANCE: f64 = 1e-12;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn uniform(&mut self, lo: f64, hi: f64) -> f64 {
        lo + (hi - lo) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn value(&mut self, ty: Ty) -> Const {
        match ty {
            Ty::Bool => Const::Bool(self.below(2) == 1),
            Ty::Int => {
                const EDGES: [i64; 8] =
                    [i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1, 1 << 62, -(1 << 62), 3_037_000_500, 0];
                Const::Int(match self.below(4) {
                    0 => EDGES[self.below(EDGES.len())],
                    1 => self.below(7) as i64 - 3,
                    _ => self.below(61) as i64 - 30,
                })
            }
            Ty::F64 | Ty::F32 => {
                const EDGES: [f64; 14] = [
                    0.0,
                    -0.0,
                    1.0,
                    -1.0,
                    2.0,
                    0.5,
                    -0.5,
                    4.0,
                    3.0,
                    1e-3,
                    1e3,
                    f64::INFINITY,
                    f64::NEG_INFINITY,
                    f64::NAN,
                ];
                Const::F64(match self.below(4) {
                    0 => EDGES[self.below(EDGES.len())],
                    1 => self.uniform(0.1, 4.0),
                    _ => self.uniform(-3.0, 3.0),
                })
            }
        }
    }
}

type Env = BTreeMap<Var, Const>;

fn parse(text: &str) -> PatternAst<Scalar> {
    text.parse::<Pattern<Scalar>>().unwrap_or_else(|e| panic!("{text}: {e}")).ast
}

/// The types of the variables, from the operations that use them; floats where nothing says.
fn types(patterns: &[&PatternAst<Scalar>]) -> BTreeMap<Var, Ty> {
    let mut types = BTreeMap::new();
    for pattern in patterns {
        let nodes = pattern.as_ref();
        let mut note = |id: egg::Id, ty: Ty| {
            if let ENodeOrVar::Var(var) = &nodes[usize::from(id)] {
                types.insert(*var, ty);
            }
        };
        for node in nodes {
            let ENodeOrVar::ENode(node) = node else { continue };
            let ty = match node {
                Scalar::IntNeg(_) => Ty::Int,
                _ => match node.as_op().map(Op::signature) {
                    Some(Signature::Float | Signature::FloatCompare | Signature::FloatToInt) => Ty::F64,
                    Some(
                        Signature::Int | Signature::IntCompare | Signature::IntToFloat | Signature::Indicator,
                    ) => Ty::Int,
                    Some(Signature::Bool | Signature::BoolToFloat) => Ty::Bool,
                    Some(Signature::Select) => {
                        note(node.children()[0], Ty::Bool);
                        continue;
                    }
                    Some(Signature::Narrow | Signature::Widen) | None => continue,
                },
            };
            node.children().iter().for_each(|&id| note(id, ty));
        }
    }
    for pattern in patterns {
        for node in pattern.as_ref() {
            if let ENodeOrVar::Var(var) = node {
                types.entry(*var).or_insert(Ty::F64);
            }
        }
    }
    types
}

/// All intermediate values of a pattern, the last one being its value.
fn steps(pattern: &PatternAst<Scalar>, env: &Env) -> Vec<Const> {
    let mut values: Vec<Const> = Vec::new();
    for node in pattern.as_ref() {
        let value = match node {
            ENodeOrVar::Var(var) => env[var],
            ENodeOrVar::ENode(Scalar::IntNeg([a])) => match values[usize::from(*a)] {
                Const::Int(n) => Const::Int(n.wrapping_neg()),
                other => panic!("ineg of {other:?}"),
            },
            ENodeOrVar::ENode(node) => node.as_literal().unwrap_or_else(|| {
                let args: Vec<Const> = node.children().iter().map(|&id| values[usize::from(id)]).collect();
                let op = node.as_op().expect("an operation");
                math::eval(op, &args).unwrap_or_else(|| panic!("{op:?} of {args:?}"))
            }),
        };
        values.push(value);
    }
    values
}

fn value(pattern: &PatternAst<Scalar>, env: &Env) -> Const {
    *steps(pattern, env).last().expect("patterns are not empty")
}

fn fits(pattern: &PatternAst<Scalar>, env: &Env) -> bool {
    let values = steps(pattern, env);
    let wide = |id: &egg::Id| match values[usize::from(*id)] {
        Const::Int(n) => i128::from(n),
        other => panic!("{other:?} is not an integer"),
    };
    pattern.as_ref().iter().all(|node| {
        let exact = match node {
            ENodeOrVar::ENode(Scalar::Binary(Op::IntAdd, [a, b])) => wide(a) + wide(b),
            ENodeOrVar::ENode(Scalar::Binary(Op::IntMul, [a, b])) => wide(a) * wide(b),
            ENodeOrVar::ENode(Scalar::IntNeg([a])) => -wide(a),
            _ => return true,
        };
        i64::try_from(exact).is_ok()
    })
}

fn condition(when: When) -> (When, PatternAst<Scalar>) {
    let text = match when {
        When::Fits(text)
        | When::Proven(text)
        | When::NotNegative(text)
        | When::Literal(text)
        | When::PowerOfTwo(text)
        | When::LiteralAtLeast(text, _)
        | When::NotZero(text)
        | When::Exists(text) => text,
    };
    (when, parse(text))
}

fn holds((when, pattern): &(When, PatternAst<Scalar>), env: &Env) -> bool {
    let float = || match value(pattern, env) {
        Const::F64(x) => x,
        other => panic!("{other:?} is not a float"),
    };
    match when {
        When::Fits(_) => fits(pattern, env),
        When::Proven(_) => value(pattern, env) == Const::Bool(true),
        When::NotNegative(_) => float() >= 0.0 || float().is_nan(),
        When::Literal(_) => float() != 0.0 && float().is_finite(),
        When::PowerOfTwo(_) => is_power_of_two(float()),
        When::LiteralAtLeast(_, least) => float() >= *least && float().is_finite(),
        When::NotZero(_) => float() != 0.0,
        When::Exists(_) => true,
    }
}

fn scale(values: &[Const]) -> f64 {
    let sizes = values.iter().map(|value| match value {
        Const::F64(x) if x.is_finite() => x.abs(),
        _ => 0.0,
    });
    sizes.fold(1.0, f64::max)
}

fn same_bits(a: Const, b: Const) -> bool {
    match (a, b) {
        (Const::F64(x), Const::F64(y)) => x == y || (x.is_nan() && y.is_nan()),
        _ => a == b,
    }
}

/// True where the left side becomes a finite number, close to the right side, next to this point.
fn is_removable(left: &PatternAst<Scalar>, right: &PatternAst<Scalar>, env: &Env, rng: &mut Rng) -> bool {
    (0..20).any(|_| {
        let near: Env = env
            .iter()
            .map(|(&var, &value)| match value {
                Const::F64(x) => (var, Const::F64(x + 1e-7 * rng.uniform(-1.0, 1.0) * x.abs().max(1.0))),
                _ => (var, value),
            })
            .collect();
        let (l, r) = (steps(left, &near), steps(right, &near));
        match (l.last(), r.last()) {
            (Some(Const::F64(x)), Some(Const::F64(y))) => {
                x.is_finite() && (x - y).abs() <= 1e-6 * scale(&l).max(scale(&r))
            }
            _ => false,
        }
    })
}

/// C defines powers of minus infinity; roots do not.
fn outside_powers(rule: &Rule, env: &Env) -> bool {
    rule.left.starts_with("(pow") && env.values().any(|v| *v == Const::F64(f64::NEG_INFINITY))
}

fn check(family: Family, rule: &Rule) {
    let (left, right) = (parse(rule.left), parse(rule.right));
    let types = types(&[&left, &right]);
    let mut rng = Rng(rule.name.bytes().fold(7, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b))));
    let conditions: Vec<_> = rule.when.iter().map(|&when| condition(when)).collect();
    let (mut tried, mut finite) = (0, 0);
    for point in 0..POINTS * 20 {
        let mut env: Env = types.iter().map(|(&var, &ty)| (var, rng.value(ty))).collect();
        // Conditions such as `a == b` in disguise need repeated values now and then.
        if point % 5 == 0
            && let Some(&first) = env.values().next()
        {
            for v in env.values_mut().filter(|v| v.ty() == first.ty()) {
                *v = first;
            }
        }
        if !conditions.iter().all(|when| holds(when, &env)) || outside_powers(rule, &env) {
            continue;
        }
        tried += 1;
        if tried > POINTS {
            break;
        }
        let (l, r) = (steps(&left, &env), steps(&right, &env));
        let (x, y) = (l[l.len() - 1], r[r.len() - 1]);
        let context = || format!("{family:?} {}: {x:?} became {y:?} at {env:?}", rule.name);
        let (Family::Rounding, Const::F64(x), Const::F64(y)) = (family, x, y) else {
            finite += 1;
            assert!(same_bits(x, y), "{}", context());
            continue;
        };
        if x.is_finite() {
            finite += 1;
            let near = (x - y).abs() <= TOLERANCE * scale(&l).max(scale(&r));
            assert!(near, "{}", context());
        } else if y.is_finite() && env.values().all(|v| !matches!(v, Const::F64(x) if !x.is_finite())) {
            let overflow = l.iter().any(|v| matches!(v, Const::F64(x) if x.is_infinite()));
            assert!(overflow || is_removable(&left, &right, &env, &mut rng), "{}", context());
        }
    }
    assert!(finite >= LEAST, "{family:?} {}: only {finite} points satisfy its conditions", rule.name);
}

#[test]
fn every_rule_holds_on_random_points() {
    for (family, rules) in FAMILIES {
        for rule in *rules {
            check(*family, rule);
        }
    }
}

#[test]
fn every_rule_compiles_and_is_named_once() {
    let mut names: Vec<&str> = Vec::new();
    for (_, rules) in FAMILIES {
        for rule in *rules {
            assert!(compile(rule).is_some(), "{} does not compile", rule.name);
            names.push(rule.name);
        }
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "two rules share a name");
}

#[test]
fn no_rule_makes_an_indicator() {
    for (_, rules) in FAMILIES {
        for rule in *rules {
            let made = rule.right.matches("indicator").count();
            assert!(made <= rule.left.matches("indicator").count(), "{}", rule.name);
        }
    }
}
