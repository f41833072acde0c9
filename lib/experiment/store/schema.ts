// The tables of results.duckdb, in one list: they are created, commented, filled and documented (docs/store.md) from here.
import { MEASURES, type MeasureDefinition } from '../../eval/measures/names';

/** Raised with every change of tables or views, so that an older results.duckdb is built again. */
export const SCHEMA_VERSION = 2;

interface Table {
  about: string;
  columns: Readonly<Record<string, readonly [type: string, about: string]>>;
}

const job = (kind: string) => ['VARCHAR', `hash of the ${kind} job`] as const;
const id = ['VARCHAR', 'id of the record in the evaluation set'] as const;
const item = ['VARCHAR', 'parallel_id of the record, or its id: the unit of every bootstrap'] as const;
const lang = ['VARCHAR', 'language of the prompt'] as const;
const sample = ['INTEGER', 'number of the answer to this prompt, from 0'] as const;
const experiment = ['VARCHAR', 'name of the experiment'] as const;

export const TABLES = {
  experiments: {
    about: 'One row an experiment of the store.',
    columns: {
      experiment,
      protocol: ['VARCHAR', 'protocol that its arms come from'],
      seeds: ['BIGINT[]', 'seeds of its repetitions'],
      spec: ['JSON', 'every option, defaults written out'],
    },
  },
  models: {
    about: 'One row a model of an experiment: an arm with a seed, and the jobs that made and judged it.',
    columns: {
      experiment,
      arm: ['VARCHAR', 'arm, unique in the experiment'],
      label: ['VARCHAR', 'the arm for people'],
      seed: ['BIGINT', 'seed of this repetition'],
      place: ['INTEGER', "the arm's place in the protocol, from 0"],
      at: ['JSON', 'coordinates in the protocol, as {"percent": 10}'],
      evaluate: ['VARCHAR[]', 'languages that it is evaluated in'],
      mix_job: job('mix'),
      train_job: job('train'),
      sample_job: job('sample'),
      score_job: job('score'),
      measure_job: job('measure'),
    },
  },
  judgements: {
    about: 'One row an arm that a judge compares with another, a repetition each; its job may be open.',
    columns: {
      experiment,
      judge: ['VARCHAR', 'judge, as verdicts name it'],
      protocol: ['VARCHAR', 'forced, or tie where it may say that neither is better'],
      a: ['VARCHAR', 'arm whose points are counted'],
      b: ['VARCHAR', 'arm that it is compared with'],
      seed: ['BIGINT', 'seed of the repetition'],
      languages: ['VARCHAR[]', 'languages of the prompts that are judged'],
      judge_job: job('judge'),
    },
  },
  jobs: {
    about: 'One row a finished job; a job may serve several experiments.',
    columns: {
      job: ['VARCHAR', 'hash of the job: its name and its folder in jobs/'],
      kind: ['VARCHAR', 'mix, train, sample, score, measure or judge'],
      started_at: ['TIMESTAMP', 'when it began, UTC'],
      seconds: ['DOUBLE', 'time it took; of jobs done together, its share'],
      host: ['VARCHAR', 'machine that did it'],
      threads: ['INTEGER', 'compute threads'],
      bytes: ['BIGINT', 'bytes of its files'],
      description: ['JSON', 'what the hash is made of'],
      summary: ['JSON', 'small facts by kind'],
    },
  },
  estimates: {
    about: 'What each job of an experiment was expected to take, before it ran.',
    columns: { experiment, job: job('expected'), seconds: ['DOUBLE', 'expected seconds'] },
  },
  train_steps: {
    about: 'One row a step of optimisation.',
    columns: {
      job: job('train'),
      step: ['INTEGER', 'from 1'],
      loss: ['DOUBLE', 'mean nats a supervised token of the step'],
      learning_rate: ['DOUBLE', 'learning rate'],
      grad_norm: ['DOUBLE', 'L2 norm of the gradient before clipping'],
      tokens: ['BIGINT', 'tokens of the step, prompts included'],
      supervised_tokens: ['BIGINT', 'tokens that count in the loss'],
      seconds: ['DOUBLE', 'wall time of the step'],
    },
  },
  train_evals: {
    about: 'One row an evaluation on the dev set in training.',
    columns: {
      job: job('train'),
      step: ['INTEGER', 'after this step'],
      loss: ['DOUBLE', 'mean nats a supervised token of the dev set'],
      perplexity: ['DOUBLE', 'exp(loss)'],
      best: ['BOOLEAN', 'the lowest loss up to here'],
    },
  },
  mixtures: {
    about: 'One row a language of a mixture.',
    columns: {
      job: job('mix'),
      lang: ['VARCHAR', 'language of the examples'],
      examples: ['BIGINT', 'examples in this language'],
      response_bytes: ['BIGINT', 'UTF-8 bytes of their responses'],
      supervised_tokens: ['BIGINT', 'tokens of their responses; NULL where no model counted them'],
      tokens: ['BIGINT', 'tokens in all; NULL where no model counted them'],
    },
  },
  answers: {
    about: 'One row an answer.',
    columns: {
      job: job('sample'),
      id,
      item,
      lang,
      sample,
      prompt: ['VARCHAR', 'rendered prompt'],
      response: ['VARCHAR', 'the answer'],
      new_tokens: ['INTEGER', 'tokens of the answer'],
      finish_reason: ['VARCHAR', 'why it ended; length: at the limit of new tokens'],
    },
  },
  answer_languages: {
    about: 'The language that each answer was found to be in.',
    columns: {
      job: job('measure'),
      id,
      item,
      lang,
      sample,
      answer_lang: ['VARCHAR', 'language of the answer, or undecided'],
    },
  },
  measures: {
    about: 'One row a measure of an answer; a measure that does not apply has no row.',
    columns: {
      job: job('measure'),
      id,
      item,
      lang,
      sample,
      measure: ['VARCHAR', 'name of the measure (docs/measures.md)'],
      value: ['DOUBLE', 'its value as stored: shares are 0 to 1'],
    },
  },
  likelihoods: {
    about: 'One row a reference response: how well the model predicts it.',
    columns: {
      job: job('score'),
      id,
      item,
      lang,
      nats: ['DOUBLE', 'negative log-likelihood of the response given the prompt'],
      tokens: ['BIGINT', 'tokens of the response, end of turn included'],
      bytes: ['BIGINT', 'UTF-8 bytes of the response'],
    },
  },
  verdicts: {
    about: 'One row a pair of answers as a judge saw it in one order.',
    columns: {
      job: job('judge'),
      judge: ['VARCHAR', 'judge, as verdicts name it'],
      id,
      item,
      lang,
      sample,
      shown: ['VARCHAR', 'AB: it read the answer of A first; else BA'],
      verdict: ['VARCHAR', 'A, B or tie, wherever it saw them; NULL where its answer was out of form'],
      reason: ['VARCHAR', 'why it is NULL'],
      model: ['VARCHAR', 'what the endpoint said that it was'],
      identical: ['BOOLEAN', 'the texts are the same: a tie, and nobody was asked'],
    },
  },
  meta: {
    about: 'What this file was built from.',
    columns: { key: ['VARCHAR', 'fingerprint, schema or built_at'], value: ['VARCHAR', 'its value'] },
  },
} as const satisfies Record<string, Table>;

