// Instructions that compute: PTX ISA 9.7.1 to 9.7.8, as far as nvcc and the asm strings of device/ need them. Each function gets an
// instruction (instruction.mjs) and gives a C++ statement; whatever it does not know is an error.
import { bitsOf, cppType } from './operands.mjs';

const isFloat = (type) => type === 'f32' || type === 'f64';
const isSigned = (type) => type[0] === 's';
/** Where two's complement may wrap, C++ wants unsigned. */
const wrapping = (type) => `u${bitsOf(type)}`;
const flushed = (ftz, text) => (ftz ? `ptx::flush(${text})` : text);

/** d = f(operands), all of one type, with .ftz on either side. */
function real(x, type, ftz, count, f, saturate = false) {
  const values = Array.from({ length: count }, (_, i) => flushed(ftz, x.read(i + 1, type)));
  const result = flushed(ftz, f(...values));
  return x.write(0, type, saturate ? `ptx::saturate(${result})` : result);
}

/** d = f(operands) on integers that wrap. */
function integer(x, type, count, f, as = wrapping(type)) {
  const cpp = cppType(as);
  return x.write(
    0,
    as,
    `static_cast<${cpp}>(${f(...Array.from({ length: count }, (_, i) => x.read(i + 1, as)))})`,
  );
}

const rounding = (x) => x.oneOf('rn', 'rz', 'rm', 'rp', undefined) ?? 'rn';
/** A sum, product or both, rounded to nearest by the machine's own instruction, else by ptx.h. */
function rounded(mode, type, nearest, product) {
  if (mode === 'rn') return nearest;
  if (type !== 'f32') throw new Error(`.${mode}.${type}`);
  return (...values) =>
    `ptx::fmaToward<ptx::Toward::k${{ rz: 'Zero', rm: 'Down', rp: 'Up' }[mode]}>(${product(...values)})`;
}

function sum(sign) {
  return (x) => {
    const type = x.type();
    if (!isFloat(type)) return integer(x, type, 2, (a, b) => `${a} ${sign} ${b}`);
    const mode = rounding(x);
    const f = rounded(
      mode,
      type,
      (a, b) => `${a} ${sign} ${b}`,
      (a, b) => `${a}, 1.0f, ${sign === '-' ? '-' : ''}${b}`,
    );
    return real(x, type, x.has('ftz'), 2, f, x.has('sat'));
  };
}

function product(x) {
  const type = x.type();
  if (isFloat(type)) {
    const f = rounded(
      rounding(x),
      type,
      (a, b) => `${a} * ${b}`,
      (a, b) => `${a}, ${b}, -0.0f`,
    );
    return real(x, type, x.has('ftz'), 2, f, x.has('sat'));
  }
  const half = x.oneOf('lo', 'hi', 'wide');
  if (half === 'lo') return integer(x, type, 2, (a, b) => `ptx::product(${a}, ${b})`);
  return widened(x, type, half, undefined);
}

/** mul.wide, mul.hi, and mad's. */
function widened(x, type, half, addend) {
  const [a, b] = [x.read(1, type), x.read(2, type)];
  if (half === 'hi') {
    const high = `ptx::highProduct<${cppType(type)}>(${a}, ${b})`;
    const as = wrapping(type);
    const text = addend === undefined ? high : `static_cast<${cppType(as)}>(${high}) + ${x.read(addend, as)}`;
    return x.write(0, as, `static_cast<${cppType(as)}>(${text})`);
  }
  if (half !== 'wide' || bitsOf(type) === 64) throw new Error('a product of unknown width');
  const wide = `${type[0]}${bitsOf(type) * 2}`;
  const cpp = cppType(wide);
  const text = `static_cast<${cpp}>(${a}) * static_cast<${cpp}>(${b})`;
  if (addend === undefined) return x.write(0, wide, `static_cast<${cpp}>(${text})`);
  const as = wrapping(wide);
  return x.write(
    0,
    as,
    `static_cast<${cppType(as)}>(static_cast<${cppType(as)}>(${text}) + ${x.read(addend, as)})`,
  );
}

function fma(x) {
  const type = x.type();
  const f = rounded(
    x.oneOf('rn', 'rz', 'rm', 'rp'),
    type,
    (a, b, c) => `std::fma(${a}, ${b}, ${c})`,
    (a, b, c) => `${a}, ${b}, ${c}`,
  );
  return real(x, type, x.has('ftz'), 3, f, x.has('sat'));
}

