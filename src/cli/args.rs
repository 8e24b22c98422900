//! The command line as clap reads it.

use clap::{Args, Parser, Subcommand, ValueEnum};
use spadina::options::{Decompression, Engine, Format, Mode, Options, Project, Strategy};
use spadina_runtime::partition::MOST;
use std::path::PathBuf;
use std::str::FromStr;

/// Compiles energies to their sparse derivatives.
///
/// Exit codes: 0 ok, 1 errors in the source or a refused derivative, 2 usage, 3 verification failed, 4 bad data, 101 internal.
#[derive(Debug, Parser)]
#[command(name = "spadina", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Evaluate a kernel: value, gradient or residual, sparse matrix.
    Run(RunArgs),
    /// Measure kernels on this machine: compile, prepare, rebind, evaluate.
    Bench(BenchArgs),
    /// Report every error of source files; verify kernels and their derivatives.
    Check(CheckArgs),
    /// Write a native object and its C header, or texts.
    Compile(CompileArgs),
    /// Print a derivative program, or every step on the way to it.
    Derive(DeriveArgs),
    /// Draw the sparsity pattern of a kernel or of a matrix file.
    Spy(SpyArgs),
    /// Detect the sparsity pattern of a kernel's derivatives, without computing them.
    Sparsity(SparsityArgs),
    /// Color the columns or rows of a pattern, so that few products with directions give the matrix.
    Color(ColorArgs),
    /// Check a kernel's matrix in every way it can be computed: structural, compressed, dense, by products.
    Verify(VerifyArgs),
    /// Write generated inputs as .npy files.
    Gen(GenArgs),
    /// Explain the code of a message, or how a kernel is derived and what it costs.
    Explain(ExplainArgs),
}

/// Which kernel.
#[derive(Debug, Args)]
pub(crate) struct KernelArgs {
    /// Source file.
    #[arg(value_name = "K.ir")]
    pub(crate) file: PathBuf,
    /// Name of the kernel, where the file has several.
    #[arg(long, value_name = "NAME")]
    pub(crate) kernel: Option<String>,
}

/// What a kernel is bound to.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Directory of NAME.npy files, or NAME=FILE.npy, or NAME=NUMBER; later ones override earlier ones.
    #[arg(long, value_name = "DIR|NAME=FILE|NAME=NUMBER")]
    pub(crate) data: Vec<String>,
    /// Value of a size that no array tells.
    #[arg(long, value_name = "NAME=N")]
    pub(crate) size: Vec<String>,
    /// Mesh (.obj, .off, .mesh) whose vertices, faces, edges and tets are bound by name (x, vertices, faces, edges, tets, hinges, ..)
    /// or else by shape: index arrays of 2, 3, 4 columns, float arrays of 3 (or 2) columns over the vertices.
    #[arg(long, value_name = "FILE")]
    pub(crate) mesh: Option<PathBuf>,
}

/// How it is computed.
#[derive(Debug, Args)]
pub(crate) struct MethodArgs {
    /// Parameters to differentiate by: variables or float data.
    #[arg(long, value_name = "x,..", value_delimiter = ',')]
    pub(crate) wrt: Option<Vec<String>>,
    /// Threads of an evaluation, 1 to 255; results have the same bits for any number.
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST as i64))]
    pub(crate) threads: u32,
    /// jit or interp.
    #[arg(long, default_value = "jit")]
    pub(crate) engine: Engine,
    /// auto, structural, compressed or dense.
    #[arg(long, default_value = "auto")]
    pub(crate) strategy: Strategy,
    /// Products of the strategy compressed: fwd, rev or mixed of a Jacobian, fwd-over-rev, rev-over-fwd or rev-over-rev of a
    /// Hessian, or auto.
    #[arg(long, default_value = "auto")]
    pub(crate) mode: Mode,
    /// How entries are found in products: direct, substitution (fewer products, for symmetric matrices and mode mixed), or auto.
    #[arg(long, default_value = "auto")]
    pub(crate) decompression: Decompression,
    /// Make the Hessian of every element positive semidefinite: clamp or abs (with the smallest eigenvalue: clamp=1e-9), off, or as the
    /// kernel says.
    #[arg(long, value_name = "clamp|abs|off", default_value = "as-written")]
    pub(crate) project: Project,
}

