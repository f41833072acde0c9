// Instructions that move data, jump, and bring threads together: PTX ISA 9.7.9 to 9.7.14. Accesses and calls of a warp go to the
// emulator, which checks them as it does those of the source.
import { bitsOf, cppType } from './operands.mjs';

const spaces = { global: 'kGlobal', shared: 'kShared', local: 'kLocal', const: 'kConstant' };
/** Hints to caches and orderings that a program free of races can't tell from a plain access. */
const hints = ['weak', 'volatile', 'ca', 'cg', 'cs', 'cv', 'lu', 'wb', 'wt', 'unified'];
const cacheHint = /^L[12]::/;

function access(x) {
  const type = x.type();
  const vector = x.oneOf('v2', 'v4', undefined);
  const space = x.oneOf('param', ...Object.keys(spaces), 'shared::cta', undefined);
  for (const hint of hints) x.has(hint);
  x.drop((modifier) => cacheHint.test(modifier));
  const count = vector === undefined ? 1 : Number(vector[1]);
  const name = space === 'shared::cta' ? 'kShared' : space === undefined ? 'kGeneric' : spaces[space];
  return { type, count, space, bytes: (bitsOf(type) / 8) * count, where: `ptx::Space::${name}` };
}

/** The registers of a vector operand, one for each element. */
function elements(operand, count) {
  if (count === 1) return [operand];
  if (operand.kind !== 'vector' || operand.items.length !== count)
    throw new Error(`expected ${count} registers in braces`);
  return operand.items;
}

function ld(x) {
  const a = access(x);
  if (a.space === 'param') return loadParameter(x, a);
  const readOnly = x.has('nc') ? ', true' : '';
  const address = x.memory(1);
  const raw = `uint${bitsOf(a.type)}_t`;
  if (a.count === 1) {
    const value = x.cast(`ptx::load<${raw}>(${address}, ${a.where}${readOnly})`, raw, a.type);
    return x.write(0, a.type, value);
  }
  const writes = elements(x.operands[0], a.count).map((register, i) =>
    x.writeTo(register, a.type, x.cast(`v[${i}]`, raw, a.type)),
  );
  return `{ ${raw} v[${a.count}]; ptx::loadVector(v, ${address}, ${a.where}, ${a.bytes}${readOnly}); ${writes.join(' ')} }`;
}

function loadParameter(x, { type, count, bytes }) {
  const operand = x.operands[1];
  const raw = `uint${bitsOf(type)}_t`;
  const size = bitsOf(type) / 8;
  const writes = elements(x.operands[0], count).map((register, i) =>
    x.writeTo(
      register,
      type,
      x.cast(`ptx::parameter<${raw}>(${x.parameter(operand, bytes)}, ${i * size})`, raw, type),
    ),
  );
  return writes.join(' ');
}

function st(x) {
  const a = access(x);
  if (a.space === 'param') throw new Error('a call');
  const address = x.memory(0);
  const raw = `u${bitsOf(a.type)}`;
  const values = elements(x.operands[1], a.count).map((register) =>
    x.cast(x.readFrom(register, a.type, true), cppType(a.type), raw),
  );
  if (a.count === 1) return `ptx::store<${cppType(raw)}>(${address}, ${a.where}, ${values[0]});`;
  return `{ const ${cppType(raw)} v[${a.count}] = {${values.join(', ')}}; ptx::storeVector(${address}, v, ${a.where}, ${a.bytes}); }`;
}

/** Sums of words of shared memory; the emulator refuses others. A generic address may be of either. */
function atom(x) {
  if (x.type() !== 'u32') throw new Error('an atomic that the emulator lacks');
  x.need('add');
  const isShared = x.oneOf('shared', 'shared::cta', undefined) !== undefined;
  const at = isShared ? `ptx::sharedAt(${x.memory(1)})` : x.memory(1);
  return x.write(0, 'u32', `atomicAdd(reinterpret_cast<uint32_t*>(${at}), ${x.read(2, 'u32')})`);
}

