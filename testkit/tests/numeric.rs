//! Differences and comparisons on functions whose derivatives are known by hand.

use spadina_ir::interp::Bindings;
use spadina_ir::text::parse;
use spadina_testkit::case::Case;
use spadina_testkit::check::same_outputs;
use spadina_testkit::numeric::{Estimate, compare, compare_with_estimates, dense, jacobian};

const PRODUCTS: &str = "func @products(size N) {
  buffer x: var f64[N]
  buffer k: var f64
  buffer out: output f64[N]
  columns x, k
  rows out
  %k = load k
  for %i in 0 .. N {
    %a = load x[%i] %s = sin %a %b = mul %s, %k accum out[%i] += %b
    %c = cos %a %d = mul %c, %k
    %row = position out[%i] %x = position x[%i] %col = position k
    emit #0 rows [%row] cols [%x, %col] { (0, 0) += %d (0, 1) += %s }
  }
}";

#[test]
fn differences_agree_with_an_emitted_jacobian() {
    let func = parse(PRODUCTS).unwrap();
    let mut bindings = Bindings::default();
    bindings.set_size(&func, "N", 3).unwrap();
    bindings.set(&func, "x", vec![0.3, -1.0, 2.0]).unwrap();
    bindings.set(&func, "k", vec![1.5]).unwrap();
    let case = Case { func, bindings };
    let emitted = dense(&case.run().unwrap());
    let difference = jacobian(&case, &case.func.rows, &case.func.columns).unwrap();
    assert_eq!((difference.rows, difference.cols, emitted.rows, emitted.cols), (3, 4, 3, 4));
    assert_eq!(compare_with_estimates(&difference.entries, &emitted.entries), Ok(12));
    assert_eq!(emitted.row(1), [0.0, 1.5 * (-1.0_f64).cos(), 0.0, (-1.0_f64).sin()]);
    let mut wrong = emitted.entries.clone();
    wrong[5] += 1e-4;
    assert!(compare_with_estimates(&difference.entries, &wrong).unwrap_err().starts_with("at 5:"));
    // An input without data cannot be moved.
    let mut unbound = case.clone();
    unbound.bindings.arrays.clear();
    assert!(jacobian(&unbound, &case.func.rows, &case.func.columns).is_err());
}

#[test]
fn programs_that_differ_are_told_apart() {
    let case = |text: &str| {
        let func = parse(text).unwrap();
        let bindings =
            Bindings { sizes: func.sizes.keys().map(|size| (size, 2)).collect(), ..Bindings::default() };
        Case { func, bindings }
    };
    let one = "func @f(size N) { buffer a: output f64[N] accum a[1] += 1.0 }";
    let other = "func @f(size N) { buffer a: output f64[N] accum a[1] += 1.0000001 }";
    let renamed = "func @f(size N) { buffer b: output f64[N] accum b[1] += 1.0 }";
    assert_eq!(same_outputs(&case(one), &case(one), 0.0), Ok(()));
    assert_eq!(same_outputs(&case(one), &case(other), 1e-6), Ok(()));
    assert!(same_outputs(&case(one), &case(other), 1e-9).unwrap_err().starts_with("`a` at 1:"));
    assert_eq!(same_outputs(&case(one), &case(renamed), 0.0), Err("`a` is missing".to_owned()));
}

#[test]
fn comparisons_treat_special_values_as_they_should() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    assert_eq!(compare(&[nan, inf, -inf, 1e6], &[nan, inf, -inf, 1e6 + 1e-6], 1e-11), Ok(()));
    assert!(compare(&[inf], &[-inf], 1.0).is_err());
    assert!(compare(&[nan], &[0.0], 1.0).is_err());
    assert!(compare(&[1.0], &[1.0, 1.0], 1.0).is_err());
    let unreliable = [Estimate { value: 3.0, error: 1.0 }, Estimate { value: nan, error: nan }];
    assert_eq!(compare_with_estimates(&unreliable, &[9.0, 9.0]), Ok(0));
    let reliable = [Estimate { value: 3.0, error: 1e-9 }];
    assert!(compare_with_estimates(&reliable, &[nan]).is_err());
}