export type TableName = keyof typeof TABLES;

export const VIEWS = {
  item_measures: {
    about: 'Every measure of every model, item and language, likelihoods of references included.',
    sql: `
      SELECT experiment, arm, seed, item, lang, measure, value
      FROM models JOIN measures ON measures.job = models.measure_job
      WHERE list_contains(evaluate, lang)
      UNION ALL
      SELECT experiment, arm, seed, item, lang, measure, value
      FROM models JOIN (
        SELECT job, item, lang, unnest(['nats', 'targetTokens', 'bytes']) AS measure,
          unnest([nats, tokens::DOUBLE, bytes::DOUBLE]) AS value
        FROM likelihoods
      ) AS lines ON lines.job = models.score_job
      WHERE list_contains(evaluate, lang)`,
  },
  scores: {
    about:
      'Mean of each measure by model and language, with the number of items; ratios such as natsPerByte are sums over sums.',
    sql: `
      WITH totals AS (
        SELECT experiment, arm, seed, lang, measure, count(DISTINCT item) AS items, avg(value) AS mean, sum(value) AS total
        FROM item_measures GROUP BY ALL
      ), ratios(name, numerator, denominator) AS (VALUES ${ratios()})
      SELECT experiment, arm, seed, lang, measure, items, mean AS value FROM totals
      UNION ALL
      SELECT over.experiment, over.arm, over.seed, over.lang, name, over.items, over.total / under.total
      FROM ratios JOIN totals AS over ON over.measure = numerator
        JOIN totals AS under ON under.measure = denominator AND under.experiment = over.experiment
          AND under.arm = over.arm AND under.seed = over.seed AND under.lang = over.lang
      WHERE under.total > 0`,
  },
  languages_of_answers: {
    about: 'In which languages each model answers prompts of each language, as shares.',
    sql: `
      SELECT experiment, arm, seed, lang, answer_lang, count(*) AS answers,
        count(*) / sum(count(*)) OVER (PARTITION BY experiment, arm, seed, lang) AS share
      FROM models JOIN answer_languages ON answer_languages.job = models.measure_job
      WHERE list_contains(evaluate, lang)
      GROUP BY experiment, arm, seed, lang, answer_lang`,
  },
  costs: {
    about:
      'Time of finished jobs by experiment and kind, taken and expected; a job of two experiments counts in both.',
    sql: `
      WITH used AS (
        SELECT DISTINCT experiment, unnest([mix_job, train_job, sample_job, score_job, measure_job]) AS job FROM models
        UNION SELECT experiment, judge_job FROM judgements
      )
      SELECT used.experiment, kind, count(*) AS jobs, sum(jobs.seconds) AS seconds,
        sum(estimates.seconds) AS expected_seconds
      FROM used JOIN jobs USING (job)
        LEFT JOIN estimates ON estimates.job = used.job AND estimates.experiment = used.experiment
      GROUP BY used.experiment, kind`,
  },
} as const;

