//! What goes into a run and what comes out of it.

use super::error::InterpError;
use crate::func::{Buffer, Const, Func};
use crate::op::Op;
use crate::types::{Size, Ty};
use std::collections::BTreeMap;

/// The elements of one array, row-major.
#[derive(Clone, PartialEq, Debug)]
pub enum ArrayData {
    /// Elements of type [`Ty::F64`].
    F64(Vec<f64>),
    /// Elements of type [`Ty::F32`].
    F32(Vec<f32>),
    /// Elements of type [`Ty::Int`].
    Int(Vec<i64>),
    /// Elements of type [`Ty::Bool`].
    Bool(Vec<bool>),
}

impl ArrayData {
    /// `len` zeros (`false` for truth values); `None` where memory does not suffice.
    pub fn zeros(ty: Ty, len: usize) -> Option<ArrayData> {
        fn filled<T: Clone>(len: usize, zero: T) -> Option<Vec<T>> {
            let mut data = Vec::new();
            data.try_reserve_exact(len).ok()?;
            data.resize(len, zero);
            Some(data)
        }
        Some(match ty {
            Ty::F64 => ArrayData::F64(filled(len, 0.0)?),
            Ty::F32 => ArrayData::F32(filled(len, 0.0)?),
            Ty::Int => ArrayData::Int(filled(len, 0)?),
            Ty::Bool => ArrayData::Bool(filled(len, false)?),
        })
    }

    /// One element of the given type.
    pub fn scalar(ty: Ty, x: f64) -> ArrayData {
        match ty {
            Ty::F64 => ArrayData::F64(vec![x]),
            Ty::F32 => ArrayData::F32(vec![x as f32]),
            Ty::Int => ArrayData::Int(vec![x as i64]),
            Ty::Bool => ArrayData::Bool(vec![x != 0.0]),
        }
    }

    /// The element type.
    pub fn ty(&self) -> Ty {
        match self {
            ArrayData::F64(_) => Ty::F64,
            ArrayData::F32(_) => Ty::F32,
            ArrayData::Int(_) => Ty::Int,
            ArrayData::Bool(_) => Ty::Bool,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            ArrayData::F64(data) => data.len(),
            ArrayData::F32(data) => data.len(),
            ArrayData::Int(data) => data.len(),
            ArrayData::Bool(data) => data.len(),
        }
    }

    /// True where there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at a row-major position.
    pub fn get(&self, at: usize) -> Option<Const> {
        match self {
            ArrayData::F64(data) => data.get(at).map(|&x| Const::F64(x)),
            ArrayData::F32(data) => data.get(at).map(|&x| Const::F32(x)),
            ArrayData::Int(data) => data.get(at).map(|&x| Const::Int(x)),
            ArrayData::Bool(data) => data.get(at).map(|&x| Const::Bool(x)),
        }
    }

    /// Puts an element; false where the position or the type does not fit.
    #[must_use]
    pub fn set(&mut self, at: usize, value: Const) -> bool {
        fn put<T>(data: &mut [T], at: usize, x: T) -> bool {
            data.get_mut(at).is_some_and(|place| {
                *place = x;
                true
            })
        }
        match (self, value) {
            (ArrayData::F64(data), Const::F64(x)) => put(data, at, x),
            (ArrayData::F32(data), Const::F32(x)) => put(data, at, x),
            (ArrayData::Int(data), Const::Int(x)) => put(data, at, x),
            (ArrayData::Bool(data), Const::Bool(x)) => put(data, at, x),
            _ => false,
        }
    }

    /// All elements as `f64`: how results are compared.
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            ArrayData::F64(data) => data.clone(),
            ArrayData::F32(data) => data.iter().map(|&x| f64::from(x)).collect(),
            ArrayData::Int(data) => data.iter().map(|&x| x as f64).collect(),
            ArrayData::Bool(data) => data.iter().map(|&x| f64::from(u8::from(x))).collect(),
        }
    }
}

