//! Whether an array has the shape and the type of its parameter, which sizes follow, and what is said where it has not.

use crate::error::Error;
use crate::inputs::Inputs;
use spadina_io::array::{Array, Data, Shape};
use spadina_ir::func::{Buffer, BufferData, Entries, Func, Role};
use spadina_ir::interp::InterpError;
use spadina_ir::interp::sizes::infer_sizes;
use spadina_ir::text::size::show;
use spadina_ir::types::{SizeExpr, Ty};
use spadina_runtime::array::OwnedArray;
use std::collections::BTreeMap;

/// The shape of an array as the parameter sees it: a number, real or complex, may come as an array of one element.
pub(super) fn given_shape<'a>(data: &BufferData, array: &'a Array) -> &'a [usize] {
    let shape = array.shape();
    match &data.dims[..] {
        [] if array.len() == 1 => &[],
        [two]
            if array.is_complex() && array.len() == 2 && *two == SizeExpr { constant: 2, terms: vec![] } =>
        {
            &shape[shape.len() - 1..]
        }
        _ => shape,
    }
}

/// The shape of an array that has as many axes as the parameter.
pub(super) fn fit<'a>(data: &BufferData, array: &'a Array, func: &Func) -> Result<&'a [usize], Error> {
    let shape = given_shape(data, array);
    if data.dims.len() == shape.len() {
        return Ok(shape);
    }
    let given = match shape {
        [numbers @ .., _] if array.is_complex() => format!("complex numbers of shape {}", Shape(numbers)),
        _ => format!("shape {}", Shape(shape)),
    };
    Err(Error::Data(format!(
        "`{}` is declared as {}, but an array of {given} was given",
        data.name,
        shape_text(data, func)
    )))
}

/// `f64[V, 3]`.
pub(crate) fn shape_text(data: &BufferData, func: &Func) -> String {
    if data.dims.is_empty() {
        return format!("a single {}", data.elem);
    }
    let dims: Vec<String> = data.dims.iter().map(|d| show(d, &func.sizes).to_string()).collect();
    format!("{}[{}]", data.elem, dims.join(", "))
}

pub(super) fn describe(data: &BufferData, func: &Func) -> String {
    format!("`{}` ({})", data.name, shape_text(data, func))
}

/// An array of one number.
pub(super) fn single(elem: Ty, x: f64) -> OwnedArray {
    match elem {
        Ty::F64 => OwnedArray::F64(vec![x]),
        Ty::F32 => OwnedArray::F32(vec![x as f32]),
        Ty::Int => OwnedArray::I64(vec![x as i64]),
        Ty::Bool => OwnedArray::Bool(vec![x != 0.0]),
    }
}

/// A copy in the element type of the parameter.
pub(crate) fn convert(data: &BufferData, array: &Array) -> Result<OwnedArray, Error> {
    let name = &data.name;
    if let (Ty::Int | Ty::Bool, Data::F64(_) | Data::F32(_)) = (data.elem, array.data()) {
        let found = array.data().type_name();
        let to = if data.elem == Ty::Int { "int64" } else { "bool" };
        return Err(Error::Data(format!(
            "`{name}` holds {}, but {found} was given; in NumPy `.astype(np.{to})` converts it",
            data.elem
        )));
    }
    Ok(match data.elem {
        Ty::F64 => OwnedArray::F64(array.to_f64(name)?.into_owned()),
        Ty::F32 => OwnedArray::F32(array.to_f32(name)?.into_owned()),
        Ty::Int => OwnedArray::I64(array.to_i64(name)?.into_owned()),
        Ty::Bool => OwnedArray::Bool(array.to_bool(name)?.into_owned()),
    })
}

/// Name of the pretended array that gives a size.
const GIVEN: &str = "--size ";

/// Solves for all sizes; those given by name are treated like the length of one more array.
pub(super) fn sizes_of(
    func: &Func,
    shapes: &BTreeMap<Buffer, Vec<i64>>,
    given: &BTreeMap<String, i64>,
    inputs: &Inputs,
) -> Result<Vec<i64>, Error> {
    let mut shapes = shapes.clone();
    let mut declared = Func::new(&func.name);
    declared.sizes = func.sizes.clone();
    declared.buffers = func.buffers.clone();
    for (name, &value) in given {
        let Some((size, _)) = func.sizes.iter().find(|(_, n)| *n == name) else {
            let known: Vec<&str> = func.sizes.values().map(String::as_str).collect();
            let known = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has: {}", known.join(", "))
            };
            return Err(Error::Data(format!("`{}` has no size `{name}` ({known})", func.name)));
        };
        if value < 0 {
            return Err(Error::Data(format!("size `{name}` is {value}; sizes are 0 or more")));
        }
        let expr = SizeExpr { constant: 0, terms: vec![(size, 1)] };
        let pretended = declared.buffers.push(BufferData {
            name: format!("{GIVEN}{name}"),
            elem: Ty::F64,
            dims: vec![expr],
            role: Role::Data,
            plane: spadina_ir::func::Plane::Primal,
            entries: Entries::Any,
            default: None,
            span: (0, 0),
        });
        shapes.insert(pretended, vec![value]);
    }
    let solved = infer_sizes(&declared, &shapes).map_err(|error| match &error {
        InterpError::SizeConflict { buffer, found, expected: Some(expected), because, .. }
            if buffer.starts_with(GIVEN) =>
        {
            let name = &buffer[GIVEN.len()..];
            let because = because.join(", ");
            Error::Data(format!(
                "size `{name}` was given as {found}, but the data say {expected} ({because})"
            ))
        }
        InterpError::UnboundSize { size } => Error::Data(format!(
            "size `{size}` is not determined by any array that is bound: give it (`--size {size}=..`)"
        )),
        InterpError::SizeConflict { buffer, .. } => {
            let hint = func.buffer_named(buffer).map(|b| declared_hint(&declared, b, &shapes));
            inputs.blamed(buffer, Error::Data(format!("{error}{}", hint.unwrap_or_default())))
        }
        _ => error.into(),
    })?;
    Ok(func.sizes.keys().map(|size| solved.get(&size).copied().unwrap_or(0)).collect())
}

/// What was declared and what was given, and whether the array would fit with its axes in reverse order.
fn declared_hint(func: &Func, buffer: Buffer, shapes: &BTreeMap<Buffer, Vec<i64>>) -> String {
    let Some(given) = shapes.get(&buffer) else { return String::new() };
    let mut turned = shapes.clone();
    turned.insert(buffer, given.iter().rev().copied().collect());
    let looks = if given.len() > 1 && infer_sizes(func, &turned).is_ok() {
        ": it looks transposed (`.T` in NumPy)"
    } else {
        ""
    };
    let list: Vec<String> = given.iter().map(i64::to_string).collect();
    format!(
        "; declared as {}, given as [{}]{looks}",
        shape_text(&func.buffers[buffer], func),
        list.join(", ")
    )
}
