//! `exp`, `log`, `sin` and `cos` as straight code over a few instructions: one text for the interpreter, for scalars and for vectors.
//!
//! # Problem
//! Calls into libm stop a loop from taking several elements at once, and every libm rounds differently.
//!
//! # Method
//! [`Arithmetic`] is the list of instructions: on `f64` it computes, in a code generator it emits. Each function reduces its argument, evaluates a
//! polynomial in a fixed order, and puts the result together:
//! - `exp(x) = 2^k (1 + r + r^2 q(r))` with `x = k log 2 + r`; `2^k` in two factors, so that results may be subnormal.
//! - `log(2^k (1 + f)) = k log 2 + f - f^2/2 + s (f^2/2 + R(s^2))` with `s = f / (2 + f)` and `1 + f` between the roots of 1/2 and 2.
//! - `sin`, `cos`: `x = k pi/2 + y + low` with `pi/2` in three parts, then the polynomial of the quadrant in `y`, and what `low` adds.
//!
//! # Accuracy
//! Within 1 unit in the last place (a test holds them against libm at many points). Polynomials interpolate at Chebyshev points; their errors are
//! below `2^-55` of the result.
//!
//! # Limits
//! `sin` and `cos` are right for `|x| <= `[`LARGEST_ANGLE`]; beyond, and for values that are not finite, the caller takes libm.
//!
//! # References
//! Muller et al., Handbook of Floating-Point Arithmetic, 2nd ed., chapter 10 (range reduction after Cody and Waite, evaluation of polynomials);
//! Estrin, Organization of computer systems: the fixed plus variable structure computer, 1960.

/// The instructions that the functions are made of. Bits are those of the IEEE format; integer additions wrap.
pub trait Arithmetic {
    /// A number, or several side by side.
    type Float: Copy;
    /// What comparisons give.
    type Truth: Copy;

    /// A literal.
    fn literal(&mut self, x: f64) -> Self::Float;
    /// `a + b`
    fn add(&mut self, a: Self::Float, b: Self::Float) -> Self::Float;
    /// `a - b`
    fn sub(&mut self, a: Self::Float, b: Self::Float) -> Self::Float;
    /// `a * b`
    fn mul(&mut self, a: Self::Float, b: Self::Float) -> Self::Float;
    /// `a / b`
    fn div(&mut self, a: Self::Float, b: Self::Float) -> Self::Float;
    /// `a < b`, false where one is NaN
    fn less(&mut self, a: Self::Float, b: Self::Float) -> Self::Truth;
    /// `a == b`
    fn equal(&mut self, a: Self::Float, b: Self::Float) -> Self::Truth;
    /// `condition ? a : b`
    fn select(&mut self, condition: Self::Truth, a: Self::Float, b: Self::Float) -> Self::Float;
    /// The bits of `a` plus an integer.
    fn bits_add(&mut self, a: Self::Float, n: u64) -> Self::Float;
    /// The bits of `a` that are set in `mask`.
    fn bits_and(&mut self, a: Self::Float, mask: u64) -> Self::Float;
    /// The bits of `a` or those of `mask`.
    fn bits_or(&mut self, a: Self::Float, mask: u64) -> Self::Float;
    /// The bits of `a` where they differ from those of `b`.
    fn bits_xor(&mut self, a: Self::Float, b: Self::Float) -> Self::Float;
    /// The bits of `a` moved up.
    fn bits_up(&mut self, a: Self::Float, by: u8) -> Self::Float;
    /// The bits of `a` moved down, zeros behind them.
    fn bits_down(&mut self, a: Self::Float, by: u8) -> Self::Float;
}

/// Added to a number of moderate size, it leaves the nearest integer in the lowest bits of the sum.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// `log 2` with 33 bits, and the rest.
const LN_2: [f64; 2] = [0.693_147_180_485_539_1, 7.440_617_110_012_397e-11];
/// `pi / 2` with 33 bits, 33 more, and the rest.
const HALF_PI: [f64; 3] = [1.570_796_326_734_125_6, 6.077_100_506_303_966e-11, 2.022_266_248_795_950_6e-21];
/// Largest magnitude of an argument of [`sin`] and [`cos`]: the reduced argument then has all its bits.
pub const LARGEST_ANGLE: f64 = 1600.0;

