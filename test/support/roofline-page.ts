// docs/cuda-roofline.md and its drawing: what the books (costs.h) of three known models' shapes come to on five cards. `npm run cuda:roofline` writes
// what is made here; a test holds the page to it.
import { join } from 'node:path';
import { loadAddon } from '../../lib/native/addon';
import type { NativeCard, NativeCosts, NativeModelConfig, Recompute } from '../../lib/native/types';
import { ASSUMED, boundsOf, predictSeconds, type Range, totalsOf } from '../../lib/train/roofline';
import { root } from './fixtures';
import { impliedBytes } from './roofline-floor';

const SHAPES = { 'gemma-3-270m': 'Gemma 3 270M', 'qwen3-0.6b': 'Qwen3 0.6B', 'llama-3.1-8b': 'Llama 3.1 8B' };
const CARDS = ['a100-80gb', 'h100-80gb', 'h200-141gb', 'b200-180gb', 'rtx-4090-24gb'];
/** Whose chunks of logits are taken where a table is of no card. */
const COUNTED = 'h100-80gb';
const MICRO_TOKENS = [4096, 16384];
const DOCUMENT = 512;
const ROWS = [1, 32, 128];
const CONTEXT = 512;
const LEVELS: Recompute[] = ['none', 'activations', 'layer'];
const LORA = {
  rank: 16,
  alpha: 32,
  rslora: false,
  targetModules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
};

interface Workload {
  shape: string;
  name: string;
  /** Tokens trained on, or given, by one of it. */
  tokens: number;
  /** As on COUNTED, with everything kept. */
  counted: NativeCosts;
  /** By a card's name, at the first level of recomputation that it has memory for. */
  on: Map<string, { level: Recompute; costs: NativeCosts }>;
}

export interface RooflinePage {
  markdown: string;
  svg: string;
}

const pathOf = (shape: string): string => join(root, 'scripts', 'cuda', 'shapes', shape);
const totalBytes = (plan: { bytes: number }[]): number => plan.reduce((sum, { bytes }) => sum + bytes, 0);

const cardOf = (name: string): NativeCard =>
  loadAddon()
    .cards()
    .find((card) => card.name === name)!;

function trainOptions(tokens: number, recompute: Recompute, logitsBytes: number) {
  return {
    maxTokens: tokens,
    maxTargets: tokens / 2,
    logitsBytes,
    recompute,
    full: false,
    training: true,
  };
}

/** With the optimiser's step behind each micro-batch. */
async function trainingOf(
  shape: string,
  tokens: number,
  recompute: Recompute,
  logitsBytes: number,
): Promise<NativeCosts> {
  const documents = new Int32Array(tokens / DOCUMENT).fill(DOCUMENT);
  const { microBatch, optimizer } = await loadAddon().trainingCosts(
    pathOf(shape),
    [LORA],
    trainOptions(tokens, recompute, logitsBytes),
    documents,
    tokens / 2,
  );
  const ops = { ...microBatch.ops };
  for (const [name, op] of Object.entries(optimizer.ops)) {
    const before = ops[name] ?? { readBytes: 0, writtenBytes: 0, tensorFlops: 0, launches: 0 };
    ops[name] = {
      readBytes: before.readBytes + op.readBytes,
      writtenBytes: before.writtenBytes + op.writtenBytes,
      tensorFlops: before.tensorFlops + op.tensorFlops,
      launches: before.launches + op.launches,
    };
  }
  return { ops, waits: microBatch.waits + optimizer.waits };
}

