//! What the runtime knows of a program's buffers: name, element type, dimensions, and who owns the memory.

use crate::array::{Array, Element};
use crate::error::RuntimeError;

/// Who provides the memory of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BufferUse {
    /// The caller, at every evaluation: unknowns, float data, multipliers.
    Data,
    /// The plan, which copies it at prepare: index arrays, offsets, integers, truth values, structural floats.
    Frozen,
    /// The workspace: zero at the start of every evaluation.
    Scratch,
    /// The caller, at every evaluation: zeroed, then accumulated into.
    Output,
    /// Nobody: a rank-0 output (it travels by sums) or a buffer that the program does not touch.
    Absent,
}

/// A buffer of a program with its dimensions at the sizes of the call.
#[derive(Clone, PartialEq, Debug)]
pub struct BufferSpec {
    /// Its name in the source.
    pub name: String,
    /// The element type.
    pub element: Element,
    /// The dimensions; empty for a scalar.
    pub dims: Vec<i64>,
    /// Who provides its memory.
    pub usage: BufferUse,
}

impl BufferSpec {
    /// The number of elements; refuses negative dimensions and products that do not fit memory.
    pub fn elements(&self) -> Result<usize, RuntimeError> {
        if let Some(axis) = self.dims.iter().position(|&d| d < 0) {
            return Err(RuntimeError::NegativeSize {
                buffer: self.name.clone(),
                axis,
                size: self.dims[axis],
            });
        }
        if self.dims.contains(&0) {
            return Ok(0);
        }
        let product = self.dims.iter().try_fold(1_i64, |product, &d| product.checked_mul(d));
        product
            .filter(|&p| p <= i64::MAX / 8)
            .and_then(|p| usize::try_from(p).ok())
            .ok_or_else(|| RuntimeError::Overflow { buffer: self.name.clone() })
    }

    /// Checks an array against element type and length.
    pub(crate) fn check(&self, element: Element, len: usize) -> Result<(), RuntimeError> {
        if element != self.element {
            let (expected, found) = (self.element, element);
            return Err(RuntimeError::Type { buffer: self.name.clone(), expected, found });
        }
        let expected = self.elements()?;
        if len != expected {
            return Err(RuntimeError::Length { buffer: self.name.clone(), expected, found: len });
        }
        Ok(())
    }

    /// [`BufferSpec::check`] for a borrowed array.
    pub(crate) fn accept(&self, array: &Array<'_>) -> Result<(), RuntimeError> {
        self.check(array.element(), array.len())
    }
}