function mad(x) {
  const type = x.type();
  if (isFloat(type)) throw new Error('mad of reals');
  const half = x.oneOf('lo', 'hi', 'wide');
  if (half === 'lo') return integer(x, type, 3, (a, b, c) => `ptx::product(${a}, ${b}) + ${c}`);
  return widened(x, type, half, 3);
}

function div(x) {
  const type = x.type();
  if (!isFloat(type)) return integer(x, type, 2, (a, b) => `ptx::quotient(${a}, ${b})`, type);
  const how = x.oneOf('rn', 'approx', 'full');
  if (how !== 'rn') return real(x, type, x.has('ftz'), 2, (a, b) => `ptx::divideApproximately(${a}, ${b})`);
  return real(x, type, x.has('ftz'), 2, (a, b) => `${a} / ${b}`);
}

function extreme(name) {
  return (x) => {
    const type = x.type();
    if (!isFloat(type))
      return integer(x, type, 2, (a, b) => `std::${name}<${cppType(type)}>(${a}, ${b})`, type);
    const f = x.has('NaN') ? `ptx::${name}OrNan` : `std::f${name}`;
    return real(x, type, x.has('ftz'), 2, (a, b) => `${f}(${a}, ${b})`);
  };
}

function abs(x) {
  const type = x.type();
  if (isFloat(type)) return real(x, type, x.has('ftz'), 1, (a) => `std::fabs(${a})`);
  return x.write(0, type, `ptx::magnitude(${x.read(1, type)})`);
}

function neg(x) {
  const type = x.type();
  if (isFloat(type)) return real(x, type, x.has('ftz'), 1, (a) => `-${a}`);
  return integer(x, type, 1, (a) => `0u - ${a}`);
}

/** Of one real: exact where the mode is .rn, else ptx.h's inexact one. */
function unary(exact, approximate) {
  return (x) => {
    const type = x.type();
    const mode = x.oneOf('rn', 'approx');
    const f = mode === 'rn' ? exact : approximate;
    if (f === undefined || (type !== 'f32' && mode !== 'rn')) throw new Error(`.${mode}.${type}`);
    return real(x, type, x.has('ftz'), 1, (a) => f(a, type));
  };
}

function logic(sign) {
  return (x) => {
    const type = x.type();
    if (type === 'pred') return x.write(0, type, `(${x.read(1, type)} ${sign} ${x.read(2, type)}) != 0`);
    return integer(x, type, 2, (a, b) => `${a} ${sign} ${b}`);
  };
}

function not(x) {
  const type = x.type();
  if (type === 'pred') return x.write(0, type, `!${x.read(1, type)}`);
  return integer(x, type, 1, (a) => `~${a}`);
}

function shift(name) {
  return (x) => {
    const type = x.type();
    return x.write(0, type, `ptx::${name}(${x.read(1, type)}, ${x.read(2, 'u32')})`);
  };
}

function funnel(x) {
  const type = x.type();
  if (type !== 'b32') throw new Error(`shf of .${type}`);
  const direction = x.oneOf('l', 'r') === 'l' ? 'Left' : 'Right';
  const amount =
    x.oneOf('wrap', 'clamp') === 'wrap' ? `${x.read(3, 'u32')} & 31u` : `std::min(${x.read(3, 'u32')}, 32u)`;
  return x.write(0, 'u32', `ptx::funnel${direction}(${x.read(1, 'u32')}, ${x.read(2, 'u32')}, ${amount})`);
}

const comparisons = {
  eq: (a, b) => `${a} == ${b}`,
  ne: (a, b) => `${a} != ${b}`,
  lt: (a, b) => `${a} < ${b}`,
  le: (a, b) => `${a} <= ${b}`,
  gt: (a, b) => `${a} > ${b}`,
  ge: (a, b) => `${a} >= ${b}`,
};
const unsignedComparisons = { lo: 'lt', ls: 'le', hi: 'gt', hs: 'ge' };
/** Ordered ones are false of a NaN, the others true. */
const realComparisons = {
  ...comparisons,
  ne: (a, b) => `ptx::orderedAndUnequal(${a}, ${b})`,
  equ: (a, b) => `!ptx::orderedAndUnequal(${a}, ${b})`,
  neu: comparisons.ne,
  ltu: (a, b) => `!(${a} >= ${b})`,
  leu: (a, b) => `!(${a} > ${b})`,
  gtu: (a, b) => `!(${a} <= ${b})`,
  geu: (a, b) => `!(${a} < ${b})`,
  num: (a, b) => `!std::isunordered(${a}, ${b})`,
  nan: (a, b) => `std::isunordered(${a}, ${b})`,
};

