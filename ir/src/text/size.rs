//! Size expressions as text: `2*N + V - 1`.

use super::printer::name;
use crate::types::{Size, SizeExpr};
use cranelift_entity::PrimaryMap;
use std::fmt::{self, Write};

/// Shows a size expression with the names of its sizes; see [`show`].
pub struct SizeText<'a> {
    expr: &'a SizeExpr,
    names: &'a PrimaryMap<Size, String>,
}

/// `expr` as text: terms in order, then the constant unless it is zero; `0` for nothing at all.
pub fn show<'a>(expr: &'a SizeExpr, names: &'a PrimaryMap<Size, String>) -> SizeText<'a> {
    SizeText { expr, names }
}

impl fmt::Display for SizeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for &(size, coefficient) in &self.expr.terms {
            sign(f, coefficient < 0, &mut first)?;
            match coefficient.unsigned_abs() {
                1 => {}
                n => write!(f, "{n}*")?,
            }
            f.write_str(&name(&self.names[size]))?;
        }
        if self.expr.constant != 0 || first {
            sign(f, self.expr.constant < 0, &mut first)?;
            write!(f, "{}", self.expr.constant.unsigned_abs())?;
        }
        Ok(())
    }
}

fn sign(f: &mut fmt::Formatter<'_>, negative: bool, first: &mut bool) -> fmt::Result {
    match (std::mem::take(first), negative) {
        (true, true) => f.write_char('-'),
        (true, false) => Ok(()),
        (false, true) => f.write_str(" - "),
        (false, false) => f.write_str(" + "),
    }
}
