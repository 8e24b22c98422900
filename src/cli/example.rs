//! The input a kernel names itself: `#[example(cloth, 70)]` and its like, and `#[example(random, 64)]`.

use super::console;
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::report::Report;
use spadina_io::array::{Array, Data};
use spadina_io::generate::kind::{Kind, generate};
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{BufferData, Entries};
use spadina_ir::types::{Size, SizeExpr, Ty};
use std::collections::BTreeMap;

/// The kind that suits every kernel: all sizes alike, numbers between 1/2 and 3/2.
const RANDOM: &str = "random";
/// Most values that are made up for one array.
const MOST: i64 = 1 << 28;

/// Binds what the example of a kernel gives; nothing where it has none.
pub(crate) fn bind(kernel: &Kernel, sizes: &[(String, i64)], inputs: &mut Inputs) -> Result<(), Error> {
    let Some((kind, size)) = &kernel.lowered().example else { return Ok(()) };
    if kind == RANDOM {
        return random(kernel, i64::from(*size), sizes, inputs);
    }
    let kind: Kind = kind.parse().map_err(|error: spadina_io::error::Error| {
        let diagnostic = Diagnostic::error("unknown-example", error.to_string())
            .label(kernel.lowered().span, "in `#[example(..)]` of this kernel")
            .help(format!("or `{RANDOM}`, which suits every kernel"));
        Error::Source(Box::new(Report::one(kernel.source(), diagnostic)))
    })?;
    let func = kernel.func();
    let mut made = Vec::new();
    for named in generate(kind, *size as usize)? {
        made.push(format!("`{}`", named.name));
        let parameter = func.buffer_named(&named.name);
        if parameter.is_some_and(|b| kernel.lowered().params.iter().any(|p| p.buffers.contains(&b))) {
            inputs.set(named.name, &named.array);
        }
    }
    let buffers = kernel.lowered().params.iter().flat_map(|p| &p.buffers).map(|&b| &func.buffers[b]);
    if buffers.clone().any(|data| data.default.is_none() && inputs.get(&data.name).is_none()) {
        console::note(&format!("`#[example({kind}, {size})]` makes {}", made.join(", ")));
    }
    Ok(())
}

fn random(kernel: &Kernel, size: i64, given: &[(String, i64)], inputs: &mut Inputs) -> Result<(), Error> {
    let func = kernel.func();
    let mut sizes: BTreeMap<Size, i64> = BTreeMap::new();
    for (id, name) in &func.sizes {
        let chosen = given.iter().rev().find(|(n, _)| n == name).map_or(size, |(_, value)| *value);
        sizes.insert(id, chosen);
        inputs.size(name.clone(), chosen);
    }
    let eval = |expr: &SizeExpr| expr.eval(&|s| sizes.get(&s).copied().unwrap_or(0));
    let mut noise = Noise(0x5eed);
    for param in &kernel.lowered().params {
        for &buffer in &param.buffers {
            let data = &func.buffers[buffer];
            if data.default.is_none() {
                inputs.set(data.name.clone(), &made_up(data, &eval, &mut noise)?);
            }
        }
    }
    Ok(())
}

fn made_up(
    data: &BufferData,
    eval: &dyn Fn(&SizeExpr) -> Option<i64>,
    noise: &mut Noise,
) -> Result<Array, Error> {
    let refuse = || Error::Data(format!("`{}` has no example at these sizes", data.name));
    let mut shape = Vec::new();
    for dim in &data.dims {
        shape.push(eval(dim).and_then(|n| usize::try_from(n).ok()).ok_or_else(refuse)?);
    }
    let count = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
    let count = count.filter(|&n| n as i64 <= MOST).ok_or_else(refuse)?;
    let values = match data.elem {
        Ty::F64 | Ty::F32 => Data::F64((0..count).map(|_| 0.5 + noise.unit()).collect()),
        Ty::Bool => Data::Bool((0..count).map(|_| noise.unit() < 0.5).collect()),
        Ty::Int => Data::I64(match &data.entries {
            Entries::Any => vec![1; count],
            Entries::Index(bounds) => {
                let bounds: Vec<i64> = bounds.iter().map(|b| eval(b).unwrap_or(0)).collect();
                if count > 0 && bounds.iter().any(|&b| b < 1) {
                    return Err(refuse());
                }
                let pick = |k: usize| (noise.unit() * bounds[k % bounds.len()] as f64) as i64;
                (0..count).map(pick).collect()
            }
            Entries::Offsets(bound) => {
                let bound = i128::from(eval(bound).ok_or_else(refuse)?);
                let last = count.saturating_sub(1).max(1) as i128;
                (0..count).map(|k| (bound * k as i128 / last) as i64).collect()
            }
        }),
    };
    Ok(Array::new(shape, values)?)
}

/// Reproducible numbers. Source: Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014.
struct Noise(u64);

impl Noise {
    /// The next number in `0..1`.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
