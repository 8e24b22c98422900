//! Dense arrays with a shape and a type of element, always in C order, and their checked conversions.

use std::borrow::Cow;
use std::fmt;

use crate::error::Error;

/// An array and the name it goes by.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedArray {
    /// Name, as a kernel's parameter has it.
    pub name: String,
    /// Shape and values.
    pub array: Array,
}

/// Values of an array, by type of element.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Double precision.
    F64(Vec<f64>),
    /// Single precision.
    F32(Vec<f32>),
    /// Signed 64-bit integers.
    I64(Vec<i64>),
    /// Signed 32-bit integers.
    I32(Vec<i32>),
    /// Unsigned 64-bit integers.
    U64(Vec<u64>),
    /// Unsigned 32-bit integers.
    U32(Vec<u32>),
    /// Truth values.
    Bool(Vec<bool>),
}

/// A dense array in C order (last subscript fastest); an empty shape is a scalar.
///
/// The number of values is always the product of the shape.
///
/// ```
/// use spadina_io::array::{Array, Data};
/// let a = Array::new(vec![2, 3], Data::I32(vec![0, 1, 2, 3, 4, 5]))?;
/// assert_eq!(a.to_i64("faces")?[4], 4);
/// assert!(Array::new(vec![2, 2], Data::I32(vec![0, 1, 2])).is_err());
/// # Ok::<(), spadina_io::error::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    data: Data,
    /// Whether the last axis holds real and imaginary parts.
    complex: bool,
}

impl NamedArray {
    /// Pairs a name with an array.
    pub fn new(name: impl Into<String>, array: Array) -> Self {
        Self { name: name.into(), array }
    }
}

/// Applies one expression to the vector inside, whatever its type.
macro_rules! with_vec {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            Data::F64($v) => $body,
            Data::F32($v) => $body,
            Data::I64($v) => $body,
            Data::I32($v) => $body,
            Data::U64($v) => $body,
            Data::U32($v) => $body,
            Data::Bool($v) => $body,
        }
    };
}
pub(crate) use with_vec;

impl Data {
    /// Number of values.
    pub fn len(&self) -> usize {
        with_vec!(self, v => v.len())
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of the element type, as numpy spells it: `float64`, `int32`, `bool`, ..
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::F64(_) => "float64",
            Self::F32(_) => "float32",
            Self::I64(_) => "int64",
            Self::I32(_) => "int32",
            Self::U64(_) => "uint64",
            Self::U32(_) => "uint32",
            Self::Bool(_) => "bool",
        }
    }
}

impl Array {
    /// An array of a given shape.
    ///
    /// # Errors
    /// When the product of the shape overflows or is not the number of values.
    pub fn new(shape: Vec<usize>, data: Data) -> Result<Self, Error> {
        match element_count(&shape) {
            Some(n) if n == data.len() => Ok(Self { shape, data, complex: false }),
            _ => Err(Error::Invalid(format!("shape {} does not hold {} values", Shape(&shape), data.len()))),
        }
    }

    /// Complex numbers: an array with a last axis of 2 beyond the shape, real and imaginary part.
    ///
    /// # Errors
    /// As [`Array::new`].
    pub fn complex(mut shape: Vec<usize>, numbers: Vec<[f64; 2]>) -> Result<Self, Error> {
        shape.push(2);
        Ok(Self { complex: true, ..Self::new(shape, Data::F64(numbers.into_flattened()))? })
    }

    /// Whether these are complex numbers, whose parts are the last axis.
    pub fn is_complex(&self) -> bool {
        self.complex
    }

    /// A one-dimensional array.
    pub fn vector(data: Data) -> Self {
        Self { shape: vec![data.len()], data, complex: false }
    }

    /// A zero-dimensional array.
    pub fn scalar(value: f64) -> Self {
        Self { shape: Vec::new(), data: Data::F64(vec![value]), complex: false }
    }

    /// Rows of fixed width as an array of shape `[rows, W]`.
    pub fn rows<const W: usize>(rows: &[[f64; W]]) -> Self {
        Self { shape: vec![rows.len(), W], data: Data::F64(rows.as_flattened().to_vec()), complex: false }
    }

