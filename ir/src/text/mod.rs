//! The SSA text (`.ssa`): one operation a line, read and written without loss.
//!
//! ```text
//! func @chain(size N) {                          ; symbolic sizes
//!   buffer x: var f64[N]                         ; role, element type, dimensions
//!   buffer value: output f64
//!   columns x
//!
//!   %0 = for %i in 1 .. N with sum {             ; a reduction of what the region yields
//!     %1 = load x[%i]
//!     %2 = iadd %i, -1
//!     %3 = load x[%2]
//!     %4 = sub %1, %3
//!     %5 = mul %4, %4
//!     yield %5
//!   }
//!   accum value += %0
//! }
//! ```
//!
//! # Grammar
//! ```text
//! func    = "func" "@" name "(" ["size" name {"," "size" name}] ")" "{" {decl} {inst} "}"
//! decl    = "buffer" name ":" role type ["[" sizes "]"] [entries] [plane] ["=" number]
//!         | "columns" names | "rows" names
//! role    = "var" | "data" | "structural" | "scratch" | "output"
//! entries = "index" "(" sizes ")" | "offsets" "(" size ")"
//! plane   = "tangent" "(" name ")" | "adjoint" "(" name ")" | "block" "(" name "," name ")"
//! inst    = value "=" op operands | value "=" ("load" | "position") place | "check" place
//!         | "accum" place "+=" operand | "reset" name
//!         | [values "="] "for" value "in" operand ".." operand ["step" int] ["with" carries] "{" block "}"
//!         | [values "="] "if" operand "{" block "}" ["else" "{" block "}"]
//!         | "emit" "#" int ["symmetric"] ("at" list | "rows" list "cols" list) "{" {"(" int "," int ")" ["+=" operand]} "}"
//!         | value "=" "const" literal | value "=" "size" size
//! carries = carry {"," carry}      carry = "sum" | "prod" | "min" | "max" | "state" value "=" operand
//! block   = {inst} ["yield" operands]
//! place   = name ["[" operands "]"]                              list = "[" operands "]"
//! operand = value | literal | name of a size | "(" size ")"
//! literal = "true" | "false" | int | float like 1.0 1e-9 inf nan | float "_f32"
//! ```
//! A name that is no plain word is quoted: `"odd name"`. `;` and `//` start comments. Line breaks mean nothing.
//!
//! # What a round trip keeps
//! Everything but source spans, entity numbers and where literals and sizes are defined: those are written where they
//! are used, and read back as one instruction before their first use in the innermost region. So
//! `print(parse(print(f))) == print(f)`, always.

pub mod error;
mod lexer;
pub mod parser;
pub mod printer;
pub mod size;

pub use error::TextError;
pub use parser::parse;
pub use printer::print;
