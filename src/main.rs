//! The `spadina` command.
fn main() {}
