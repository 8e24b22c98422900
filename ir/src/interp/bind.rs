//! Binding: sizes and arrays are checked against the declarations before anything runs.

use super::data::{ArrayData, Bindings, Stats};
use super::error::InterpError;
use super::{Array, Machine, Observer, is_input};
use crate::func::{Buffer, BufferData, Entries, Func, Role};
use crate::types::SizeExpr;
use cranelift_entity::SecondaryMap;
use std::collections::BTreeMap;

impl<'a> Machine<'a> {
    pub(super) fn bind(
        func: &'a Func,
        inputs: &'a Bindings,
        observer: &'a mut Observer<'_>,
    ) -> Result<Machine<'a>, InterpError> {
        for (size, name) in &func.sizes {
            match inputs.sizes.get(&size) {
                None => return Err(InterpError::UnboundSize { size: name.clone() }),
                Some(&value) if value < 0 => {
                    return Err(InterpError::NegativeSize { size: name.clone(), value });
                }
                Some(_) => {}
            }
        }
        for &buffer in inputs.arrays.keys() {
            match func.buffers.get(buffer) {
                None => return Err(InterpError::UnknownName { name: buffer.to_string() }),
                Some(data) if !is_input(data.role) => {
                    return Err(InterpError::NotAnInput { buffer: data.name.clone() });
                }
                Some(_) => {}
            }
        }
        let mut machine = Machine {
            func,
            observer,
            inputs,
            arrays: SecondaryMap::new(),
            values: SecondaryMap::new(),
            triplets: Vec::new(),
            row_count: 0,
            col_count: 0,
            direct: BTreeMap::new(),
            stats: Stats::default(),
            span: (0, 0),
        };
        for (buffer, data) in &func.buffers {
            machine.bind_buffer(buffer, data)?;
        }
        machine.row_count = machine.place(&func.rows, false)?;
        machine.col_count = machine.place(&func.columns, true)?;
        Ok(machine)
    }

    pub(super) fn size(&self, expr: &SizeExpr) -> Option<i64> {
        // Every size is bound: checked first thing.
        expr.eval(&|size| self.inputs.sizes.get(&size).copied().unwrap_or(0))
    }

    fn bind_buffer(&mut self, buffer: Buffer, data: &BufferData) -> Result<(), InterpError> {
        let name = || data.name.clone();
        let mut dims = Vec::new();
        for (axis, expr) in data.dims.iter().enumerate() {
            match self.size(expr) {
                Some(extent) if extent >= 0 => dims.push(extent),
                value => return Err(InterpError::BadDimension { buffer: name(), axis, value }),
            }
        }
        let product = dims.iter().try_fold(1_i64, |product, &extent| product.checked_mul(extent));
        let len = product.and_then(|product| usize::try_from(product).ok());
        let too_large = || InterpError::TooLarge { buffer: name() };
        let len = len.ok_or_else(too_large)?;
        let array = match self.inputs.arrays.get(&buffer) {
            _ if !is_input(data.role) => ArrayData::zeros(data.elem, len).ok_or_else(too_large)?,
            Some(array) => array.clone(),
            None => match data.default {
                Some(x) if dims.is_empty() => ArrayData::scalar(data.elem, x),
                _ => return Err(InterpError::UnboundBuffer { buffer: name() }),
            },
        };
        if array.ty() != data.elem {
            let (expected, found) = (data.elem, array.ty());
            return Err(InterpError::WrongType { buffer: name(), expected, found });
        }
        if array.len() != len {
            let (expected, found) = (len, array.len());
            return Err(InterpError::WrongLength { buffer: name(), expected, found });
        }
        if let (true, ArrayData::Int(entries)) = (is_input(data.role), &array) {
            self.check_entries(data, entries)?;
        }
        self.arrays[buffer] = Array { dims, data: array, offset: None };
        Ok(())
    }

    /// Checks the promises about the entries of an `Int` input.
    fn check_entries(&self, data: &BufferData, entries: &[i64]) -> Result<(), InterpError> {
        let overflow = || InterpError::BadDimension {
            buffer: data.name.clone(),
            axis: data.dims.len().saturating_sub(1),
            value: None,
        };
        match &data.entries {
            Entries::Any => Ok(()),
            Entries::Index(bounds) if bounds.is_empty() => Ok(()),
            Entries::Index(bounds) => {
                let bounds: Option<Vec<i64>> = bounds.iter().map(|bound| self.size(bound)).collect();
                let bounds = bounds.ok_or_else(overflow)?;
                for (at, &value) in entries.iter().enumerate() {
                    let bound = bounds[at % bounds.len()];
                    if value < 0 || value >= bound {
                        return Err(InterpError::IndexEntry { buffer: data.name.clone(), at, value, bound });
                    }
                }
                Ok(())
            }
            Entries::Offsets(bound) => {
                let most = self.size(bound).ok_or_else(overflow)?;
                let mut least = 0;
                for (at, &value) in entries.iter().enumerate() {
                    if value < least || value > most {
                        let buffer = data.name.clone();
                        return Err(InterpError::OffsetsEntry { buffer, at, value, least, most });
                    }
                    least = value;
                }
                Ok(())
            }
        }
    }

    /// Gives the buffers of a list their offsets; the total. Outputs have no offset in the columns.
    fn place(&mut self, list: &[Buffer], columns: bool) -> Result<usize, InterpError> {
        let mut total = 0_usize;
        for &buffer in list {
            if !columns || matches!(self.func.buffers[buffer].role, Role::Var | Role::Scratch) {
                self.arrays[buffer].offset = Some(total);
            }
            let next = total.checked_add(self.arrays[buffer].data.len());
            let too_large = || InterpError::TooLarge { buffer: self.func.buffers[buffer].name.clone() };
            total = next.ok_or_else(too_large)?;
        }
        Ok(total)
    }
}
