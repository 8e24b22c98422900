//! How a derivative is computed and what it costs, without data.

use crate::choice;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::options::Derivative;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Func, InstData, Value};
use spadina_ir::op::Op;
use spadina_ir::span::Span;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::analysis::cost::{self, PhaseCost};
use spadina_passes::pipeline::{self, Road, Sparse};
use spadina_passes::sparse::rows::{self, Part};
use spadina_passes::sparse::stages;
use std::collections::BTreeSet;
use std::time::Duration;

/// How one derivative is computed.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Which.
    pub derivative: Derivative,
    /// How it is computed, in words; `None` where the structural road refuses.
    pub road: Option<&'static str>,
    /// Intermediate arrays that are eliminated from the matrix.
    pub stages: Vec<String>,
    /// What it costs, phase by phase.
    pub phases: Vec<Phase>,
    /// Whether the automatic choice compares it with products, once sizes are known.
    pub compared: bool,
    /// Why the structural road refuses; then the phases are those of the dense program.
    pub refused: Vec<Diagnostic>,
}

/// One phase of an evaluation.
#[derive(Clone, Debug)]
pub struct Phase {
    /// The range of its loop, such as `0..E`, or which rows it computes; `None` for what runs once.
    pub range: Option<String>,
    /// Line in the source, from 1; `None` where it belongs to no line.
    pub line: Option<usize>,
    /// The name of the sum that it computes (`#[name("..")]`).
    pub name: Option<String>,
    /// Operations and entries of one iteration.
    pub cost: PhaseCost,
}

impl Explanation {
    /// Operations by kind, one iteration of each phase.
    pub fn operations(&self) -> Vec<(Op, u64)> {
        let mut all = std::collections::BTreeMap::new();
        for (&op, &count) in self.phases.iter().flat_map(|p| &p.cost.operations) {
            *all.entry(op).or_default() += count;
        }
        all.into_iter().collect()
    }
}

impl Kernel {
    /// How a derivative of this kernel is computed, and what one iteration of each of its loops costs.
    ///
    /// # Errors
    /// As [`Kernel::derive`], but for refusals of the structural road, which are part of the explanation.
    pub fn explain(&self, derivative: Derivative, wrt: Option<&[String]>) -> Result<Explanation, Error> {
        let primal = self.differentiable(derivative, wrt)?;
        let plain = |func: &Func, road| self.explained(derivative, func, Some(road), Vec::new());
        let refuse = |diagnostic| self.refusal(diagnostic);
        let sparse = match derivative {
            Derivative::Value => {
                return Ok(plain(pipeline::value(&primal).map_err(refuse)?.func(), "as written"));
            }
            Derivative::Gradient => {
                let gradient = pipeline::gradient(&primal, Weights::One).map_err(refuse)?;
                return Ok(plain(gradient.func(), "reverse mode, recomputing"));
            }
            Derivative::Jacobian | Derivative::GaussNewton => pipeline::jacobian(&primal),
            Derivative::Hessian => pipeline::hessian(&primal, Weights::One),
            Derivative::Lagrangian => pipeline::hessian(&primal, Weights::Inputs),
        };
        match sparse {
            Ok(sparse) => {
                let (sparse, road) = road_of(sparse);
                Ok(self.explained(derivative, &sparse.eval, Some(road), Vec::new()))
            }
            Err(diagnostic) => {
                let below = match derivative {
                    Derivative::Hessian => pipeline::gradient(&primal, Weights::One).map_err(refuse)?,
                    Derivative::Lagrangian => pipeline::gradient(&primal, Weights::Inputs).map_err(refuse)?,
                    _ => pipeline::value(&primal).map_err(refuse)?,
                };
                Ok(self.explained(derivative, below.func(), None, vec![diagnostic]))
            }
        }
    }

