//! What other languages write here, and how it is written in this one.

use super::Parser;
use crate::frontend::ast::{Expr, ExprKind};
use crate::frontend::lexer::Tok;

const METHODS: &str =
    "functions are called by their name alone, as in `sin(x)`; there are no methods and no modules";

/// What declarations start with elsewhere.
const DECLARED: &[&str] = &["auto", "bool", "double", "f32", "f64", "float", "int", "real", "val"];

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

    /// As [`Parser::foreign`], after a whole value.
    pub(super) fn foreign_after(&self, value: &Expr) -> Option<&'static str> {
        match (&value.kind, self.peek()) {
            (ExprKind::Field(..), Tok::Punct("(")) => Some(METHODS),
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
