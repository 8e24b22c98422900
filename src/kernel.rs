//! A kernel and its derivative programs, made on first use and kept.

use crate::compiler::check_invariants;
use crate::error::Error;
use crate::goal::{self, Goal};
use crate::multipliers::is_one_unless_bound;
use crate::options::{Derivative, Options, Project};
use crate::product::Kind;
use crate::program::Program;
use crate::report::Report;
use crate::request::{Request, Without};
use spadina_ir::diag::Diagnostic;
use spadina_ir::frontend::program::{Derive, Kernel as Lowered, KernelResult, Param};
use spadina_ir::func::{Func, Plane, Role};
use spadina_ir::span::{SourceFile, Span};
use spadina_ir::verify::verify;
use spadina_layout::filter::Triangle;
use spadina_passes::ad::given;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::pipeline::{self, Matrix, Nesting, Step};
use spadina_passes::sparse::project;
use spadina_passes::sparse::stages;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A kernel: cheap to clone, shared between threads.
#[derive(Clone, Debug)]
pub struct Kernel {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Arc<SourceFile>,
    lowered: Lowered,
    programs: Mutex<BTreeMap<Key, Arc<Program>>>,
    /// How it differs from what is written.
    project: Project,
    /// The same kernel projected otherwise, made on first use.
    projected: Mutex<Vec<Kernel>>,
}

/// Which program.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    goal: Goal,
    /// Names of the unknowns that give columns, in declaration order.
    columns: Vec<String>,
    /// Those that give rows, where these are others.
    rows: Option<Vec<String>>,
    weighted: bool,
    without: Without,
    nesting: Nesting,
}

impl Kernel {
    pub(crate) fn new(source: &Arc<SourceFile>, lowered: Lowered) -> Kernel {
        Kernel::variant(source, lowered, Project::AsWritten)
    }

    fn variant(source: &Arc<SourceFile>, lowered: Lowered, project: Project) -> Kernel {
        let (programs, projected) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
        let source = Arc::clone(source);
        Kernel { shared: Arc::new(Shared { source, lowered, programs, project, projected }) }
    }

    /// A kernel made from a program in the IR instead of a text; messages about it have no source lines. A derivative program is
    /// a program like any other here: its tangents and adjoints are parameters and results.
    ///
    /// # Errors
    /// [`Error::Verification`] where the program breaks an invariant.
    pub fn from_func(mut func: Func) -> Result<Kernel, Error> {
        let buffers: Vec<_> = func.buffers.keys().collect();
        for buffer in buffers {
            func.buffers[buffer].plane = Plane::Primal;
        }
        // Rows are for programs that emit entries; those of a kernel are its results.
        func.rows = func.buffers_of(Role::Output).filter(|&y| !func.buffers[y].dims.is_empty()).collect();
        check_invariants(&func.name, &verify(&func))?;
        let inputs = func.buffers.iter().filter(|(_, data)| is_input(data.role));
        let params = inputs.map(|(buffer, data)| Param {
            name: data.name.clone(),
            docs: Vec::new(),
            is_var: data.role == Role::Var,
            buffers: vec![buffer],
            fixed: Vec::new(),
            span: Span::default(),
        });
        let results = func.buffers_of(Role::Output).map(|buffer| KernelResult {
            name: func.buffers[buffer].name.clone(),
            buffer,
            dims: func.buffers[buffer].dims.clone(),
        });
        let lowered = Lowered {
            name: func.name.clone(),
            docs: Vec::new(),
            params: params.collect(),
            results: results.collect(),
            derive: Vec::new(),
            example: None,
            terms: Vec::new(),
            allow: Vec::new(),
            span: Span::default(),
            func,
        };
        let source = Arc::new(SourceFile::new(lowered.name.clone(), ""));
        Ok(Kernel::new(&source, lowered))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.lowered.name
    }

