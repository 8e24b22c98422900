//! Rewrite rules as data: name, family, two patterns, conditions; and how they become e-graph rewrites.
//!
//! # What a rule may do
//! - Where the left side is a finite number (or an integer, or a truth value), the right side is the same one: to the last bit in
//!   the families `Index`, `Guard` and `Exact` (up to the sign of a zero), up to rounding in `Rounding`.
//! - Where the left side is undefined because an argument is outside the domain (the root or logarithm of a negative number), the
//!   right side is undefined too. Only at single points (`0 / 0`) and beyond the range of `f64` may it become defined. (Powers of
//!   minus infinity, which C defines and roots do not, count as outside the domain.)
//! - It divides only by what was divided by before, or by what is zero at the same points.
//! - It holds for derivatives as well, except where they jump.
//! - It never makes an [`Op::Indicator`](spadina_ir::op::Op), and never moves a factor into or out of a `select` against a zero.
//!
//! A rule alone never makes code costlier, because extraction counts and the pass compares.

mod exact;
mod guard;
mod index;
mod rounding;

use super::fact::{compare, fit};
use super::language::{Facts, Graph, Scalar};
use egg::{
    Condition, ConditionalApplier, ENodeOrVar, Id, Language, Pattern, PatternAst, Rewrite, Subst, Var,
};
use spadina_ir::func::Const;
use spadina_ir::math;
use spadina_ir::op::Op;

/// What a group of rules is about, and how closely the results agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Family {
    /// Integer arithmetic of subscripts. Same integers.
    Index,
    /// Comparisons, truth values, choices. Same bits.
    Guard,
    /// Float identities that IEEE arithmetic has. Same bits, up to the sign of a zero.
    Exact,
    /// Float identities of real numbers. Same up to rounding.
    Rounding,
}