async function workloads(): Promise<Workload[]> {
  const addon = loadAddon();
  const load = (device: string) => ({ device, threads: 1, isa: 'auto', format: 'bf16' as const });
  const found: Workload[] = [];
  for (const shape of Object.keys(SHAPES)) {
    for (const tokens of MICRO_TOKENS) {
      const known = new Map<string, Promise<NativeCosts>>();
      const costsOf = (level: Recompute, logitsBytes: number): Promise<NativeCosts> => {
        const key = `${level} ${logitsBytes}`;
        if (!known.has(key)) known.set(key, trainingOf(shape, tokens, level, logitsBytes));
        return known.get(key)!;
      };
      const on: Workload['on'] = new Map();
      for (const card of CARDS) {
        const { logitsBytes } = cardOf(card);
        const free = await addon.deviceBytes(card);
        for (const level of LEVELS) {
          const options = trainOptions(tokens, level, logitsBytes);
          const plan = await addon.planTraining(pathOf(shape), [LORA], options, load(card));
          if (totalBytes(plan) > free) continue;
          on.set(card, { level, costs: await costsOf(level, logitsBytes) });
          break;
        }
      }
      const name = `training, ${tokens.toLocaleString('en')} tokens`;
      const counted = await costsOf('none', cardOf(COUNTED).logitsBytes);
      found.push({ shape, name, tokens, counted, on });
    }
    for (const rows of ROWS) {
      const options = { maxRows: rows, cacheTokens: rows * 1024, prefillTokens: 512, usableTokens: 0 };
      const counted = await addon.samplingCosts(pathOf(shape), [LORA], rows, CONTEXT);
      const on: Workload['on'] = new Map();
      for (const card of CARDS) {
        const plan = await addon.planSampling(pathOf(shape), options, LORA.rank, load(card));
        if (totalBytes(plan) <= (await addon.deviceBytes(card)))
          on.set(card, { level: 'none', costs: counted });
      }
      const name = `decoding, ${rows} row${rows === 1 ? '' : 's'}`;
      found.push({ shape, name, tokens: rows, counted, on });
    }
  }
  return found;
}

// --- text ------------------------------------------------------------------------------------------------------------------

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;
function table(header: readonly string[], rows: readonly (string | number)[][]): string {
  return [row(header), row(header.map((_, at) => (at === 0 ? '---' : '---:'))), ...rows.map(row)].join('\n');
}

/** Two digits that count: more would pretend to be known. */
function rough(value: number): string {
  const text = Number(value.toPrecision(2));
  return text >= 10 ? Math.round(text).toLocaleString('en') : String(text);
}
const ms = (seconds: number): string => rough(seconds * 1e3);
const range = ({ least, most }: Range, say: (value: number) => string): string =>
  say(least) === say(most) ? say(least) : `${say(least)} to ${say(most)}`;
const percent = (share: number): string => `${Math.round(share * 100)} %`;
const shares = ([better, worse]: readonly [number, number]): string =>
  `${percent(better)} to ${percent(worse)}`;
const micros = ([better, worse]: readonly [number, number]): string =>
  `${rough(better * 1e6)} to ${rough(worse * 1e6)} µs`;

function cardsTable(cards: NativeCard[]): string {
  return table(
    ['card', 'dense bf16, TFLOP/s', 'memory, GB/s', 'balance, FLOP a byte', 'logits at a time, MiB'],
    cards.map(({ name, teraflops, gigabytesPerSecond, logitsBytes }) => [
      name,
      teraflops.toLocaleString('en'),
      gigabytesPerSecond.toLocaleString('en'),
      Math.round((teraflops * 1e3) / gigabytesPerSecond),
      logitsBytes / 2 ** 20,
    ]),
  );
}

function countsTable(all: Workload[]): string {
  const rows = all.map(({ shape, name, tokens, counted }) => {
    const { bytes, tensorFlops, launches, waits } = totalsOf(counted);
    return [
      `${SHAPES[shape as keyof typeof SHAPES]}, ${name}`,
      (bytes / tokens / 1e6).toFixed(2),
      (tensorFlops / tokens / 1e9).toFixed(2),
      Math.round(tensorFlops / bytes),
      launches.toLocaleString('en'),
      waits,
    ];
  });
  return table(['', 'MB a token', 'GFLOP a token', 'FLOP a byte', 'launches a step', 'waits a step'], rows);
}

function predictionsTable(all: Workload[], cards: NativeCard[], shape: string): string {
  const rows: string[][] = [];
  for (const work of all.filter((each) => each.shape === shape)) {
    for (const card of cards) {
      const there = work.on.get(card.name);
      if (!there) {
        rows.push([work.name, card.name, 'does not fit', '', '', '', '']);
        continue;
      }
      const { level, costs } = there;
      const bounds = boundsOf(costs, card);
      const seconds = predictSeconds(costs, card);
      const rate = { least: work.tokens / seconds.most, most: work.tokens / seconds.least };
      rows.push([
        work.name,
        level === 'none' ? card.name : `${card.name}, recompute ${level}`,
        ms(bounds.compute),
        ms(bounds.bandwidth),
        ms(bounds.launch),
        range(seconds, ms),
        range(rate, rough),
      ]);
    }
  }
  return table(
    [
      'step',
      'card',
      'compute bound, ms',
      'bandwidth bound, ms',
      'launch bound, ms',
      'predicted, ms a step',
      'predicted, tokens/s',
    ],
    rows,
  );
}

