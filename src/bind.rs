//! Checks inputs against a kernel: names, types, shapes, sizes, and what is promised about index arrays.

pub(crate) mod shape;

use crate::error::Error;
use crate::inputs::Inputs;
use crate::kernel::{Kernel, is_input};
use crate::multipliers::{MULTIPLIERS, multiplier_of, result_named};
use shape::{convert, describe, fit, given_shape, single, sizes_of};
use spadina_io::array::{Array, Data, Shape};
use spadina_ir::func::{Buffer, BufferData, Entries, Func, Role};
use spadina_ir::interp::InterpError;
use spadina_ir::text::size::show;
use spadina_ir::types::{Size, SizeExpr};
use spadina_runtime::array::OwnedArray;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Checked copies of every input, and the sizes they imply.
#[derive(Clone, Debug)]
pub struct Bound {
    /// By number of the size.
    pub(crate) sizes: Vec<i64>,
    /// By number of the buffer in the program as written; `None` for what is no input.
    pub(crate) arrays: Vec<Option<Arc<OwnedArray>>>,
    /// Weights of all results in declaration order, where they have any: the multipliers of a Lagrangian.
    pub(crate) weights: Vec<f64>,
}

impl Bound {
    /// Checks inputs; multipliers are left alone.
    ///
    /// # Errors
    /// [`Error::Data`]: unknown or missing names, wrong types, shapes that disagree, index entries out of range.
    pub fn new(kernel: &Kernel, inputs: &Inputs) -> Result<Bound, Error> {
        Bound::make(kernel, inputs, &inputs.sizes, None, |_| true)
    }

    /// The same where only sizes and structural data count: other arrays may be missing, and then are.
    ///
    /// # Errors
    /// As [`Bound::new`].
    pub(crate) fn structure(kernel: &Kernel, inputs: &Inputs) -> Result<Bound, Error> {
        Bound::make(kernel, inputs, &inputs.sizes, None, |data| data.role == Role::Structural)
    }

    /// Checks inputs; what they do not name stays as it is in `old`, shared with it, and may be missing where it is not needed.
    ///
    /// # Errors
    /// As [`Bound::new`].
    pub(crate) fn make(
        kernel: &Kernel,
        inputs: &Inputs,
        given_sizes: &BTreeMap<String, i64>,
        old: Option<&Bound>,
        is_needed: impl Fn(&BufferData) -> bool,
    ) -> Result<Bound, Error> {
        let func = kernel.func();
        let mut shapes = BTreeMap::new();
        let mut given = BTreeMap::new();
        for (name, array) in &inputs.arrays {
            if let Some(result) = multiplier_of(kernel, name) {
                // Whether it fits is checked where sizes are known.
                result_named(kernel, result)?;
                continue;
            }
            let buffer = input_named(kernel, name)?;
            let fitted = fit(&func.buffers[buffer], array, func);
            let shape = fitted.map_err(|error| inputs.blamed(name, error))?;
            shapes.insert(buffer, shape.iter().map(|&n| n as i64).collect());
            given.insert(buffer, array);
        }
        let kept = |buffer: Buffer| old.and_then(|old| old.arrays[number(buffer)].as_ref());
        let all = || func.buffers.iter().filter(|(_, data)| is_input(data.role));
        let left: Vec<_> = all().filter(|(buffer, _)| !given.contains_key(buffer)).collect();
        let mut missing = Vec::new();
        for (buffer, data) in left {
            match old.filter(|old| old.arrays[number(buffer)].is_some()) {
                Some(old) => {
                    let extents = data.dims.iter().map(|d| old.eval(d).unwrap_or(0));
                    shapes.insert(buffer, extents.collect());
                }
                None if is_needed(data) && (data.default.is_none() || !data.dims.is_empty()) => {
                    missing.push(describe(data, func));
                }
                None => {}
            }
        }
        if !missing.is_empty() {
            return Err(Error::Data(format!(
                "`{}` needs data for {}: give arrays with `--data DIR` or `--data NAME=FILE.npy`, a mesh with `--mesh FILE`, or a \
                 generated input with `#[example(..)]` in front of the kernel",
                kernel.name(),
                missing.join(", ")
            )));
        }
        let sizes = sizes_of(func, &shapes, given_sizes, inputs)?;
        let mut bound = Bound { sizes, arrays: vec![None; func.buffers.len()], weights: Vec::new() };
        // Bounds of entries depend on sizes alone.
        let same_sizes = old.is_some_and(|old| old.sizes == bound.sizes);
        for (buffer, data) in all() {
            let blamed = |error| inputs.blamed(&data.name, error);
            bound.check_dims(func, data)?;
            let default = data.default.filter(|_| data.dims.is_empty()).map(|x| single(data.elem, x));
            let (array, checked) = match (given.get(&buffer), kept(buffer)) {
                (Some(array), _) => (Some(Arc::new(convert(data, array).map_err(blamed)?)), false),
                (None, Some(array)) => (Some(Arc::clone(array)), same_sizes),
                (None, None) => (default.map(Arc::new), false),
            };
            bound.arrays[number(buffer)] = array;
            if !checked {
                bound.check_entries(func, buffer).map_err(blamed)?;
            }
        }
        Ok(bound)
    }