impl MethodArgs {
    pub(crate) fn options(&self, derivative: spadina::options::Derivative) -> Options {
        Options {
            wrt: self.wrt.clone(),
            engine: self.engine,
            strategy: self.strategy,
            mode: self.mode,
            decompression: self.decompression,
            project: self.project,
            threads: self.threads as usize,
            ..Options::new(derivative)
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) kernel: KernelArgs,
    /// What to compute: a matrix (jacobian, hessian, lagrangian, gauss-newton), grad, value or residual, products (jvp, vjp, hvp),
    /// derivative, second-derivative.
    #[arg(long, value_name = "WHAT,..", value_delimiter = ',')]
    pub(crate) derive: Option<Vec<What>>,
    #[command(flatten)]
    pub(crate) method: MethodArgs,
    #[command(flatten)]
    pub(crate) assembly: AssemblyArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Direction of jvp and hvp: one number for each unknown, or several such rows; with NAME the unknowns of one array, the others zero.
    #[arg(long, value_name = "FILE|NAME=FILE")]
    pub(crate) tangent: Vec<String>,
    /// Weights of vjp: one number for each result, or several such rows; with NAME those of one result, the others zero.
    #[arg(long, value_name = "FILE|NAME=FILE")]
    pub(crate) cotangent: Vec<String>,
    /// Write a result: matrices to .npz, .mtx or .npy (dense), everything else to .npy.
    #[arg(short = 'o', long = "output", value_name = "WHAT=FILE")]
    pub(crate) output: Vec<String>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which entries of the matrix, and how they are stored.
#[derive(Debug, Args)]
pub(crate) struct AssemblyArgs {
    /// Rows of a mixed block of the Hessian, where `--wrt` names its columns.
    #[arg(long, value_name = "x,..", value_delimiter = ',')]
    pub(crate) rows: Option<Vec<String>>,
    /// Storage of the matrix, and of .npz files: csr, csc, coo, bsr (blocks by the unknowns' last axes), or bsr:RxC.
    #[arg(long, value_name = "FORMAT", default_value = "csr")]
    pub(crate) assemble: Assemble,
    /// Only entries on and below the diagonal.
    #[arg(long, conflicts_with = "upper")]
    pub(crate) lower: bool,
    /// Only entries on and above the diagonal.
    #[arg(long)]
    pub(crate) upper: bool,
    /// Unknowns that do not move: truth values (a mask over all unknowns, or with NAME over one array or its leading axes) or a list
    /// of numbers counted over all unknowns.
    #[arg(long, value_name = "FILE|NAME=FILE")]
    pub(crate) fixed: Vec<String>,
    /// What happens to rows and columns of fixed unknowns: drop, or identity.
    #[arg(long, value_name = "RULE", default_value = "drop")]
    pub(crate) fixed_rule: Rule,
}

/// `csr`, `csc`, `coo`, `bsr` or `bsr:3x3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assemble {
    /// A format as it stands.
    Format(Format),
    /// Blocks by the last axes of the unknowns.
    Blocks,
}

impl FromStr for Assemble {
    type Err = String;

    fn from_str(text: &str) -> Result<Assemble, String> {
        Ok(match text {
            "csr" => Assemble::Format(Format::Csr),
            "csc" => Assemble::Format(Format::Csc),
            "coo" => Assemble::Format(Format::Coo),
            "bsr" => Assemble::Blocks,
            _ => {
                let size = text.strip_prefix("bsr:").and_then(|size| size.split_once('x'));
                let size = size.and_then(|(rows, cols)| Some((rows.parse().ok()?, cols.parse().ok()?)));
                let size = size.filter(|&(rows, cols): &(usize, usize)| rows > 0 && cols > 0);
                let (rows, cols) = size.ok_or("expected csr, csc, coo, bsr or bsr:RxC")?;
                Assemble::Format(Format::Bsr(rows, cols))
            }
        })
    }
}

/// What happens to rows and columns of fixed unknowns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rule {
    /// They are removed.
    Drop,
    /// They stay, with a one on the diagonal.
    Identity,
}

/// The matrices, for messages.
pub(crate) const MATRICES: &str = "jacobian, hessian, lagrangian or gauss-newton";