function ratios(): string {
  return Object.entries<MeasureDefinition>(MEASURES)
    .flatMap(([name, { aggregate }]) =>
      aggregate.kind === 'ratio' ? [`('${name}', '${aggregate.numerator}', '${aggregate.denominator}')`] : [],
    )
    .join(', ');
}

/** Statements that make an empty read model. */
export function schemaStatements(): string[] {
  const statements: string[] = [];
  for (const [name, { about, columns }] of Object.entries<Table>(TABLES)) {
    const list = Object.entries(columns).map(([column, [type]]) => `"${column}" ${type}`);
    statements.push(`CREATE TABLE ${name} (${list.join(', ')})`);
    statements.push(`COMMENT ON TABLE ${name} IS ${quote(about)}`);
    for (const [column, [, text]] of Object.entries(columns)) {
      statements.push(`COMMENT ON COLUMN ${name}."${column}" IS ${quote(text)}`);
    }
  }
  for (const [name, { about, sql }] of Object.entries(VIEWS)) {
    statements.push(`CREATE VIEW ${name} AS ${sql}`, `COMMENT ON VIEW ${name} IS ${quote(about)}`);
  }
  return statements;
}

/** The columns of a table in the form that DuckDB's from_json takes. */
export function rowStructure(table: TableName): string {
  const columns = Object.entries<readonly [string, string]>(TABLES[table].columns);
  return JSON.stringify([Object.fromEntries(columns.map(([column, [type]]) => [column, fromJson(type)]))]);
}

function fromJson(type: string): unknown {
  return type.endsWith('[]') ? [type.slice(0, -2)] : type;
}

/** A text as an SQL literal. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