/** A comparison's text: its operator is the first modifier. */
function compared(x, type) {
  const name = x.first();
  const real = isFloat(type);
  const f = real ? realComparisons[name] : comparisons[unsignedComparisons[name] ?? name];
  if (f === undefined || (unsignedComparisons[name] && isSigned(type)))
    throw new Error(`comparison .${name}.${type}`);
  const ftz = x.has('ftz');
  return `(${f(flushed(ftz, x.read(1, type)), flushed(ftz, x.read(2, type)))})`;
}

const combinations = { and: '&&', or: '||', xor: '!=' };
function setp(x) {
  const type = x.type();
  const outcome = compared(x, type);
  const combination = x.oneOf(...Object.keys(combinations), undefined);
  const target = x.operands[0];
  const also = (text) => (combination ? `${text} ${combinations[combination]} ${x.read(3, 'pred')}` : text);
  if (target.kind !== 'pair') return x.write(0, 'pred', also(outcome));
  const both = `{ const bool p = ${also(outcome)}, q = ${also(`!${outcome}`)};`;
  return `${both} ${x.writeTo(target.first, 'pred', 'p')} ${x.writeTo(target.second, 'pred', 'q')} }`;
}

function set(x) {
  const type = x.type();
  const target = x.type();
  const outcome = compared(x, type);
  if (isFloat(target)) return x.write(0, target, `${outcome} ? 1.0f : 0.0f`);
  return x.write(0, target, `static_cast<${cppType(target)}>(${outcome} ? ~0u : 0u)`);
}

function selp(x) {
  const type = x.type();
  return x.write(0, type, `${x.read(3, 'pred')} ? ${x.read(1, type)} : ${x.read(2, type)}`);
}

function counted(name, f) {
  return (x) => x.write(0, 'u32', `ptx::${name}${f ?? ''}(${x.read(1, wrapping(x.type()))})`);
}

function bfind(x) {
  const type = x.type();
  return x.write(0, 'u32', `ptx::highestBit<${x.has('shiftamt')}>(${x.read(1, type)})`);
}

function bfe(x) {
  const type = x.type();
  return x.write(0, type, `ptx::extract(${x.read(1, type)}, ${x.read(2, 'u32')}, ${x.read(3, 'u32')})`);
}

function bfi(x) {
  const type = wrapping(x.type());
  const [from, to] = [x.read(1, type), x.read(2, type)];
  return x.write(0, type, `ptx::insert(${from}, ${to}, ${x.read(3, 'u32')}, ${x.read(4, 'u32')})`);
}

function prmt(x) {
  if (x.type() !== 'b32') throw new Error('prmt');
  return x.write(0, 'u32', `ptx::permute(${x.read(1, 'u32')}, ${x.read(2, 'u32')}, ${x.read(3, 'u32')})`);
}

function lop3(x) {
  if (x.type() !== 'b32' || x.operands[4]?.kind !== 'number') throw new Error('lop3');
  const values = [1, 2, 3].map((i) => x.read(i, 'u32'));
  return x.write(0, 'u32', `ptx::logic3(${values.join(', ')}, ${x.operands[4].text})`);
}

function dp4a(x) {
  const [b, a] = [x.type(), x.type()];
  const f = `ptx::dot4<${cppType(`${a[0]}8`)}, ${cppType(`${b[0]}8`)}>`;
  return x.write(0, 'u32', `${f}(${x.read(1, 'u32')}, ${x.read(2, 'u32')}, ${x.read(3, 'u32')})`);
}

const classes = {
  finite: 'std::isfinite',
  infinite: 'std::isinf',
  number: '!std::isnan',
  notanumber: 'std::isnan',
  normal: 'std::isnormal',
  subnormal: 'ptx::isSubnormal',
};
function testp(x) {
  const type = x.type();
  return x.write(0, 'pred', `${classes[x.oneOf(...Object.keys(classes))]}(${x.read(1, type)})`);
}