/// `q` in `exp(r) = 1 + r + r^2 q(r)`.
const EXP: [f64; 11] = [
    0.5,
    0.166_666_666_666_666_7,
    0.041_666_666_666_666_67,
    0.008_333_333_333_326_136,
    0.001_388_888_888_888_374_8,
    0.000_198_412_698_748_206_27,
    2.480_158_732_554_774_3e-5,
    2.755_725_540_020_642_2e-6,
    2.755_727_364_311_03e-7,
    2.510_521_700_472_074_5e-8,
    2.091_468_696_808_687_6e-9,
];
/// `R(z) / z` in the logarithm.
const LOG: [f64; 7] = [
    0.666_666_666_666_667,
    0.399_999_999_998_994_44,
    0.285_714_286_260_032_7,
    0.222_222_111_302_598_78,
    0.181_828_894_556_749_47,
    0.153_317_106_182_107_73,
    0.146_165_854_248_886_23,
];
/// `s` in `sin(y) = y + y^3 s(y^2)`.
const SIN: [f64; 6] = [
    -0.166_666_666_666_666_66,
    0.008_333_333_333_330_936,
    -0.000_198_412_698_367_405_32,
    2.755_731_609_319_840_4e-6,
    -2.505_112_989_645_018_5e-8,
    1.591_798_897_939_743_5e-10,
];
/// `c` in `cos(y) = 1 - y^2/2 + y^4 c(y^2)`.
const COS: [f64; 6] = [
    0.041_666_666_666_666_664,
    -0.001_388_888_888_888_738_9,
    2.480_158_729_875_44e-5,
    -2.755_731_726_587_808e-7,
    2.087_614_504_941_318e-9,
    -1.138_254_464_534_925e-11,
];

/// A polynomial, lowest coefficient first. Neighbors are joined to polynomials of the square, again and again (Estrin's scheme), until three
/// are left: so its steps wait for few others.
fn polynomial<A: Arithmetic>(m: &mut A, coefficients: &[f64], x: A::Float) -> A::Float {
    let mut sums: Vec<A::Float> = coefficients.iter().map(|&c| m.literal(c)).collect();
    let mut x = x;
    while sums.len() > 3 {
        let joined = sums.chunks(2).map(|pair| match *pair {
            [low, high] => step(m, low, high, x),
            _ => pair[0],
        });
        sums = joined.collect();
        x = m.mul(x, x);
    }
    let (&last, others) = sums.split_last().expect("polynomials have coefficients");
    others.iter().rev().fold(last, |sum, &low| step(m, low, sum, x))
}

/// `low + high x`
fn step<A: Arithmetic>(m: &mut A, low: A::Float, high: A::Float, x: A::Float) -> A::Float {
    let product = m.mul(high, x);
    m.add(product, low)
}

/// `2^k` of an integer between -1022 and 1023.
fn power_of_two<A: Arithmetic>(m: &mut A, k: A::Float) -> A::Float {
    let shift = m.literal(ROUNDER + 1023.0);
    let sum = m.add(k, shift);
    m.bits_up(sum, 52)
}

/// The nearest integer, and the sum whose lowest bits hold it.
fn nearest<A: Arithmetic>(m: &mut A, x: A::Float) -> (A::Float, A::Float) {
    let rounder = m.literal(ROUNDER);
    let sum = m.add(x, rounder);
    (m.sub(sum, rounder), sum)
}

