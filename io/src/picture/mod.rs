//! Pictures of sparsity patterns and meshes: text for a terminal, SVG, PNG.

mod canvas;
mod font;
mod frame;
pub mod mesh;
pub mod palette;
pub mod pattern;
pub mod png;
mod raster;
pub mod svg;
pub mod text;
pub mod view;
