//! The SSA text: what is printed is read back and printed alike, and errors say where they are.

use spadina_ir::interp::{Bindings, run};
use spadina_ir::text::{parse, print};

/// Every construct once, in canonical form.
const EVERYTHING: &str = r#"func @all.grad(size N, size V, size "odd size") {
  buffer x: var f64[N, 3]
  buffer ptr: structural int[N + 1] offsets(V)
  buffer edges: structural int[2*N - V + 1, 2] index(V, "odd size")
  buffer k: data f64 = 1.5
  buffer w: data f32
  buffer on: structural bool[N]
  buffer "2nd one": scratch f64[N]
  buffer br.g: data f64[N]
  buffer x_dot: data f64[N, 3] tangent(x)
  buffer value: output f64
  buffer x_bar: output f64[N, 3] adjoint(x)
  buffer h: scratch f64[N, 3, N, 3] block(x, x)
  columns x
  rows x_bar, value

  reset "2nd one"
  reset "2nd one" first 3
  %0 = load k
  for %i in 0 .. N step 2 {
    check x[%i, 0]
    %1 = load x[%i, 2]
    %2 = mul %1, %0
    accum "2nd one"[%i] += %2
  }
  %3, %4, %5 = for %i in 0 .. (2*N + V - 1) with sum, state %6 = 1.0, max {
    %7 = load ptr[%i]
    %8 = load ptr[0]
    %9 = for %j in %8 .. %7 with prod {
      %10 = idiv %j, -9223372036854775808
      %11 = itof %10
      yield %11
    }
    %12 = load on[%i]
    %13 = if %12 {
      yield %9
    } else {
      %14 = neg %6
      yield %14
    }
    if %12 {
      accum value += 1e-300
    }
    yield %13, %6, -3
  }
  %15 = select true, %3, -0.0
  %16 = load w
  %17 = add %16, 0.1_f32
  %18 = min %17, -inf_f32
  %19 = widen %18
  accum value += %19
  accum value += inf
  accum value += nan
  %20 = position x[0, 0]
  %21 = position x_bar[%5, 1]
  emit #0 symmetric at [%20, %20] {
    (0, 0) += %15
    (0, 1) += 2.5
  }
  emit #7 rows [%21] cols [%20, 4] {
    (0, 0) += %4
  }
  emit #8 at [%20] {
    (0, 0) (0, 0) (0, 0) (0, 0) (0, 0) (0, 0) (0, 0) (0, 0)
    (0, 0)
  }
}
"#;

#[test]
fn everything_is_read_and_printed_alike() {
    let func = parse(EVERYTHING).unwrap();
    assert_eq!(print(&func), EVERYTHING);
    assert_eq!(func.name, "all.grad");
    assert_eq!(func.columns.len() + func.rows.len(), 3);
}

#[test]
fn hand_written_names_and_comments_are_accepted() {
    let text = "
        func @sum(size N) { // what it is
          buffer x: data f64[N] buffer out: output f64
          %two = const 2.0 ; a literal with a name
          %n = size N
          %s = for %row in 0 .. %n with sum { %a = load x[%row] %b = mul %a, %two yield %b }
          accum out += %s
        }";
    let func = parse(text).unwrap();
    let mut inputs = Bindings::default();
    inputs.set_size(&func, "N", 3).unwrap();
    inputs.set(&func, "x", vec![1.0, 2.0, 4.0]).unwrap();
    assert_eq!(run(&func, &inputs).unwrap().scalar(&func, "out"), Some(14.0));
    let canonical = print(&func);
    assert!(canonical.contains("%2 = mul %1, 2.0"), "{canonical}");
    assert_eq!(print(&parse(&canonical).unwrap()), canonical);
}

