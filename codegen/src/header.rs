//! The C header of a native object: argument structs, tables of sites and phases, prepare and evaluate in portable C.
//!
//! The routines that all programs share are `header_runtime.h`, copied into every header under a guard: the pattern and the
//! slot records they make are those of the `layout` crate. What is written here are the tables they read.

use crate::align::Aligned;
use crate::c_names::unique;
use crate::error::{CodegenError, Result};
use crate::object::ObjectProgram;
use crate::program::{env_layout, scalar_outputs};
use spadina_ir::func::{Buffer, BufferData, Entries, Func, Role};
use spadina_ir::types::{SizeExpr, Ty};
use spadina_layout::abi::EnvLayout;
use spadina_layout::program::{ProgramInfo, SiteInfo};
use spadina_layout::site::{Block, SiteShape};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const RUNTIME: &str = include_str!("header_runtime.h");

/// What a section of the header is written from.
pub(crate) struct Described<'a> {
    pub(crate) program: &'a ObjectProgram<'a>,
    /// Its phases and those of its index program.
    pub(crate) aligned: Aligned,
    /// Which phases of the index program count.
    pub(crate) counted: Vec<bool>,
}

/// The header of an object with these programs.
pub(crate) fn write(programs: &[Described<'_>]) -> Result<String> {
    let mut text = String::from(
        "/* Made by spadina: declarations of a native object and what it needs to stand alone. */\n",
    );
    text.push_str(RUNTIME);
    for described in programs {
        Section::new(described)?.write(&mut text, described)?;
    }
    Ok(text)
}

/// The C names of one program.
struct Section<'a> {
    name: &'a str,
    func: &'a Func,
    /// C names of sizes and buffers, by name in the source.
    names: BTreeMap<String, String>,
}

fn c_type(ty: Ty) -> &'static str {
    match ty {
        Ty::F64 => "double",
        Ty::F32 => "float",
        Ty::Int => "int64_t",
        Ty::Bool => "uint8_t",
    }
}

fn is_input(data: &BufferData) -> bool {
    match data.role {
        Role::Var | Role::Data | Role::Structural => true,
        Role::Scratch | Role::Output => false,
    }
}

fn format_error(_: std::fmt::Error) -> CodegenError {
    CodegenError::Backend("a string could not be written".into())
}