/** Copies the sign of the first operand to the second. */
function copysign(x) {
  const type = x.type();
  return x.write(0, type, `std::copysign(${x.read(2, type)}, ${x.read(1, type)})`);
}

const toward = { rni: 'std::rint', rzi: 'std::trunc', rmi: 'std::floor', rpi: 'std::ceil' };
function cvt(x) {
  const from = x.type();
  const to = x.type();
  const ftz = x.has('ftz');
  if (to === 'bf16x2' && from === 'f32') {
    x.need('rn');
    return x.write(0, to, `ptx::toBf16x2(${x.read(1, from)}, ${x.read(2, from)})`);
  }
  if (to === 'bf16' && from === 'f32') {
    x.need('rn');
    return x.write(0, to, `ptx::toBf16(${x.read(1, from)})`);
  }
  for (const type of [from, to]) if (!/^[su]\d+$|^f(32|64)$/.test(type)) throw new Error(`cvt.${to}.${from}`);
  const value = flushed(ftz, x.readFrom(x.operand(1), from, true));
  const saturate = x.has('sat');
  if (isFloat(from) && !isFloat(to)) {
    const mode = x.oneOf(...Object.keys(toward)); // beyond the range: its end, whether or not .sat is there
    return x.write(0, to, `ptx::toInteger<${cppType(to)}>(${toward[mode]}(${value}))`);
  }
  if (isFloat(from)) {
    const mode = x.oneOf(...Object.keys(toward), 'rn', undefined);
    const whole = toward[mode] ? `${toward[mode]}(${value})` : value;
    if (bitsOf(to) < bitsOf(from) && mode !== 'rn') throw new Error(`cvt.${to}.${from} without .rn`);
    const result = flushed(
      ftz,
      bitsOf(to) === bitsOf(from) ? whole : `static_cast<${cppType(to)}>(${whole})`,
    );
    return x.write(0, to, saturate ? `ptx::saturate(${result})` : result);
  }
  if (isFloat(to)) {
    x.need('rn');
    return x.write(0, to, `static_cast<${cppType(to)}>(${value})`);
  }
  if (saturate) return x.write(0, to, `ptx::clampTo<${cppType(to)}>(${value})`);
  return x.write(0, to, `static_cast<${cppType(to)}>(${value})`);
}

export const arithmetic = {
  add: sum('+'),
  sub: sum('-'),
  mul: product,
  fma,
  mad,
  div,
  rem: (x) => {
    const type = x.type();
    return integer(x, type, 2, (a, b) => `ptx::remainder(${a}, ${b})`, type);
  },
  min: extreme('min'),
  max: extreme('max'),
  abs,
  neg,
  sqrt: unary(
    (a) => `std::sqrt(${a})`,
    (a) => `ptx::inexactly(std::sqrt(${a}), ${a}, 1)`,
  ),
  rcp: unary(
    (a, type) => `${type === 'f32' ? '1.0f' : '1.0'} / ${a}`,
    (a) => `ptx::inexactly(1.0f / ${a}, ${a}, 1)`,
  ),
  rsqrt: unary(undefined, (a) => `ptx::inexactly(1.0f / std::sqrt(${a}), ${a}, 2)`),
  ex2: unary(undefined, (a) => `ptx::exp2Approximately(${a})`),
  lg2: unary(undefined, (a) => `ptx::log2Approximately(${a})`),
  sin: unary(undefined, (a) => `ptx::sineApproximately(${a})`),
  cos: unary(undefined, (a) => `ptx::cosineApproximately(${a})`),
  tanh: unary(undefined, (a) => `ptx::inexactly(std::tanh(${a}), ${a}, 4096)`),
  copysign,
  testp,
  and: logic('&'),
  or: logic('|'),
  xor: logic('^'),
  not,
  shl: shift('shiftLeft'),
  shr: shift('shiftRight'),
  shf: funnel,
  setp,
  set,
  selp,
  popc: counted('onesIn'),
  clz: counted('leadingZeros'),
  brev: (x) => {
    const type = wrapping(x.type());
    return x.write(0, type, `ptx::reversed(${x.read(1, type)})`);
  },
  bfind,
  bfe,
  bfi,
  prmt,
  lop3,
  dp4a,
  cvt,
};