    /// Rows of indices of fixed width as an array of shape `[rows, W]`.
    pub fn index_rows<const W: usize>(rows: &[[i64; W]]) -> Self {
        Self { shape: vec![rows.len(), W], data: Data::I64(rows.as_flattened().to_vec()), complex: false }
    }

    /// Row-major 2 x 2 or 3 x 3 matrices as an array of shape `[matrices, R, C]`.
    pub fn matrices<const R: usize, const C: usize>(mats: &[[[f64; C]; R]]) -> Self {
        let data = mats.as_flattened().as_flattened().to_vec();
        Self { shape: vec![mats.len(), R, C], data: Data::F64(data), complex: false }
    }

    /// Extents, slowest first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Gives up the shape and keeps the values.
    pub fn into_data(self) -> Data {
        self.data
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The only value, as an array without dimensions; `None` unless there is exactly one value.
    pub fn into_scalar(self) -> Option<Self> {
        (self.len() == 1).then_some(Self { shape: Vec::new(), data: self.data, complex: false })
    }

    /// The values in double precision, borrowed when they are stored so.
    ///
    /// # Errors
    /// Truth values, and integers that double precision cannot hold exactly.
    pub fn to_f64(&self, name: &str) -> Result<Cow<'_, [f64]>, Error> {
        const EXACT: i128 = 1 << 53;
        let exact = |i: usize, v: i128| {
            if v.abs() <= EXACT || (v as f64) as i128 == v {
                Ok(v as f64)
            } else {
                Err(self.bad_entry(name, i, v, "is not exactly representable in float64"))
            }
        };
        Ok(Cow::Owned(match &self.data {
            Data::F64(v) => return Ok(Cow::Borrowed(v)),
            Data::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::I32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::U32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::I64(v) => try_map(v, |i, x| exact(i, i128::from(x)))?,
            Data::U64(v) => try_map(v, |i, x| exact(i, i128::from(x)))?,
            Data::Bool(_) => return Err(self.bad_kind(name, "numbers")),
        }))
    }

    /// The values in single precision, rounded to nearest.
    ///
    /// # Errors
    /// As [`Array::to_f64`], and finite values beyond the range of single precision.
    pub fn to_f32(&self, name: &str) -> Result<Cow<'_, [f32]>, Error> {
        if let Data::F32(v) = &self.data {
            return Ok(Cow::Borrowed(v));
        }
        let wide = self.to_f64(name)?;
        let narrow = |i: usize, x: f64| {
            let y = x as f32;
            if y.is_infinite() && x.is_finite() {
                Err(self.bad_entry(name, i, x, "is beyond the range of float32"))
            } else {
                Ok(y)
            }
        };
        Ok(Cow::Owned(try_map(&wide, narrow)?))
    }

    /// The values as signed 64-bit integers, borrowed when they are stored so.
    ///
    /// # Errors
    /// Floating-point or truth values (whole or not), and unsigned values beyond the range.
    pub fn to_i64(&self, name: &str) -> Result<Cow<'_, [i64]>, Error> {
        Ok(Cow::Owned(match &self.data {
            Data::I64(v) => return Ok(Cow::Borrowed(v)),
            Data::I32(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Data::U32(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Data::U64(v) => try_map(v, |i, x| {
                i64::try_from(x).map_err(|_| self.bad_entry(name, i, x, "is beyond the range of int64"))
            })?,
            Data::F64(_) | Data::F32(_) | Data::Bool(_) => return Err(self.bad_kind(name, "integers")),
        }))
    }

    /// The values as signed 32-bit integers, borrowed when they are stored so.
    ///
    /// # Errors
    /// As [`Array::to_i64`], and values beyond the range of 32 bits.
    pub fn to_i32(&self, name: &str) -> Result<Cow<'_, [i32]>, Error> {
        if let Data::I32(v) = &self.data {
            return Ok(Cow::Borrowed(v));
        }
        let wide = self.to_i64(name)?;
        let narrow = |i: usize, x: i64| {
            i32::try_from(x).map_err(|_| self.bad_entry(name, i, x, "is beyond the range of int32"))
        };
        Ok(Cow::Owned(try_map(&wide, narrow)?))
    }

    /// The values as offsets or subscripts.
    ///
    /// # Errors
    /// As [`Array::to_i64`], and negative values.
    pub fn to_usize(&self, name: &str) -> Result<Vec<usize>, Error> {
        try_map(&self.to_i64(name)?, |i, x| {
            usize::try_from(x).map_err(|_| self.bad_entry(name, i, x, "is negative"))
        })
    }

    /// The values as truth values; integers count when they are 0 or 1.
    ///
    /// # Errors
    /// Floating-point values and other integers.
    pub fn to_bool(&self, name: &str) -> Result<Cow<'_, [bool]>, Error> {
        match &self.data {
            Data::Bool(v) => return Ok(Cow::Borrowed(v)),
            Data::F64(_) | Data::F32(_) => return Err(self.bad_kind(name, "truth values")),
            Data::I64(_) | Data::I32(_) | Data::U64(_) | Data::U32(_) => {}
        }
        let ints = self.to_i64(name)?;
        let truth = |i: usize, x: i64| match x {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.bad_entry(name, i, x, "is neither 0 nor 1")),
        };
        Ok(Cow::Owned(try_map(&ints, truth)?))
    }

    /// The subscripts of the value at a flat position, written as `[2, 0]`.
    pub fn subscripts(&self, flat: usize) -> String {
        let mut rest = flat;
        let mut subs = vec![0; self.shape.len()];
        for (sub, &extent) in subs.iter_mut().zip(&self.shape).rev() {
            *sub = rest % extent.max(1);
            rest /= extent.max(1);
        }
        Shape(&subs).to_string()
    }

    fn bad_entry(&self, name: &str, flat: usize, value: impl fmt::Display, what: &str) -> Error {
        Error::array(name, format!("entry {} = {value} {what}", self.subscripts(flat)))
    }

    fn bad_kind(&self, name: &str, wanted: &str) -> Error {
        Error::array(name, format!("holds {} where {wanted} are required", self.data.type_name()))
    }
}

