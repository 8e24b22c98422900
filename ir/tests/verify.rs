//! The verifier: each invariant broken once, and nothing reported where all hold.

use spadina_ir::func::{Func, Inst, InstData, Value, ValueDef};
use spadina_ir::text::{TextError, parse};
use spadina_ir::types::{SizeExpr, Ty};
use spadina_ir::verify::verify;

const DECLARATIONS: &str = "func @f(size N) {
  buffer x: var f64[N]
  buffer y: var f64[2]
  buffer k: data f64 = 1.0
  buffer w: structural f64[N]
  buffer idx: structural int[N, 2] index(N, 3)
  buffer t: scratch f64[N]
  buffer n: scratch int[N]
  buffer value: output f64
  buffer res: output f64[N]
  columns x, y
  rows x, y
";

fn with_body(body: &str) -> Result<Func, TextError> {
    parse(&format!("{DECLARATIONS}{body}\n}}"))
}

fn messages(func: &Func) -> Vec<String> {
    verify(func).into_iter().map(|violation| violation.message).collect()
}

#[test]
fn good_functions_have_no_violations() {
    for body in [
        "",
        "%0 = load x[0] accum value += %0",
        // An array that is finished before it is read, twice, with a reset in between.
        "for %i in 0 .. N { %0 = load x[%i] accum t[%i] += %0 }
         %a = load t[0] accum value += %a
         reset t
         accum t[0] += 1.0
         %b = load t[0] accum value += %b",
        // A local accumulator.
        "for %i in 0 .. N { reset t accum t[0] += 1.0 %a = load t[0] accum value += %a }",
        "for %i in 0 .. N { reset t first %i accum t[0] += 1.0 %a = load t[0] accum value += %a }",
        // Iterations that keep to their own element.
        "for %i in 0 .. N { %j = iadd %i, 1 accum t[%j] += 1.0 %a = load t[%j] accum value += %a }",
        // Structural guards and bounds may decide which entries exist.
        "for %i in 0 .. N {
           %a = load idx[%i, 0] %p = position x[%a] %w = load w[%i] %c = flt 0.0, %w
           if %c { emit #0 symmetric at [%p, %p] { (0, 1) += 1.0 } }
         }",
        // Integers carried beside floats stay structural.
        "%e, %n = for %i in 0 .. N with sum, state %s = 0 { %a = load x[%i] %q = iadd %s, 2 yield %a, %q }
         %p = position x[%n]
         emit #0 rows [%p] cols [%p] { (0, 0) }",
    ] {
        assert_eq!(messages(&with_body(body).unwrap()), [""; 0], "{body}");
    }
}