    /// Replaces an unknown, float data or multipliers.
    ///
    /// # Errors
    /// [`Error::Data`]: no such parameter or result, another shape or type, structural.
    pub(crate) fn set(&mut self, kernel: &Kernel, name: &str, array: &Array) -> Result<(), Error> {
        let func = kernel.func();
        if let Some(result) = multiplier_of(kernel, name) {
            let buffer = result_named(kernel, result)?;
            let values = self.multiplier(&func.buffers[buffer], array)?;
            return self.set_values(kernel, name, &values);
        }
        let buffer = input_named(kernel, name)?;
        let data = &func.buffers[buffer];
        if data.role == Role::Structural {
            return Err(Error::Data(format!(
                "`{name}` decides which entries exist: use `rebind`, which prepares again"
            )));
        }
        let dims: Option<Vec<usize>> =
            data.dims.iter().map(|d| usize::try_from(self.eval(d)?).ok()).collect();
        let fits = dims.as_deref() == Some(given_shape(data, array));
        if !fits {
            return Err(Error::Data(format!(
                "`{name}` has shape {}, but an array of shape {} was given",
                Shape(&dims.unwrap_or_default()),
                Shape(array.shape())
            )));
        }
        self.arrays[number(buffer)] = Some(Arc::new(convert(data, array)?));
        Ok(())
    }

    /// Copies an unknown, float data or multipliers in place.
    ///
    /// # Errors
    /// [`Error::Data`]: no such parameter or result, another number of elements, not floats, structural.
    pub(crate) fn set_values(&mut self, kernel: &Kernel, name: &str, values: &[f64]) -> Result<(), Error> {
        let func = kernel.func();
        let refused =
            || Err(Error::Data(format!("`{name}` does not take {} values of type f64", values.len())));
        if let Some(result) = multiplier_of(kernel, name) {
            let buffer = result_named(kernel, result)?;
            let mut start = 0;
            for other in func.buffers_of(Role::Output).take_while(|&other| other != buffer) {
                start += self.len_of(&func.buffers[other])?;
            }
            let len = self.len_of(&func.buffers[buffer])?;
            return match self.weights.get_mut(start..start + len) {
                Some(weights) if len == values.len() => {
                    weights.copy_from_slice(values);
                    Ok(())
                }
                Some(_) => refused(),
                None => Err(Error::Data(format!("`{name}`: only a Lagrangian has multipliers"))),
            };
        }
        let buffer = input_named(kernel, name)?;
        let free = func.buffers[buffer].role != Role::Structural;
        match self.arrays[number(buffer)].as_mut().filter(|_| free).map(Arc::make_mut) {
            Some(OwnedArray::F64(old)) if old.len() == values.len() => {
                old.copy_from_slice(values);
                Ok(())
            }
            Some(OwnedArray::F32(old)) if old.len() == values.len() => {
                old.iter_mut().zip(values).for_each(|(to, &x)| *to = x as f32);
                Ok(())
            }
            _ => refused(),
        }
    }

