//! A kernel and its derivative programs, made on first use and kept.

use crate::compiler::check_invariants;
use crate::error::Error;
use crate::options::{Derivative, Project};
use crate::product::Kind;
use crate::program::Program;
use crate::report::Report;
use spadina_ir::diag::Diagnostic;
use spadina_ir::frontend::program::{Derive, Kernel as Lowered, KernelResult, Param};
use spadina_ir::func::{Func, Plane, Role};
use spadina_ir::span::{SourceFile, Span};
use spadina_ir::verify::verify;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::dce;
use spadina_passes::pipeline::{self, Matrix, Sparse, Step};
use spadina_passes::sparse::index::index_program;
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
}

/// What a program computes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Goal {
    /// Results, gradient, matrix by structure: whatever the derivative has.
    Whole(Derivative),
    /// The same, row by row where the kernel is affine: what runs here. Objects keep to `Whole`, which their header can prepare.
    Here(Derivative),
    /// Only the matrix, by its definition, into dense blocks.
    Dense(Derivative),
    /// The product of a matrix with a direction, alone.
    Product(Kind),
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

    /// A kernel made from a program in the IR instead of a text; messages about it have no source lines.
    ///
    /// # Errors
    /// [`Error::Verification`] where the program breaks an invariant.
    pub fn from_func(func: Func) -> Result<Kernel, Error> {
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

    /// Whether any element Hessian is projected.
    pub fn is_projected(&self) -> bool {
        project::is_marked(self.func())
    }

    /// The refusal of a projected Hessian on a road that sees no elements.
    pub(crate) fn not_projected(&self, derivative: Derivative) -> Option<Diagnostic> {
        (derivative == Derivative::Hessian && self.is_projected()).then(|| {
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

    /// The most that its `#[derive(..)]` asks for; without one, the matrix.
    pub fn default_derivative(&self) -> Derivative {
        let matrix = if self.is_energy() { Derivative::Hessian } else { Derivative::Jacobian };
        let listed = self.shared.lowered.derive.iter().filter_map(|derive| match derive {
            Derive::Value => Some(Derivative::Value),
            Derive::Gradient => Some(Derivative::Gradient),
            Derive::Jacobian => Some(Derivative::Jacobian),
            Derive::Hessian | Derive::HessianLower => Some(Derivative::Hessian),
            Derive::HessianLagrangian | Derive::Hvp | Derive::Jvp | Derive::Vjp | Derive::GaussNewton => None,
        });
        listed.max().unwrap_or(matrix)
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
        let needs_energy = matches!(derivative, Derivative::Gradient | Derivative::Hessian);
        if !needs_energy || self.is_energy() {
            return Ok(());
        }
        let what = if derivative == Derivative::Gradient { "gradient" } else { "Hessian" };
        let message = format!("`{}` has no {what}: its result is not a single number", self.name());
        let diagnostic = Diagnostic::error("not-an-energy", message)
            .label(self.shared.lowered.span, "this kernel")
            .help("ask for `jacobian`, or let the kernel give one `f64`");
        Err(self.refusal(diagnostic))
    }

    /// The program that computes a derivative, with its index program; made on first use.
    ///
    /// # Errors
    /// [`Error::Source`] where the compiler refuses, [`Error::Usage`] for wrong names.
    pub fn derive(&self, derivative: Derivative, wrt: Option<&[String]>) -> Result<Arc<Program>, Error> {
        self.program(Goal::Whole(derivative), wrt)
    }

    /// As [`Kernel::derive`], for a native object, which computes all of its matrix itself.
    ///
    /// # Errors
    /// As [`Kernel::derive`], and [`Error::Source`]: where the runtime would have to eliminate intermediate arrays (`stage`), or to project
    /// element blocks (`project`).
    pub fn portable(&self, derivative: Derivative, wrt: Option<&[String]>) -> Result<Arc<Program>, Error> {
        if derivative == Derivative::Hessian && self.is_projected() {
            let message = "a native object cannot project element blocks";
            let diagnostic = Diagnostic::error("project", message)
                .label(self.shared.lowered.span, "its elements are projected")
                .help("leave the projection away, or evaluate the kernel in the program that compiles it");
            return Err(self.refusal(diagnostic));
        }
        let program = self.derive(derivative, wrt)?;
        let Some(stage) = stages::listed(&program.eval).next() else { return Ok(program) };
        let (start, end) = program.eval.buffers[stage].span;
        let message = "a native object cannot eliminate intermediate arrays from its matrix";
        let help =
            "gather what it holds where it is read, or evaluate the kernel in the program that compiles it";
        let diagnostic = Diagnostic::error("stage", message)
            .label(Span { start, end }, "this array is filled by one loop and read by another")
            .help(help);
        Err(self.refusal(diagnostic))
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
        if derivative == Derivative::Hessian && self.is_projected() {
            return Ok(pipeline::hessian(&primal, Weights::One).map_err(refuse)?.trace.steps().to_vec());
        }
        primal = project::unmarked(&primal);
        let trace = match derivative {
            Derivative::Value => pipeline::value(&primal).map_err(refuse)?,
            Derivative::Gradient => pipeline::gradient(&primal, Weights::One).map_err(refuse)?,
            Derivative::Jacobian => pipeline::walk(&primal, Matrix::Jacobian).map_err(refuse)?.trace,
            Derivative::Hessian => {
                pipeline::walk(&primal, Matrix::Hessian(Weights::One)).map_err(refuse)?.trace
            }
        };
        Ok(trace.steps().to_vec())
    }

    /// Attributes that change what a derivative should be and do not yet: a warning for each.
    pub fn without_effect(&self, derivative: Derivative) -> Vec<Diagnostic> {
        let lowered = &self.shared.lowered;
        let (kernel, name) = (lowered.span, self.name());
        let mut list = Vec::new();
        let mut add = |message: String, span, label: &str| {
            list.push(Diagnostic::warning("not-implemented", message).label(span, label));
        };
        if derivative != Derivative::Value {
            for param in lowered.params.iter().filter(|param| !param.fixed.is_empty()) {
                let message = format!(
                    "`#[fixed(..)]` has no effect yet: derivatives by `{}` are those of free unknowns",
                    param.name
                );
                add(message, param.span, "nothing is fixed");
            }
        }
        if derivative.has_matrix() && lowered.derive.contains(&Derive::HessianLagrangian) {
            let message = format!(
                "`hessian(lagrangian)` has no effect yet: this is the {} of `{name}`",
                derivative.name()
            );
            add(message, kernel, "this kernel");
        }
        if derivative == Derivative::Hessian && lowered.derive.contains(&Derive::HessianLower) {
            add(
                format!("`hessian(lower)` has no effect yet: the Hessian of `{name}` has both triangles"),
                kernel,
                "this kernel",
            );
        }
        list
    }

    pub(crate) fn program(&self, goal: Goal, wrt: Option<&[String]>) -> Result<Arc<Program>, Error> {
        let key = Key { goal, columns: self.columns(wrt)? };
        let mut programs = self.shared.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = programs.get(&key) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(self.make(goal, wrt)?);
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
        primal.rows =
            primal.buffers_of(Role::Output).filter(|&y| !primal.buffers[y].dims.is_empty()).collect();
        Ok(primal)
    }

    fn make(&self, goal: Goal, wrt: Option<&[String]>) -> Result<Program, Error> {
        let derivative = match goal {
            Goal::Whole(derivative) | Goal::Here(derivative) | Goal::Dense(derivative) => derivative,
            Goal::Product(Kind::Jvp | Kind::Vjp) => Derivative::Jacobian,
            Goal::Product(Kind::Hvp) => Derivative::Hessian,
        };
        let mut primal = self.differentiable(derivative, wrt)?;
        let refuse = |diagnostic| self.refusal(diagnostic);
        if let (Goal::Dense(_), Some(refused)) = (goal, self.not_projected(derivative)) {
            return Err(refuse(refused));
        }
        if !matches!(goal, Goal::Whole(Derivative::Hessian) | Goal::Here(Derivative::Hessian)) {
            // Values, gradients and products do not see projections.
            primal = project::unmarked(&primal);
        }
        let eval = match goal {
            Goal::Whole(Derivative::Value) | Goal::Here(Derivative::Value) => {
                pipeline::value(&primal).map_err(refuse)?.func().clone()
            }
            Goal::Whole(Derivative::Gradient) | Goal::Here(Derivative::Gradient) => {
                pipeline::gradient(&primal, Weights::One).map_err(refuse)?.func().clone()
            }
            Goal::Whole(Derivative::Jacobian) | Goal::Here(Derivative::Jacobian) => {
                let sparse = pipeline::jacobian(&primal).map_err(refuse)?;
                return by_rows(goal, sparse);
            }
            Goal::Whole(Derivative::Hessian) | Goal::Here(Derivative::Hessian) => {
                let sparse = pipeline::hessian(&primal, Weights::One).map_err(refuse)?;
                return by_rows(goal, sparse);
            }
            Goal::Dense(Derivative::Hessian) => {
                pipeline::dense(&primal, Matrix::Hessian(Weights::One)).map_err(refuse)?.func().clone()
            }
            Goal::Dense(Derivative::Jacobian) => {
                pipeline::dense(&primal, Matrix::Jacobian).map_err(refuse)?.func().clone()
            }
            Goal::Dense(Derivative::Value | Derivative::Gradient) => {
                unreachable!("dense programs are asked for matrices only")
            }
            Goal::Product(Kind::Jvp) => {
                product_alone(pipeline::directional(&primal).map_err(refuse)?.func(), Kind::Jvp)
            }
            Goal::Product(Kind::Vjp) => {
                product_alone(pipeline::gradient(&primal, Weights::Inputs).map_err(refuse)?.func(), Kind::Vjp)
            }
            Goal::Product(Kind::Hvp) => product_alone(
                pipeline::hessian_product(&primal, Weights::One).map_err(refuse)?.func(),
                Kind::Hvp,
            ),
        };
        // Without a matrix the index program only checks subscripts.
        let index = index_program(&eval).map_err(refuse)?;
        Program::new(eval, index)
    }
}

/// The program of a sparse matrix; row by row if it runs here and is affine.
fn by_rows(goal: Goal, sparse: Sparse) -> Result<Program, Error> {
    let plain = matches!(goal, Goal::Whole(_)) || stages::listed(&sparse.eval).next().is_some();
    let rows = if plain { None } else { pipeline::affine(&sparse) };
    let sparse = rows.unwrap_or(sparse);
    Program::new(sparse.eval, sparse.index)
}

/// The program without its other outputs, which would be computed again for every direction.
fn product_alone(func: &Func, kind: Kind) -> Func {
    let others = func.buffers_of(Role::Output).filter(|&y| match (kind, func.buffers[y].plane) {
        (Kind::Jvp, Plane::Tangent(of)) => func.buffers[of].plane != Plane::Primal,
        (Kind::Hvp, Plane::Tangent(of)) => !matches!(func.buffers[of].plane, Plane::Adjoint(_)),
        (Kind::Vjp, Plane::Adjoint(_)) => false,
        _ => true,
    });
    dce::without(func, &others.collect::<Vec<_>>())
}

pub(crate) fn is_input(role: Role) -> bool {
    matches!(role, Role::Var | Role::Data | Role::Structural)
}