#[test]
fn each_broken_rule_of_the_body_is_reported() {
    for (body, message) in [
        ("%0 = load x[0, 0]", "has 2 subscripts for the 1 dimensions of `x`"),
        ("%0 = load x[0.0]", "a subscript of `x` is no int"),
        ("%0 = position t[0]", "`t` gives neither columns nor rows"),
        ("accum x[0] += 1.0", "writes the input `x`"),
        ("accum value += 1", "accumulates int into `value`, which holds f64"),
        ("accum n[0] += 1.0", "accumulates f64 into `n`, which holds int"),
        ("reset value", "resets `value`, which is no scratch"),
        ("reset x", "resets `x`, which is no scratch"),
        ("for %i in 0 .. N step 0 { accum value += 1.0 }", "has the stride 0"),
        ("%0 = for %i in 0 .. N with max { yield true }", "reduces truth values"),
        ("%0 = for %i in 0 .. N with state %s = 0 { yield 1.0 }", "a state changes its type to f64"),
        ("%0 = load t[0] accum t[1] += %0", "accumulates into `t` after it was loaded"),
        ("%0 = load value accum value += %0", "accumulates into `value` after it was loaded"),
        (
            "%0 = load t[0] for %i in 0 .. N { reset t } accum t[1] += %0",
            "accumulates into `t` after it was loaded",
        ),
        ("%0 = load t[0] if true { reset t } accum t[1] += %0", "accumulates into `t` after it was loaded"),
        (
            "for %i in 0 .. N { accum t[0] += 1.0 %0 = load t[%i] accum value += %0 }",
            "accumulates into `t`, which an earlier iteration loaded",
        ),
        (
            "for %i in 0 .. N { for %j in 0 .. N { accum t[%j] += 1.0 %0 = load t[%j] accum value += %0 } }",
            "accumulates into `t`, which an earlier iteration loaded",
        ),
        (
            "for %i in 0 .. N { %j = imul %i, 0 accum t[%j] += 1.0 %0 = load t[%j] accum value += %0 }",
            "accumulates into `t`, which an earlier iteration loaded",
        ),
        ("emit #0 at [0] { (0, 1) += 1.0 }", "the entry (0, 1) is outside the 1 rows and 1 columns"),
        ("emit #0 rows [0.0] cols [0] { (0, 0) += 1.0 }", "a row or column is no int"),
        ("emit #0 at [0] { (0, 0) += 1 }", "emits something that is no float"),
        (
            "emit #0 symmetric rows [0] cols [1] { (0, 0) += 1.0 }",
            "is symmetric, but rows and columns differ",
        ),
        (
            "emit #0 symmetric at [0, 1] { (1, 0) += 1.0 }",
            "is symmetric, but has the entry (1, 0) below the diagonal",
        ),
        (
            "%0 = load k %1 = flt 0.0, %0 if %1 { emit #0 at [0] { (0, 0) += 1.0 } }",
            "emits under a guard that depends on floats that are not structural",
        ),
        (
            "%0 = load x[0] accum t[0] += %0 %1 = load t[0] %2 = ftoi %1
             for %i in 0 .. %2 { emit #0 at [0] { (0, 0) += 1.0 } }",
            "emits under a guard that depends on floats that are not structural",
        ),
        (
            "%0 = load x[0] %1 = ftoi %0 emit #0 at [%1] { (0, 0) += 1.0 }",
            "emits at a position that depends on floats that are not structural",
        ),
    ] {
        let func = with_body(body).map_err(|error| format!("{body}: {error}")).unwrap();
        assert_eq!(messages(&func), [message], "{body}");
        assert!(verify(&func)[0].inst.is_some(), "{body}");
    }
    let twice = with_body("emit #3 at [0] { (0, 0) += 1.0 } emit #3 at [0] { (0, 0) += 1.0 }").unwrap();
    assert!(messages(&twice)[0].starts_with("has the emission site 3 of inst"));
}

#[test]
fn each_broken_declaration_is_reported() {
    for (declaration, message) in [
        ("buffer a: var int[N]", "`a` holds int, but only structural inputs do"),
        ("buffer a: data bool", "`a` holds bool, but only structural inputs do"),
        ("buffer a: structural f64[N] index(N)", "`a` promises index entries, but holds f64"),
        ("buffer a: structural int[N, 3] index(N, N)", "`a` has 2 index bounds, but not as many columns"),
        ("buffer a: structural int[N, 3] offsets(N)", "`a` holds offsets, but has not one dimension"),
        ("buffer a: data f64[N] = 1.0", "`a` has a default, but is no scalar input"),
        ("buffer a: scratch f64 = 1.0", "`a` has a default, but is no scalar input"),
        ("buffer a: data f64[-1]", "`a` has a negative dimension"),
        ("buffer a: data f64 tangent(x)", "`a` is a tangent of `x`, but has another shape or type"),
        ("buffer a: data f32[N] adjoint(x)", "`a` is an adjoint of `x`, but has another shape or type"),
        ("buffer a: data f64[N] adjoint(a)", "`a` is an adjoint of itself"),
        ("buffer a: scratch f64[N] block(x, y)", "`a` is a block of `x`, `y`, but has another shape or type"),
        ("columns x, y, x", "`x` is listed twice in the columns"),
        ("columns value", "`value` cannot give columns"),
        ("rows k", "`k` cannot give rows"),
        ("rows y", "`y` has one position as row, another as column"),
    ] {
        let func = parse(&format!("{DECLARATIONS}{declaration}\n}}")).unwrap();
        assert_eq!(messages(&func)[0], message, "{declaration}");
    }
    assert_eq!(messages(&with_body("").unwrap()), [""; 0]);
    let block = parse(&format!("{DECLARATIONS}buffer h: scratch f64[N, 2] block(x, y) rows res }}")).unwrap();
    assert_eq!(messages(&block), [""; 0]);
}

/// What no text can say: references that were damaged by hand.
#[test]
fn damaged_references_are_reported_and_never_followed() {
    let good = with_body(
        "%0 = load x[0] %1 = flt %0, 1.0
         %2 = if %1 { %3 = sin %0 yield %3 } else { yield %0 }
         accum value += %2",
    )
    .unwrap();
    assert_eq!(messages(&good), [""; 0]);
    let inst = |wanted: fn(&InstData) -> bool| -> Inst {
        good.insts.iter().find(|(_, data)| wanted(data)).map(|(inst, _)| inst).unwrap()
    };
    let (sine, branch, accum) = (
        inst(|data| matches!(data, InstData::Op(op, _) if op.name() == "sin")),
        inst(|data| matches!(data, InstData::If { .. })),
        inst(|data| matches!(data, InstData::Accum(..))),
    );
    let damage = |hurt: &dyn Fn(&mut Func)| {
        let mut func = good.clone();
        hurt(&mut func);
        messages(&func)
    };
    let inner = good.result(sine).unwrap();
    assert_eq!(
        damage(&|f| f.insts[accum].map_operands(|v| if Some(v) == good.result(branch) { inner } else { v })),
        [format!("uses {inner} where it is not visible")]
    );
    let nobody = Value::from_u32(99);
    assert_eq!(
        damage(&|f| f.insts[sine].map_operands(|_| nobody)),
        [format!("uses {nobody} where it is not visible"), format!("{nobody} does not exist")]
    );
    assert_eq!(
        damage(&|f| {
            let body = f.body;
            f.regions[body].insts.push(sine);
        }),
        ["stands in more than one place"]
    );
    assert_eq!(
        damage(&|f| {
            if let InstData::If { then, els, .. } = &mut f.insts[branch] {
                *els = *then;
            }
        })[0],
        format!("owns {}, which has another owner", good.insts[branch].regions()[0])
    );
    assert_eq!(
        damage(&|f| {
            let body = f.body;
            if let InstData::If { then, .. } = &mut f.insts[branch] {
                *then = body;
            }
        })[0],
        "owns region0, which has another owner"
    );
    assert_eq!(damage(&|f| f.values[inner].ty = Ty::F32)[0], "has results [F32] instead of [F64]");
    assert!(damage(&|f| f.values[inner].def = ValueDef::Result(branch, 5))[0].contains("does not know it"));
    assert_eq!(damage(&|f| f.results[sine].clear())[0], "has results [] instead of [F64]");
    assert_eq!(
        damage(&|f| {
            let body = f.body;
            f.regions[body].yields.push(good.result(branch).unwrap());
        }),
        ["the body has parameters or yields"]
    );
    assert_eq!(
        damage(&|f| {
            f.buffers.values_mut().next().unwrap().dims[0] =
                SizeExpr { constant: 0, terms: vec![(good.sizes.keys().next().unwrap(), 0)] };
        }),
        ["`x` has a size expression that is not in normal form"]
    );
    assert_eq!(
        damage(&|f| f.buffers.values_mut().last().unwrap().name = "x".to_owned()),
        ["the buffer name `x` is empty or taken"]
    );
}
