//! The `.ir` language: text to syntax tree to SSA.

pub mod ast;
pub mod lexer;
pub mod parser;
pub mod pretty;
