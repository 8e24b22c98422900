//! What other languages write here, and how it is written in this one.

use super::Parser;
use crate::frontend::ast::{Expr, ExprKind};
use crate::frontend::lexer::Tok;

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
            (ExprKind::Field(..), Tok::Punct("(")) => Some(
                "functions are called by their name alone, as in `sin(x)`; there are no methods and no modules",
            ),
            (ExprKind::Call(..), Tok::Ident(word)) if word == "in" => Some(
                "binders stand without parentheses: `sum i in a..b, j in c..d { .. }`, or `sum [i, j] in table { .. }`",
            ),
            _ => self.foreign(),
        }
    }
}
