//! The other road to a sparse matrix: few products with batches of directions, put back into place by a coloring.
//!
//! Nothing here knows programs: products come from closures, a compiled derivative program or the user's own code alike. Start
//! with [`evaluate::Compressed`]; [`choose`] picks the products to form.
//!
#![doc = include_str!("../../docs/black-box.md")]

pub mod choose;
pub mod directions;
pub mod evaluate;
mod moves;