/// A result by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum What {
    /// The value, or every result.
    Value,
    /// The gradient of an energy.
    #[value(alias = "gradient")]
    Grad,
    /// Every result, as one vector.
    Residual,
    /// The sparse Jacobian of the results.
    Jacobian,
    /// The sparse Hessian of an energy; of the Lagrangian where multipliers are given.
    Hessian,
    /// The sparse Hessian of the Lagrangian.
    Lagrangian,
    /// `J^T J`.
    #[value(alias = "gauss_newton")]
    GaussNewton,
    /// `J v`.
    Jvp,
    /// `J^T w`.
    Vjp,
    /// `H v`.
    Hvp,
    /// The derivative of every result by one number.
    Derivative,
    /// The second derivative of every result by one number.
    #[value(alias = "second_derivative")]
    SecondDerivative,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Source files.
    #[arg(value_name = "K.ir", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Name of the kernel, where a file has several.
    #[arg(long, value_name = "NAME")]
    pub(crate) kernel: Option<String>,
    /// What to compute: value, grad, jacobian, hessian and so on (the largest if nothing is named).
    #[arg(long, value_name = "WHAT,..", value_delimiter = ',')]
    pub(crate) derive: Option<Vec<What>>,
    #[command(flatten)]
    pub(crate) method: MethodArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Write the figures to a file, for `--compare`.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) save: Option<PathBuf>,
    /// Show ratios to figures that `--save` wrote.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) compare: Option<PathBuf>,
    /// What to show besides.
    #[arg(long, value_name = "KIND,..", value_delimiter = ',')]
    pub(crate) emit: Vec<BenchEmit>,
    /// Print a JSON object for each kernel instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `bench` shows besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchEmit {
    /// The time of each pass.
    Timing,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Source files (.ir), or programs in SSA form (.ssa).
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    #[command(flatten)]
    pub(crate) kernel: KernelArgs,
    /// What to write; obj and header if nothing is named.
    #[arg(long, value_name = "KIND,..", value_delimiter = ',')]
    pub(crate) emit: Vec<Emit>,
    /// What to compute: value, grad, jacobian, hessian, lagrangian (the largest counts).
    #[arg(long, value_name = "WHAT,..", value_delimiter = ',', hide_possible_values = true)]
    pub(crate) derive: Option<Vec<What>>,
    /// Parameters to differentiate by.
    #[arg(long, value_name = "x,..", value_delimiter = ',')]
    pub(crate) wrt: Option<Vec<String>>,
    /// Machine to compile for, for example aarch64-unknown-linux-gnu; this one if none is named.
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// Output file; with several kinds, their endings replace that of PATH.
    #[arg(short = 'o', long = "output", value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
}

/// What `compile` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Emit {
    /// Native object.
    Obj,
    /// C header.
    Header,
    /// Programs in SSA form.
    Ssa,
    /// Cranelift IR.
    Clif,
    /// Disassembly.
    Asm,
}