/// `exp(x)`
pub fn exp<A: Arithmetic>(m: &mut A, x: A::Float) -> A::Float {
    // Beyond these bounds the result is infinite or zero; NaN passes.
    let (above, below) = (m.literal(710.0), m.literal(-746.0));
    let large = m.less(above, x);
    let x = m.select(large, above, x);
    let small = m.less(x, below);
    let x = m.select(small, below, x);
    let inverse = m.literal(std::f64::consts::LOG2_E);
    let scaled = m.mul(x, inverse);
    let (k, _) = nearest(m, scaled);
    let [high, low] = LN_2.map(|part| m.literal(part));
    let (high, low) = (m.mul(k, high), m.mul(k, low));
    let high = m.sub(x, high);
    let r = m.sub(high, low);
    let q = polynomial(m, &EXP, r);
    let square = m.mul(r, r);
    let tail = m.mul(square, q);
    let tail = m.sub(tail, low);
    let tail = m.add(high, tail);
    let one = m.literal(1.0);
    let y = m.add(one, tail);
    let half = m.literal(0.5);
    let halved = m.mul(k, half);
    let (first, _) = nearest(m, halved);
    let second = m.sub(k, first);
    let (first, second) = (power_of_two(m, first), power_of_two(m, second));
    let y = m.mul(y, first);
    m.mul(y, second)
}

/// `log(x)`: -inf at 0, NaN below.
pub fn log<A: Arithmetic>(m: &mut A, x: A::Float) -> A::Float {
    const ROOT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const ONE: u64 = 0x3ff0_0000_0000_0000;
    // The integer in the low bits of 2^52 + n.
    const INTEGER: u64 = 0x4330_0000_0000_0000;
    const INTEGER_BIAS: f64 = 4_503_599_627_370_496.0 + 1023.0;
    let smallest = m.literal(f64::MIN_POSITIVE);
    let tiny = m.less(x, smallest);
    let scale = m.literal(18_014_398_509_481_984.0); // 2^54
    let scaled = m.mul(x, scale);
    let normal = m.select(tiny, scaled, x);
    let (plain, lifted) = (m.literal(INTEGER_BIAS), m.literal(INTEGER_BIAS + 54.0));
    let bias = m.select(tiny, lifted, plain);
    let moved = m.bits_add(normal, ONE - ROOT_HALF);
    let exponent = m.bits_down(moved, 52);
    let exponent = m.bits_or(exponent, INTEGER);
    let k = m.sub(exponent, bias);
    let mantissa = m.bits_and(moved, (1 << 52) - 1);
    let mantissa = m.bits_add(mantissa, ROOT_HALF);
    let one = m.literal(1.0);
    let f = m.sub(mantissa, one);
    let two = m.literal(2.0);
    let sum = m.add(two, f);
    let s = m.div(f, sum);
    let z = m.mul(s, s);
    let r = polynomial(m, &LOG, z);
    let r = m.mul(z, r);
    let half = m.literal(0.5);
    let square = m.mul(f, f);
    let square = m.mul(half, square);
    let [high, low] = LN_2.map(|part| m.literal(part));
    let (high, low) = (m.mul(k, high), m.mul(k, low));
    let tail = m.add(square, r);
    let tail = m.mul(s, tail);
    let tail = m.add(tail, low);
    let tail = m.sub(square, tail);
    let tail = m.sub(tail, f);
    let y = m.sub(high, tail);
    // Infinity and NaN give themselves, zero -inf, negative numbers NaN.
    let infinite = m.literal(f64::INFINITY);
    let finite = m.less(x, infinite);
    let y = m.select(finite, y, x);
    let zero = m.literal(0.0);
    let (is_zero, positive) = (m.equal(x, zero), m.less(zero, x));
    let (minus, nan) = (m.literal(f64::NEG_INFINITY), m.literal(f64::NAN));
    let edge = m.select(is_zero, minus, nan);
    m.select(positive, y, edge)
}

/// What sine and cosine share: both polynomials of the reduced argument, whether the quadrant is odd, and its number in the lowest bits.
struct Reduced<A: Arithmetic> {
    sin: A::Float,
    cos: A::Float,
    even: A::Truth,
    quadrant: A::Float,
}

