//! A derivative program with its index program: IR, and machine code made on first use.

use crate::compiler::check_invariants;
use crate::error::Error;
use crate::native::{NativeEval, NativeIndex};
use spadina_codegen::options::{Batch, Options as CodeOptions};
use spadina_ir::func::Func;
use spadina_ir::verify::verify;
use spadina_layout::site::SlotLayout;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What evaluates, and what prepare runs.
#[derive(Debug)]
pub struct Program {
    /// Evaluation: outputs and matrix entries.
    pub eval: Func,
    /// Prepare: subscripts and the places of entries.
    pub index: Func,
    native: Mutex<Native>,
}

#[derive(Default)]
struct Native {
    index: BTreeMap<bool, Arc<NativeIndex>>,
    eval: BTreeMap<(bool, SlotLayout), Arc<NativeEval>>,
    /// By threads and lanes: what takes several directions in a call.
    batched: BTreeMap<(bool, usize), Arc<NativeEval>>,
}

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Native").field("layouts", &self.eval.keys()).finish_non_exhaustive()
    }
}

impl Program {
    /// A program and the index program made for it.
    pub(crate) fn new(eval: Func, index: Func) -> Result<Program, Error> {
        for func in [&eval, &index] {
            check_invariants(&func.name, &verify(func))?;
        }
        Ok(Program { eval, index, native: Mutex::default() })
    }

    /// The index program in machine code; `owned` where several threads will evaluate.
    pub(crate) fn native_index(&self, owned: bool) -> Result<Arc<NativeIndex>, Error> {
        let mut native = self.native.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = native.index.get(&owned) {
            return Ok(Arc::clone(found));
        }
        let options = CodeOptions { owned, ..CodeOptions::default() };
        let (index, eval) = NativeIndex::compile(self, &options)?;
        let index = Arc::new(index);
        native.index.insert(owned, Arc::clone(&index));
        native.eval.insert((owned, eval.layout()), eval);
        Ok(index)
    }

    /// The program of a product in machine code that takes several directions in a call; it has no matrix entries.
    pub(crate) fn native_batch(
        &self,
        index: &NativeIndex,
        owned: bool,
        batch: Batch,
        layout: SlotLayout,
    ) -> Result<Arc<NativeEval>, Error> {
        let mut native = self.native.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (owned, batch.lanes);
        if let Some(found) = native.batched.get(&key) {
            return Ok(Arc::clone(found));
        }
        let options = CodeOptions { owned, batch: Some(batch), ..CodeOptions::default() };
        let made = Arc::new(NativeEval::compile(&self.eval, index, layout, &options)?);
        native.batched.insert(key, Arc::clone(&made));
        Ok(made)
    }

    /// The evaluation program in machine code for slot records of this layout.
    pub(crate) fn native_eval(
        &self,
        index: &NativeIndex,
        owned: bool,
        layout: SlotLayout,
    ) -> Result<Arc<NativeEval>, Error> {
        let mut native = self.native.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = native.eval.get(&(owned, layout)) {
            return Ok(Arc::clone(found));
        }
        let options = CodeOptions { owned, ..CodeOptions::default() };
        let made = Arc::new(NativeEval::compile(&self.eval, index, layout, &options)?);
        native.eval.insert((owned, layout), Arc::clone(&made));
        Ok(made)
    }
}
