//! What other languages write here, and how it is written in this one.

use super::{Parsed, Parser};
use crate::diag::Diagnostic;
use crate::frontend::ast::{Block, Expr, ExprKind, Ident, IfExpr, Stmt, StmtKind};
use crate::frontend::builtin;
use crate::frontend::lexer::Tok;
use crate::frontend::pretty::print_expr;
use crate::frontend::suggest::nearest;
use crate::span::Span;

const METHODS: &str =
    "functions are called by their name alone, as in `sin(x)`; there are no methods and no modules";

/// Modules that functions are taken from elsewhere.
const MODULES: &[&str] = &["Math", "jnp", "math", "np", "numpy", "std", "torch"];

/// A longer call is not written out.
const LONGEST: usize = 80;

/// What declarations start with elsewhere.
const DECLARED: &[&str] = &["auto", "bool", "double", "f32", "f64", "float", "int", "real", "val"];

/// `if c { s += v; }`, also with `else`: what to write for it.
pub(in crate::frontend) fn conditional_accumulation(node: &IfExpr, span: Span) -> Option<Diagnostic> {
    let (place, negative, value) = accumulation(&node.then)?;
    let diagnostic = Diagnostic::error("missing-else", "an `if` is a value: it cannot accumulate")
        .label(span, "accumulates under a condition");
    let other = match &node.otherwise {
        None => Some("0.0".to_owned()),
        Some(block) => accumulation(block).filter(|other| other.0 == place).map(|(_, sign, other)| {
            let simple = other.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_'));
            match (sign == negative, simple) {
                (true, _) => other,
                (false, true) => format!("-{other}"),
                (false, false) => format!("-({other})"),
            }
        }),
    };
    let (cond, sign) = (print_expr(&node.cond), if negative { "-=" } else { "+=" });
    let line = other.map(|other| format!("{place} {sign} if {cond} {{ {value} }} else {{ {other} }};"));
    let Some(line) = line.filter(|line| line.len() <= LONGEST) else {
        return Some(diagnostic.help("accumulate a value that may be zero: `s += if c { .. } else { 0.0 };`, or skip iterations by a filter of the loop: `for i in 0..N if c { .. }`"));
    };
    if node.otherwise.is_some() {
        return Some(diagnostic.help(format!("accumulate what the `if` gives: `{line}`")));
    }
    Some(
        diagnostic
            .help(format!("accumulate a value that may be zero: `{line}`"))
            .help(format!("or skip iterations by a filter of the loop: `for i in 0..N if {cond} {{ .. }}`")),
    )
}

/// A block that accumulates and does nothing else: where, whether it subtracts, and what.
fn accumulation(block: &Block) -> Option<(String, bool, String)> {
    match (block.stmts.as_slice(), &block.value) {
        ([Stmt { kind: StmtKind::Accum { place, negative, value }, .. }], None) => {
            Some((print_expr(place), *negative, print_expr(value)))
        }
        _ => None,
    }
}

