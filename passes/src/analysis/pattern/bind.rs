//! The arrays that detection reads and writes: dimensions, borrowed inputs, index sets of intermediate results.

use super::detect::Scope;
use super::sets::Sets;
use spadina_ir::func::{Buffer, BufferData, Func, Role};
use spadina_ir::interp::{ArrayData, Bindings, InterpError};
use spadina_ir::types::{SizeExpr, Ty};
use std::borrow::Cow;

/// One buffer.
pub(super) struct Array<'a> {
    /// Extents.
    pub(super) dims: Vec<i64>,
    /// Number of elements.
    pub(super) len: usize,
    /// Integers and truth values; empty where they are not known.
    pub(super) ints: Cow<'a, [i64]>,
    /// Numbers; empty where they are not known.
    pub(super) floats: Cow<'a, [f64]>,
    /// The column of the first element, for unknowns.
    pub(super) column: Option<u32>,
    /// Index set of each element; empty where it has none.
    pub(super) sets: Vec<u32>,
    /// Pairs of each element.
    pub(super) pairs: Vec<u32>,
}

/// The value of a size expression.
pub(super) fn size(func: &Func, inputs: &Bindings, expr: &SizeExpr) -> Result<Option<i64>, InterpError> {
    for (size, _) in &expr.terms {
        let name = || func.sizes[*size].clone();
        match inputs.sizes.get(size) {
            None => return Err(InterpError::UnboundSize { size: name() }),
            Some(&value) if value < 0 => return Err(InterpError::NegativeSize { size: name(), value }),
            Some(_) => {}
        }
    }
    Ok(expr.eval(&|size| inputs.sizes.get(&size).copied().unwrap_or(0)))
}

/// More sets in one buffer are refused.
const LIMIT: usize = 1 << 31;

/// Lays out all buffers of a function; the arrays in order of the buffers, and the number of columns.
///
/// Only structural inputs need data in the global scope, all inputs in the local one.
pub(super) fn bind<'a>(
    func: &Func,
    inputs: &'a Bindings,
    scope: Scope,
    active: &[bool],
) -> Result<(Vec<Array<'a>>, u32), InterpError> {
    let mut arrays = Vec::new();
    for (buffer, data) in &func.buffers {
        arrays.push(bind_buffer(func, inputs, scope, (buffer, data))?);
    }
    let mut columns = 0_u32;
    for &buffer in &func.columns {
        let array = &mut arrays[buffer.as_u32() as usize];
        array.column = Some(columns);
        let too_large = || InterpError::TooLarge { buffer: func.buffers[buffer].name.clone() };
        let len = u32::try_from(array.len).map_err(|_| too_large())?;
        columns = columns.checked_add(len).filter(|&n| n < 1 << 30).ok_or_else(too_large)?;
    }
    for ((array, &active), data) in arrays.iter_mut().zip(active).zip(func.buffers.values()) {
        if active && matches!(data.role, Role::Scratch | Role::Output) {
            if array.len >= LIMIT {
                return Err(InterpError::TooLarge { buffer: data.name.clone() });
            }
            array.sets = vec![super::sets::EMPTY; array.len];
            array.pairs = vec![super::pairs::NONE; array.len];
        }
    }
    Ok((arrays, columns))
}

fn bind_buffer<'a>(
    func: &Func,
    inputs: &'a Bindings,
    scope: Scope,
    (buffer, data): (Buffer, &BufferData),
) -> Result<Array<'a>, InterpError> {
    let name = || data.name.clone();
    let mut dims = Vec::new();
    for (axis, expr) in data.dims.iter().enumerate() {
        match size(func, inputs, expr)? {
            Some(extent) if extent >= 0 => dims.push(extent),
            value => return Err(InterpError::BadDimension { buffer: name(), axis, value }),
        }
    }
    let too_large = || InterpError::TooLarge { buffer: name() };
    let product = dims.iter().try_fold(1_i64, |product, &extent| product.checked_mul(extent));
    let len = product.and_then(|p| usize::try_from(p).ok()).filter(|&n| n < 1 << 40).ok_or_else(too_large)?;
    let mut array = Array {
        dims,
        len,
        ints: Cow::Borrowed(&[]),
        floats: Cow::Borrowed(&[]),
        column: None,
        sets: Vec::new(),
        pairs: Vec::new(),
    };
    match data.role {
        Role::Scratch | Role::Output | Role::Var | Role::Data if scope == Scope::Global => {}
        Role::Scratch | Role::Output if data.elem.is_float() => array.floats = vec![0.0; len].into(),
        Role::Scratch | Role::Output => array.ints = vec![0; len].into(),
        Role::Var | Role::Data | Role::Structural => match (inputs.arrays.get(&buffer), data.default) {
            (Some(found), _) => {
                fill(&mut array, found, data.elem).ok_or_else(|| InterpError::WrongType {
                    buffer: name(),
                    expected: data.elem,
                    found: found.ty(),
                })?;
                if found.len() != len {
                    return Err(InterpError::WrongLength {
                        buffer: name(),
                        expected: len,
                        found: found.len(),
                    });
                }
            }
            (None, Some(default)) if data.dims.is_empty() => match data.elem {
                Ty::F64 | Ty::F32 => array.floats = vec![default].into(),
                Ty::Int => array.ints = vec![default as i64].into(),
                Ty::Bool => array.ints = vec![i64::from(default != 0.0)].into(),
            },
            (None, _) => return Err(InterpError::UnboundBuffer { buffer: name() }),
        },
    }
    Ok(array)
}

fn fill<'a>(array: &mut Array<'a>, found: &'a ArrayData, elem: Ty) -> Option<()> {
    match (found, elem) {
        (ArrayData::F64(data), Ty::F64) => array.floats = Cow::Borrowed(data),
        (ArrayData::F32(data), Ty::F32) => array.floats = data.iter().map(|&x| f64::from(x)).collect(),
        (ArrayData::Int(data), Ty::Int) => array.ints = Cow::Borrowed(data),
        (ArrayData::Bool(data), Ty::Bool) => array.ints = data.iter().map(|&b| i64::from(b)).collect(),
        _ => return None,
    }
    Some(())
}

impl Array<'_> {
    /// The index set of an element.
    pub(super) fn set(&self, at: usize) -> u32 {
        match self.column {
            Some(first) => Sets::single(first + at as u32),
            None => self.sets.get(at).copied().unwrap_or(super::sets::EMPTY),
        }
    }
}