    /// The same kernel with element Hessians projected as asked.
    #[must_use]
    pub fn projected(&self, project: Project) -> Kernel {
        let change: &dyn Fn(&Func) -> Func = match project {
            Project::AsWritten => return self.clone(),
            _ if project == self.shared.project => return self.clone(),
            Project::Off if !self.is_projected() => return self.clone(),
            Project::Off => &project::unmarked,
            Project::All(projection) => &move |func| project::marked(func, projection),
        };
        let mut known = self.shared.projected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.iter().find(|kernel| kernel.shared.project == project) {
            return found.clone();
        }
        let mut lowered = self.shared.lowered.clone();
        lowered.func = change(&lowered.func);
        let made = Kernel::variant(&self.shared.source, lowered, project);
        known.push(made.clone());
        made
    }

    /// Whether unknowns are named that do not move (`#[fixed(..)]`).
    pub fn has_fixed(&self) -> bool {
        self.shared.lowered.params.iter().any(|param| !param.fixed.is_empty())
    }

    /// The same kernel with every unknown free: without its `#[fixed(..)]`.
    #[must_use]
    pub fn freed(&self) -> Kernel {
        if !self.has_fixed() {
            return self.clone();
        }
        let mut lowered = self.shared.lowered.clone();
        lowered.params.iter_mut().for_each(|param| param.fixed.clear());
        Kernel::variant(&self.shared.source, lowered, self.shared.project)
    }

    /// The name (`#[name("..")]`) of the innermost named sum around a place in the source.
    pub fn term_name(&self, place: Span) -> Option<&str> {
        let terms = self.shared.lowered.terms.iter();
        let around = terms.filter(|term| term.span.start <= place.start && place.end <= term.span.end);
        let named = around.filter_map(|term| Some((term.span.end - term.span.start, term.name.as_deref()?)));
        named.min_by_key(|&(length, _)| length).map(|(_, name)| name)
    }

    /// Whether any element Hessian is projected.
    pub fn is_projected(&self) -> bool {
        project::is_marked(self.func())
    }

    /// The refusal of a projected Hessian on a road that sees no elements.
    pub(crate) fn not_projected(&self, derivative: Derivative) -> Option<Diagnostic> {
        (derivative.core() == Derivative::Hessian && self.is_projected()).then(|| {
            let message = format!("only a structural Hessian of `{}` is projected", self.name());
            Diagnostic::error("project", message)
                .label(self.shared.lowered.span, "its elements are projected")
                .help("leave `--strategy` away, or the projection (`--project off`)")
        })
    }

    /// The source text it stands in.
    pub fn source(&self) -> &Arc<SourceFile> {
        &self.shared.source
    }

    /// What the front end made of it: parameters, results, attributes.
    pub fn lowered(&self) -> &Lowered {
        &self.shared.lowered
    }

    /// The program as written.
    pub fn func(&self) -> &Func {
        &self.shared.lowered.func
    }

    /// Whether the kernel is an energy: a single scalar result.
    pub fn is_energy(&self) -> bool {
        matches!(&self.shared.lowered.results[..], [result] if result.dims.is_empty())
    }

    /// The most that its `#[derive(..)]` asks for; without one, the matrix. Of `jacobian`, `hessian(lagrangian)` and `gauss_newton` the
    /// first of this list that is named.
    pub fn default_derivative(&self) -> Derivative {
        let matrix = if self.is_energy() { Derivative::Hessian } else { Derivative::Jacobian };
        let listed = self.shared.lowered.derive.iter().filter_map(|derive| match derive {
            Derive::Value => Some((0, Derivative::Value)),
            Derive::Gradient => Some((1, Derivative::Gradient)),
            Derive::GaussNewton => Some((2, Derivative::GaussNewton)),
            Derive::HessianLagrangian => Some((3, Derivative::Lagrangian)),
            Derive::Jacobian => Some((4, Derivative::Jacobian)),
            Derive::Hessian | Derive::HessianLower => Some((5, Derivative::Hessian)),
            Derive::Hvp | Derive::Jvp | Derive::Vjp => None,
        });
        listed.max_by_key(|&(rank, _)| rank).map_or(matrix, |(_, derivative)| derivative)
    }

    /// Whether its `#[derive(..)]` names this.
    pub fn derives(&self, derive: Derive) -> bool {
        self.shared.lowered.derive.contains(&derive)
    }