function opsTable(all: Workload[]): string {
  const chosen = all.filter(({ name }) => name === 'training, 4,096 tokens');
  const costs = chosen.map(({ counted }) => counted);
  const names = [...new Set(costs.flatMap(({ ops }) => Object.keys(ops)))];
  const bytesOf = (at: number, name: string): number => {
    const op = costs[at]!.ops[name];
    return op ? op.readBytes + op.writtenBytes : 0;
  };
  const totals = costs.map((each) => totalsOf(each).bytes);
  const share = (name: string): number => Math.max(...totals.map((total, at) => bytesOf(at, name) / total));
  const rows = names
    .filter((name) => share(name) >= 0.005)
    .sort((a, b) => share(b) - share(a))
    .map((name) => [
      `\`${name}\``,
      ...totals.map(
        (total, at) =>
          `${rough(bytesOf(at, name) / chosen[at]!.tokens / 1e3)} (${percent(bytesOf(at, name) / total)})`,
      ),
    ]);
  return table(
    ['op', ...chosen.map(({ shape }) => `${SHAPES[shape as keyof typeof SHAPES]}, kB a token`)],
    rows,
  );
}

async function floorTables(all: Workload[]): Promise<{ floor: string; passes: string }> {
  const rows: (string | number)[][] = [];
  const keptBy = new Map<Workload, number>();
  for (const work of all) {
    const { shape, name, tokens, counted } = work;
    if (!name.startsWith('training')) continue;
    const config: NativeModelConfig = await loadAddon().readModelConfig(pathOf(shape));
    const { bytes } = totalsOf(counted);
    const { kept, products } = impliedBytes(config, LORA, tokens, tokens / 2);
    keptBy.set(work, kept);
    rows.push([
      `${SHAPES[shape as keyof typeof SHAPES]}, ${name}`,
      (bytes / tokens / 1e6).toFixed(2),
      (kept / tokens / 1e6).toFixed(2),
      (bytes / kept).toFixed(2),
      ((kept + products) / tokens / 1e6).toFixed(2),
      (bytes / (kept + products)).toFixed(2),
    ]);
  }
  const header = [
    '',
    'counted, MB a token',
    'implied by what is kept',
    'times',
    'with the operands of products',
    'times',
  ];
  return { floor: table(header, rows), passes: passesTable(all, keptBy) };
}

/** What a step is made of, and what would have to be otherwise for fewer bytes. */
const PASSES: { name: string; ops: string[]; wants: string }[] = [
  {
    name: "the base's products",
    ops: ['linearForward', 'linearBackward'],
    wants:
      'with a library their operands have to be in memory (above); the head is read once a chunk of logits, of which 512 MiB hold 512 rows of a vocabulary of 262,144',
  },
  {
    name: "adapters' products",
    ops: ['loraForward', 'loraBackward'],
    wants:
      "x is read again into the rank and y read and written out of it; backward dy is read twice, x twice (x · Aᵀ is formed again) and dx read and written. A product of our own with the adapter in its epilogue, in cuBLASLt's place, would leave the half; keeping x · Aᵀ (2 · rank bytes a token and product) one of the reads of x. Where dy is float32 (behind attention and the gates, in models without post-norms) they read it so, twice, beside the base's own narrowed copy: one copy for all wants a buffer in the memory plan, for 4 bytes a value less (1.3 % of Qwen3's bytes, 1.6 % of Llama's)",
  },
  {
    name: 'norms',
    ops: ['rmsNormForward', 'rmsNormBackward'],
    wants: 'normalised rows are formed again for the backward: a product that normalises what it reads',
  },
  {
    name: 'gates',
    ops: ['gatedForward', 'gatedBackward'],
    wants: 'the same: act(gate) · up in the epilogue of the one product or as the other reads it',
  },
  {
    name: 'attention',
    ops: ['attentionForward', 'attentionBackward'],
    wants: 'near its least: dq, dk and dv are written once, q, k, v, out and its gradient read',
  },
  {
    name: 'rope',
    ops: ['rope'],
    wants: 'turning q and k as attention, or a norm of heads, reads or writes them',
  },
  {
    name: 'residual sums',
    ops: ['add'],
    wants:
      "the product's own sum (cuBLASLt's C with a float32 result), which an adapter behind it would have to add to",
  },
];