function mov(x) {
  const type = x.type();
  const [to, from] = x.operands;
  const part = (vector) => `u${bitsOf(type) / vector.items.length}`;
  if (to.kind === 'vector') {
    const piece = part(to);
    const writes = to.items.map((register, i) =>
      x.writeTo(register, piece, `static_cast<${cppType(piece)}>(whole >> ${i * bitsOf(piece)})`),
    );
    return `{ const ${cppType(`u${bitsOf(type)}`)} whole = ${x.read(1, `u${bitsOf(type)}`)}; ${writes.join(' ')} }`;
  }
  if (from.kind === 'vector') {
    const piece = part(from);
    const whole = `u${bitsOf(type)}`;
    const pieces = from.items.map(
      (register, i) =>
        `static_cast<${cppType(whole)}>(static_cast<${cppType(whole)}>(${x.readFrom(register, piece)}) << ${i * bitsOf(piece)})`,
    );
    return x.write(0, whole, `static_cast<${cppType(whole)}>(${pieces.join(' | ')})`);
  }
  return x.write(0, type, x.read(1, type));
}

function cvta(x) {
  const type = x.type();
  const toSpace = x.has('to');
  const space = x.oneOf('global', 'shared', 'local', 'const', 'param', 'shared::cta');
  const value = x.read(1, type);
  if (!space.startsWith('shared')) return x.write(0, type, value);
  if (type !== 'u64') throw new Error('a shared address of 32 bits made generic');
  return x.write(0, type, toSpace ? `${value} - ptx::sharedBase()` : `${value} + ptx::sharedBase()`);
}

function bra(x) {
  x.has('uni');
  return `goto ${x.label(x.operands[0])};`;
}

function brx(x) {
  x.need('idx');
  x.has('uni');
  const targets = x.table(x.operands[1]);
  const cases = targets.map((label, i) => `case ${i}: goto ${label};`);
  return `switch (${x.read(0, 'u32')}) { ${cases.join(' ')} default: __builtin_trap(); }`;
}

function ret(x) {
  x.has('uni');
  return 'return;';
}

function barrierZero(x, i) {
  const barrier = x.operands[i];
  if (barrier?.kind !== 'number' || Number(barrier.text) !== 0 || x.operands[i + 1]?.kind === 'number')
    throw new Error('a barrier other than the whole block’s');
}

function bar(x) {
  x.has('cta');
  if (x.has('warp')) {
    x.need('sync');
    return `warpBarrier(${x.read(0, 'u32')}, ${x.site()});`;
  }
  if (x.has('sync')) {
    x.has('aligned');
    barrierZero(x, 0);
    if (x.operands.length > 1) throw new Error('a barrier of some threads');
    return `blockBarrier(0, ${x.site()});`;
  }
  x.need('red');
  x.has('aligned');
  barrierZero(x, 1);
  const type = x.type();
  if (type === 'u32') {
    x.need('popc');
    return x.write(0, type, `static_cast<uint32_t>(blockBarrier(${x.read(2, 'pred')} ? 1 : 0, ${x.site()}))`);
  }
  if (x.oneOf('and', 'or') === 'or')
    return x.write(0, 'pred', `blockBarrier(${x.read(2, 'pred')} ? 1 : 0, ${x.site()}) != 0`);
  return x.write(0, 'pred', `blockBarrier(${x.read(2, 'pred')} ? 0 : 1, ${x.site()}) == 0`);
}

const shuffles = { idx: 'kIndex', bfly: 'kXor', up: 'kUp', down: 'kDown' };
function shfl(x) {
  x.need('sync');
  if (x.type() !== 'b32') throw new Error('shfl');
  const kind = `ShuffleKind::${shuffles[x.oneOf(...Object.keys(shuffles))]}`;
  const target = x.operands[0];
  const pair = target.kind === 'pair';
  const [value, lane, limits, mask] = [1, 2, 3, 4].map((i) => x.read(i, 'u32'));
  const call = `ptx::shuffle(${kind}, ${mask}, ${value}, ${lane}, ${limits}, ${x.site()})`;
  const inRange = pair ? x.writeTo(target.second, 'pred', 's.inRange') : '';
  return `{ const auto s = ${call}; ${x.writeTo(pair ? target.first : target, 'u32', 's.value')} ${inRange} }`;
}