    /// The passes that make the program of a derivative, in order, and how long each took.
    ///
    /// # Errors
    /// As [`Kernel::derive`].
    pub fn timings(
        &self,
        derivative: Derivative,
        wrt: Option<&[String]>,
    ) -> Result<Vec<(&'static str, Duration)>, Error> {
        let primal = self.differentiable(derivative, wrt)?;
        let refuse = |diagnostic| self.refusal(diagnostic);
        let trace = match derivative {
            Derivative::Value => pipeline::value(&primal).map_err(refuse)?,
            Derivative::Gradient => pipeline::gradient(&primal, Weights::One).map_err(refuse)?,
            Derivative::Jacobian | Derivative::GaussNewton => {
                road_of(pipeline::jacobian(&primal).map_err(refuse)?).0.trace
            }
            Derivative::Hessian => road_of(pipeline::hessian(&primal, Weights::One).map_err(refuse)?).0.trace,
            Derivative::Lagrangian => {
                road_of(pipeline::hessian(&primal, Weights::Inputs).map_err(refuse)?).0.trace
            }
        };
        Ok(trace.steps().iter().map(|step| (step.pass, step.time)).collect())
    }

    fn explained(
        &self,
        derivative: Derivative,
        func: &Func,
        road: Option<&'static str>,
        refused: Vec<Diagnostic>,
    ) -> Explanation {
        let line = |(start, end): (u32, u32)| (end > 0).then(|| self.source().line_col(start).0);
        let phases = cost::phases(func);
        let parts = rows::parts(func);
        let phases = phases.into_iter().map(|cost| Phase {
            range: cost.root.map(|inst| match (parts.get(&inst), &func.insts[inst]) {
                (Some((Part::Inside, of)), _) => format!("each row of {} inside", names(func, of)),
                (Some((Part::Border, of)), _) => format!("each row of {} at a border", names(func, of)),
                (_, InstData::Loop { lo, hi, .. }) => format!("{}..{}", bound(func, *lo), bound(func, *hi)),
                _ => String::new(),
            }),
            line: line(cost.span),
            name: self.term_name(Span { start: cost.span.0, end: cost.span.1 }).map(str::to_owned),
            cost,
        });
        let stages = stages::listed(func).map(|stage| func.buffers[stage].name.clone());
        let (stages, phases) = (stages.collect(), phases.collect());
        let compared = derivative.has_matrix() && road.is_some() && choice::is_open(self, derivative);
        Explanation { derivative, road, stages, phases, compared, refused }
    }
}

/// The program that runs here, and in words how it was made.
fn road_of(sparse: Sparse) -> (Sparse, &'static str) {
    if stages::listed(&sparse.eval).next().is_some() {
        return (
            sparse,
            "structural: sweeps from each row, intermediate arrays eliminated by sparse products",
        );
    }
    match (pipeline::affine(&sparse), sparse.road) {
        (Some(rows), _) if rows::parts(&rows.eval).values().any(|part| part.0 == Part::Element) => {
            let how = "structural: terms over some arrays row by row (rows follow from the loops), each entry stored once; the others element by element";
            (rows, how)
        }
        (Some(rows), _) => {
            (rows, "structural: row by row, each entry stored once (rows follow from the loops)")
        }
        (None, Road::Elimination) => (sparse, "structural: elimination inside each element"),
        (None, Road::Blocks) => {
            (sparse, "structural: elimination inside each element, its loops kept, one block an element")
        }
        (None, Road::Sweeps) => (sparse, "structural: a sweep from each row to the unknowns"),
    }
}

fn names(func: &Func, buffers: &BTreeSet<Buffer>) -> String {
    let names: Vec<&str> = buffers.iter().map(|&buffer| &func.buffers[buffer].name[..]).collect();
    names.join(", ")
}

fn bound(func: &Func, value: Value) -> String {
    match func.def(value) {
        Some(InstData::Size(expr)) => spadina_ir::text::size::show(expr, &func.sizes).to_string(),
        _ => func.as_int(value).map_or_else(|| "?".to_owned(), |n| n.to_string()),
    }
}
