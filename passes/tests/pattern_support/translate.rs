//! Formulas as functions: unknowns `x` (also `x0`, `x1`, ..), one output `r`.
//!
//! What the language has no operation for is written out: `clip` by `min` and `max`, activation functions by their definitions.

use super::expression::Expr;
use spadina_ir::builder::Builder;
use spadina_ir::func::{BufferData, Entries, Func, Plane, Role, Value};
use spadina_ir::op::Op;
use spadina_ir::types::{SizeExpr, Ty};
use std::collections::BTreeMap;

/// A number, an expression of the unknowns, a truth value, or several.
#[derive(Clone, Debug)]
enum Val {
    Number(f64),
    Float(Value),
    Truth(Value),
    List(Vec<Val>),
}

/// The function with these results over `n` unknowns.
pub(crate) fn function(formula: &Expr, n: usize) -> Func {
    let mut b = Builder::new(Func::new("formula"));
    let buffer = |name: &str, role, dims| BufferData {
        name: name.to_owned(),
        elem: Ty::F64,
        dims,
        role,
        plane: Plane::Primal,
        entries: Entries::Any,
        default: None,
        span: (0, 0),
    };
    let x = b.buffer(buffer("x", Role::Var, vec![SizeExpr::constant(n as i64)]));
    let mut names = BTreeMap::new();
    let mut unknowns = Vec::new();
    for k in 0..n {
        let at = b.int(k as i64);
        let load = Val::Float(b.load(x, &[at]));
        names.insert(format!("x{k}"), load.clone());
        unknowns.push(load);
    }
    names.insert("x".to_owned(), Val::List(unknowns));
    let mut translator = Translator { b, names };
    let rows = match translator.expr(formula) {
        Val::List(rows) => rows,
        row => vec![row],
    };
    let mut b = translator.b;
    let r = b.buffer(buffer("r", Role::Output, vec![SizeExpr::constant(rows.len() as i64)]));
    for (k, row) in rows.into_iter().enumerate() {
        let at = b.int(k as i64);
        let row = float(&mut b, &row);
        b.accum(r, &[at], row);
    }
    b.set_columns(vec![x]);
    b.set_rows(vec![r]);
    b.finish()
}

fn float(b: &mut Builder, val: &Val) -> Value {
    match val {
        Val::Number(x) => b.f64(*x),
        Val::Float(value) => *value,
        Val::Truth(value) => b.op(Op::BoolToFloat, &[*value]),
        Val::List(_) => panic!("a list where a number is needed"),
    }
}

struct Translator {
    b: Builder,
    names: BTreeMap<String, Val>,
}

impl Translator {
    fn integer(&mut self, expr: &Expr) -> i64 {
        match self.expr(expr) {
            Val::Number(x) => x as i64,
            other => panic!("{other:?} is no integer"),
        }
    }

    fn list(&mut self, expr: &Expr) -> Vec<Val> {
        match self.expr(expr) {
            Val::List(items) => items,
            other => panic!("{other:?} is no list"),
        }
    }

    fn expr(&mut self, expr: &Expr) -> Val {
        match expr {
            Expr::Number(x) => Val::Number(*x),
            Expr::Name(name) => self.names[name].clone(),
            Expr::Negated(a) => self.binary("-", &Val::Number(0.0), a),
            Expr::Binary(op, a, b) => {
                let a = self.expr(a);
                self.binary(op, &a, b)
            }
            Expr::Choice(cond, then, els) => {
                let Val::Truth(cond) = self.expr(cond) else { panic!("a condition is needed") };
                self.b.begin_if(cond);
                let then = self.expr(then);
                let then = float(&mut self.b, &then);
                self.b.begin_else(&[then]);
                let els = self.expr(els);
                let els = float(&mut self.b, &els);
                Val::Float(self.b.end_if(&[els])[0])
            }
            Expr::Call(name, args) => {
                let args: Vec<Val> = args.iter().map(|arg| self.expr(arg)).collect();
                self.call(name, &args)
            }
            Expr::List(items) => Val::List(items.iter().map(|item| self.expr(item)).collect()),
            Expr::Each(item, name, count) => {
                let count = self.integer(count);
                let each = |k| {
                    self.names.insert(name.clone(), Val::Number(k as f64));
                    self.expr(item)
                };
                Val::List((0..count).map(each).collect())
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
                Val::List(list[from..to].to_vec())
            }
        }
    }

    fn binary(&mut self, op: &str, a: &Val, b: &Expr) -> Val {
        let b = self.expr(b);
        self.apply(op, a, &b)
    }