/** How often the bytes that are implied each pass moves: the columns add up to the third column of the table above. */
function passesTable(all: Workload[], kept: Map<Workload, number>): string {
  const chosen = all.filter(({ name }) => name === 'training, 4,096 tokens');
  const named = new Set(PASSES.flatMap(({ ops }) => ops));
  const times = (work: Workload, wanted: (op: string) => boolean): string => {
    const ops = Object.entries(work.counted.ops).filter(([op]) => wanted(op));
    const bytes = ops.reduce((sum, [, { readBytes, writtenBytes }]) => sum + readBytes + writtenBytes, 0);
    return (bytes / kept.get(work)!).toFixed(2);
  };
  const rows = PASSES.map(({ name, ops }) => [
    name,
    ...chosen.map((work) => times(work, (op) => ops.includes(op))),
  ]);
  rows.push([
    'loss, embedding, rows of targets, optimiser',
    ...chosen.map((work) => times(work, (op) => !named.has(op))),
  ]);
  const header = ['times what is kept', ...chosen.map(({ shape }) => SHAPES[shape as keyof typeof SHAPES])];
  const wants = PASSES.map(({ name, wants }) => `- **${name}**: ${wants}`);
  return `${table(header, rows)}\n\nWhat fewer would take:\n\n${wants.join(';\n')}.`;
}

// --- drawing ---------------------------------------------------------------------------------------------------------------

