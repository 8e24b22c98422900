//! Rules on floats that are identities of real numbers: they change results by rounding. The reason each group is worth it stands
//! with it.
//!
//! Products are never expanded over sums: `|p - q|^2` as `|p|^2 - 2 p.q + |q|^2` would save operations and lose all digits.
//! Sums of logarithms are not gathered: they are written to keep products of small numbers from underflowing.
//! Nor do `expm1` and `log1p` have rules, which exist to avoid a rounding.

use super::When::{Exists, Literal, LiteralAtLeast, NotNegative, NotZero};
use super::{Rule, rule, rule_if};

pub(super) const RULES: &[Rule] = &[
    // ---- order of sums and products: derivative code adds the same terms in many orders; sharing needs one --------------
    rule("sum-associates", "(add (add ?a ?b) ?c)", "(add ?a (add ?b ?c))"),
    rule("product-associates", "(mul (mul ?a ?b) ?c)", "(mul ?a (mul ?b ?c))"),
    rule("sum-cancels", "(add ?a (neg ?a))", "0.0"),
    rule("times-zero", "(mul ?a 0.0)", "0.0"),
    // ---- common factors: fewer products, and never more cancellation than the expanded form ------------------------------
    rule("factor", "(add (mul ?a ?b) (mul ?a ?c))", "(mul ?a (add ?b ?c))"),
    rule("factor-difference", "(add (mul ?a ?b) (neg (mul ?a ?c)))", "(mul ?a (add ?b (neg ?c)))"),
    rule(
        "factor-difference-in-sum",
        "(add (mul ?a ?b) (add (neg (mul ?a ?c)) ?r))",
        "(add (mul ?a (add ?b (neg ?c))) ?r)",
    ),
    rule("factor-in-sum", "(add (mul ?a ?b) (add (mul ?a ?c) ?r))", "(add (mul ?a (add ?b ?c)) ?r)"),
    rule_if("factor-literal-one", "(add ?a (mul ?c ?a))", "(mul (add ?c 1.0) ?a)", &[Literal("?c")]),
    // ---- quotients: a division costs five to eight additions -------------------------------------------------------------
    rule("common-divisor", "(add (div ?a ?d) (div ?b ?d))", "(div (add ?a ?b) ?d)"),
    rule("common-divisor-difference", "(add (div ?a ?d) (neg (div ?b ?d)))", "(div (add ?a (neg ?b)) ?d)"),
    rule("divide-twice", "(div (div ?a ?b) ?c)", "(div ?a (mul ?b ?c))"),
    rule("divide-by-quotient", "(div ?a (div ?b ?c))", "(div (mul ?a ?c) ?b)"),
    rule("product-enters-dividend", "(mul ?a (div ?b ?c))", "(div (mul ?a ?b) ?c)"),
    rule("factor-leaves-dividend", "(div (mul ?a ?b) ?c)", "(mul ?a (div ?b ?c))"),
    rule_if("divide-by-literal", "(div ?a ?c)", "(mul ?a (div 1.0 ?c))", &[Literal("?c")]),
    rule_if("share-reciprocal", "(div ?a ?b)", "(mul ?a (div 1.0 ?b))", &[Exists("(div 1.0 ?b)")]),
    rule_if(
        "split-known-reciprocal",
        "(div ?a (mul ?b ?c))",
        "(div (mul ?a (div 1.0 ?b)) ?c)",
        &[Exists("(div 1.0 ?b)")],
    ),
    // Defined also where the divisor is zero: a removable singularity.
    rule_if("divide-by-itself", "(div ?a ?a)", "1.0", &[NotZero("?a")]),
    rule_if("cancel-factor", "(div (mul ?a ?b) ?b)", "?a", &[NotZero("?b")]),
    rule_if("cancel-dividend", "(div ?a (mul ?a ?b))", "(div 1.0 ?b)", &[NotZero("?a")]),
    rule_if("cancel-common", "(div (mul ?a ?b) (mul ?a ?c))", "(div ?b ?c)", &[NotZero("?a")]),
    // ---- roots: as costly as divisions -----------------------------------------------------------------------------------
    rule_if("root-squared", "(mul (sqrt ?a) (sqrt ?a))", "?a", &[NotNegative("?a")]),
    rule("root-of-square", "(sqrt (mul ?a ?a))", "(abs ?a)"),
    rule_if("divide-by-root", "(div ?a (sqrt ?a))", "(sqrt ?a)", &[NotNegative("?a"), NotZero("?a")]),
    rule_if(
        "product-of-roots",
        "(mul (sqrt ?a) (sqrt ?b))",
        "(sqrt (mul ?a ?b))",
        &[NotNegative("?a"), NotNegative("?b")],
    ),
    rule_if(
        "quotient-of-roots",
        "(div (sqrt ?a) (sqrt ?b))",
        "(sqrt (div ?a ?b))",
        &[NotNegative("?a"), NotNegative("?b")],
    ),
    // ---- exponentials and logarithms: tens of additions each --------------------------------------------------------------
    rule("product-of-exps", "(mul (exp ?a) (exp ?b))", "(exp (add ?a ?b))"),
    rule("quotient-of-exps", "(div (exp ?a) (exp ?b))", "(exp (add ?a (neg ?b)))"),
    rule("reciprocal-of-exp", "(div 1.0 (exp ?a))", "(exp (neg ?a))"),
    rule_if("exp-of-negation", "(exp (neg ?a))", "(div 1.0 (exp ?a))", &[Exists("(exp ?a)")]),
    rule_if("exp-of-double", "(exp (mul 2.0 ?a))", "(mul (exp ?a) (exp ?a))", &[Exists("(exp ?a)")]),
    rule("root-of-exp", "(sqrt (exp ?a))", "(exp (mul 0.5 ?a))"),
    rule("log-of-exp", "(log (exp ?a))", "?a"),
    rule_if("exp-of-log", "(exp (log ?a))", "?a", &[NotNegative("?a")]),
    rule_if(
        "difference-of-logs",
        "(add (log ?a) (neg (log ?b)))",
        "(log (div ?a ?b))",
        &[NotNegative("?a"), NotNegative("?b")],
    ),
    rule("log-of-root", "(log (sqrt ?a))", "(mul 0.5 (log ?a))"),
    rule("log-of-reciprocal", "(log (div 1.0 ?a))", "(neg (log ?a))"),
    // ---- powers: a literal exponent needs no logarithm ----------------------------------------------------------------------
    rule("power-zero", "(pow ?a 0.0)", "1.0"),
    rule("power-one", "(pow ?a 1.0)", "?a"),
    rule("square", "(pow ?a 2.0)", "(mul ?a ?a)"),
    rule("cube", "(pow ?a 3.0)", "(mul ?a (mul ?a ?a))"),
    rule("fourth-power", "(pow ?a 4.0)", "(mul (mul ?a ?a) (mul ?a ?a))"),
    rule("reciprocal-power", "(pow ?a -1.0)", "(div 1.0 ?a)"),
    rule("reciprocal-square", "(pow ?a -2.0)", "(div 1.0 (mul ?a ?a))"),
    rule("power-half", "(pow ?a 0.5)", "(sqrt ?a)"),
    rule("power-minus-half", "(pow ?a -0.5)", "(div 1.0 (sqrt ?a))"),
    rule("power-three-halves", "(pow ?a 1.5)", "(mul ?a (sqrt ?a))"),
    // Not below one: there `a^(c - 1)` is infinite at zero.
    rule_if(
        "power-from-lower",
        "(pow ?a ?c)",
        "(mul ?a (pow ?a (add ?c -1.0)))",
        &[LiteralAtLeast("?c", 1.0), Exists("(pow ?a (add ?c -1.0))")],
    ),
    // ---- trigonometry: tens of additions each -----------------------------------------------------------------------------
    rule("sin2-plus-cos2", "(add (mul (sin ?a) (sin ?a)) (mul (cos ?a) (cos ?a)))", "1.0"),
    rule_if(
        "tan-from-sin-cos",
        "(tan ?a)",
        "(div (sin ?a) (cos ?a))",
        &[Exists("(sin ?a)"), Exists("(cos ?a)")],
    ),
];
