//! Named arrays and sizes, before they are checked against a kernel.

use crate::error::Error;
use spadina_io::array::{Array, Data};
use std::collections::BTreeMap;

/// What a kernel is bound to: arrays by parameter name (`br.g` for a field of a record), and sizes by name where no array
/// tells them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    pub(crate) arrays: BTreeMap<String, Array>,
    pub(crate) sizes: BTreeMap<String, i64>,
    /// Where arrays come from, for messages.
    origins: BTreeMap<String, String>,
}

impl Inputs {
    /// Nothing bound.
    pub fn new() -> Inputs {
        Inputs::default()
    }

    /// Binds a parameter; a later binding of the same name replaces an earlier one.
    pub fn set(&mut self, name: impl Into<String>, array: &(impl ToArray + ?Sized)) -> &mut Inputs {
        let name = name.into();
        self.origins.remove(&name);
        self.arrays.insert(name, array.to_array());
        self
    }

    /// Binds a parameter as [`Inputs::set`] does; messages about the array say that it is from there (a file).
    pub fn set_from(
        &mut self,
        name: impl Into<String>,
        array: &(impl ToArray + ?Sized),
        origin: impl Into<String>,
    ) -> &mut Inputs {
        let name = name.into();
        self.set(name.clone(), array);
        self.origins.insert(name, origin.into());
        self
    }

    /// An error about the array of that name, with its origin.
    pub(crate) fn blamed(&self, name: &str, error: Error) -> Error {
        match (error, self.origins.get(name)) {
            (Error::Data(message), Some(origin)) => Error::Data(format!("{message} (from `{origin}`)")),
            (error, _) => error,
        }
    }

    /// Binds a size.
    pub fn size(&mut self, name: impl Into<String>, value: i64) -> &mut Inputs {
        self.sizes.insert(name.into(), value);
        self
    }

    /// The array bound to a name.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// Names that are bound, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }
}

/// What can be bound to a parameter: numbers, slices, slices of rows, arrays with a shape.
pub trait ToArray {
    /// A copy with its shape.
    fn to_array(&self) -> Array;
}

/// An element type that arrays are made of.
pub trait Element: Copy {
    /// Values of this type.
    fn data(values: Vec<Self>) -> Data;
}

macro_rules! element {
    ($($ty:ty => $variant:ident,)*) => {$(
        impl Element for $ty {
            fn data(values: Vec<$ty>) -> Data {
                Data::$variant(values)
            }
        }

        impl ToArray for $ty {
            fn to_array(&self) -> Array {
                shaped(Vec::new(), vec![*self])
            }
        }
    )*};
}

element! { f64 => F64, f32 => F32, i64 => I64, i32 => I32, u64 => U64, u32 => U32, bool => Bool, }

/// An array from parts that fit by construction.
fn shaped<T: Element>(shape: Vec<usize>, values: Vec<T>) -> Array {
    Array::new(shape, T::data(values)).expect("the product of the shape is the number of values")
}

impl ToArray for Array {
    fn to_array(&self) -> Array {
        self.clone()
    }
}

impl<T: Element> ToArray for [T] {
    fn to_array(&self) -> Array {
        shaped(vec![self.len()], self.to_vec())
    }
}

impl<T: Element> ToArray for Vec<T> {
    fn to_array(&self) -> Array {
        self[..].to_array()
    }
}

impl<T: Element, const N: usize> ToArray for [T; N] {
    fn to_array(&self) -> Array {
        self[..].to_array()
    }
}

impl<T: Element, const W: usize> ToArray for [[T; W]] {
    fn to_array(&self) -> Array {
        shaped(vec![self.len(), W], self.as_flattened().to_vec())
    }
}

impl<T: Element, const W: usize> ToArray for Vec<[T; W]> {
    fn to_array(&self) -> Array {
        self[..].to_array()
    }
}

impl<T: Element, const W: usize, const N: usize> ToArray for [[T; W]; N] {
    fn to_array(&self) -> Array {
        self[..].to_array()
    }
}

impl<T: Element, const R: usize, const C: usize> ToArray for [[[T; C]; R]] {
    fn to_array(&self) -> Array {
        shaped(vec![self.len(), R, C], self.as_flattened().as_flattened().to_vec())
    }
}

impl<T: Element, const R: usize, const C: usize> ToArray for Vec<[[T; C]; R]> {
    fn to_array(&self) -> Array {
        self[..].to_array()
    }
}