    /// The same data with floats of its own, which may then be changed without allocating.
    pub(crate) fn fork(&self, kernel: &Kernel) -> Bound {
        let mut bound = self.clone();
        for (buffer, data) in &kernel.func().buffers {
            if matches!(data.role, Role::Var | Role::Data)
                && let Some(array) = &mut bound.arrays[number(buffer)]
            {
                *array = Arc::new((**array).clone());
            }
        }
        bound
    }

    /// The multipliers that are bound now, by name.
    pub(crate) fn multipliers(&self, kernel: &Kernel) -> BTreeMap<String, Array> {
        let mut all = BTreeMap::new();
        let mut start = 0;
        for result in kernel.lowered().results.iter().filter(|_| !self.weights.is_empty()) {
            let data = &kernel.func().buffers[result.buffer];
            let end = start + self.len_of(data).unwrap_or(0);
            let shape =
                data.dims.iter().map(|d| self.eval(d).and_then(|n| usize::try_from(n).ok()).unwrap_or(0));
            if let Ok(array) = Array::new(shape.collect(), Data::F64(self.weights[start..end].to_vec())) {
                all.insert(format!("{MULTIPLIERS}{}", result.name), array);
            }
            start = end;
        }
        all
    }

    /// The value of a size expression; `None` where it overflows.
    pub(crate) fn eval(&self, expr: &SizeExpr) -> Option<i64> {
        expr.eval(&|size| self.sizes[number_of_size(size)])
    }

    /// The number of elements of a buffer.
    ///
    /// # Errors
    /// [`Error::Data`] for negative dimensions and numbers that do not fit.
    pub(crate) fn len_of(&self, data: &BufferData) -> Result<usize, Error> {
        let mut product = 1_i64;
        let mut empty = false;
        for (axis, expr) in data.dims.iter().enumerate() {
            match self.eval(expr) {
                Some(0) => empty = true,
                Some(extent) if extent > 0 => {
                    product =
                        product.checked_mul(extent).filter(|&p| p <= i64::MAX / 8).ok_or_else(|| {
                            Error::Data(format!("`{}` has too many elements to fit into memory", data.name))
                        })?;
                }
                value => {
                    let error = InterpError::BadDimension { buffer: data.name.clone(), axis, value };
                    return Err(error.into());
                }
            }
        }
        Ok(if empty { 0 } else { usize::try_from(product).expect("positive and below 2^60") })
    }

    fn check_dims(&self, func: &Func, data: &BufferData) -> Result<(), Error> {
        self.len_of(data)?;
        let bounds = match &data.entries {
            Entries::Any => &[][..],
            Entries::Index(bounds) => &bounds[..],
            Entries::Offsets(bound) => std::slice::from_ref(bound),
        };
        for bound in bounds {
            if self.eval(bound).is_none() {
                let text = show(bound, &func.sizes);
                return Err(Error::Data(format!("the bound `{text}` of `{}` overflows", data.name)));
            }
        }
        Ok(())
    }

    /// Checks promises about the entries of an integer array.
    pub(crate) fn check_entries(&self, func: &Func, buffer: Buffer) -> Result<(), Error> {
        let data = &func.buffers[buffer];
        let Some(OwnedArray::I64(entries)) = self.arrays[number(buffer)].as_deref() else { return Ok(()) };
        match &data.entries {
            Entries::Any => Ok(()),
            Entries::Index(bounds) => {
                let limits: Vec<i64> = bounds.iter().map(|b| self.eval(b).unwrap_or(0)).collect();
                let columns = limits.len().max(1);
                match first_outside(entries, &limits) {
                    None => Ok(()),
                    Some(at) => {
                        let entry = entries[at];
                        let column = at % columns;
                        let bound = (limits[column], show(&bounds[column], &func.sizes).to_string());
                        let in_column = || entries.iter().skip(column).step_by(columns);
                        let one_based = in_column().min() >= Some(&1) && in_column().max() == Some(&bound.0);
                        Err(self.entry_error(data, at, entry, &bound, one_based))
                    }
                }
            }
            Entries::Offsets(bound) => {
                let most = self.eval(bound).unwrap_or(0);
                let mut least = 0;
                for (at, &entry) in entries.iter().enumerate() {
                    if entry < least || entry > most {
                        let place = self.place(data, at);
                        let hint = if entry < least && at > 0 { ": offsets must not decrease" } else { "" };
                        return Err(Error::Data(format!(
                            "entry {place} of the offsets `{}` is {entry}, outside {least}..={most}{hint}",
                            data.name
                        )));
                    }
                    least = entry;
                }
                Ok(())
            }
        }
    }