impl<'a> Section<'a> {
    fn new(described: &Described<'a>) -> Result<Section<'a>> {
        let (program, info) = (described.program, &described.aligned.info);
        if program.index.is_none() && info.phases.iter().any(|phase| !phase.sites.is_empty()) {
            return Err(CodegenError::Unsupported("a matrix without an index program".into()));
        }
        let func = program.eval;
        let mut names = BTreeMap::new();
        let mut taken: BTreeSet<String> = BTreeSet::new();
        let sources = func.sizes.values().chain(func.buffers.values().map(|data| &data.name));
        for source in sources {
            let name = unique(source, &mut taken);
            names.insert(source.clone(), name);
        }
        Ok(Section { name: program.name, func, names })
    }

    fn c_name(&self, source: &str) -> Result<&str> {
        let found = self.names.get(source).map(String::as_str);
        found.ok_or_else(|| {
            CodegenError::malformed(format!("the index program has `{source}`, the program has not"))
        })
    }

    /// A size expression in terms of the argument struct `a`.
    fn expr(&self, func: &Func, expr: &SizeExpr) -> Result<String> {
        let mut text = format!("{}", expr.constant);
        for &(size, factor) in &expr.terms {
            let name = self.c_name(&func.sizes[size])?;
            write!(text, " + {factor} * a->{name}").map_err(format_error)?;
        }
        Ok(text)
    }

    /// Statements that leave the number of elements of a buffer in `n`, or return.
    fn count(&self, func: &Func, data: &BufferData) -> Result<String> {
        if data.dims.is_empty() {
            return Ok("    n = 1;\n".into());
        }
        let dims: Vec<String> = data.dims.iter().map(|dim| self.expr(func, dim)).collect::<Result<_>>()?;
        let rank = dims.len();
        Ok(format!(
            "    {{ const int64_t d[] = {{{}}}; n = spadina_product(d, {rank}); }}\n    if (n < 0) return SPADINA_BAD_SIZE;\n",
            dims.join(", ")
        ))
    }

    fn write(&self, out: &mut String, described: &Described<'_>) -> Result<()> {
        let (program, info) = (described.program, &described.aligned.info);
        out.push('\n');
        Self::comment(out, program.docs);
        self.arguments(out)?;
        self.declarations(out, described)?;
        self.tables(out, described)?;
        self.bind(out, "bind", self.func, env_layout(self.func, info), false)?;
        self.prepare(out, program, info)?;
        self.eval(out, info)?;
        out.push_str("#ifdef __cplusplus\n}\n#endif\n");
        Ok(())
    }

    fn comment(out: &mut String, docs: &str) {
        if docs.trim().is_empty() {
            return;
        }
        out.push_str("/*\n");
        for line in docs.trim().lines() {
            let line = format!(" * {}", line.trim_end().replace("*/", "* /"));
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out.push_str(" */\n");
    }

    /// The struct of sizes and arrays.
    fn arguments(&self, out: &mut String) -> Result<()> {
        let (func, name) = (self.func, self.name);
        let mut fields = String::new();
        for size in func.sizes.values() {
            writeln!(fields, "    int64_t {};", self.c_name(size)?).map_err(format_error)?;
        }
        let mut defaults = String::new();
        for data in func.buffers.values() {
            let (field, ty) = (self.c_name(&data.name)?, c_type(data.elem));
            let dims: Vec<String> = data
                .dims
                .iter()
                .map(|dim| {
                    Ok(self.expr(func, dim)?.replace("a->", "").replacen("0 + ", "", 1).replace("1 * ", ""))
                })
                .collect::<Result<_>>()?;
            let shape = if dims.is_empty() { String::new() } else { format!(" /* [{}] */", dims.join(", ")) };
            match (data.role, data.dims.is_empty()) {
                (Role::Scratch, _) => continue,
                (Role::Output, true) => writeln!(fields, "    {ty} *{field}; /* one value; may be null */"),
                (Role::Output, false) => writeln!(fields, "    {ty} *{field};{shape}"),
                (Role::Var | Role::Data | Role::Structural, true) => writeln!(fields, "    {ty} {field};"),
                (Role::Var | Role::Data | Role::Structural, false) => {
                    writeln!(fields, "    const {ty} *{field};{shape}")
                }
            }
            .map_err(format_error)?;
            if let (Some(x), true) = (data.default, data.dims.is_empty() && is_input(data)) {
                let number = match data.elem {
                    Ty::Int | Ty::Bool => format!("{}", x as i64),
                    Ty::F64 | Ty::F32 => format!("{x:?}"),
                };
                writeln!(defaults, "    a->{field} = ({ty}){number};").map_err(format_error)?;
            }
        }
        let defaults = defaults.replace(")inf;", ")(1e308 * 10);").replace(")-inf;", ")(-1e308 * 10);");
        write!(
            out,
            "/* Sizes and row-major arrays of {name}. */\ntypedef struct {name}_args {{\n{fields}}} {name}_args;\n\n\
             #ifdef __cplusplus\nextern \"C\" {{\n#endif\n\
             /* Everything zero, parameters at their defaults. */\n\
             SPADINA_STATIC void {name}_args_init({name}_args *a) {{\n    memset(a, 0, sizeof *a);\n{defaults}}}\n\n"
        )
        .map_err(format_error)
    }

    fn declarations(&self, out: &mut String, described: &Described<'_>) -> Result<()> {
        let name = self.name;
        let range = "const uint64_t *env, int64_t begin, int64_t end";
        let mut text = format!("int64_t {name}_trips(const uint64_t *env, int64_t *out);\n");
        for n in 0..described.aligned.eval_phases {
            writeln!(text, "void {name}_eval_{n}({range}, double *sums);").map_err(format_error)?;
        }
        if described.program.index.is_some() {
            writeln!(text, "int64_t {name}_index_trips(const uint64_t *env, int64_t *out);")
                .map_err(format_error)?;
        }
        for (k, &counts) in described.counted.iter().enumerate() {
            if counts {
                writeln!(text, "int64_t {name}_count_{k}({range}, uint32_t *counts);")
                    .map_err(format_error)?;
            }
            writeln!(text, "int64_t {name}_index_{k}({range});").map_err(format_error)?;
        }
        out.push_str(&text);
        Ok(())
    }

    fn tables(&self, out: &mut String, described: &Described<'_>) -> Result<()> {
        let (name, program, aligned) = (self.name, described.program, &described.aligned);
        let mut phases = String::new();
        for (n, (phase, index)) in aligned.info.phases.iter().zip(&aligned.index_phase).enumerate() {
            let mut sites = String::new();
            for site in phase.sites.iter().chain(&phase.row_sites) {
                sites.push_str(&self.site(out, site)?);
            }
            let sums: Vec<String> = phase.sums.iter().map(u32::to_string).collect();
            // Arrays of length zero are not C: every table has a last element that is never read.
            write!(
                out,
                "static const spadina_site {name}_sites_{n}[] = {{\n{sites}    {{0, 0, 0, 0, 0}}\n}};\n\
                 static const int32_t {name}_sums_{n}[] = {{{}}};\n",
                sums.iter().map(String::as_str).chain(["0"]).collect::<Vec<_>>().join(", ")
            )
            .map_err(format_error)?;
            let named = |wanted: bool, what: &str, k: usize| {
                if wanted { format!("{name}_{what}_{k}") } else { "0".into() }
            };
            let k = index.unwrap_or_default();
            let counts = index.is_some() && described.counted.get(k) == Some(&true);
            writeln!(
                phases,
                "    {{{}, {}, {}, {}, {}, {}, {name}_sites_{n}, {}, {name}_sums_{n}}},",
                named(n < aligned.eval_phases, "eval", n),
                named(counts, "count", k),
                named(index.is_some(), "index", k),
                index.map_or(-1, |k| k as i64),
                phase.sites.len(),
                phase.sites.len() + phase.row_sites.len(),
                sums.len()
            )
            .map_err(format_error)?;
        }
        let index_trips = if program.index.is_some() { format!("{name}_index_trips") } else { "0".into() };
        write!(
            out,
            "static const spadina_phase {name}_phases[] = {{\n{phases}    {{0, 0, 0, 0, 0, 0, 0, 0, 0}}\n}};\n\
             static const spadina_program {name}_program = {{{name}_trips, {index_trips}, {}, {}, {}, {name}_phases, {}, {}, {}}};\n\n",
            aligned.eval_phases,
            described.counted.len(),
            aligned.info.phases.len(),
            aligned.info.sites,
            program.slots.width.bytes(),
            i32::from(program.slots.drops)
        )
        .map_err(format_error)
    }

    /// Writes the table of a site's entries; the row that describes the site.
    fn site(&self, out: &mut String, site: &SiteInfo) -> Result<String> {
        let (name, shape) = (self.name, &site.shape);
        let columns = if shape.symmetric { 0 } else { shape.row_blocks.len() };
        let locate = |blocks: &[Block], local: u32, first: usize| {
            let found = SiteShape::locate(blocks, local).map(|(block, delta)| (first + block, delta));
            found.ok_or_else(|| CodegenError::malformed("an entry outside the blocks of its site"))
        };
        let mut entries = String::new();
        for (a, b, _) in shape.expanded() {
            let (row, row_delta) = locate(&shape.row_blocks, a, 0)?;
            let (col, col_delta) = locate(&shape.col_blocks, b, columns)?;
            write!(entries, "{{{row}, {row_delta}, {col}, {col_delta}}}, ").map_err(format_error)?;
        }
        let number = site.site;
        writeln!(out, "static const spadina_entry {name}_entries_{number}[] = {{{entries}{{0, 0, 0, 0}}}};")
            .map_err(format_error)?;
        Ok(format!(
            "    {{{number}, {}, {}, {}, {name}_entries_{number}}},\n",
            shape.stream_width(),
            site.per_iteration.map_or(-1, i64::from),
            shape.expanded_len()
        ))
    }

    /// The function that fills an environment; index programs do without the arrays that only evaluation touches.
    fn bind(&self, out: &mut String, what: &str, func: &Func, layout: EnvLayout, index: bool) -> Result<()> {
        let name = self.name;
        let mut body = String::new();
        for (n, size) in func.sizes.values().enumerate() {
            let field = self.c_name(size)?;
            write!(
                body,
                "    if (a->{field} < 0) return SPADINA_BAD_SIZE;\n    words[{}] = (uint64_t)a->{field};\n",
                layout.size(n)
            )
            .map_err(format_error)?;
        }
        for (n, data) in func.buffers.values().enumerate() {
            let word = layout.buffer(n);
            match (data.role, data.dims.is_empty()) {
                (Role::Scratch, _) | (Role::Output, true) => {}
                (Role::Output, false) if index => {}
                (Role::Var | Role::Data | Role::Structural, true) => {
                    let field = self.c_name(&data.name)?;
                    writeln!(body, "    words[{word}] = (uint64_t)(uintptr_t)&a->{field};")
                        .map_err(format_error)?;
                }
                (Role::Var | Role::Data | Role::Structural | Role::Output, false) => {
                    let field = self.c_name(&data.name)?;
                    body.push_str(&self.count(func, data)?);
                    let needed = !index || data.role == Role::Structural;
                    if needed {
                        writeln!(body, "    if (n > 0 && !a->{field}) return SPADINA_NULL;")
                            .map_err(format_error)?;
                    }
                    writeln!(body, "    words[{word}] = (uint64_t)(uintptr_t)a->{field};")
                        .map_err(format_error)?;
                    if data.role == Role::Output {
                        writeln!(
                            body,
                            "    if (n > 0) memset(a->{field}, 0, (size_t)n * sizeof *a->{field});"
                        )
                        .map_err(format_error)?;
                    }
                }
            }
        }
        write!(
            out,
            "SPADINA_STATIC int {name}_{what}(const {name}_args *a, uint64_t *words) {{\n    int64_t n = 0;\n{body}\
             \x20   (void)a, (void)words, (void)n;\n    return SPADINA_OK;\n}}\n\n"
        )
        .map_err(format_error)
    }

    fn positions(&self, buffers: &[Buffer], into: &str) -> Result<String> {
        let mut text = String::new();
        for &buffer in buffers {
            text.push_str(&self.count(self.func, &self.func.buffers[buffer])?);
            writeln!(text, "    {into} += n;").map_err(format_error)?;
        }
        Ok(text)
    }

    /// Checks of what is promised about the entries of integer arrays.
    fn promises(&self, func: &Func) -> Result<String> {
        let mut text = String::new();
        for (number, data) in func.buffers.iter().filter(|(_, data)| is_input(data) && data.elem == Ty::Int) {
            let field = self.c_name(&data.name)?;
            let at = if data.dims.is_empty() { "&" } else { "" };
            let number = number.as_u32();
            let check = match &data.entries {
                Entries::Any => continue,
                Entries::Index(bounds) if bounds.is_empty() => continue,
                Entries::Index(bounds) => {
                    let width = bounds.len();
                    let bounds: Vec<String> =
                        bounds.iter().map(|b| self.expr(func, b)).collect::<Result<_>>()?;
                    format!(
                        "    {{ const int64_t d[] = {{{}}}; status = spadina_check_index({at}a->{field}, n, d, {width}, {number}, &plan->error); }}\n",
                        bounds.join(", ")
                    )
                }
                Entries::Offsets(most) => format!(
                    "    status = spadina_check_offsets({at}a->{field}, n, {}, {number}, &plan->error);\n",
                    self.expr(func, most)?
                ),
            };
            text.push_str(&self.count(func, data)?);
            text.push_str(&check);
            text.push_str("    if (status != SPADINA_OK) return status;\n");
        }
        Ok(text)
    }

    fn prepare(&self, out: &mut String, program: &ObjectProgram<'_>, info: &ProgramInfo) -> Result<()> {
        let name = self.name;
        let layout = env_layout(self.func, info);
        let func = program.index.unwrap_or(self.func);
        if (func.sizes.len(), func.buffers.len()) != (layout.sizes, layout.buffers) {
            return Err(CodegenError::malformed("evaluation and index program differ in buffers"));
        }
        self.bind(out, "bind_index", func, layout, true)?;
        let scratches: Vec<&BufferData> =
            self.func.buffers.values().filter(|data| data.role == Role::Scratch).collect();
        let mut scratch = String::new();
        for (n, data) in scratches.iter().enumerate() {
            scratch.push_str(&self.count(self.func, data)?);
            write!(
                scratch,
                "    plan->scratch[{n}] = spadina_zeros((size_t)n, {});\n    if (!plan->scratch[{n}]) return SPADINA_NO_MEMORY;\n",
                data.elem.bytes()
            )
            .map_err(format_error)?;
        }
        let (rows, cols) =
            (self.positions(&self.func.rows, "rows")?, self.positions(&self.func.columns, "cols")?);
        let promises = self.promises(func)?;
        let (parameter, lower) = if program.slots.drops { (", int lower", "lower") } else { ("", "0") };
        let (words, error, site) = (layout.words(), layout.error(), layout.site_data(0));
        let count = scratches.len();
        write!(
            out,
            "/* Checks the arrays, finds the pattern and where every entry goes. The plan stays valid as long as sizes, index\n\
             \x20  arrays and flags stay as they are; give it to spadina_plan_free, also after a failure. */\n\
             SPADINA_STATIC int {name}_prepare_into(const {name}_args *a{parameter}, spadina_plan *plan) {{\n\
             \x20   uint64_t words[{words}] = {{0}};\n    int64_t n = 0, rows = 0, cols = 0;\n\
             \x20   int status = {name}_bind_index(a, words);\n    if (status != SPADINA_OK) return status;\n\
             {promises}{rows}{cols}\
             \x20   words[{error}] = (uint64_t)(uintptr_t)&plan->error;\n\
             \x20   plan->scratches = {count};\n\
             \x20   plan->scratch = (void **)spadina_zeros({count}, sizeof(void *));\n\
             \x20   if (!plan->scratch) return SPADINA_NO_MEMORY;\n{scratch}\
             \x20   (void)n;\n\
             \x20   return spadina_prepare(&{name}_program, words, {site}, rows, cols, {lower}, plan);\n}}\n\n\
             SPADINA_STATIC int {name}_prepare(const {name}_args *a{parameter}, spadina_plan *plan) {{\n\
             \x20   memset(plan, 0, sizeof *plan);\n\
             \x20   return {name}_prepare_into(a, {}plan);\n}}\n\n",
            if program.slots.drops { "lower, " } else { "" }
        )
        .map_err(format_error)
    }

    fn eval(&self, out: &mut String, info: &ProgramInfo) -> Result<()> {
        let (name, func) = (self.name, self.func);
        let layout = env_layout(func, info);
        let mut scratch = String::new();
        let scratches = func.buffers.values().enumerate().filter(|(_, data)| data.role == Role::Scratch);
        for (k, (n, data)) in scratches.enumerate() {
            if !info.filled.contains(&(n as u32)) {
                scratch.push_str(&self.count(func, data)?);
                let bytes = data.elem.bytes();
                writeln!(scratch, "    memset(plan->scratch[{k}], 0, (size_t)n * {bytes});")
                    .map_err(format_error)?;
            }
            let word = layout.buffer(n);
            writeln!(scratch, "    words[{word}] = (uint64_t)(uintptr_t)plan->scratch[{k}];")
                .map_err(format_error)?;
        }
        let mut stores = String::new();
        for (k, buffer) in scalar_outputs(func).into_iter().enumerate() {
            let data = &func.buffers[buffer];
            let field = self.c_name(&data.name)?;
            writeln!(stores, "    if (a->{field}) *a->{field} = ({})totals[{k}];", c_type(data.elem))
                .map_err(format_error)?;
        }
        let sums = info.scalar_outputs + 1;
        write!(
            out,
            "/* Evaluates: all outputs and plan->nnz matrix values (may be null when there are none) are overwritten. */\n\
             SPADINA_STATIC int {name}_eval(const {name}_args *a, const spadina_plan *plan, double *values) {{\n\
             \x20   uint64_t words[{}] = {{0}};\n    double part[{sums}] = {{0}}, totals[{sums}] = {{0}};\n    int64_t n = 0;\n\
             \x20   int status = {name}_bind(a, words);\n    if (status != SPADINA_OK) return status;\n\
             \x20   if (plan->nnz > 0 && !values) return SPADINA_NULL;\n\
             \x20   if (plan->nnz > 0) memset(values, 0, (size_t)plan->nnz * sizeof *values);\n{scratch}\
             \x20   words[{}] = (uint64_t)(uintptr_t)values;\n    words[{}] = (uint64_t)(uintptr_t)plan->row_ptr;\n\
             \x20   spadina_eval(&{name}_program, words, {}, plan, part, totals);\n{stores}    (void)n;\n    return SPADINA_OK;\n}}\n\n",
            layout.words(),
            layout.values(),
            layout.row_start(),
            layout.site_data(0),
        )
        .map_err(format_error)
    }
}