/// What must be known before a rule applies. Patterns are over the variables of the left side.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum When {
    /// This integer expression is computed without wrapping, at every step.
    Fits(&'static str),
    /// This comparison of integers holds.
    Proven(&'static str),
    /// This float is at least zero or NaN.
    NotNegative(&'static str),
    /// This is a float literal other than zero.
    Literal(&'static str),
    /// This is a float literal that is plus or minus a power of two, with a finite inverse.
    PowerOfTwo(&'static str),
    /// This is a float literal of at least the given size.
    LiteralAtLeast(&'static str, f64),
    /// This is not the literal zero.
    NotZero(&'static str),
    /// This is computed anyway.
    Exists(&'static str),
}

/// A rewrite rule.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rule {
    /// What it does.
    pub name: &'static str,
    /// The pattern that is looked for.
    pub left: &'static str,
    /// What it is equal to.
    pub right: &'static str,
    /// Under which conditions.
    pub when: &'static [When],
}

/// A rule without conditions.
const fn rule(name: &'static str, left: &'static str, right: &'static str) -> Rule {
    Rule { name, left, right, when: &[] }
}

/// A rule with conditions.
const fn rule_if(name: &'static str, left: &'static str, right: &'static str, when: &'static [When]) -> Rule {
    Rule { name, left, right, when }
}

/// All families with their rules.
pub const FAMILIES: &[(Family, &[Rule])] = &[
    (Family::Index, index::RULES),
    (Family::Guard, guard::RULES),
    (Family::Exact, exact::RULES),
    (Family::Rounding, rounding::RULES),
];

/// The rules as rewrites of the e-graph, in table order. A rule whose patterns cannot be read is left out (a test says that
/// there is none).
pub fn rewrites() -> Vec<Rewrite<Scalar, Facts>> {
    FAMILIES.iter().flat_map(|(_, rules)| rules.iter()).filter_map(compile).collect()
}

/// One rule as a rewrite.
pub fn compile(rule: &Rule) -> Option<Rewrite<Scalar, Facts>> {
    let left: Pattern<Scalar> = rule.left.parse().ok()?;
    let right: Pattern<Scalar> = rule.right.parse().ok()?;
    let guards: Option<Vec<Guard>> = rule.when.iter().map(|&when| Guard::new(when)).collect();
    let guards = guards?;
    if guards.is_empty() {
        return Rewrite::new(rule.name, left, right).ok();
    }
    Rewrite::new(rule.name, left, ConditionalApplier { condition: Guards(guards), applier: right }).ok()
}

struct Guard {
    when: When,
    pattern: PatternAst<Scalar>,
}

impl Guard {
    fn new(when: When) -> Option<Guard> {
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
        let pattern: Pattern<Scalar> = text.parse().ok()?;
        Some(Guard { when, pattern: pattern.ast })
    }

    fn holds(&self, egraph: &Graph, subst: &Subst) -> bool {
        let fact = || find(egraph, &self.pattern, subst).map(|id| &egraph[id].data);
        let float = || match fact()?.literal? {
            Const::F64(x) => Some(x),
            Const::F32(_) | Const::Int(_) | Const::Bool(_) => None,
        };
        match self.when {
            When::Fits(_) => bounds(egraph, &self.pattern, subst).is_some(),
            When::Proven(_) => proven(egraph, &self.pattern, subst),
            When::NotNegative(_) => fact().is_some_and(|fact| fact.not_negative),
            When::Literal(_) => float().is_some_and(|x| x != 0.0),
            When::PowerOfTwo(_) => float().is_some_and(is_power_of_two),
            When::LiteralAtLeast(_, least) => float().is_some_and(|x| x >= least),
            When::NotZero(_) => float() != Some(0.0),
            When::Exists(_) => find(egraph, &self.pattern, subst).is_some(),
        }
    }
}

/// True for plus or minus a power of two whose inverse is a normal number.
pub fn is_power_of_two(x: f64) -> bool {
    x.is_normal() && x.to_bits().trailing_zeros() >= 52 && (1.0 / x).is_normal()
}

struct Guards(Vec<Guard>);

impl Condition<Scalar, Facts> for Guards {
    fn check(&self, egraph: &mut Graph, _class: Id, subst: &Subst) -> bool {
        self.0.iter().all(|guard| guard.holds(egraph, subst))
    }

    fn vars(&self) -> Vec<Var> {
        let nodes = self.0.iter().flat_map(|guard| guard.pattern.as_ref());
        nodes
            .filter_map(|node| match node {
                ENodeOrVar::Var(var) => Some(*var),
                ENodeOrVar::ENode(_) => None,
            })
            .collect()
    }
}

/// The class of a pattern if the e-graph has it; operations on literals are computed.
fn find(egraph: &Graph, pattern: &PatternAst<Scalar>, subst: &Subst) -> Option<Id> {
    let mut ids: Vec<Id> = Vec::new();
    for node in pattern.as_ref() {
        let id = match node {
            ENodeOrVar::Var(var) => *subst.get(*var)?,
            ENodeOrVar::ENode(node) => {
                // The children of a pattern node are places in the pattern.
                let node = node.clone().map_children(|place| ids[usize::from(place)]);
                match egraph.lookup(node.clone()) {
                    Some(id) => id,
                    None => egraph.lookup(computed(egraph, &node)?)?,
                }
            }
        };
        ids.push(id);
    }
    ids.last().copied()
}

fn computed(egraph: &Graph, node: &Scalar) -> Option<Scalar> {
    let args: Option<Vec<Const>> = node.children().iter().map(|&id| egraph[id].data.literal).collect();
    Scalar::literal(math::eval(node.as_op()?, &args?)?)
}

/// Numbers that enclose every step of an integer pattern, if no step wraps.
fn bounds(egraph: &Graph, pattern: &PatternAst<Scalar>, subst: &Subst) -> Option<(i128, i128)> {
    let mut steps: Vec<(i128, i128)> = Vec::new();
    for node in pattern.as_ref() {
        let step = match node {
            ENodeOrVar::Var(var) => egraph[*subst.get(*var)?].data.bounds()?,
            ENodeOrVar::ENode(Scalar::Int(n)) => (i128::from(*n), i128::from(*n)),
            ENodeOrVar::ENode(Scalar::IntNeg([a])) => {
                let (lo, hi) = steps[usize::from(*a)];
                (-hi, -lo)
            }
            ENodeOrVar::ENode(Scalar::Binary(op, [a, b])) => {
                let ((la, ha), (lb, hb)) = (steps[usize::from(*a)], steps[usize::from(*b)]);
                match op {
                    Op::IntAdd => (la + lb, ha + hb),
                    Op::IntMul => {
                        let corners = [la * lb, la * hb, ha * lb, ha * hb];
                        (*corners.iter().min()?, *corners.iter().max()?)
                    }
                    // A quotient is no larger than its dividend, a remainder lies between zero and either argument.
                    Op::IntDiv => {
                        let reach = la.abs().max(ha.abs());
                        (-reach, reach)
                    }
                    Op::IntMod => (0, lb.abs().max(hb.abs())),
                    _ => return None,
                }
            }
            ENodeOrVar::ENode(_) => return None,
        };
        steps.push(fit(step.0, step.1)?);
    }
    steps.last().copied()
}

/// Whether an integer comparison pattern holds by the ranges of its two sides.
fn proven(egraph: &Graph, pattern: &PatternAst<Scalar>, subst: &Subst) -> bool {
    let nodes = pattern.as_ref();
    let Some(ENodeOrVar::ENode(Scalar::Binary(op, sides))) = nodes.last() else { return false };
    let mut facts = Vec::new();
    for side in sides {
        let fact = match &nodes[usize::from(*side)] {
            ENodeOrVar::Var(var) => match subst.get(*var) {
                Some(id) => egraph[*id].data.clone(),
                None => return false,
            },
            ENodeOrVar::ENode(Scalar::Int(n)) => super::fact::Fact::literal(Const::Int(*n)),
            ENodeOrVar::ENode(_) => return false,
        };
        facts.push(fact);
    }
    compare(*op, &[&facts[0], &facts[1]], &egraph.analysis.not_negative) == Some(true)
}
