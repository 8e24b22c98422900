//! What holds at a point of a program: affine inequalities from bounds of loops and conditions, and what follows from them.
//!
//! # Method
//! A fact is an affine form of induction variables and sizes that is not negative. A form is proven by removing one of its variables
//! after the other: a fact with the variable is subtracted, as often as it takes, until a form of sizes is left whose coefficients are not
//! negative (sizes never are). This is the search of Fourier and Motzkin for a proof, cut off at a few facts; it finds every
//! proof that bounds and guards of a stencil ask for.
//!
//! # References
//! Schrijver, Theory of Linear and Integer Programming, section 12.2 (elimination), 7.1 (Farkas' lemma).

use crate::analysis::affine::Affine;
use spadina_ir::func::{Func, InstData, Value};
use spadina_ir::op::Op;
use spadina_ir::types::SizeExpr;

/// Facts that one proof uses at most.
const LONGEST: usize = 4;

/// The facts of the regions that are open.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    known: Vec<Affine>,
}

impl Facts {
    /// How many there are: what [`Facts::forget`] goes back to.
    pub fn mark(&self) -> usize {
        self.known.len()
    }

    /// Drops those learned since.
    pub fn forget(&mut self, mark: usize) {
        self.known.truncate(mark);
    }

    /// Inside a loop: `lo <= iv < hi`.
    pub fn inside_loop(&mut self, func: &Func, (lo, hi): (Value, Value), iv: Value) {
        let form = |v: Value| Affine::of(func, v);
        let [lo, hi, iv] = [lo, hi, iv].map(form);
        if let (Some(lo), Some(iv)) = (&lo, &iv) {
            self.known.extend(iv.minus(lo));
        }
        if let (Some(hi), Some(iv)) = (&hi, &iv) {
            self.known.extend(hi.minus(iv).and_then(|f| f.offset(-1)));
        }
        if let (Some(lo), Some(hi)) = (&lo, &hi) {
            self.known.extend(hi.minus(lo).and_then(|f| f.offset(-1)));
        }
    }

    /// Inside a branch: the condition is what `outcome` says.
    pub fn inside_branch(&mut self, func: &Func, cond: Value, outcome: bool) {
        let Some(InstData::Op(op, args)) = func.def(cond) else { return };
        let difference = |less: Value, more: Value, least: i64| {
            Affine::of(func, more)?.minus(&Affine::of(func, less)?)?.offset(-least)
        };
        match (op, outcome) {
            (Op::IntLt, true) => self.known.extend(difference(args[0], args[1], 1)),
            (Op::IntLt, false) => self.known.extend(difference(args[1], args[0], 0)),
            (Op::IntLe, true) => self.known.extend(difference(args[0], args[1], 0)),
            (Op::IntLe, false) => self.known.extend(difference(args[1], args[0], 1)),
            (Op::IntEq, true) | (Op::IntNe, false) => {
                self.known.extend(difference(args[0], args[1], 0));
                self.known.extend(difference(args[1], args[0], 0));
            }
            (Op::Not, _) => self.inside_branch(func, args[0], !outcome),
            (Op::And, true) | (Op::Or, false) => {
                self.inside_branch(func, args[0], outcome);
                self.inside_branch(func, args[1], outcome);
            }
            _ => {}
        }
    }

    /// Whether an integer comparison is known to hold, or known not to.
    pub fn decide(&self, func: &Func, op: Op, args: &[Value]) -> Option<bool> {
        let [a, b] = *args else { return None };
        if !matches!(op, Op::IntLt | Op::IntLe | Op::IntEq | Op::IntNe) {
            return None;
        }
        let difference = Affine::of(func, b)?.minus(&Affine::of(func, a)?)?;
        let at_least = |n: i64| difference.offset(-n).is_some_and(|f| self.proves(&f));
        let at_most =
            |n: i64| difference.times(-1).and_then(|f| f.offset(n)).is_some_and(|f| self.proves(&f));
        match op {
            Op::IntLt if at_least(1) => Some(true),
            Op::IntLt if at_most(0) => Some(false),
            Op::IntLe if at_least(0) => Some(true),
            Op::IntLe if at_most(-1) => Some(false),
            Op::IntEq | Op::IntNe if at_least(1) || at_most(-1) => Some(op == Op::IntNe),
            Op::IntEq | Op::IntNe if at_least(0) && at_most(0) => Some(op == Op::IntEq),
            _ => None,
        }
    }

    /// Whether a subscript lies in `0..dim`.
    pub fn in_range(&self, func: &Func, subscript: Value, dim: &SizeExpr) -> bool {
        Affine::of(func, subscript).is_some_and(|form| self.within(&form, dim))
    }

    /// Whether `0 <= form < dim`.
    pub fn within(&self, form: &Affine, dim: &SizeExpr) -> bool {
        let above = Affine::size(dim.clone()).minus(form).and_then(|f| f.offset(-1));
        self.proves(form) && above.is_some_and(|f| self.proves(&f))
    }

    /// Whether a form is not negative, as far as it can be shown.
    pub fn proves(&self, form: &Affine) -> bool {
        self.search(form, LONGEST)
    }

    fn search(&self, form: &Affine, facts: usize) -> bool {
        let Some(&(variable, coefficient)) = form.terms.last() else {
            let plain = form.base.constant >= 0 && form.base.terms.iter().all(|&(_, c)| c > 0);
            return plain || (facts > 0 && self.by_sizes(form, facts));
        };
        facts > 0
            && self.known.iter().any(|fact| {
                let in_fact = fact.terms.iter().find(|t| t.0 == variable).map_or(0, |t| t.1);
                let fits = in_fact != 0 && coefficient % in_fact == 0 && coefficient / in_fact > 0;
                fits && fact
                    .times(coefficient / in_fact)
                    .and_then(|fact| form.minus(&fact))
                    .is_some_and(|rest| self.search(&rest, facts - 1))
            })
    }

    /// A form of sizes alone, from facts about sizes alone.
    fn by_sizes(&self, form: &Affine, facts: usize) -> bool {
        self.known
            .iter()
            .filter(|fact| fact.terms.is_empty() && fact.base.as_constant().is_none())
            .any(|fact| form.minus(fact).is_some_and(|rest| self.search(&rest, facts - 1)))
    }
}