fn reduced<A: Arithmetic>(m: &mut A, x: A::Float) -> Reduced<A> {
    let inverse = m.literal(std::f64::consts::FRAC_2_PI);
    let scaled = m.mul(x, inverse);
    let (k, quadrant) = nearest(m, scaled);
    let [p, q, r] = HALF_PI.map(|part| m.literal(part));
    let (p, q, r) = (m.mul(k, p), m.mul(k, q), m.mul(k, r));
    // x - p is exact; what the next difference loses is kept, beside the rest of the multiple.
    let rest = m.sub(x, p);
    let y = m.sub(rest, q);
    let lost = m.sub(rest, y);
    let lost = m.sub(lost, q);
    let low = m.sub(lost, r);
    let z = m.mul(y, y);
    let (half, one) = (m.literal(0.5), m.literal(1.0));
    let half_z = m.mul(half, z);
    let slope = m.sub(one, half_z);
    // y + (y z s(z) + low (1 - z/2))
    let s = polynomial(m, &SIN, z);
    let cube = m.mul(y, z);
    let cubic = m.mul(cube, s);
    let correction = m.mul(low, slope);
    let sin = m.add(cubic, correction);
    let sin = m.add(y, sin);
    // (1 - z/2) + (what that lost + (z^2 c(z) - y low))
    let c = polynomial(m, &COS, z);
    let square = m.mul(z, z);
    let quartic = m.mul(square, c);
    let correction = m.mul(y, low);
    let tail = m.sub(quartic, correction);
    let lost = m.sub(one, slope);
    let lost = m.sub(lost, half_z);
    let tail = m.add(lost, tail);
    let cos = m.add(slope, tail);
    let halved = m.mul(k, half);
    let (whole, _) = nearest(m, halved);
    let doubled = m.add(whole, whole);
    let even = m.equal(doubled, k);
    Reduced { sin, cos, even, quadrant }
}

const SIGN: u64 = 1 << 63;

/// `sin(x)` for `|x| <= `[`LARGEST_ANGLE`].
pub fn sin<A: Arithmetic>(m: &mut A, x: A::Float) -> A::Float {
    let Reduced { sin, cos, even, quadrant } = reduced(m, x);
    let magnitude = m.select(even, sin, cos);
    let sign = m.bits_up(quadrant, 62);
    let sign = m.bits_and(sign, SIGN);
    m.bits_xor(magnitude, sign)
}

/// `cos(x)` for `|x| <= `[`LARGEST_ANGLE`].
pub fn cos<A: Arithmetic>(m: &mut A, x: A::Float) -> A::Float {
    let Reduced { sin, cos, even, quadrant } = reduced(m, x);
    let magnitude = m.select(even, cos, sin);
    let next = m.bits_add(quadrant, 1);
    let sign = m.bits_up(next, 62);
    let sign = m.bits_and(sign, SIGN);
    m.bits_xor(magnitude, sign)
}

/// Computes.
pub(super) struct Plain;

impl Arithmetic for Plain {
    type Float = f64;
    type Truth = bool;