impl Parser {
    /// Help for a token that cannot stand here but does in other languages.
    pub(super) fn foreign(&self) -> Option<&'static str> {
        let before = self.at.checked_sub(1).map(|at| &self.tokens[at].tok);
        Some(match (before, self.peek()) {
            (Some(Tok::Punct("..")), Tok::Punct("=")) => {
                "`a..b` leaves `b` out; a range that includes it is `a..b + 1`"
            }
            (Some(Tok::Punct("*")), Tok::Punct("*")) => "powers are written `x^2`",
            (Some(Tok::Punct(".")), Tok::Punct("*" | "/")) => {
                "numbers are multiplied by `*`; the product element by element of two vectors is `hadamard(a, b)`"
            }
            (Some(Tok::Punct("+")), Tok::Punct("+")) => "an accumulator is added to by `name += 1.0;`",
            (Some(Tok::Punct(".")), Tok::Ident(_)) if *self.peek_at(1) == Tok::Punct("(") => METHODS,
            (Some(Tok::Punct("#")), _) => {
                "a comment starts with `//`; an attribute looks like `#[derive(value, hessian)]`"
            }
            (Some(Tok::Punct(":")), Tok::Punct("&" | "*")) => {
                "values are passed without `&`: there are no references and no pointers; write the type alone, `a: f64`"
            }
            (Some(Tok::Ident(word)), Tok::Punct("&")) if word == "var" => {
                "values are passed without `&`: there are no references; write the type alone, `a: var f64`"
            }
            (_, Tok::Punct("&" | "|")) => "logical operators are `&&`, `||` and `!`",
            (_, Tok::Ident(word)) if matches!(word.as_str(), "and" | "or" | "not") => {
                "logical operators are `&&`, `||` and `!`"
            }
            (_, Tok::Ident(word)) if matches!(word.as_str(), "elif" | "elseif" | "then") => {
                "write `if c { a } else if d { b } else { e }`"
            }
            (_, Tok::Punct("?")) => "write `if c { a } else { b }`",
            _ => return None,
        })
    }

    /// `x.norm(..)`: one message, and on behind it.
    pub(super) fn method(&mut self, base: &Expr, name: &Ident) -> Parsed<Expr> {
        self.bump();
        let args = self.list(")", "arguments", Self::expr)?;
        let span = base.span.to(self.prev_span());
        let module = matches!(&base.kind, ExprKind::Name(name) if MODULES.contains(&name.as_str()));
        let meant = match name.name.as_str() {
            "size" | "length" => Some("len"),
            known if builtin::is_builtin(known) => Some(known),
            other => nearest(other, builtin::callable()),
        };
        let unread = std::iter::once(base).chain(&args).any(|part| matches!(part.kind, ExprKind::Error));
        let args: Vec<String> = (!module).then_some(base).into_iter().chain(&args).map(print_expr).collect();
        let call = format!("{}({})", meant.unwrap_or(&name.name), args.join(", "));
        let mut diagnostic = Diagnostic::error(
            "expected",
            format!("there are no methods: `{}` cannot be called on a value", name.name),
        )
        .label(span, "called like a method");
        if meant.is_some() && !unread && call.len() <= LONGEST {
            diagnostic = diagnostic.help(format!("write `{call}`")).patch(span, call);
        }
        self.report(diagnostic.help(METHODS));
        Ok(Expr::new(ExprKind::Error, span))
    }

    /// Does `sum(i in ..` or `sum([i, j] in ..` start here?
    pub(super) fn is_bracketed_reduce(&self, word: &str) -> bool {
        if !matches!(word, "sum" | "prod" | "min" | "max" | "map") || *self.peek_at(1) != Tok::Punct("(") {
            return false;
        }
        let mut at = 2;
        if *self.peek_at(at) == Tok::Punct("[") {
            while matches!(self.peek_at(at), Tok::Ident(_) | Tok::Punct("[" | ",")) {
                at += 1;
            }
        }
        matches!(self.peek_at(at), Tok::Ident(_) | Tok::Punct("]"))
            && matches!(self.peek_at(at + 1), Tok::Ident(word) if word == "in")
    }

    /// `sum(i in 0..N) { .. }`: one message, and on behind it.
    pub(super) fn bracketed_reduce(&mut self, word: &str) -> Parsed<ExprKind> {
        self.bump();
        let diagnostic = Diagnostic::error("expected", "expected a loop variable, found `(`")
            .label(self.span(), "loops stand without parentheses")
            .help(format!("write `{word} i in 0..N {{ .. }}`, or `{word} [i, j] in table {{ .. }}`"));
        self.report(diagnostic);
        self.bump();
        self.binders()?;
        if !self.eat(")") {
            // `sum(i in 0..N, x[i])`: the rest is read by nobody.
            self.skip_to(&[")", ";"]);
            self.eat(")");
        }
        if self.is("{") {
            self.block("a loop has a body")?;
        }
        Ok(ExprKind::Error)
    }

    /// As [`Parser::foreign`], after a whole value.
    pub(super) fn foreign_after(&self, value: &Expr) -> Option<&'static str> {
        match (&value.kind, self.peek()) {
            (ExprKind::Name(name), Tok::Ident(_)) if DECLARED.contains(&name.as_str()) => Some(
                "a value is bound by `let name = ..;`, an accumulator by `let mut name = 0.0;`; neither needs a type",
            ),
            (ExprKind::Call(..), Tok::Ident(word)) if word == "in" => Some(
                "binders stand without parentheses: `sum i in a..b, j in c..d { .. }`, or `sum [i, j] in table { .. }`",
            ),
            _ => self.foreign(),
        }
    }
}
