//! Where the outputs of a program go, and where its seeds come from: slices of the caller, by offset.

use crate::bind::{Bound, number};
use crate::error::Error;
use crate::product::Kind;
use spadina_ir::func::{Buffer, Func, Plane, Role};
use spadina_ir::types::Ty;
use spadina_passes::pipeline::Nesting;
use spadina_passes::sparse::stages::unknowns;
use spadina_runtime::array::{Array, ArrayMut, Element, OwnedArray};

/// Slices of the caller.
#[derive(Default)]
pub(crate) struct Slices<'a> {
    pub(crate) results: &'a mut [f64],
    pub(crate) gradient: &'a mut [f64],
    pub(crate) matrix: &'a mut [f64],
    pub(crate) product: &'a mut [f64],
    /// What a JVP or HVP is with; empty for other programs.
    pub(crate) direction: &'a [f64],
    /// Weights of all results: multipliers, or what a VJP is with; empty for other programs.
    pub(crate) weights: &'a [f64],
}

/// Which outputs of a program are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Take {
    pub(crate) results: bool,
    pub(crate) gradient: bool,
    /// Which product, for a program of products.
    pub(crate) product: Option<Kind>,
    /// How it was derived, if it is with a Hessian.
    pub(crate) nesting: Nesting,
}

impl Take {
    /// Whether an adjoint of an unknown is what the program of products is made for.
    pub(crate) fn adjoint_is_product(self) -> bool {
        match self.product {
            Some(Kind::Vjp) => true,
            Some(Kind::Hvp) => self.nesting != Nesting::ForwardOverReverse,
            Some(Kind::Jvp | Kind::Second) | None => false,
        }
    }
}

/// Where an output goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Goes {
    /// Into the results, at an offset.
    Results(usize),
    /// Into the gradient, at an offset.
    Gradient(usize),
    /// Into the product, at an offset.
    Product(usize),
    /// Into the dense matrix: first row, first column, columns of the block, columns of the matrix.
    Matrix(usize, usize, usize, usize),
    /// Nowhere.
    Nowhere,
}

/// One output of a program.
#[derive(Clone)]
pub(crate) struct Output {
    pub(crate) goes: Goes,
    /// Number of the buffer.
    pub(crate) buffer: usize,
    /// Number among the rank-0 outputs.
    pub(crate) scalar: Option<usize>,
    len: usize,
    /// Memory of its own, where it does not go straight into a slice of the caller.
    own: Option<OwnedArray>,
}

/// One array of a direction or of weights.
#[derive(Clone)]
pub(crate) struct Seed {
    /// Number of the buffer.
    pub(crate) buffer: usize,
    /// Whether it is a part of the weights instead of the direction.
    weight: bool,
    /// Where it starts.
    start: usize,
    pub(crate) len: usize,
    /// Its elements in single precision, where the program takes them so.
    pub(crate) single: Option<Vec<f32>>,
}

impl Seed {
    /// From now on holds this many directions, the same elements side by side.
    pub(crate) fn widen(&mut self, lanes: usize) {
        (self.start, self.len) = (self.start * lanes, self.len * lanes);
    }

    /// Its part of the caller's slices.
    pub(crate) fn values<'a>(&self, direction: &'a [f64], weights: &'a [f64]) -> &'a [f64] {
        let from = if self.weight { weights } else { direction };
        &from[self.start..self.start + self.len]
    }

    /// Rounds, where the program takes single precision.
    pub(crate) fn load(&mut self, direction: &[f64], weights: &[f64]) {
        let from = if self.weight { weights } else { direction };
        if let Some(single) = &mut self.single {
            let values = &from[self.start..self.start + self.len];
            single.iter_mut().zip(values).for_each(|(to, &x)| *to = x as f32);
        }
    }

    /// What the program reads.
    pub(crate) fn view<'a>(&'a self, direction: &'a [f64], weights: &'a [f64]) -> Array<'a> {
        match &self.single {
            Some(single) => Array::F32(single),
            None => Array::F64(self.values(direction, weights)),
        }
    }
}

/// The array that another is the adjoint or tangent of; else itself.
pub(crate) fn owner(func: &Func, buffer: Buffer) -> Buffer {
    match func.buffers[buffer].plane {
        Plane::Adjoint(of) | Plane::Tangent(of) => of,
        Plane::Primal | Plane::Block(..) => buffer,
    }
}

pub(crate) fn element(ty: Ty) -> Element {
    match ty {
        Ty::F64 => Element::F64,
        Ty::F32 => Element::F32,
        Ty::Int => Element::I64,
        Ty::Bool => Element::Bool,
    }
}

