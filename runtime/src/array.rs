//! Arrays of the element types that programs read and write.

use std::fmt;
use std::ops::Range;

/// The type of an element in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Element {
    /// IEEE binary64.
    F64,
    /// IEEE binary32.
    F32,
    /// 64-bit signed integer.
    I64,
    /// Truth value, one byte.
    Bool,
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Element::F64 => "f64",
            Element::F32 => "f32",
            Element::I64 => "int",
            Element::Bool => "bool",
        })
    }
}

/// A borrowed array, row-major.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Array<'a> {
    /// Elements of type `f64`.
    F64(&'a [f64]),
    /// Elements of type `f32`.
    F32(&'a [f32]),
    /// Elements of type `i64`.
    I64(&'a [i64]),
    /// Truth values.
    Bool(&'a [bool]),
}

impl Array<'_> {
    /// The element type.
    pub fn element(&self) -> Element {
        match self {
            Array::F64(_) => Element::F64,
            Array::F32(_) => Element::F32,
            Array::I64(_) => Element::I64,
            Array::Bool(_) => Element::Bool,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Array::F64(data) => data.len(),
            Array::F32(data) => data.len(),
            Array::I64(data) => data.len(),
            Array::Bool(data) => data.len(),
        }
    }

    /// True where there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An owned copy.
    pub fn to_owned(&self) -> OwnedArray {
        match self {
            Array::F64(data) => OwnedArray::F64(data.to_vec()),
            Array::F32(data) => OwnedArray::F32(data.to_vec()),
            Array::I64(data) => OwnedArray::I64(data.to_vec()),
            Array::Bool(data) => OwnedArray::Bool(data.to_vec()),
        }
    }

    /// The address of the first element, for compiled code to read.
    pub(crate) fn address(&self) -> u64 {
        let address = match self {
            Array::F64(data) => data.as_ptr().expose_provenance(),
            Array::F32(data) => data.as_ptr().expose_provenance(),
            Array::I64(data) => data.as_ptr().expose_provenance(),
            Array::Bool(data) => data.as_ptr().expose_provenance(),
        };
        address as u64
    }
}

/// A borrowed array that is written.
#[derive(PartialEq, Debug)]
pub enum ArrayMut<'a> {
    /// Elements of type `f64`.
    F64(&'a mut [f64]),
    /// Elements of type `f32`.
    F32(&'a mut [f32]),
}

impl ArrayMut<'_> {
    /// The element type.
    pub fn element(&self) -> Element {
        match self {
            ArrayMut::F64(_) => Element::F64,
            ArrayMut::F32(_) => Element::F32,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            ArrayMut::F64(data) => data.len(),
            ArrayMut::F32(data) => data.len(),
        }
    }

    /// True where there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All elements, or those in some ranges, become zero; then the address of the first, for compiled code to write.
    pub(crate) fn zero(&mut self, ranges: Option<&[Range<usize>]>) -> u64 {
        fn clear<T: Copy>(data: &mut [T], zero: T, ranges: Option<&[Range<usize>]>) -> usize {
            match ranges {
                Some(ranges) => ranges.iter().for_each(|range| data[range.clone()].fill(zero)),
                None => data.fill(zero),
            }
            data.as_mut_ptr().expose_provenance()
        }
        let address = match self {
            ArrayMut::F64(data) => clear(data, 0.0, ranges),
            ArrayMut::F32(data) => clear(data, 0.0, ranges),
        };
        address as u64
    }
}

/// An owned array.
#[derive(Clone, PartialEq, Debug)]
pub enum OwnedArray {
    /// Elements of type `f64`.
    F64(Vec<f64>),
    /// Elements of type `f32`.
    F32(Vec<f32>),
    /// Elements of type `i64`.
    I64(Vec<i64>),
    /// Truth values.
    Bool(Vec<bool>),
}

impl OwnedArray {
    /// `len` zeros; `None` where memory does not suffice.
    pub fn zeros(element: Element, len: usize) -> Option<OwnedArray> {
        fn filled<T: Clone>(len: usize, zero: T) -> Option<Vec<T>> {
            let mut data = Vec::new();
            data.try_reserve_exact(len).ok()?;
            data.resize(len, zero);
            Some(data)
        }
        Some(match element {
            Element::F64 => OwnedArray::F64(filled(len, 0.0)?),
            Element::F32 => OwnedArray::F32(filled(len, 0.0)?),
            Element::I64 => OwnedArray::I64(filled(len, 0)?),
            Element::Bool => OwnedArray::Bool(filled(len, false)?),
        })
    }

    /// A view.
    pub fn view(&self) -> Array<'_> {
        match self {
            OwnedArray::F64(data) => Array::F64(data),
            OwnedArray::F32(data) => Array::F32(data),
            OwnedArray::I64(data) => Array::I64(data),
            OwnedArray::Bool(data) => Array::Bool(data),
        }
    }

    /// Bytes of the elements.
    pub fn bytes(&self) -> usize {
        match self {
            OwnedArray::F64(data) => size_of_val(&data[..]),
            OwnedArray::F32(data) => size_of_val(&data[..]),
            OwnedArray::I64(data) => size_of_val(&data[..]),
            OwnedArray::Bool(data) => size_of_val(&data[..]),
        }
    }

    /// Adds to the first element; then its address, for compiled code to read.
    pub(crate) fn add_to_first(&mut self, sum: f64) -> Option<u64> {
        match self {
            OwnedArray::F64(data) => {
                *data.first_mut()? += sum;
                Some(data.as_mut_ptr().expose_provenance() as u64)
            }
            OwnedArray::F32(_) | OwnedArray::I64(_) | OwnedArray::Bool(_) => None,
        }
    }

    /// All elements become zero.
    pub(crate) fn zero(&mut self) {
        match self {
            OwnedArray::F64(data) => data.fill(0.0),
            OwnedArray::F32(data) => data.fill(0.0),
            OwnedArray::I64(data) => data.fill(0),
            OwnedArray::Bool(data) => data.fill(false),
        }
    }

    /// The address of the first element, for compiled code to write.
    pub(crate) fn place(&mut self) -> u64 {
        let address = match self {
            OwnedArray::F64(data) => data.as_mut_ptr().expose_provenance(),
            OwnedArray::F32(data) => data.as_mut_ptr().expose_provenance(),
            OwnedArray::I64(data) => data.as_mut_ptr().expose_provenance(),
            OwnedArray::Bool(data) => data.as_mut_ptr().expose_provenance(),
        };
        address as u64
    }
}
