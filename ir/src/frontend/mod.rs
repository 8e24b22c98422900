//! The `.ir` language: text to syntax tree to SSA.

pub mod ast;
mod builtin;
pub mod compile;
mod items;
pub mod lexer;
mod lower;
pub mod parser;
pub mod pretty;
pub mod program;
pub mod suggest;