/// The elements of buffers that come one after another, and those before `buffer`.
fn offset(func: &Func, bound: &Bound, list: &[Buffer], buffer: Buffer) -> Result<Option<usize>, Error> {
    let mut before = 0;
    for &other in list {
        if other == buffer || owner(func, other) == owner(func, buffer) {
            return Ok(Some(before));
        }
        before += bound.len_of(&func.buffers[other])?;
    }
    Ok(None)
}

/// The elements of all buffers of a list together.
pub(crate) fn total(func: &Func, bound: &Bound, list: &[Buffer]) -> Result<usize, Error> {
    list.iter().try_fold(0_usize, |sum, &b| {
        let len = bound.len_of(&func.buffers[b])?;
        sum.checked_add(len).ok_or_else(|| Error::data("the unknowns do not fit into memory"))
    })
}

/// A slice for every output of rank one and more; outputs are sorted by where they go.
pub(crate) fn destinations<'a>(
    outputs: &'a mut [Output],
    results: &'a mut [f64],
    gradient: &'a mut [f64],
    product: &'a mut [f64],
) -> impl Iterator<Item = (usize, ArrayMut<'a>)> {
    let [mut results, mut gradient, mut product] =
        [results, gradient, product].map(|slice| Rest { slice, at: 0 });
    outputs.iter_mut().filter(|o| o.scalar.is_none()).map(move |output| {
        let place = match (&mut output.own, output.goes) {
            (Some(OwnedArray::F32(own)), _) => ArrayMut::F32(own),
            (Some(OwnedArray::F64(own)), _) => ArrayMut::F64(own),
            (None, Goes::Results(start)) => ArrayMut::F64(results.take(start, output.len)),
            (None, Goes::Gradient(start)) => ArrayMut::F64(gradient.take(start, output.len)),
            (None, Goes::Product(start)) => ArrayMut::F64(product.take(start, output.len)),
            (Some(OwnedArray::I64(_) | OwnedArray::Bool(_)), _)
            | (None, Goes::Matrix(..) | Goes::Nowhere) => ArrayMut::F64(&mut []),
        };
        (output.buffer, place)
    })
}

/// What is left of a slice that is cut from the front.
struct Rest<'a> {
    slice: &'a mut [f64],
    /// Number of the first element left.
    at: usize,
}

impl<'a> Rest<'a> {
    /// Cuts elements `start..start + len` out.
    fn take(&mut self, start: usize, len: usize) -> &'a mut [f64] {
        let slice = std::mem::take(&mut self.slice);
        let skip = start.saturating_sub(self.at).min(slice.len());
        let (_, slice) = slice.split_at_mut(skip);
        let (taken, slice) = slice.split_at_mut(len.min(slice.len()));
        (self.slice, self.at) = (slice, start + len);
        taken
    }
}

impl Output {
    /// Elements of the product that it overwrites.
    pub(crate) fn of_product(&self) -> usize {
        if matches!(self.goes, Goes::Product(_)) { self.len } else { 0 }
    }

    /// From now on holds this many products, the same elements side by side.
    pub(crate) fn widen(&mut self, lanes: usize) {
        self.len *= lanes;
        if let Goes::Product(start) = &mut self.goes {
            *start *= lanes;
        }
    }

    /// Copies what has memory of its own, or `scalar`, to where it goes.
    pub(crate) fn copy(&self, scalars: &[f64], slices: &mut Slices<'_>) {
        if let Some(value) = self.scalar.and_then(|n| scalars.get(n)) {
            self.put(slices, std::iter::once(*value));
            return;
        }
        match &self.own {
            Some(OwnedArray::F64(data)) => self.put(slices, data.iter().copied()),
            Some(OwnedArray::F32(data)) => self.put(slices, data.iter().map(|&x| f64::from(x))),
            Some(OwnedArray::I64(_) | OwnedArray::Bool(_)) | None => {}
        }
    }

    /// Writes values to where the output goes.
    pub(crate) fn put(&self, slices: &mut Slices<'_>, values: impl Iterator<Item = f64>) {
        let (slice, start) = match self.goes {
            Goes::Results(start) => (&mut *slices.results, start),
            Goes::Gradient(start) => (&mut *slices.gradient, start),
            Goes::Product(start) => (&mut *slices.product, start),
            Goes::Matrix(row, col, width, stride) => {
                for (k, x) in values.enumerate() {
                    slices.matrix[(row + k / width.max(1)) * stride + col + k % width.max(1)] = x;
                }
                return;
            }
            Goes::Nowhere => return,
        };
        slice[start..].iter_mut().zip(values).for_each(|(to, x)| *to = x);
    }
}