    /// A binary operation, element by element.
    fn apply(&mut self, op: &str, a: &Val, b: &Val) -> Val {
        match (a, b) {
            (Val::List(a), Val::List(b)) => {
                assert_eq!(a.len(), b.len(), "lists of one length");
                Val::List(a.iter().zip(b).map(|(a, b)| self.apply(op, a, b)).collect())
            }
            (Val::List(a), b) => Val::List(a.iter().map(|a| self.apply(op, a, b)).collect()),
            (a, Val::List(b)) => Val::List(b.iter().map(|b| self.apply(op, a, b)).collect()),
            (Val::Number(a), Val::Number(b)) => Val::Number(match op {
                "+" => a + b,
                "-" => a - b,
                "*" => a * b,
                "/" => a / b,
                _ => panic!("{op} of numbers"),
            }),
            (a, b) => {
                let (a, b) = (float(&mut self.b, a), float(&mut self.b, b));
                let (op, a, b) = match op {
                    "+" => (Op::Add, a, b),
                    "-" => (Op::Sub, a, b),
                    "*" => (Op::Mul, a, b),
                    "/" => (Op::Div, a, b),
                    "**" => (Op::Pow, a, b),
                    "<" => (Op::FloatLt, a, b),
                    "<=" => (Op::FloatLe, a, b),
                    ">" => (Op::FloatLt, b, a),
                    ">=" => (Op::FloatLe, b, a),
                    "==" => (Op::FloatEq, a, b),
                    "!=" => (Op::FloatNe, a, b),
                    _ => panic!("unknown operation {op}"),
                };
                let value = self.b.op(op, &[a, b]);
                if self.b.func().ty(value) == Ty::Bool { Val::Truth(value) } else { Val::Float(value) }
            }
        }
    }

    fn call(&mut self, name: &str, args: &[Val]) -> Val {
        if let ([Val::List(items)], false) = (args, matches!(name, "sum" | "diff")) {
            return Val::List(items.iter().map(|item| self.call(name, std::slice::from_ref(item))).collect());
        }
        let number = Val::Number;
        match (name, args) {
            ("sum", [Val::List(items)]) => {
                items.iter().fold(number(0.0), |sum, item| self.apply("+", &sum, item))
            }
            ("diff", [Val::List(items)]) => {
                Val::List(items.windows(2).map(|w| self.apply("-", &w[1], &w[0])).collect())
            }
            ("dot", [a, b]) => {
                let products = self.apply("*", a, b);
                self.call("sum", &[products])
            }
            ("fma", [a, b, c]) => {
                let product = self.apply("*", a, b);
                self.apply("+", &product, c)
            }
            ("where" | "ifelse", [Val::Truth(cond), a, b]) => {
                let (a, b) = (float(&mut self.b, a), float(&mut self.b, b));
                Val::Float(self.b.select(*cond, a, b))
            }
            ("clip" | "clamp", [x, lo, hi]) => {
                let above = self.call("max", &[x.clone(), lo.clone()]);
                self.call("min", &[above, hi.clone()])
            }
            ("relu", [x]) => self.call("max", &[x.clone(), number(0.0)]),
            ("relu6", [x]) => self.call("clip", &[x.clone(), number(0.0), number(6.0)]),
            ("hardtanh", [x]) => self.call("clip", &[x.clone(), number(-1.0), number(1.0)]),
            ("trelu", [x]) => self.choose((">", x, 1.0), x, &number(0.0)),
            ("elu", [x]) => {
                let below = self.call("expm1", std::slice::from_ref(x));
                self.choose((">", x, 0.0), x, &below)
            }
            ("hardsigmoid", [x]) => {
                let sixth = self.apply("/", x, &number(6.0));
                let shifted = self.apply("+", &sixth, &number(0.5));
                self.call("clip", &[shifted, number(0.0), number(1.0)])
            }
            ("hardswish", [x]) => {
                let gate = self.call("hardsigmoid", std::slice::from_ref(x));
                self.apply("*", x, &gate)
            }
            ("softshrink", [x]) => {
                let (above, below) = (self.apply("-", x, &number(0.5)), self.apply("+", x, &number(0.5)));
                let low = self.choose(("<", x, -0.5), &below, &number(0.0));
                self.choose((">", x, 0.5), &above, &low)
            }
            _ => {
                let name = match name {
                    "arctan2" => "atan2",
                    "remainder" => "rem",
                    other => other,
                };
                let op = Op::from_name(name).unwrap_or_else(|| panic!("unknown function {name}"));
                let args: Vec<Value> = args.iter().map(|arg| float(&mut self.b, arg)).collect();
                Val::Float(self.b.op(op, &args))
            }
        }
    }

    /// `x op bound ? a : b`, as an `if`.
    fn choose(&mut self, (op, x, bound): (&str, &Val, f64), a: &Val, b: &Val) -> Val {
        let Val::Truth(cond) = self.apply(op, x, &Val::Number(bound)) else {
            panic!("a comparison of unknowns")
        };
        let (a, b) = (float(&mut self.b, a), float(&mut self.b, b));
        self.b.begin_if(cond);
        self.b.begin_else(&[a]);
        Val::Float(self.b.end_if(&[b])[0])
    }
}