#[test]
fn errors_say_where_and_what() {
    let body = |line: &str| format!("func @f(size N) {{\n  buffer x: var f64[N]\n  {line}\n}}\n");
    for (line, message) in [
        ("%0 = load y[0]", "3:13: no buffer is named `y`"),
        ("%0 = load x[%1]", "3:15: `%1` is not visible here"),
        ("%0 = add 1.0, 2", "3:8: `add` does not take (f64, int)"),
        ("%0 = sin 1.0, 2.0", "3:8: `sin` does not take (f64, f64)"),
        ("%0 = sine 1.0", "3:8: unknown operation `sine`"),
        ("%0, %1 = sin 1.0", "3:3: `sin` gives 1 values, but 2 are named"),
        ("sin 1.0", "3:3: `sin` gives 1 values, but 0 are named"),
        ("%0 = sin 1.0 %0 = cos 1.0", "3:16: `%0` is defined already"),
        ("for %i in 0 .. M { }", "3:18: no size is named `M`"),
        ("for %i in 0.5 .. N { }", "3:13: the first index is of type int, not f64"),
        ("for %i in 0 .. N with sum { }", "3:31: 0 values are yielded to 1 carries"),
        ("for %i in 0 .. N { for %i in 0 .. N { } }", "3:26: `%i` is defined already"),
        ("if true { yield 1.0 } else { yield 1 }", "3:40: both branches yield values of the same types"),
        ("if true { yield 1.0 }", "3:23: a branch that yields needs an `else`"),
        ("if 1 { }", "3:6: a condition is of type bool, not int"),
        ("accum x[0] = 1.0", "3:14: expected `+=`, found `=`"),
        ("accum x[0] += 12345678901234567890", "3:17: this integer does not fit into 64 bits"),
        ("accum x[0] += 1.0_f16", "3:17: this number is not written right"),
        ("accum x[0] += -x", "3:18: expected a number, found `x`"),
        ("emit #0 at [] { (0, 0) += 1.0 (0, 1) }", "3:40: all entries have values, or none has"),
        ("emit #5000000000 at [] { }", "3:9: expected the number of the emission site, found `5000000000`"),
        ("buffer x: data f64", "3:10: a buffer of this name exists already"),
        (
            "buffer y: input f64",
            "3:13: expected `var`, `data`, `structural`, `scratch` or `output`, found `input`",
        ),
        ("buffer y: data f64 adjoint(z)", "3:30: no buffer is named `z`"),
        ("buffer y: data f64[N*2]", "3:23: expected `]`, found `*`"),
        ("buffer \"y", "3:10: a quoted name is not closed"),
        ("% = sin 1.0", "3:3: a value needs a name after `%`"),
        ("yield 1.0 2.0", "3:13: expected `}` after the yield, found `2.0`"),
        ("?", "3:3: unexpected character '?'"),
    ] {
        assert_eq!(parse(&body(line)).unwrap_err().to_string(), message, "{line}");
    }
    assert_eq!(parse("").unwrap_err().to_string(), "1:1: expected `func`, found the end of the text");
    assert_eq!(
        parse("func @f() { } }").unwrap_err().to_string(),
        "1:15: expected the end of the text, found `}`"
    );
}

#[test]
fn deep_nesting_is_refused_and_not_overflowed() {
    let deep = "if true { ".repeat(100_000);
    let error = parse(&format!("func @f() {{ {deep}")).unwrap_err();
    assert_eq!(error.message, "regions are nested more than 200 deep");
}

#[test]
fn damaged_texts_give_errors_and_never_panics() {
    for end in (0..EVERYTHING.len()).filter(|&end| EVERYTHING.is_char_boundary(end)) {
        assert!(parse(&EVERYTHING[..end]).is_err() || EVERYTHING[end..].trim().is_empty(), "cut at {end}");
    }
    let words: Vec<&str> = EVERYTHING.split_inclusive(' ').collect();
    for skip in 0..words.len() {
        let damaged: String = words.iter().enumerate().filter(|(k, _)| *k != skip).map(|(_, w)| *w).collect();
        if let Ok(func) = parse(&damaged) {
            let printed = print(&func);
            assert_eq!(print(&parse(&printed).unwrap()), printed);
        }
    }
}