/// The inputs that are a direction or weights: tangents of the unknowns, adjoints of the results.
pub(crate) fn seeds(kernel: &Func, func: &Func, bound: &Bound) -> Result<Vec<Seed>, Error> {
    let results: Vec<Buffer> = kernel.buffers_of(Role::Output).collect();
    let columns: Vec<Buffer> = unknowns(func).collect();
    let mut list = Vec::new();
    for (buffer, data) in func.buffers.iter().filter(|(_, data)| crate::kernel::is_input(data.role)) {
        let (start, weight) = match data.plane {
            Plane::Primal | Plane::Block(..) => continue,
            Plane::Tangent(x) => (offset(func, bound, &columns, x)?, false),
            Plane::Adjoint(y) => match kernel.buffer_named(&func.buffers[y].name) {
                Some(result) => (offset(kernel, bound, &results, result)?, true),
                None => (None, true),
            },
        };
        let start =
            start.ok_or_else(|| Error::Internal(format!("`{}` is no part of a direction", data.name)))?;
        let len = bound.len_of(data)?;
        let single = (data.elem == Ty::F32).then(|| vec![0.0; len]);
        list.push(Seed { buffer: number(buffer), weight, start, len, single });
    }
    Ok(list)
}

/// The outputs of a program, sorted by where they go.
pub(crate) fn outputs(kernel: &Func, func: &Func, take: Take, bound: &Bound) -> Result<Vec<Output>, Error> {
    let results: Vec<Buffer> = kernel.buffers_of(Role::Output).collect();
    let columns: Vec<Buffer> = unknowns(func).collect();
    // Adjoints are those of the rows that are unknowns; where a program has none, of its columns.
    let adjoints = func.rows.iter().copied().filter(|&b| crate::kernel::is_input(func.buffers[b].role));
    let mut adjoints: Vec<Buffer> = adjoints.collect();
    if adjoints.is_empty() {
        adjoints.clone_from(&columns);
    }
    let stride = total(func, bound, &columns)?;
    let mut list = Vec::new();
    let mut scalars = 0;
    for buffer in func.buffers_of(Role::Output) {
        let data = &func.buffers[buffer];
        let len = bound.len_of(data)?;
        let result = |name: &str| match kernel.buffer_named(name) {
            Some(result) => offset(kernel, bound, &results, result),
            None => Ok(None),
        };
        let unknown = |x| offset(func, bound, &adjoints, x);
        let goes = match (data.plane, take.product) {
            (Plane::Primal, _) if take.results => result(&data.name)?.map(Goes::Results),
            (Plane::Adjoint(x), _) if take.adjoint_is_product() => unknown(x)?.map(Goes::Product),
            (Plane::Adjoint(x), _) if take.gradient => unknown(x)?.map(Goes::Gradient),
            (Plane::Tangent(of), Some(kind)) => match (kind, func.buffers[of].plane) {
                (Kind::Jvp, Plane::Primal) => result(&func.buffers[of].name)?.map(Goes::Product),
                (Kind::Second, Plane::Tangent(y)) => result(&func.buffers[y].name)?.map(Goes::Product),
                (Kind::Hvp, Plane::Adjoint(x)) => unknown(x)?.map(Goes::Product),
                _ => None,
            },
            (Plane::Primal | Plane::Adjoint(_) | Plane::Tangent(_), _) => None,
            (Plane::Block(y, x), _) => {
                let row = offset(func, bound, &func.rows, y)?;
                let col = offset(func, bound, &columns, x)?;
                let width = bound.len_of(&func.buffers[x])?;
                let both = row.zip(col).map(|(row, col)| Goes::Matrix(row, col, width, stride));
                Some(both.ok_or_else(|| Error::Internal(format!("`{}` has no place", data.name)))?)
            }
        };
        let goes = goes.unwrap_or(Goes::Nowhere);
        let scalar = data.dims.is_empty().then_some(scalars);
        scalars += usize::from(scalar.is_some());
        let straight =
            data.elem == Ty::F64 && matches!(goes, Goes::Results(_) | Goes::Gradient(_) | Goes::Product(_));
        let own = if scalar.is_some() || straight {
            None
        } else {
            let made = OwnedArray::zeros(element(data.elem), len);
            Some(made.ok_or_else(|| Error::Data(format!("not enough memory for `{}`", data.name)))?)
        };
        list.push(Output { goes, buffer: number(buffer), scalar, len, own });
    }
    list.sort_by_key(|output| output.goes);
    Ok(list)
}
