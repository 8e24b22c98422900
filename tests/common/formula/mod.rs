//! Formulas of the reference files as kernels in the language: unknowns `x` (also `x0`, `x1`, ..), the rows of a formula as results.
//!
//! What the language has no name for is written out: arrays element by element, activation functions by their definitions.

mod expression;

use expression::Expr;
use std::collections::BTreeMap;

/// A number, text that computes one, text that is true or false, or several.
#[derive(Clone, Debug)]
enum Val {
    Number(f64),
    Float(String),
    Truth(String),
    List(Vec<Val>),
}

use Val::{Float, List, Number, Truth};

/// A kernel with these results over `n` unknowns; a Hessian (`H`) is that of their sum.
pub(crate) fn kernel(formula: &str, n: usize) -> String {
    let unknowns: Vec<Val> = (0..n).map(|k| Float(format!("x[{k}]"))).collect();
    let mut names: BTreeMap<String, Val> =
        unknowns.iter().enumerate().map(|(k, x)| (format!("x{k}"), x.clone())).collect();
    names.insert("x".to_owned(), List(unknowns));
    let rows = match (Writer { names }).expr(&expression::parse(formula)) {
        List(rows) => rows,
        row => vec![row],
    };
    let rows: Vec<String> = rows.iter().map(float).collect();
    format!("kernel formula(x: var f64[{n}]) -> f64[{}] {{ [{}] }}\n", rows.len(), rows.join(", "))
}

fn float(val: &Val) -> String {
    match val {
        Number(x) if *x < 0.0 => format!("({x:?})"),
        Number(x) => format!("{x:?}"),
        Float(text) => text.clone(),
        Truth(text) => format!("f64(int({text}))"),
        List(_) => panic!("a list where a number is needed"),
    }
}

struct Writer {
    names: BTreeMap<String, Val>,
}

impl Writer {
    fn integer(&mut self, expr: &Expr) -> i64 {
        match self.expr(expr) {
            Number(x) => x as i64,
            other => panic!("{other:?} is no integer"),
        }
    }

    fn list(&mut self, expr: &Expr) -> Vec<Val> {
        match self.expr(expr) {
            List(items) => items,
            other => panic!("{other:?} is no list"),
        }
    }

    fn expr(&mut self, expr: &Expr) -> Val {
        match expr {
            Expr::Number(x) => Number(*x),
            Expr::Name(name) => self.names[name].clone(),
            Expr::Negated(a) => apply("-", &Number(0.0), &self.expr(a)),
            Expr::Binary(op, a, b) => apply(op, &self.expr(a), &self.expr(b)),
            Expr::Choice(cond, then, els) => {
                let (cond, then, els) = (self.expr(cond), self.expr(then), self.expr(els));
                choose(&cond, &then, &els)
            }
            Expr::Call(name, args) => {
                let args: Vec<Val> = args.iter().map(|arg| self.expr(arg)).collect();
                call(name, &args)
            }
            Expr::List(items) => List(items.iter().map(|item| self.expr(item)).collect()),
            Expr::Each(item, name, count) => {
                let count = self.integer(count);
                let each = |k| {
                    self.names.insert(name.clone(), Number(k as f64));
                    self.expr(item)
                };
                List((0..count).map(each).collect())
            }
            Expr::Index(list, at) => {
                let (list, at) = (self.list(list), self.integer(at));
                list[at as usize].clone()
            }
            Expr::Slice(list, from, to, step) => {
                let mut list = self.list(list);
                let len = list.len() as i64;
                let mut bound = |end: &Option<Box<Expr>>, default: i64| {
                    let end = end.as_ref().map_or(default, |end| self.integer(end));
                    (if end < 0 { len + end } else { end.min(len) }) as usize
                };
                let (from, to) = (bound(from, 0), bound(to, len));
                if let Some(step) = step {
                    assert_eq!(self.integer(step), -1, "the only step in the files");
                    list.reverse();
                }
                List(list[from..to].to_vec())
            }
        }
    }
}

/// A binary operation, element by element.
fn apply(op: &str, a: &Val, b: &Val) -> Val {
    match (a, b) {
        (List(a), List(b)) => {
            assert_eq!(a.len(), b.len(), "lists of one length");
            List(a.iter().zip(b).map(|(a, b)| apply(op, a, b)).collect())
        }
        (List(a), b) => List(a.iter().map(|a| apply(op, a, b)).collect()),
        (a, List(b)) => List(b.iter().map(|b| apply(op, a, b)).collect()),
        (Number(a), Number(b)) => Number(match op {
            "+" => a + b,
            "-" => a - b,
            "*" => a * b,
            "/" => a / b,
            _ => panic!("{op} of numbers"),
        }),
        (a, Number(power)) if op == "**" && power.fract() == 0.0 => Float(format!("{}^{power}", float(a))),
        (a, b) => {
            let text = format!("({} {} {})", float(a), if op == "**" { "^" } else { op }, float(b));
            if matches!(op, "+" | "-" | "*" | "/" | "**") { Float(text) } else { Truth(text) }
        }
    }
}

fn choose(cond: &Val, then: &Val, els: &Val) -> Val {
    let Truth(cond) = cond else { panic!("a condition is needed") };
    Float(format!("(if {cond} {{ {} }} else {{ {} }})", float(then), float(els)))
}

fn call(name: &str, args: &[Val]) -> Val {
    if let ([List(items)], false) = (args, matches!(name, "sum" | "diff")) {
        return List(items.iter().map(|item| call(name, std::slice::from_ref(item))).collect());
    }
    let compare = |x: &Val, op: &str, bound: f64| apply(op, x, &Number(bound));
    match (name, args) {
        ("sum", [List(items)]) => items.iter().fold(Number(0.0), |sum, item| apply("+", &sum, item)),
        ("diff", [List(items)]) => List(items.windows(2).map(|w| apply("-", &w[1], &w[0])).collect()),
        ("dot", [a, b]) => call("sum", &[apply("*", a, b)]),
        ("fma", [a, b, c]) => apply("+", &apply("*", a, b), c),
        ("where" | "ifelse", [cond, a, b]) => choose(cond, a, b),
        ("relu", [x]) => call("max", &[x.clone(), Number(0.0)]),
        ("relu6", [x]) => call("clip", &[x.clone(), Number(0.0), Number(6.0)]),
        ("hardtanh", [x]) => call("clip", &[x.clone(), Number(-1.0), Number(1.0)]),
        ("trelu", [x]) => choose(&compare(x, ">", 1.0), x, &Number(0.0)),
        ("elu", [x]) => choose(&compare(x, ">", 0.0), x, &call("expm1", std::slice::from_ref(x))),
        ("hardsigmoid", [x]) => {
            let shifted = apply("+", &apply("/", x, &Number(6.0)), &Number(0.5));
            call("clip", &[shifted, Number(0.0), Number(1.0)])
        }
        ("hardswish", [x]) => apply("*", x, &call("hardsigmoid", std::slice::from_ref(x))),
        ("softshrink", [x]) => {
            let (above, below) = (apply("-", x, &Number(0.5)), apply("+", x, &Number(0.5)));
            let low = choose(&compare(x, "<", -0.5), &below, &Number(0.0));
            choose(&compare(x, ">", 0.5), &above, &low)
        }
        ("remainder", [a, b]) => Float(format!("({} % {})", float(a), float(b))),
        _ => {
            let name = match name {
                "arctan2" => "atan2",
                "clip" => "clamp",
                other => other,
            };
            let args: Vec<String> = args.iter().map(float).collect();
            Float(format!("{name}({})", args.join(", ")))
        }
    }
}