/// Product of the extents, `None` when it overflows.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1_usize, |n, &extent| n.checked_mul(extent))
}

/// Writes extents or subscripts as `[2, 3]`.
pub struct Shape<'a>(pub &'a [usize]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn try_map<T: Copy, U>(values: &[T], f: impl Fn(usize, T) -> Result<U, Error>) -> Result<Vec<U>, Error> {
    values.iter().enumerate().map(|(i, &v)| f(i, v)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_values_beyond_int64_are_named_by_their_subscripts() {
        let a = Array::new(vec![2, 2], Data::U64(vec![0, 1, 2, u64::MAX])).unwrap();
        let message = a.to_i64("faces").unwrap_err().to_string();
        assert_eq!(
            message,
            "array `faces`: entry [1, 1] = 18446744073709551615 is beyond the range of int64"
        );
        assert!(a.to_f64("faces").unwrap_err().to_string().contains("[1, 1]"));
    }

    #[test]
    fn conversions_keep_values_or_refuse() {
        let big = Array::vector(Data::I64(vec![1 << 53, (1 << 53) + 1]));
        assert!(big.to_f64("n").unwrap_err().to_string().contains("[1] = 9007199254740993"));
        assert!(Array::vector(Data::F64(vec![1e300])).to_f32("x").is_err());
        assert!(Array::vector(Data::F64(vec![f64::INFINITY])).to_f32("x").is_ok());
        assert!(Array::vector(Data::F64(vec![1.0])).to_i64("i").is_err());
        assert_eq!(*Array::vector(Data::I32(vec![0, 1])).to_bool("m").unwrap(), [false, true]);
        assert!(Array::vector(Data::I32(vec![-1])).to_usize("p").is_err());
        assert_eq!(*Array::vector(Data::U32(vec![7])).to_i32("p").unwrap(), [7]);
    }

    #[test]
    fn shapes_must_hold_their_values() {
        assert!(Array::new(vec![usize::MAX, 2], Data::F64(vec![])).is_err());
        assert!(Array::new(vec![usize::MAX, 0, 2], Data::F64(vec![])).is_ok());
        assert!(Array::new(vec![], Data::F64(vec![1.0])).is_ok());
        assert_eq!(Array::scalar(2.5).into_scalar(), Some(Array::scalar(2.5)));
    }
}