function vote(x) {
  x.need('sync');
  const type = x.type();
  const kind = x.oneOf('ballot', 'any', 'all');
  const votes = (text) => `ballot(${x.read(2, 'u32')}, ${text}, ${x.site()})`;
  if (kind === 'ballot' && type === 'b32') return x.write(0, 'u32', votes(x.read(1, 'pred')));
  if (type !== 'pred') throw new Error(`vote.${kind}.${type}`);
  if (kind === 'any') return x.write(0, type, `${votes(x.read(1, 'pred'))} != 0`);
  return x.write(0, type, `${votes(`!${x.read(1, 'pred')}`)} == 0`);
}

function match(x) {
  x.need('any');
  x.need('sync');
  const type = `u${bitsOf(x.type())}`;
  return x.write(0, 'u32', `matchAny(${x.read(2, 'u32')}, ${x.read(1, type)}, ${x.site()})`);
}

/** Products of a warp: types and shape as their modifiers, in order, to the emulator's function. */
const products = {
  'sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32': { call: 'mmaM16N8K16', type: 'f32', vector: 'F32x4' },
  'sync.aligned.m16n8k32.row.col.s32.s8.s8.s32': { call: 'mmaM16N8K32', type: 's32', vector: 'S32x4' },
};
function mma(x) {
  const form = products[x.takeAll()];
  if (form === undefined) throw new Error('a product that the emulator lacks');
  const [d, a, b, c] = x.operands.map((operand, i) => elements(operand, i === 2 ? 2 : 4));
  const values = (registers, type) => registers.map((register) => x.readFrom(register, type)).join(', ');
  const right = `static_cast<uint64_t>(${x.readFrom(b[1], 'u32')}) << 32 | ${x.readFrom(b[0], 'u32')}`;
  const call = `${form.call}(${form.vector}{${values(c, form.type)}}, U32x4{${values(a, 'u32')}}, ${right}, ${x.site()})`;
  const writes = d.map((register, i) => x.writeTo(register, form.type, `d[${i}]`));
  return `{ const auto d = ${call}; ${writes.join(' ')} }`;
}

function ldmatrix(x) {
  for (const word of ['sync', 'aligned', 'm8n8']) x.need(word);
  const count = Number(x.oneOf('x1', 'x2', 'x4')[1]);
  const transposed = x.has('trans');
  if (x.oneOf('shared', 'shared::cta') === undefined || x.type() !== 'b16') throw new Error('ldmatrix');
  const to = x.operands[0];
  const registers = to.kind === 'vector' ? to.items : [to];
  if (registers.length !== count) throw new Error(`expected ${count} registers`);
  const writes = registers.map((register, i) => x.writeTo(register, 'u32', `m[${i}]`));
  const call = `ldmatrix(ptx::sharedAt(${x.memory(1)}), ${count}, ${transposed}, ${x.site()})`;
  return `{ const auto m = ${call}; ${writes.join(' ')} }`;
}

function cp(x) {
  x.need('async');
  if (x.has('commit_group')) return 'copyAsyncCommit();';
  if (x.has('wait_all')) return 'copyAsyncCommit(); copyAsyncWait(0);';
  if (x.has('wait_group')) return `copyAsyncWait(${Number(x.operands[0].text)});`;
  const past = x.oneOf('cg', 'ca') === 'cg';
  if (x.oneOf('shared', 'shared::cta') === undefined) throw new Error('cp.async');
  x.need('global');
  x.drop((modifier) => cacheHint.test(modifier));
  const bytes = Number(x.operands[2].text);
  if (past ? bytes !== 16 : ![4, 8, 16].includes(bytes)) throw new Error(`a copy of ${bytes} bytes`);
  const some = x.operands.length > 3 ? `static_cast<int>(${x.read(3, 'u32')})` : `${bytes}`;
  return `copyAsync(ptx::sharedAt(${x.memory(0)}), ptx::pointer(${x.memory(1)}), ${bytes}, ${some});`;
}

export const machine = {
  ld,
  st,
  atom,
  mov,
  cvta,
  bra,
  brx,
  ret,
  exit: ret,
  bar,
  barrier: bar,
  shfl,
  vote,
  match,
  mma,
  ldmatrix,
  cp,
};
