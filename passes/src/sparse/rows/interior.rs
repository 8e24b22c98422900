//! The interior: a box of rows so far from every border that each condition on them is known.
//!
//! On every axis the row subscript `r` of length `D` lies in `lower..D - upper`. A condition `f < 0` for an affine `f` of one `r` has one
//! answer for all rows far from the start and the end; the margins grow until this answer holds in the whole box. So guards
//! disappear, a subscript modulo a size becomes affine, and the clamps `min` and `max` choose a side.

use super::Refusal;
use crate::analysis::affine::Affine;
use spadina_ir::builder::Builder;
use spadina_ir::func::Value;
use spadina_ir::op::Op;
use spadina_ir::types::SizeExpr;

/// The box under construction.
#[derive(Clone, Debug)]
pub(super) struct Interior {
    /// Row subscripts.
    pub(super) rows: Vec<Value>,
    /// Lengths of their axes.
    pub(super) dims: Vec<SizeExpr>,
    /// The box starts here,
    pub(super) lower: Vec<i64>,
    /// and ends so far before the end.
    pub(super) upper: Vec<i64>,
}

/// Where the change of sign of an expression lies.
enum Side {
    /// `sign * f = r + c`: positive in the interior.
    Start { axis: usize, sign: i64, c: i64 },
    /// `sign * f = r - D + c`: negative in the interior.
    End { axis: usize, sign: i64, c: i64 },
}

impl Interior {
    fn side(&self, form: &Affine) -> Option<Side> {
        let (value, sign) = form.single()?;
        if sign != 1 && sign != -1 {
            return None;
        }
        let axis = self.rows.iter().position(|&r| r == value)?;
        let rest = form.base.checked_scale(sign)?;
        let start = rest.as_constant();
        let end = rest.checked_add(&self.dims[axis])?.as_constant();
        match (start, end) {
            (Some(c), Some(e)) if c.unsigned_abs() <= e.unsigned_abs() => Some(Side::Start { axis, sign, c }),
            (Some(c), None) => Some(Side::Start { axis, sign, c }),
            (_, Some(c)) => Some(Side::End { axis, sign, c }),
            (None, None) => None,
        }
    }

    /// Whether `form < 0`, where that is the same in the whole interior.
    pub(super) fn negative(&mut self, form: &Affine) -> Option<bool> {
        if let Some(n) = form.as_constant() {
            return Some(n < 0);
        }
        match self.side(form)? {
            Side::Start { axis, sign, c } => {
                // sign > 0: f >= 0 is needed; sign < 0: -f >= 1.
                let least = i64::from(sign < 0);
                self.lower[axis] = self.lower[axis].max(least.saturating_sub(c));
                Some(sign < 0)
            }
            Side::End { axis, sign, c } => {
                // sign > 0: f <= -1 is needed; sign < 0: -f <= 0.
                let most = if sign > 0 { 0 } else { -1 };
                self.upper[axis] = self.upper[axis].max(c.saturating_add(most));
                Some(sign > 0)
            }
        }
    }

    /// `0 <= form < modulus` in the whole interior.
    fn within(&mut self, form: &Affine, modulus: &SizeExpr) -> bool {
        let above = form.minus(&Affine::size(modulus.clone()));
        self.negative(form) == Some(false) && above.and_then(|f| self.negative(&f)) == Some(true)
    }

    /// The image of an integer operation, where it is simpler in the interior.
    pub(super) fn op(&mut self, b: &mut Builder, op: Op, args: &[Value]) -> Option<Value> {
        let [x, y] = *args else { return None };
        let form = |b: &Builder, v: Value| Affine::of(b.func(), v);
        match op {
            Op::IntLt | Op::IntLe | Op::IntEq | Op::IntNe => {
                let difference = form(b, x)?.minus(&form(b, y)?)?;
                if difference.terms.is_empty() {
                    return None;
                }
                let answer = match op {
                    Op::IntLt => self.negative(&difference)?,
                    Op::IntLe => self.negative(&difference.offset(-1)?)?,
                    _ => {
                        // Never equal: below on one side or above on the other.
                        let below = self.negative(&difference)?;
                        if !below {
                            self.negative(&difference.times(-1)?)?;
                        }
                        op == Op::IntNe
                    }
                };
                Some(b.bool(answer))
            }
            Op::IntMin | Op::IntMax => {
                let difference = form(b, x)?.minus(&form(b, y)?)?;
                if difference.terms.is_empty() {
                    return None;
                }
                let first_is_less = self.negative(&difference)?;
                Some(if first_is_less == (op == Op::IntMin) { x } else { y })
            }
            Op::IntMod => {
                let (inner, modulus) = (form(b, x)?, form(b, y)?.as_size()?.clone());
                let (_, sign) = inner.single()?;
                let axis = self.rows.iter().position(|&r| Some(r) == inner.single().map(|t| t.0))?;
                let target = if sign > 0 { SizeExpr::default() } else { self.dims[axis].clone() };
                let reduced = reduce(&inner, &modulus, &target)?;
                if self.within(&reduced, &modulus) { reduced.build(b) } else { None }
            }
            Op::IntAdd | Op::IntSub | Op::IntMul => {
                let plain = b.op(op, args);
                let simple = form(b, plain).filter(|f| f.single().is_some());
                Some(simple.and_then(|f| f.build(b)).unwrap_or(plain))
            }
            _ => None,
        }
    }

    /// Requires that a loop runs the iteration `iv`.
    pub(super) fn inside_loop(
        &mut self,
        b: &Builder,
        lo: Value,
        hi: Value,
        iv: Value,
    ) -> Result<(), Refusal> {
        let form = |v: Value| Affine::of(b.func(), v);
        let inside = || {
            let iv = form(iv)?;
            Some((iv.minus(&form(lo)?)?, iv.minus(&form(hi)?)?))
        };
        let (first, last) = inside().ok_or(Refusal("a bound is not affine"))?;
        if self.negative(&first) == Some(false) && self.negative(&last) == Some(true) {
            Ok(())
        } else {
            Err(Refusal("the range of a loop and the rows it writes are not comparable"))
        }
    }
}

/// `form - k * modulus` for the k that brings its sizes to those of `target`.
fn reduce(form: &Affine, modulus: &SizeExpr, target: &SizeExpr) -> Option<Affine> {
    let excess = form.base.checked_sub(target)?;
    let times = match modulus.terms.first() {
        Some(&(size, per)) => {
            excess.terms.iter().find(|t| t.0 == size).map_or(0, |t| t.1).checked_div(per)?
        }
        None => {
            excess.as_constant()?.checked_add(modulus.constant / 2)?.checked_div_euclid(modulus.constant)?
        }
    };
    form.minus(&Affine::size(modulus.checked_scale(times)?))
}
