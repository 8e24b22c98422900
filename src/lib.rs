//! Spadina: energies in, native sparse Hessians out.
//!
//! A kernel is written in the `.ir` language; Spadina differentiates it in its compiler, finds the sparsity of the result
//! before any number is known, and makes machine code that writes value, gradient and sparse matrix in one pass.
//!
//! ```
//! use spadina::{compiler::Module, inputs::Inputs, options::{Derivative, Options}, problem::Problem};
//!
//! let module = Module::from_text("springs.ir", "
//!     kernel springs<V, E>(x: var vec2[V], edges: index<V>[E, 2], rest: f64 = 1.0) -> f64 {
//!         sum [i, j] in edges { 0.5 * (norm(x[i] - x[j]) - rest)^2 }
//!     }")?;
//! let kernel = module.kernel(None)?;
//!
//! let x = [[0.0, 0.0], [2.0, 0.0], [2.0, 3.0]];
//! let mut inputs = Inputs::new();
//! inputs.set("x", &x).set("edges", &[[0_i64, 1], [1, 2]]);
//!
//! // Once: checks the data, finds the pattern, compiles.
//! let mut problem = Problem::prepare(&kernel, &inputs, &Options::new(Derivative::Hessian))?;
//! // Often: no allocation, no check, no search.
//! let mut at = problem.evaluation();
//! problem.evaluate(&mut at)?;
//! assert_eq!(at.results, [0.5 * 1.0 + 0.5 * 4.0]);
//! assert_eq!(at.gradient, [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0]);
//! let hessian = problem.matrix(&at.matrix);
//! assert_eq!(hessian.get(0, 2), Some(&-1.0));
//!
//! problem.set("x", &[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])?;
//! problem.evaluate(&mut at)?;
//! assert_eq!(at.results, [0.0]);
//! # Ok::<(), spadina::error::Error>(())
//! ```
//!
//! Read [`compiler`], [`kernel`] and [`problem`] in this order. [`error::Error`] says what can go wrong; the same text and
//! exit code reach the user of the `spadina` command.

mod assembly;
pub mod bind;
pub mod choice;
pub mod compiler;
mod compressed;
pub mod detect;
pub mod error;
pub mod explain;
mod export;
mod goal;
pub mod inputs;
pub mod kernel;
mod lint;
mod multipliers;
mod native;
pub mod options;
mod outputs;
mod part;
mod prepare;
pub mod problem;
pub mod product;
pub mod program;
pub mod report;
mod request;
mod road;
pub mod sum;
#[cfg(feature = "faer")]
mod with_faer;
#[cfg(feature = "ndarray")]
mod with_ndarray;