function drawing(all: Workload[], cards: NativeCard[]): string {
  const [width, height, left, bottom] = [760, 420, 56, 372];
  const [lowX, highX, lowY, highY] = [0.5, 4096, 0.5, 4096]; // FLOP a byte, TFLOP/s
  const x = (value: number): number =>
    left + (Math.log2(value / lowX) / Math.log2(highX / lowX)) * (width - left - 120);
  const y = (value: number): number =>
    bottom - (Math.log2(value / lowY) / Math.log2(highY / lowY)) * (bottom - 20);
  const at = (value: number): string => value.toFixed(1);
  const colours = ['#4e79a7', '#f28e2b', '#59a14f', '#b07aa1', '#9c755f'];
  const parts: string[] = [];
  for (let tick = 1; tick <= 4096; tick *= 8) {
    parts.push(`<text x="${at(x(tick))}" y="${bottom + 16}" text-anchor="middle">${tick}</text>`);
    parts.push(`<text x="${left - 6}" y="${at(y(tick) + 4)}" text-anchor="end">${tick}</text>`);
  }
  for (const [i, card] of cards.entries()) {
    const ridge = (card.teraflops * 1e3) / card.gigabytesPerSecond;
    const first = (lowX * card.gigabytesPerSecond) / 1e3;
    const line = [
      [lowX, first],
      [ridge, card.teraflops],
      [highX, card.teraflops],
    ];
    const points = line.map(([a, b]) => `${at(x(a!))},${at(y(b!))}`).join(' ');
    parts.push(`<polyline points="${points}" fill="none" stroke="${colours[i]}" stroke-width="1.5"/>`);
    const label = i === 1 ? 12 : 0; // h100 and h200 have one roof
    parts.push(
      `<text x="${width - 116}" y="${at(y(card.teraflops) + 4 + label)}" fill="${colours[i]}">${card.name}</text>`,
    );
  }
  const h100 = cards[1]!;
  for (const { shape, name, counted } of all) {
    const { bytes, tensorFlops } = totalsOf(counted);
    const { least, most } = predictSeconds(counted, h100);
    const place = at(x(tensorFlops / bytes));
    const [better, worse] = [tensorFlops / least / 1e12, tensorFlops / most / 1e12].map((value) =>
      at(y(Math.max(value, lowY))),
    );
    parts.push(
      `<line x1="${place}" y1="${better}" x2="${place}" y2="${worse}" stroke="${colours[1]}" stroke-width="5" stroke-linecap="round" opacity="0.55"><title>${SHAPES[shape as keyof typeof SHAPES]}, ${name}</title></line>`,
    );
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">
<title>Roofs of five cards, and the predicted range of each step on an H100</title>
<rect width="${width}" height="${height}" fill="#fff"/>
${parts.join('\n')}
<text x="${(left + width - 120) / 2}" y="${height - 12}" text-anchor="middle">FLOP a byte of the card's memory</text>
<text x="14" y="${bottom / 2}" text-anchor="middle" transform="rotate(-90 14 ${bottom / 2})">TFLOP/s</text>
</svg>
`;
}

export async function rooflinePage(): Promise<RooflinePage> {
  const cards = CARDS.map(cardOf);
  const all = await workloads();
  const { floor, passes } = await floorTables(all);
  const markdown = `# What a card could do with it: predicted, not measured

Written by \`npm run cuda:roofline\`; do not edit. **No figure on this page was measured on a card**, and none may stand in a table with one that was.
It says what the bytes and operations of a step come to by the cards' data sheets, so that a measurement has something to be compared with.

## Where the bytes and operations come from
\`CostBackend\` ([costs.h](../native/backend/cuda/costs.h)) is a backend that computes nothing and notes for each op of backend.h what it moves, how many operations
its tensor cores do and in how many launches. Training and sampling run on it as they are, with these models' shapes and no weights. Its formulas are held
to what the emulator counts of the real kernels, op by op, at small shapes (\`Costs.*\` in \`native/emulation/test/costs_test.cpp\`): bytes and
operations within 1 %, launches exactly. A byte counts once an op: caches are taken to lose nothing within one op, and to keep nothing between two.

Training: LoRA of rank ${LORA.rank} on all seven projections, base in bfloat16, documents of ${DOCUMENT} tokens, half of the tokens supervised, one
micro-batch and one step of the optimiser. Logits come in chunks of the size that the backend itself takes on the card, here and in the other tables that name none
that of an ${COUNTED} (${cardOf(COUNTED).logitsBytes / 2 ** 20} MiB). Decoding: one token for each row, behind ${CONTEXT} tokens, with one adapter of rank ${LORA.rank}, drawn with top-p.

${countsTable(all)}

## What is assumed

${cardsTable(cards)}

From NVIDIA's data sheets: A100 80GB (SXM), H100 SXM, H200 SXM, HGX B200, GeForce RTX 4090 (Ada whitepaper; products that sum in float32).

| assumed | better to worse end |
| --- | ---: |
| cuBLASLt's products reach of the dense rate | ${shares(ASSUMED.products)} |
| our own tensor-core kernels (mma.sync): A100, RTX 4090 | ${shares(ASSUMED.kernels.a100)} |
| the same on H100, H200, where only wgmma reaches the rate | ${shares(ASSUMED.kernels.h100)} |
| the same on B200, where only tcgen05 does | ${shares(ASSUMED.kernels.b200)} |
| reached of the memory's bandwidth | ${shares(ASSUMED.bandwidth)} |
| a kernel takes on the device at least | ${micros(ASSUMED.kernelSeconds)} |
| the host takes for a launch, beside the device | ${micros(ASSUMED.launchSeconds)} |
| a wait of the host for the device costs | ${micros(ASSUMED.waitSeconds)} |

Ops run one after the other, each for the longer of its operations and its bytes. Compute and bandwidth bound are the data sheet's rates, reached
in full; the launch bound is the better end of what the host takes. None of these shares was measured here. Not in it: rows of logits that no cache holds
between the loss's two looks at them, uploads, Node, and that a step of few tokens fills no card.

## Predicted
Where a run does not fit with everything kept, the first level of \`--recompute\` that does is taken.

![Roofs of the five cards, and the predicted range of each step on an H100](cuda-roofline.svg)

${Object.entries(SHAPES)
  .map(([shape, name]) => `### ${name}\n${predictionsTable(all, cards, shape)}`)
  .join('\n\n')}

## Where the bytes of training go
A micro-batch of 4,096 tokens and a step of the optimiser; ops of half a percent and more.

${opsTable(all)}

## Against what the kept buffers imply
What the backward pass keeps ([numerics.md](numerics.md)) is written once and read once in either direction, its gradients are written and read once, and weights are
read once in either direction: that is the least, were everything else done where it is needed. Products are a library's, so that what they read and write
has to be in memory besides: normalised rows, act(gate) · up, and their gradients. Targeted is 1.2 times the first sum at most.

${floor}

**The target is missed.** With products of a library it can't be reached: what they read and write has to be in memory, which alone comes to 1.2 to 1.4 times.
The rest are passes of their own, here for a micro-batch of 4,096 tokens; a column adds up to the first "times" above:

${passes}
`;
  return { markdown, svg: drawing(all, cards) };
}
