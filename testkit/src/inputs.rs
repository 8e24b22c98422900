//! Random inputs for any function: small sizes (0, 1 and 2 often), index entries that keep their promises.

use crate::range::Range;
use crate::rng::Rng;
use spadina_ir::func::{BufferData, Entries, Func, Role};
use spadina_ir::interp::{ArrayData, Bindings};
use spadina_ir::types::{SizeExpr, Ty};

/// Values of unknowns.
pub const VAR_RANGE: Range = Range::new(-1.5, 1.5);
/// Values of float data, structural or not.
pub const DATA_RANGE: Range = Range::new(0.5, 1.5);
/// Values of integer arrays that promise nothing.
pub const INT_RANGE: (i64, i64) = (-2, 3);
/// The largest size.
pub const LARGEST_SIZE: i64 = 7;

const ATTEMPTS: usize = 200;

/// Random sizes and arrays for the inputs of `func`; `None` where no small sizes fit its declarations.
///
/// Scalar inputs with a default are bound to something else every other time.
pub fn random_inputs(func: &Func, rng: &mut Rng) -> Option<Bindings> {
    let mut bindings = (0..ATTEMPTS).find_map(|_| random_sizes(func, rng))?;
    for (buffer, data) in &func.buffers {
        let input = matches!(data.role, Role::Var | Role::Data | Role::Structural);
        if !input || (data.default.is_some() && rng.chance(0.5)) {
            continue;
        }
        let array = random_array(data, &bindings, rng)?;
        bindings.arrays.insert(buffer, array);
    }
    Some(bindings)
}

fn eval(expr: &SizeExpr, bindings: &Bindings) -> Option<i64> {
    expr.eval(&|size| bindings.sizes.get(&size).copied().unwrap_or(0))
}

fn length(data: &BufferData, bindings: &Bindings) -> Option<usize> {
    data.dims
        .iter()
        .try_fold(1_usize, |product, dim| product.checked_mul(usize::try_from(eval(dim, bindings)?).ok()?))
}

/// Sizes under which all dimensions make sense and index arrays can keep their promises.
fn random_sizes(func: &Func, rng: &mut Rng) -> Option<Bindings> {
    let mut bindings = Bindings::default();
    for size in func.sizes.keys() {
        let value = if rng.chance(0.25) { rng.int(0, 2) } else { rng.int(2, LARGEST_SIZE) };
        bindings.sizes.insert(size, value);
    }
    for data in func.buffers.values() {
        let len = length(data, &bindings)?;
        let input = matches!(data.role, Role::Structural);
        let possible = match &data.entries {
            Entries::Any => true,
            Entries::Index(bounds) => {
                len == 0 || bounds.iter().all(|bound| eval(bound, &bindings).is_some_and(|n| n > 0))
            }
            Entries::Offsets(bound) => len == 0 || eval(bound, &bindings).is_some_and(|n| n >= 0),
        };
        if input && !possible {
            return None;
        }
    }
    Some(bindings)
}

fn random_array(data: &BufferData, bindings: &Bindings, rng: &mut Rng) -> Option<ArrayData> {
    let len = length(data, bindings)?;
    let range = if data.role == Role::Var { VAR_RANGE } else { DATA_RANGE };
    Some(match data.elem {
        Ty::F64 => ArrayData::F64((0..len).map(|_| rng.float(range.lo, range.hi)).collect()),
        Ty::F32 => ArrayData::F32((0..len).map(|_| rng.float(range.lo, range.hi) as f32).collect()),
        Ty::Bool => ArrayData::Bool((0..len).map(|_| rng.chance(0.6)).collect()),
        Ty::Int => ArrayData::Int(match &data.entries {
            Entries::Any => (0..len).map(|_| rng.int(INT_RANGE.0, INT_RANGE.1)).collect(),
            Entries::Index(bounds) => {
                let bounds: Option<Vec<i64>> = bounds.iter().map(|bound| eval(bound, bindings)).collect();
                let bounds = bounds.filter(|bounds| !bounds.is_empty())?;
                (0..len).map(|at| rng.int(0, bounds[at % bounds.len()] - 1)).collect()
            }
            Entries::Offsets(bound) => {
                let bound = eval(bound, bindings)?;
                let mut offsets: Vec<i64> = (0..len).map(|_| rng.int(0, bound)).collect();
                offsets.sort_unstable();
                offsets
            }
        }),
    })
}
