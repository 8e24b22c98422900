//! Rules on floats that keep every bit, up to the sign of a zero: commutation, signs, powers of two.
//!
//! Signs move outward only, out of products and quotients and into sums, as in the builder; rules on terms are given for both signs.

use super::When::{NotNegative, PowerOfTwo};
use super::{Rule, rule, rule_if};

pub(super) const RULES: &[Rule] = &[
    rule("sum-commutes", "(add ?a ?b)", "(add ?b ?a)"),
    rule("product-commutes", "(mul ?a ?b)", "(mul ?b ?a)"),
    rule("drop-zero", "(add ?a 0.0)", "?a"),
    rule("drop-one", "(mul ?a 1.0)", "?a"),
    rule("divide-by-one", "(div ?a 1.0)", "?a"),
    rule("double", "(add ?a ?a)", "(mul 2.0 ?a)"),
    // ---- signs ----------------------------------------------------------------------------------------------
    rule("negate-twice", "(neg (neg ?a))", "?a"),
    rule("negate-sum", "(neg (add ?a ?b))", "(add (neg ?a) (neg ?b))"),
    rule("sign-leaves-sum", "(add (neg ?a) (neg ?b))", "(neg (add ?a ?b))"),
    rule("sign-leaves-product", "(mul (neg ?a) ?b)", "(neg (mul ?a ?b))"),
    rule("sign-leaves-dividend", "(div (neg ?a) ?b)", "(neg (div ?a ?b))"),
    rule("sign-leaves-divisor", "(div ?a (neg ?b))", "(neg (div ?a ?b))"),
    rule("abs-of-negation", "(abs (neg ?a))", "(abs ?a)"),
    rule("abs-of-abs", "(abs (abs ?a))", "(abs ?a)"),
    rule_if("abs-of-not-negative", "(abs ?a)", "?a", &[NotNegative("?a")]),
    rule("abs-squared", "(mul (abs ?a) (abs ?a))", "(mul ?a ?a)"),
    rule("cos-is-even", "(cos (neg ?a))", "(cos ?a)"),
    rule("cosh-is-even", "(cosh (neg ?a))", "(cosh ?a)"),
    rule("sin-is-odd", "(sin (neg ?a))", "(neg (sin ?a))"),
    rule("tan-is-odd", "(tan (neg ?a))", "(neg (tan ?a))"),
    rule("sinh-is-odd", "(sinh (neg ?a))", "(neg (sinh ?a))"),
    rule("tanh-is-odd", "(tanh (neg ?a))", "(neg (tanh ?a))"),
    rule("asin-is-odd", "(asin (neg ?a))", "(neg (asin ?a))"),
    rule("atan-is-odd", "(atan (neg ?a))", "(neg (atan ?a))"),
    // ---- extrema --------------------------------------------------------------------------------------------
    rule("min-of-same", "(min ?a ?a)", "?a"),
    rule("max-of-same", "(max ?a ?a)", "?a"),
    rule("min-again", "(min ?a (min ?a ?b))", "(min ?a ?b)"),
    rule("max-again", "(max ?a (max ?a ?b))", "(max ?a ?b)"),
    rule("min-of-negations", "(min (neg ?a) (neg ?b))", "(neg (max ?a ?b))"),
    rule("max-of-negations", "(max (neg ?a) (neg ?b))", "(neg (min ?a ?b))"),
    // ---- powers of two --------------------------------------------------------------------------------------
    rule_if("divide-by-power-of-two", "(div ?a ?c)", "(mul ?a (div 1.0 ?c))", &[PowerOfTwo("?c")]),
    // ---- stop_gradient --------------------------------------------------------------------------------------
    rule("stop-twice", "(stop_gradient (stop_gradient ?a))", "(stop_gradient ?a)"),
];