impl From<Vec<f64>> for ArrayData {
    fn from(data: Vec<f64>) -> Self {
        ArrayData::F64(data)
    }
}

impl From<Vec<f32>> for ArrayData {
    fn from(data: Vec<f32>) -> Self {
        ArrayData::F32(data)
    }
}

impl From<Vec<i64>> for ArrayData {
    fn from(data: Vec<i64>) -> Self {
        ArrayData::Int(data)
    }
}

impl From<Vec<bool>> for ArrayData {
    fn from(data: Vec<bool>) -> Self {
        ArrayData::Bool(data)
    }
}

/// The sizes and input arrays of one call.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Bindings {
    /// The value of every symbolic size.
    pub sizes: BTreeMap<Size, i64>,
    /// Row-major data of every input; a scalar parameter with a default may be missing.
    pub arrays: BTreeMap<Buffer, ArrayData>,
}

impl Bindings {
    /// Binds the size of that name.
    pub fn set_size(&mut self, func: &Func, name: &str, value: i64) -> Result<(), InterpError> {
        let found = func.sizes.iter().find(|(_, n)| n.as_str() == name);
        let (size, _) = found.ok_or_else(|| InterpError::UnknownName { name: name.to_owned() })?;
        self.sizes.insert(size, value);
        Ok(())
    }

    /// Binds the buffer of that name.
    pub fn set(&mut self, func: &Func, name: &str, data: impl Into<ArrayData>) -> Result<(), InterpError> {
        let buffer =
            func.buffer_named(name).ok_or_else(|| InterpError::UnknownName { name: name.to_owned() })?;
        self.arrays.insert(buffer, data.into());
        Ok(())
    }
}

/// How much work a run did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    counts: Vec<u64>,
    /// Executed loads.
    pub loads: u64,
    /// Executed accumulations.
    pub accums: u64,
    /// Matrix entries added, mirrored ones included.
    pub entries: u64,
    /// Loop iterations, of all loops together.
    pub iterations: u64,
}

impl Stats {
    /// How often an operation was executed.
    pub fn count(&self, op: Op) -> u64 {
        self.counts.get(op as usize).copied().unwrap_or(0)
    }

    /// Executed operations that give floats (indicators and conversions not counted).
    pub fn flops(&self) -> u64 {
        use crate::op::Smoothness;
        let floats = Op::ALL.iter().filter(|op| op.smoothness() != Smoothness::Discrete);
        floats.map(|&op| self.count(op)).sum()
    }

    pub(super) fn add(&mut self, op: Op) {
        if self.counts.is_empty() {
            self.counts = vec![0; Op::ALL.len()];
        }
        self.counts[op as usize] += 1;
    }
}

/// What a run gives.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outputs {
    /// Row-major data of every buffer of role `Output`.
    pub arrays: BTreeMap<Buffer, ArrayData>,
    /// The emitted matrix as `(row, column, value)`, in emission order, those of one emission in the order of
    /// [`crate::func::EmitData::expanded`]; repeated places add up.
    pub triplets: Vec<(usize, usize, f64)>,
    /// Rows and columns of the matrix.
    pub shape: (usize, usize),
    /// How much work was done.
    pub stats: Stats,
}

impl Outputs {
    /// The data of an output, as `f64`.
    pub fn array(&self, func: &Func, name: &str) -> Option<Vec<f64>> {
        Some(self.arrays.get(&func.buffer_named(name)?)?.to_f64())
    }

    /// The value of an output with one element.
    pub fn scalar(&self, func: &Func, name: &str) -> Option<f64> {
        match self.array(func, name)?[..] {
            [x] => Some(x),
            _ => None,
        }
    }

    /// The emitted matrix, dense and row-major.
    pub fn dense(&self) -> Vec<f64> {
        let (rows, cols) = self.shape;
        let mut dense = vec![0.0; rows * cols];
        for &(row, col, value) in &self.triplets {
            dense[row * cols + col] += value;
        }
        dense
    }
}