    fn entry_error(
        &self,
        data: &BufferData,
        at: usize,
        entry: i64,
        (limit, bound): &(i64, String),
        one_based: bool,
    ) -> Error {
        let place = self.place(data, at);
        let exclusive =
            if *bound == limit.to_string() { String::new() } else { format!(" (`{bound}` = {limit})") };
        let hint = if one_based { "; the array looks one-based: subtract 1 from every entry" } else { "" };
        Error::Data(format!(
            "entry {place} of `{}` is {entry}, outside 0..{limit}{exclusive}{hint}",
            data.name
        ))
    }

    /// The subscripts of an element: `(row, column)`.
    fn place(&self, data: &BufferData, at: usize) -> String {
        format!("({})", self.subscripts(data, at))
    }

    /// The subscripts of an element: `row, column`.
    pub(crate) fn subscripts(&self, data: &BufferData, at: usize) -> String {
        let mut rest = at as i64;
        let mut subscripts = Vec::new();
        for expr in data.dims.iter().rev() {
            let extent = self.eval(expr).unwrap_or(1).max(1);
            subscripts.push((rest % extent).to_string());
            rest /= extent;
        }
        subscripts.reverse();
        subscripts.join(", ")
    }
}

/// The number of a buffer in its arena.
pub(crate) fn number(buffer: Buffer) -> usize {
    buffer.as_u32() as usize
}

/// The number of a size in its arena.
pub(crate) fn number_of_size(size: Size) -> usize {
    size.as_u32() as usize
}

/// The input of that name; of a record its fields are named.
pub(crate) fn input_named(kernel: &Kernel, name: &str) -> Result<Buffer, Error> {
    let func = kernel.func();
    let found = func.buffer_named(name).filter(|&b| is_input(func.buffers[b].role));
    found.ok_or_else(|| {
        let names = func.buffers.values().filter(|b| is_input(b.role)).map(|b| b.name.as_str());
        let names: Vec<&str> = names.collect();
        let known = names.join(", ");
        let record = kernel.lowered().params.iter().find(|p| p.name == name);
        match record {
            Some(record) => {
                let fields: Vec<String> =
                    record.buffers.iter().map(|&b| format!("`{}`", func.buffers[b].name)).collect();
                Error::Data(format!(
                    "`{name}` is a record: bind its fields one by one ({})",
                    fields.join(", ")
                ))
            }
            None => Error::Data(format!("`{}` has no parameter `{name}` (it has: {known})", kernel.name())),
        }
    })
}

/// The first entry that is negative or not below the limit of its column; columns repeat.
fn first_outside(entries: &[i64], limits: &[i64]) -> Option<usize> {
    // Negative entries are large as unsigned ones. A piece is searched only if one of its entries is wrong: comparing all of
    // them without leaving early takes vectors.
    let wrong = |entry: i64, limit: i64| entry as u64 >= limit.max(0) as u64;
    let search = |start: usize, piece: &[i64]| {
        let found = piece.iter().zip(limits.iter().cycle()).position(|(&entry, &limit)| wrong(entry, limit));
        found.map(|at| start + at)
    };
    match limits {
        [] => (!entries.is_empty()).then_some(0),
        &[first, ref rest @ ..] if rest.iter().all(|&limit| limit == first) => {
            const PIECE: usize = 512;
            let mut pieces = entries.chunks(PIECE);
            let piece =
                pieces.position(|piece| piece.iter().fold(false, |any, &entry| any | wrong(entry, first)))?;
            let at = entries[piece * PIECE..].iter().position(|&entry| wrong(entry, first))?;
            Some(piece * PIECE + at)
        }
        _ => entries.chunks(limits.len()).enumerate().find_map(|(k, row)| search(k * limits.len(), row)),
    }
}
