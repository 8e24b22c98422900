//! Multipliers of a Lagrangian: data named after results, shaped like them.

use crate::bind::Bound;
use crate::bind::shape::shape_text;
use crate::error::Error;
use crate::inputs::Inputs;
use crate::kernel::{Kernel, is_input};
use spadina_io::array::{Array, Shape};
use spadina_ir::frontend::program::KernelResult;
use spadina_ir::func::{Buffer, BufferData};
use std::collections::BTreeMap;

/// What the names of multipliers start with.
pub(crate) const MULTIPLIERS: &str = "multipliers.";

/// The result whose multipliers an input of this name is. A parameter of that name comes first.
pub(crate) fn multiplier_of<'a>(kernel: &Kernel, name: &'a str) -> Option<&'a str> {
    let is_parameter =
        kernel.func().buffer_named(name).is_some_and(|b| is_input(kernel.func().buffers[b].role));
    name.strip_prefix(MULTIPLIERS).filter(|_| !is_parameter)
}

/// The buffer of a result.
pub(crate) fn result_named(kernel: &Kernel, name: &str) -> Result<Buffer, Error> {
    let results = &kernel.lowered().results;
    let found = results.iter().find(|result| result.name == name);
    found.map(|result| result.buffer).ok_or_else(|| {
        let known: Vec<&str> = results.iter().map(|result| result.name.as_str()).collect();
        Error::Data(format!("`{}` has no result `{name}` (it has: {})", kernel.name(), known.join(", ")))
    })
}

/// Whether the multiplier of a result has a default, which is 1.
pub(crate) fn is_one_unless_bound(kernel: &Kernel, result: &KernelResult) -> bool {
    kernel.is_energy() || (result.name == "objective" && kernel.func().buffers[result.buffer].dims.is_empty())
}

impl Bound {
    /// Adds the multipliers of all results, those in `kept` where inputs have none. A result `objective`, or the only result of an energy, has the weight 1 unless bound.
    ///
    /// # Errors
    /// [`Error::Data`]: missing multipliers, wrong shapes or types.
    pub(crate) fn with_multipliers(
        mut self,
        kernel: &Kernel,
        inputs: &Inputs,
        kept: &BTreeMap<String, Array>,
    ) -> Result<Bound, Error> {
        let func = kernel.func();
        let mut missing = Vec::new();
        for result in &kernel.lowered().results {
            let data = &func.buffers[result.buffer];
            let name = format!("{MULTIPLIERS}{}", result.name);
            match inputs.arrays.get(&name).or_else(|| kept.get(&name)) {
                Some(array) => self.weights.extend(self.multiplier(data, array)?),
                None if is_one_unless_bound(kernel, result) => self.weights.push(1.0),
                None => missing.push(format!("`{MULTIPLIERS}{}` ({})", result.name, shape_text(data, func))),
            }
        }
        if missing.is_empty() {
            return Ok(self);
        }
        let (name, missing) = (kernel.name(), missing.join(", "));
        Err(Error::Data(format!("the Lagrangian of `{name}` needs multipliers: bind {missing}")))
    }

    /// The multipliers of one result.
    pub(crate) fn multiplier(&self, data: &BufferData, array: &Array) -> Result<Vec<f64>, Error> {
        let dims: Option<Vec<usize>> =
            data.dims.iter().map(|d| usize::try_from(self.eval(d)?).ok()).collect();
        let dims = dims.unwrap_or_default();
        let name = format!("{MULTIPLIERS}{}", data.name);
        if dims != array.shape() && !(dims.is_empty() && array.len() == 1) {
            return Err(Error::Data(format!(
                "`{name}` has shape {}, but an array of shape {} was given",
                Shape(&dims),
                Shape(array.shape())
            )));
        }
        Ok(array.to_f64(&name)?.into_owned())
    }
}