    /// What its `#[derive(..)]` asks for, as options: [`Kernel::default_derivative`], and the lower triangle for `hessian(lower)`.
    pub fn default_options(&self) -> Options {
        let mut options = Options::new(self.default_derivative());
        if options.derivative == Derivative::Hessian && self.derives(Derive::HessianLower) {
            options.assembly.triangle = Triangle::Lower;
        }
        options
    }

    /// The names of the unknowns a request differentiates by, in declaration order.
    ///
    /// # Errors
    /// [`Error::Usage`] for names that are no float parameters, or structural.
    pub fn columns(&self, wrt: Option<&[String]>) -> Result<Vec<String>, Error> {
        let func = self.func();
        let Some(wrt) = wrt else {
            return Ok(func.columns.iter().map(|&x| func.buffers[x].name.clone()).collect());
        };
        let mut chosen = Vec::new();
        for name in wrt {
            let param = self.shared.lowered.params.iter().find(|p| p.name == *name);
            match (param, func.buffer_named(name)) {
                (Some(param), _) => chosen.extend_from_slice(&param.buffers),
                (None, Some(buffer)) if is_input(func.buffers[buffer].role) => chosen.push(buffer),
                (None, _) => {
                    let known: Vec<&str> = self.float_parameters().collect();
                    let known = known.join(", ");
                    let kernel = self.name();
                    return Err(Error::Usage(format!(
                        "`{kernel}` has no parameter `{name}` to differentiate by (there are: {known})"
                    )));
                }
            }
        }
        for &buffer in &chosen {
            let data = &func.buffers[buffer];
            if !data.elem.is_float() {
                let message = format!("cannot differentiate by `{}`: it holds {}", data.name, data.elem);
                return Err(Error::Usage(message));
            }
            if data.role == Role::Structural {
                let message = format!(
                    "cannot differentiate by `{}`: it is structural, it decides which entries exist",
                    data.name
                );
                return Err(Error::Usage(message));
            }
        }
        // Arena order is declaration order.
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen.into_iter().map(|b| func.buffers[b].name.clone()).collect())
    }

    fn float_parameters(&self) -> impl Iterator<Item = &str> {
        let inputs = self.func().buffers.values().filter(|b| is_input(b.role) && b.role != Role::Structural);
        inputs.map(|b| b.name.as_str())
    }

    /// The program as written, with the given unknowns as columns and everything else as data.
    ///
    /// # Errors
    /// As [`Kernel::columns`].
    pub fn primal(&self, wrt: Option<&[String]>) -> Result<Func, Error> {
        let columns = self.columns(wrt)?;
        let mut func = self.func().clone();
        func.columns = columns.iter().filter_map(|name| func.buffer_named(name)).collect();
        let buffers: Vec<_> = func.buffers.keys().collect();
        for buffer in buffers {
            let unknown = func.columns.contains(&buffer);
            let role = &mut func.buffers[buffer].role;
            if matches!(role, Role::Var | Role::Data) {
                *role = if unknown { Role::Var } else { Role::Data };
            }
        }
        Ok(func)
    }

    /// A diagnostic as an error that shows the source.
    pub(crate) fn refusal(&self, diagnostic: Diagnostic) -> Error {
        Error::Source(Box::new(Report::one(self.source(), diagnostic)))
    }

    /// Refuses derivatives that a kernel does not have.
    ///
    /// # Errors
    /// [`Error::Source`]: a gradient or Hessian needs an energy.
    pub fn admits(&self, derivative: Derivative) -> Result<(), Error> {
        let needs_energy = match derivative {
            Derivative::Gradient | Derivative::Hessian => true,
            Derivative::Value | Derivative::Jacobian | Derivative::Lagrangian | Derivative::GaussNewton => {
                false
            }
        };
        if !needs_energy || self.is_energy() {
            return Ok(());
        }
        let what = if derivative == Derivative::Gradient { "gradient" } else { "Hessian" };
        let message = format!("`{}` has no {what}: its result is not a single number", self.name());
        let diagnostic = Diagnostic::error("not-an-energy", message)
            .label(self.shared.lowered.span, "this kernel")
            .help("ask for `jacobian`, or for `lagrangian` with a multiplier for every result, or let the kernel give one `f64`");
        Err(self.refusal(diagnostic))
    }

    /// The program that computes a derivative, with its index program; made on first use.
    ///
    /// # Errors
    /// [`Error::Source`] where the compiler refuses, [`Error::Usage`] for wrong names.
    pub fn derive(&self, derivative: Derivative, wrt: Option<&[String]>) -> Result<Arc<Program>, Error> {
        self.program(
            Goal::Whole(derivative),
            Request { weighted: derivative == Derivative::Lagrangian, ..Request::by(wrt) },
        )
    }

    /// As [`Kernel::derive`], for a native object, which computes all of its matrix itself.
    ///
    /// # Errors
    /// As [`Kernel::derive`], and [`Error::Source`]: where the runtime would have to eliminate intermediate arrays (`stage`), or to project
    /// element blocks (`project`).
    pub fn portable(&self, derivative: Derivative, wrt: Option<&[String]>) -> Result<Arc<Program>, Error> {
        if derivative.core() == Derivative::Hessian && self.is_projected() {
            let message = "a native object cannot project element blocks";
            let diagnostic = Diagnostic::error("project", message)
                .label(self.shared.lowered.span, "its elements are projected")
                .help("leave the projection away, or evaluate the kernel in the program that compiles it");
            return Err(self.refusal(diagnostic));
        }
        let program = self.derive(derivative, wrt)?;
        let Some(stage) = stages::listed(&program.eval).next() else { return self.with_weights(&program) };
        let (start, end) = program.eval.buffers[stage].span;
        let message = "a native object cannot eliminate intermediate arrays from its matrix";
        let help =
            "gather what it holds where it is read, or evaluate the kernel in the program that compiles it";
        let diagnostic = Diagnostic::error("stage", message)
            .label(Span { start, end }, "this array is filled by one loop and read by another")
            .help(help);
        Err(self.refusal(diagnostic))
    }

    /// A program whose multipliers have their defaults: a caller in C starts from them.
    fn with_weights(&self, program: &Arc<Program>) -> Result<Arc<Program>, Error> {
        let results = self.lowered().results.iter().filter(|result| is_one_unless_bound(self, result));
        let names = results.map(|result| self.func().buffers[result.buffer].name.as_str());
        let mut eval = program.eval.clone();
        let mut has_weights = false;
        for result in names.filter_map(|name| eval.buffer_named(name)).collect::<Vec<_>>() {
            let weights = eval.buffers.values_mut();
            for data in weights.filter(|d| d.plane == Plane::Adjoint(result) && d.role == Role::Data) {
                data.default = Some(1.0);
                has_weights = true;
            }
        }
        if !has_weights {
            return Ok(Arc::clone(program));
        }
        Ok(Arc::new(Program::new(eval, program.index.clone())?))
    }

    /// Every step of the derivation. For a matrix this is the walk from its definition, the dense loop nest, to the sparse
    /// one, which computes the same as [`Kernel::derive`] in steps that can be read. A projected Hessian needs its elements, so its steps
    /// are those of [`Kernel::derive`].
    ///
    /// # Errors
    /// As [`Kernel::derive`].
    pub fn steps(&self, derivative: Derivative, wrt: Option<&[String]>) -> Result<Vec<Step>, Error> {
        let mut primal = self.differentiable(derivative, wrt)?;
        let refuse = |diagnostic| self.refusal(diagnostic);
        if derivative.core() == Derivative::Hessian && self.is_projected() {
            let weights = if derivative == Derivative::Lagrangian { Weights::Inputs } else { Weights::One };
            return Ok(pipeline::hessian(&primal, weights).map_err(refuse)?.trace.steps().to_vec());
        }
        primal = project::unmarked(&primal);
        let of_matrix = |matrix: Matrix| {
            let walked = pipeline::walk(&primal, matrix).map(|walk| walk.trace);
            // Where intermediate arrays stay, only the direct road goes on.
            walked.or_else(|refused| {
                let direct = match matrix {
                    Matrix::Jacobian => pipeline::jacobian(&primal),
                    Matrix::Hessian(weights) => pipeline::hessian(&primal, weights),
                };
                direct.map(|sparse| sparse.trace).map_err(|_| refused)
            })
        };
        let trace = match derivative {
            Derivative::Value => pipeline::value(&primal),
            Derivative::Gradient => pipeline::gradient(&primal, Weights::One),
            Derivative::Jacobian | Derivative::GaussNewton => of_matrix(Matrix::Jacobian),
            Derivative::Hessian => of_matrix(Matrix::Hessian(Weights::One)),
            Derivative::Lagrangian => of_matrix(Matrix::Hessian(Weights::Inputs)),
        };
        let trace = trace.map_err(refuse)?;
        Ok(trace.steps().to_vec())
    }

    /// What a native object leaves to its caller, who prepares in C: a warning for each.
    pub fn left_to_the_caller(&self, derivative: Derivative) -> Vec<Diagnostic> {
        let lowered = &self.shared.lowered;
        let mut list = Vec::new();
        let mut add = |message: String, span, label: &str| {
            list.push(Diagnostic::warning("left-to-caller", message).label(span, label));
        };
        if derivative != Derivative::Value {
            for param in lowered.params.iter().filter(|param| !param.fixed.is_empty()) {
                let message = format!(
                    "a native object knows nothing of `#[fixed(..)]`: its derivatives by `{}` are those of free unknowns",
                    param.name
                );
                add(message, param.span, "nothing is fixed");
            }
        }
        if derivative == Derivative::Hessian && self.derives(Derive::HessianLower) {
            let message = format!("a native object has both triangles of the Hessian of `{}`", self.name());
            add(message, lowered.span, "`hessian(lower)` has no effect");
        }
        list
    }

    pub(crate) fn program(&self, goal: Goal, request: Request<'_>) -> Result<Arc<Program>, Error> {
        let rows = request.rows.map(|rows| self.columns(Some(rows))).transpose()?;
        let columns = self.columns(request.wrt)?;
        let Request { weighted, without, nesting, .. } = request;
        let key = Key { goal, columns, rows, weighted, without, nesting };
        let mut programs = self.shared.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = programs.get(&key) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(goal::make(self, goal, request)?);
        programs.insert(key, Arc::clone(&made));
        Ok(made)
    }

    /// The program as written, ready to be differentiated.
    pub(crate) fn differentiable(
        &self,
        derivative: Derivative,
        wrt: Option<&[String]>,
    ) -> Result<Func, Error> {
        self.admits(derivative)?;
        let mut primal = self.primal(wrt)?;
        if primal.columns.is_empty() && derivative != Derivative::Value {
            let message = format!("`{}` has no unknowns to differentiate by", self.name());
            let diagnostic = Diagnostic::error("no-unknowns", message)
                .label(self.shared.lowered.span, "no parameter is a `var`")
                .help("mark one with `var`, or name parameters to differentiate by (`--wrt`)");
            return Err(self.refusal(diagnostic));
        }
        given::check(&primal, &primal.columns).map_err(|diagnostic| self.refusal(diagnostic))?;
        primal.rows =
            primal.buffers_of(Role::Output).filter(|&y| !primal.buffers[y].dims.is_empty()).collect();
        Ok(primal)
    }

    /// A product as a kernel of its own, to differentiate again: its parameters are those of this kernel and the direction, its
    /// result is the product alone. A JVP or HVP takes its direction as `NAME_dot` for each unknown and gives `RESULT_dot` or
    /// `NAME_bar_dot`; a VJP takes `RESULT_bar` and gives `NAME_bar`.
    ///
    /// # Errors
    /// As [`crate::product::Products::new`]; [`Kind::Second`] is no kernel (it takes one direction twice) and refused.
    pub fn product_kernel(&self, kind: Kind, wrt: Option<&[String]>) -> Result<Kernel, Error> {
        let func = goal::product_func(self, kind, wrt)?;
        Kernel::from_func(func)
    }
}

pub(crate) fn is_input(role: Role) -> bool {
    matches!(role, Role::Var | Role::Data | Role::Structural)
}
