//! Coloring of sparse patterns, to get sparse Jacobians and Hessians from few matrix-vector products.
//!
//! A matrix whose pattern is known and that can be multiplied by vectors (a JVP, VJP or HVP of a program) need not be
//! asked for one column at a time: columns without a common row share one product. This crate finds such groups,
//! says which products to form, and puts the products back into place. It depends on nothing else.
//!
//! ```
//! use spadina_coloring::coloring::Coloring;
//! use spadina_coloring::decompress::{Decompressor, Target};
//! use spadina_coloring::layout::Layout;
//! use spadina_coloring::options::{Options, Partition};
//! use spadina_coloring::order::Order;
//! use spadina_coloring::pattern::Pattern;
//!
//! // The Hessian of a chain of 5 unknowns is tridiagonal.
//! let entries: Vec<(u32, u32)> =
//!     (0..5u32).flat_map(|i| (i.saturating_sub(1)..(i + 2).min(5)).map(move |j| (i, j))).collect();
//! let pattern = Pattern::from_entries(5, 5, &entries)?;
//!
//! let options = Options::new(Partition::Symmetric).orders([Order::Natural, Order::SmallestLast]);
//! let coloring = Coloring::new(&pattern, &options)?;
//! assert_eq!(coloring.n_colors(), 3);
//!
//! // One product of the Hessian (here: 2 on the diagonal, -1 beside it) with the seed of each color.
//! let hvp = |x: &[f64]| -> Vec<f64> {
//!     (0..5).map(|i| 2.0 * x[i] - if i > 0 { x[i - 1] } else { 0.0 } - x.get(i + 1).unwrap_or(&0.0)).collect()
//! };
//! let seeds = coloring.column_seeds(Layout::ByColor);
//! let products: Vec<f64> = seeds.chunks(5).flat_map(hvp).collect();
//!
//! // Prepared once; afterwards decompression is one gather without allocation.
//! let decompressor = Decompressor::new(&coloring, Target::default())?;
//! let mut values = vec![0.0; pattern.nnz()];
//! decompressor.decompress(&products, &mut values)?;
//! assert_eq!(values[..2], [2.0, -1.0]);
//! # Ok::<(), spadina_coloring::error::ColoringError>(())
//! ```
//!
//! | matrix | partition | decompression | coloring |
//! |---|---|---|---|
//! | any | column or row | direct | partial distance-2 |
//! | symmetric | symmetric | direct | star |
//! | symmetric | symmetric | substitution | acyclic |
//! | any | bidirectional | direct | star, of the bipartite graph |
//! | any | bidirectional | substitution | acyclic, of the bipartite graph |
//!
//! Start with [`coloring::Coloring`]. Files of algorithms name the paper and the number of the algorithm.

pub mod acyclic;
pub mod check;
pub mod coloring;
pub mod compress;
pub mod decompress;
mod distance2;
pub mod error;
mod given;
mod graph;
pub mod groups;
pub mod layout;
mod neighbor_colors;
mod neutral;
pub mod optimal;
pub mod options;
pub mod order;
pub mod pattern;
pub mod star;
mod union_find;
