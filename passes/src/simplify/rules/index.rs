//! Rules on integers: affine forms, remainders and quotients with proven ranges, extrema.
//!
//! Sums and products are exact in wrapping arithmetic. Remainders, quotients, extrema and comparisons are not invariant under
//! wrapping, so their rules ask for a proof that nothing wraps.

use super::When::{Fits, Proven};
use super::{Rule, rule, rule_if};

pub(super) const RULES: &[Rule] = &[
    // ---- affine forms ---------------------------------------------------------------------------------------
    rule("int-sum-commutes", "(iadd ?a ?b)", "(iadd ?b ?a)"),
    rule("int-product-commutes", "(imul ?a ?b)", "(imul ?b ?a)"),
    rule("int-sum-associates", "(iadd (iadd ?a ?b) ?c)", "(iadd ?a (iadd ?b ?c))"),
    rule("int-product-associates", "(imul (imul ?a ?b) ?c)", "(imul ?a (imul ?b ?c))"),
    rule("drop-int-zero", "(iadd ?a 0)", "?a"),
    rule("drop-int-one", "(imul ?a 1)", "?a"),
    rule("int-times-zero", "(imul ?a 0)", "0"),
    rule("int-sum-cancels", "(iadd ?a (ineg ?a))", "0"),
    rule("int-negate-twice", "(ineg (ineg ?a))", "?a"),
    rule("int-negate-sum", "(ineg (iadd ?a ?b))", "(iadd (ineg ?a) (ineg ?b))"),
    rule("int-sign-leaves-sum", "(iadd (ineg ?a) (ineg ?b))", "(ineg (iadd ?a ?b))"),
    rule("int-sign-leaves-product", "(imul (ineg ?a) ?b)", "(ineg (imul ?a ?b))"),
    rule("int-double", "(iadd ?a ?a)", "(imul 2 ?a)"),
    rule("int-factor", "(iadd (imul ?a ?b) (imul ?a ?c))", "(imul ?a (iadd ?b ?c))"),
    rule("int-factor-difference", "(iadd (imul ?a ?b) (ineg (imul ?a ?c)))", "(imul ?a (iadd ?b (ineg ?c)))"),
    rule("int-factor-one", "(iadd ?a (imul ?a ?b))", "(imul ?a (iadd ?b 1))"),
    rule("int-distribute", "(imul ?a (iadd ?b ?c))", "(iadd (imul ?a ?b) (imul ?a ?c))"),
    // ---- remainders -----------------------------------------------------------------------------------------
    rule_if("mod-in-range", "(imod ?a ?n)", "?a", &[Proven("(ile 0 ?a)"), Proven("(ilt ?a ?n)")]),
    rule_if("mod-drops-period", "(imod (iadd ?a ?n) ?n)", "(imod ?a ?n)", &[Fits("(iadd ?a ?n)")]),
    rule_if(
        "mod-drops-periods",
        "(imod (iadd ?a (imul ?k ?n)) ?n)",
        "(imod ?a ?n)",
        &[Fits("(iadd ?a (imul ?k ?n))")],
    ),
    rule_if(
        "mod-drops-negative-period",
        "(imod (iadd ?a (ineg ?n)) ?n)",
        "(imod ?a ?n)",
        &[Fits("(iadd ?a (ineg ?n))")],
    ),
    rule_if("mod-of-multiple", "(imod (imul ?k ?n) ?n)", "0", &[Fits("(imul ?k ?n)")]),
    rule("mod-of-itself", "(imod ?n ?n)", "0"),
    rule("mod-twice", "(imod (imod ?a ?n) ?n)", "(imod ?a ?n)"),
    rule_if(
        "mod-of-mod-in-sum",
        "(imod (iadd (imod ?a ?n) ?b) ?n)",
        "(imod (iadd ?a ?b) ?n)",
        &[Fits("(iadd ?a ?b)"), Fits("(iadd (imod ?a ?n) ?b)")],
    ),
    rule_if(
        "mod-of-mod-of-multiple",
        "(imod (imod ?a (imul ?k ?n)) ?n)",
        "(imod ?a ?n)",
        &[Fits("(imul ?k ?n)"), Proven("(ile 1 ?k)"), Proven("(ile 1 ?n)")],
    ),
    // ---- quotients ------------------------------------------------------------------------------------------
    rule_if("div-in-range", "(idiv ?a ?n)", "0", &[Proven("(ile 0 ?a)"), Proven("(ilt ?a ?n)")]),
    rule_if("div-of-multiple", "(idiv (imul ?a ?n) ?n)", "?a", &[Fits("(imul ?a ?n)"), Proven("(ile 1 ?n)")]),
    rule_if(
        "div-of-sum-with-multiple",
        "(idiv (iadd (imul ?a ?n) ?b) ?n)",
        "(iadd ?a (idiv ?b ?n))",
        &[Fits("(iadd (imul ?a ?n) ?b)"), Proven("(ile 1 ?n)")],
    ),
    rule_if(
        "div-of-sum-with-divisor",
        "(idiv (iadd ?n ?b) ?n)",
        "(iadd 1 (idiv ?b ?n))",
        &[Fits("(iadd ?n ?b)"), Proven("(ile 1 ?n)")],
    ),
    rule_if(
        "div-of-div",
        "(idiv (idiv ?a ?m) ?n)",
        "(idiv ?a (imul ?m ?n))",
        &[Fits("(imul ?m ?n)"), Proven("(ile 1 ?m)"), Proven("(ile 1 ?n)")],
    ),
    rule_if(
        "quotient-and-remainder",
        "(iadd (imul ?n (idiv ?a ?n)) (imod ?a ?n))",
        "?a",
        &[Proven("(ile 1 ?n)")],
    ),
    // ---- extrema --------------------------------------------------------------------------------------------
    rule("imin-commutes", "(imin ?a ?b)", "(imin ?b ?a)"),
    rule("imax-commutes", "(imax ?a ?b)", "(imax ?b ?a)"),
    rule("imin-associates", "(imin (imin ?a ?b) ?c)", "(imin ?a (imin ?b ?c))"),
    rule("imax-associates", "(imax (imax ?a ?b) ?c)", "(imax ?a (imax ?b ?c))"),
    rule("imin-of-same", "(imin ?a ?a)", "?a"),
    rule("imax-of-same", "(imax ?a ?a)", "?a"),
    rule("imin-absorbs-imax", "(imin ?a (imax ?a ?b))", "?a"),
    rule("imax-absorbs-imin", "(imax ?a (imin ?a ?b))", "?a"),
    rule_if("imin-proven", "(imin ?a ?b)", "?a", &[Proven("(ile ?a ?b)")]),
    rule_if("imax-proven", "(imax ?a ?b)", "?b", &[Proven("(ile ?a ?b)")]),
    rule_if(
        "imin-shifts",
        "(imin (iadd ?a ?c) (iadd ?b ?c))",
        "(iadd (imin ?a ?b) ?c)",
        &[Fits("(iadd ?a ?c)"), Fits("(iadd ?b ?c)")],
    ),
    rule_if(
        "imax-shifts",
        "(imax (iadd ?a ?c) (iadd ?b ?c))",
        "(iadd (imax ?a ?b) ?c)",
        &[Fits("(iadd ?a ?c)"), Fits("(iadd ?b ?c)")],
    ),
    rule("imin-plus-imax", "(iadd (imin ?a ?b) (imax ?a ?b))", "(iadd ?a ?b)"),
];