#[derive(Debug, Args)]
pub(crate) struct DeriveArgs {
    #[command(flatten)]
    pub(crate) kernel: KernelArgs,
    /// value, grad, jacobian or hessian.
    #[arg(long, value_name = "WHAT,..", value_delimiter = ',')]
    pub(crate) derive: Option<Vec<What>>,
    /// Parameters to differentiate by.
    #[arg(long, value_name = "x,..", value_delimiter = ',')]
    pub(crate) wrt: Option<Vec<String>>,
    /// Print the program after each run of this pass, or after every step (`all`).
    #[arg(long, value_name = "PASS|all")]
    pub(crate) print_after: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SpyArgs {
    /// Kernel (.ir) or matrix (.mtx, .npz, or dense .npy).
    #[arg(value_name = "K.ir|M.mtx")]
    pub(crate) file: PathBuf,
    /// Name of the kernel, where the file has several.
    #[arg(long, value_name = "NAME")]
    pub(crate) kernel: Option<String>,
    /// The matrix: jacobian, hessian, lagrangian or gauss-newton.
    #[arg(long, value_name = "WHAT,..", value_delimiter = ',', hide_possible_values = true)]
    pub(crate) derive: Option<Vec<What>>,
    #[command(flatten)]
    pub(crate) method: MethodArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Draw an SVG picture instead.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Draw a PNG picture instead.
    #[arg(long, value_name = "FILE")]
    pub(crate) png: Option<PathBuf>,
    /// Paint entries by the color of the product that they are read from.
    #[arg(long)]
    pub(crate) colors: bool,
    /// Which lines are colored; symmetric where the pattern is, else column.
    #[arg(long, value_name = "LINES", requires = "colors")]
    pub(crate) partition: Option<Lines>,
    /// Draw the compressed matrix: its columns are the products of the colors. Where rows are colored, too, their products are below.
    #[arg(long, requires = "colors")]
    pub(crate) compressed: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SparsityArgs {
    #[command(flatten)]
    pub(crate) kernel: KernelArgs,
    /// 1: Jacobian of the results, 2: Hessian of their sum; for an energy 2 if nothing is named, else 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) order: Option<u8>,
    /// At the bound values only: the branches taken, no products with zero.
    #[arg(long)]
    pub(crate) local: bool,
    /// Parameters to differentiate by.
    #[arg(long, value_name = "x,..", value_delimiter = ',')]
    pub(crate) wrt: Option<Vec<String>>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Write the pattern: .mtx without values, or .npz with ones.
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ColorArgs {
    /// Pattern (.mtx, .npz, or dense .npy), or kernel (.ir) whose pattern is detected.
    #[arg(value_name = "PATTERN.mtx|K.ir")]
    pub(crate) file: PathBuf,
    /// Name of the kernel, where the file has several.
    #[arg(long, value_name = "NAME")]
    pub(crate) kernel: Option<String>,
    /// Parameters to differentiate by.
    #[arg(long, value_name = "x,..", value_delimiter = ',')]
    pub(crate) wrt: Option<Vec<String>>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Which lines are grouped; symmetric for the Hessian of an energy, column for everything else.
    #[arg(long, value_name = "LINES")]
    pub(crate) partition: Option<Lines>,
    /// How entries are read from products: directly, or solved for one after the other (symmetric, bidirectional).
    #[arg(long, value_name = "HOW", default_value = "direct")]
    pub(crate) decompression: Decompress,
    /// Orders to try, of which the best is kept: natural, largest-first, smallest-last, incidence-degree, dynamic-largest-first,
    /// perfect-elimination, random or random:SEED.
    #[arg(
        long,
        value_name = "NAME,..",
        value_delimiter = ',',
        default_value = "smallest-last,largest-first,natural"
    )]
    pub(crate) order: Vec<String>,
    /// Give up colors that no entry is read from.
    #[arg(long)]
    pub(crate) postprocess: bool,
    /// Verify the colors in a file, written by `-o`, instead of making new ones.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["order", "postprocess"])]
    pub(crate) given: Option<PathBuf>,
    /// Write the colors of columns, then rows: `.npy` as a vector of numbers from 1 (0: none); `.mtx` or `.npz` as the matrix of
    /// directions, with a row for each line and a column for each color.
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which lines of a matrix are colored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lines {
    /// Columns of any matrix.
    Column,
    /// Rows of any matrix.
    Row,
    /// Rows and columns of any matrix.
    Bidirectional,
    /// Columns of a symmetric matrix.
    Symmetric,
}

/// How entries are read from products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Decompress {
    /// Each is one element of a product.
    Direct,
    /// Solved for along trees.
    Substitution,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) kernel: KernelArgs,
    /// The matrix: jacobian, hessian, lagrangian or gauss-newton.
    #[arg(long, value_name = "WHAT,..", value_delimiter = ',', hide_possible_values = true)]
    pub(crate) derive: Option<Vec<What>>,
    /// Parameters to differentiate by.
    #[arg(long, value_name = "x,..", value_delimiter = ',')]
    pub(crate) wrt: Option<Vec<String>>,
    /// jit or interp.
    #[arg(long, default_value = "jit")]
    pub(crate) engine: Engine,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GenArgs {
    /// cloth, torus, icosphere, grid, tets, chain, rod or graph.
    #[arg(value_name = "KIND")]
    pub(crate) kind: String,
    /// Size; what it counts depends on the kind.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) size: String,
    /// Directory for the .npy files; made where it does not exist.
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The code of a message, for example `out-of-range` (without one all are listed), or a kernel: how its derivatives are
    /// computed and what they cost.
    #[arg(value_name = "CODE|K.ir")]
    pub(crate) subject: Option<String>,
    /// Name of the kernel, where the file has several.
    #[arg(long, value_name = "NAME")]
    pub(crate) kernel: Option<String>,
    /// value, grad, jacobian, hessian, lagrangian or gauss-newton; without it all that the kernel has.
    #[arg(long, value_name = "WHAT,..", value_delimiter = ',', hide_possible_values = true)]
    pub(crate) derive: Option<Vec<What>>,
    /// Parameters to differentiate by.
    #[arg(long, value_name = "x,..", value_delimiter = ',')]
    pub(crate) wrt: Option<Vec<String>>,
    /// Count the operations by kind.
    #[arg(long)]
    pub(crate) ops: bool,
    /// Which terms of the source make this entry of the matrix (rows and columns from 0); needs the data.
    #[arg(long, value_name = "ROW,COLUMN")]
    pub(crate) entry: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}
