//! Arrays that one loop nest fills: every element is written once, so nobody needs to zero the array or to read what it held.
//!
//! # Problem
//! A mapped array that later loops read, or that is a result, is an accumulation into zeros:
//! ```text
//! for i in 0..N { accum y[i] += f(i) }
//! ```
//! Zeroing costs as much as the loop itself where `f` is cheap, and with several directions in a call (`batch`) so many times more.
//!
//! # Method
//! An accumulation that is the only effect on its array stands in loops only, one for each axis, in order: each over the whole axis by
//! steps of one, its induction variable the subscript. So it meets every element exactly once. Arrays are finished before they are read
//! (invariant 3), hence nothing reads an element before. What is stored is `0 + value`, as the sum would be: the zero of a sum has no sign.

use crate::local::local_scratch;
use spadina_ir::func::{Buffer, Const, Func, Inst, InstData, Region, Role, Value};
use spadina_ir::types::SizeExpr;
use spadina_ir::walk;
use std::collections::BTreeMap;

/// The arrays that are filled, each with the accumulation that does it.
pub(crate) fn filled(func: &Func) -> BTreeMap<Buffer, Inst> {
    let mut effects: BTreeMap<Buffer, usize> = BTreeMap::new();
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Accum(buffer, ..) | InstData::Reset(buffer, _) = &func.insts[inst] {
            *effects.entry(*buffer).or_default() += 1;
        }
    });
    let local = local_scratch(func);
    let mut found = BTreeMap::new();
    nests(func, func.body, &mut Vec::new(), &mut |buffer, inst| {
        let data = &func.buffers[buffer];
        let shared = match data.role {
            Role::Scratch => !local.contains(&buffer),
            Role::Output => true,
            Role::Var | Role::Data | Role::Structural => false,
        };
        // What has no axes travels by sums.
        if shared && !data.dims.is_empty() && effects.get(&buffer) == Some(&1) {
            found.insert(buffer, inst);
        }
    });
    found
}

/// Reports accumulations whose loops, those in `around` and inner ones, are the axes of their array.
fn nests(
    func: &Func,
    region: Region,
    around: &mut Vec<(Value, Value)>,
    report: &mut impl FnMut(Buffer, Inst),
) {
    for &inst in &func.regions[region].insts {
        match &func.insts[inst] {
            InstData::Accum(buffer, index, _) => {
                let dims = &func.buffers[*buffer].dims;
                let mut axes = around.iter().zip(index).zip(dims);
                if (around.len(), index.len()) == (dims.len(), dims.len())
                    && axes.all(|((&(iv, hi), &subscript), dim)| iv == subscript && is_size(func, hi, dim))
                {
                    report(*buffer, inst);
                }
            }
            InstData::Loop { lo, hi, step: 1, body, .. } if func.as_int(*lo) == Some(0) => {
                if let Some(&iv) = func.regions[*body].params.first() {
                    around.push((iv, *hi));
                    nests(func, *body, around, report);
                    around.pop();
                }
            }
            _ => {}
        }
    }
}

/// Whether a value is this size.
fn is_size(func: &Func, value: Value, size: &SizeExpr) -> bool {
    match func.def(value) {
        Some(InstData::Size(expr)) => expr == size,
        Some(InstData::Const(Const::Int(n))) => size.as_constant() == Some(*n),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::filled;
    use spadina_ir::text::parse;

    fn names(body: &str) -> Vec<String> {
        let text = format!(
            "func @f(size N, size M) {{\n  buffer x: var f64[N]\n  buffer a: scratch f64[N]\n  buffer t: scratch f64[N, M]\n  \
             buffer s: scratch f64\n  buffer out: output f64\n  buffer y: output f64[N]\n  columns x\n\n{body}  for %z in 0 .. N {{\n    %l = load a[%z]\n    \
             accum out += %l\n  }}\n}}\n"
        );
        let func = parse(&text).expect("the text is legal");
        filled(&func).keys().map(|&b| func.buffers[b].name.clone()).collect()
    }

    #[test]
    fn whole_nests_fill() {
        assert_eq!(names("  for %i in 0 .. N {\n    %0 = load x[%i]\n    accum a[%i] += %0\n  }\n"), ["a"]);
        let table = |i: &str, j: &str, bound: &str| {
            names(&format!(
                "  for %i in 0 .. N {{\n    %0 = load x[%i]\n    for %j in 0 .. {bound} {{\n      accum t[{i}, {j}] += %0\n    }}\n  }}\n"
            ))
        };
        assert_eq!(names("  for %i in 0 .. N {\n    %0 = load x[%i]\n    accum y[%i] += %0\n  }\n"), ["y"]);
        assert_eq!(table("%i", "%j", "M"), ["t"]);
        // A part of an axis, a wrong axis, one element again and again.
        assert!(table("%i", "%j", "(M - 1)").is_empty());
        assert!(table("%i", "%j", "N").is_empty());
        assert!(table("%j", "%i", "M").is_empty());
        assert!(table("%i", "0", "M").is_empty());
    }

    #[test]
    fn parts_and_sums_do_not() {
        let one = "    %0 = load x[%i]\n    accum a[%i] += %0\n";
        assert!(names(&format!("  for %i in 1 .. N {{\n{one}  }}\n")).is_empty());
        assert!(names(&format!("  for %i in 0 .. N step 2 {{\n{one}  }}\n")).is_empty());
        assert!(names(&format!("  for %i in 0 .. N {{\n{one}    accum a[%i] += %0\n  }}\n")).is_empty());
        // Under a condition, and in a loop that repeats it.
        let condition =
            "    %1 = ilt %i, 3\n    if %1 {\n      %0 = load x[%i]\n      accum a[%i] += %0\n    }\n";
        assert!(names(&format!("  for %i in 0 .. N {{\n{condition}  }}\n")).is_empty());
        let repeated = "    for %j in 0 .. M {\n      %0 = load x[%i]\n      accum a[%i] += %0\n    }\n";
        assert!(names(&format!("  for %i in 0 .. N {{\n{repeated}  }}\n")).is_empty());
        assert!(names("  for %i in 0 .. N {\n    %0 = load x[%i]\n    accum s += %0\n  }\n").is_empty());
    }
}
