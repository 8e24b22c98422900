//! The `spadina` command: one file a subcommand.
//!
//! stdout is for results, stderr for everything else. Exit codes are those of [`spadina::error::Error::exit_code`].

mod args;
mod assembly;
mod bench;
mod check;
mod codes;
mod color;
mod compile;
mod console;
mod data;
mod derive;
mod direction;
mod example;
mod explain;
mod generate;
mod mesh;
mod pattern;
mod result;
mod run;
mod sparsity;
mod spy;
mod staged;
mod verify;

use args::{Cli, Command};
use clap::error::{ContextKind, ContextValue, Error as Misuse};
use clap::{CommandFactory, Parser};
use spadina_ir::frontend::suggest::nearest;
use std::process::ExitCode;

pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(mut error) => {
            suggest(&mut error);
            // Help and version go to stdout and are no errors.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let done = match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Bench(args) => bench::bench(args),
        Command::Check(args) => check::check(args),
        Command::Compile(args) => compile::compile(args),
        Command::Derive(args) => derive::derive(args),
        Command::Spy(args) => spy::spy(args),
        Command::Sparsity(args) => sparsity::sparsity(args),
        Command::Color(args) => color::color(args),
        Command::Verify(args) => verify::verify(args),
        Command::Gen(args) => generate::generate(args),
        Command::Explain(args) => explain::explain(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Names the command nearest to an unknown one.
fn suggest(error: &mut Misuse) {
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidSubcommand) else { return };
    let command = Cli::command();
    let near = nearest(given, command.get_subcommands().map(clap::Command::get_name)).map(str::to_owned);
    error.remove(ContextKind::SuggestedSubcommand);
    if let Some(near) = near {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![near]));
    }
}