    fn literal(&mut self, x: f64) -> f64 {
        x
    }
    fn add(&mut self, a: f64, b: f64) -> f64 {
        a + b
    }
    fn sub(&mut self, a: f64, b: f64) -> f64 {
        a - b
    }
    fn mul(&mut self, a: f64, b: f64) -> f64 {
        a * b
    }
    fn div(&mut self, a: f64, b: f64) -> f64 {
        a / b
    }
    fn less(&mut self, a: f64, b: f64) -> bool {
        a < b
    }
    fn equal(&mut self, a: f64, b: f64) -> bool {
        a == b
    }
    fn select(&mut self, condition: bool, a: f64, b: f64) -> f64 {
        if condition { a } else { b }
    }
    fn bits_add(&mut self, a: f64, n: u64) -> f64 {
        f64::from_bits(a.to_bits().wrapping_add(n))
    }
    fn bits_and(&mut self, a: f64, mask: u64) -> f64 {
        f64::from_bits(a.to_bits() & mask)
    }
    fn bits_or(&mut self, a: f64, mask: u64) -> f64 {
        f64::from_bits(a.to_bits() | mask)
    }
    fn bits_xor(&mut self, a: f64, b: f64) -> f64 {
        f64::from_bits(a.to_bits() ^ b.to_bits())
    }
    fn bits_up(&mut self, a: f64, by: u8) -> f64 {
        f64::from_bits(a.to_bits() << by)
    }
    fn bits_down(&mut self, a: f64, by: u8) -> f64 {
        f64::from_bits(a.to_bits() >> by)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{cos, exp, log, sin};
    use super::LARGEST_ANGLE;

    /// Units in the last place between two numbers of one sign.
    fn ulps(a: f64, b: f64) -> u64 {
        if a == b || (a.is_nan() && b.is_nan()) {
            0
        } else {
            (a.to_bits() as i64).abs_diff(b.to_bits() as i64)
        }
    }

    /// Points of all sizes and between them.
    fn points(scale: f64) -> impl Iterator<Item = f64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        (0..200_000).map(move |n| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let unit = (state >> 11) as f64 / (1_u64 << 53) as f64;
            let size = if n % 2 == 0 { scale } else { scale * 2_f64.powi(-((n / 2) % 60)) };
            size * (2.0 * unit - 1.0)
        })
    }

    #[test]
    fn within_one_unit_of_libm() {
        for x in points(745.0) {
            assert!(ulps(exp(x), x.exp()) <= 1, "exp({x:e}) = {:e}, not {:e}", exp(x), x.exp());
        }
        for x in points(1e300).chain(points(4.0)).chain(points(1e-307)) {
            let x = x.abs();
            assert!(ulps(log(x), x.ln()) <= 1, "log({x:e}) = {:e}, not {:e}", log(x), x.ln());
        }
        for x in points(1600.0).chain(points(7.0)) {
            assert!(ulps(sin(x), x.sin()) <= 1, "sin({x:e}) = {:e}, not {:e}", sin(x), x.sin());
            assert!(ulps(cos(x), x.cos()) <= 1, "cos({x:e}) = {:e}, not {:e}", cos(x), x.cos());
        }
        // Next to the zeros of both.
        for k in -1018..=1018 {
            let middle = f64::from(k) * std::f64::consts::FRAC_PI_2;
            for x in [middle.next_down(), middle, middle.next_up()] {
                assert!(ulps(sin(x), x.sin()) <= 1 && ulps(cos(x), x.cos()) <= 1, "at {k} quarter turns");
            }
        }
    }

    /// Compiled code compares squares.
    #[test]
    fn only_squares_of_small_angles_are_small() {
        let largest = LARGEST_ANGLE * LARGEST_ANGLE;
        assert_eq!(largest.sqrt(), LARGEST_ANGLE);
        assert!(LARGEST_ANGLE.next_up() * LARGEST_ANGLE.next_up() > largest);
    }

    #[test]
    fn edges() {
        let smallest = f64::from_bits(1);
        for x in [0.0, -0.0, 1.0, -1.0, 709.7, 709.8, 1e4, -745.1, -745.2, -1e4, smallest, 1e5, -1e22] {
            for (found, wanted) in [(exp(x), x.exp()), (log(x), x.ln()), (sin(x), x.sin()), (cos(x), x.cos())]
            {
                assert!(ulps(found, wanted) <= 1, "at {x:e}: {found:e}, not {wanted:e}");
            }
        }
        assert_eq!(log(f64::INFINITY), f64::INFINITY);
        assert_eq!((exp(f64::INFINITY), exp(f64::NEG_INFINITY)), (f64::INFINITY, 0.0));
        for function in [exp, log, sin, cos] {
            assert!(function(f64::NAN).is_nan());
        }
        assert!(log(f64::NEG_INFINITY).is_nan() && sin(f64::INFINITY).is_nan());
    }
}
