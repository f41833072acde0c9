// The public surface of mlit-native. What is not exported here is an implementation detail.

export {
  type AnnotationAnswers,
  type AnnotationTaskOptions,
  type MadeAnnotationTask,
  makeAnnotationTask,
} from './annotate/make';
export type { AnnotationKind } from './annotate/protocol';
export {
  type AgreementRow,
  type AnnotationReport,
  type AnnotationReportOptions,
  annotationReport,
  type ByLanguage,
  type PersonProgress,
  type Preference,
} from './annotate/report';
export { type AnnotationServer, type ServeAnnotationOptions, serveAnnotation } from './annotate/serve';
export {
  type AnnotationItem,
  type AnnotationTask,
  readAnnotationTask,
  writeAnnotationTask,
} from './annotate/task';
export {
  type DataReport,
  type DataReportOptions,
  dataReport,
  type LanguageData,
  type Lengths,
  type Recall,
  type SetReport,
} from './data/data-report';
export { describeDataReport } from './data/data-report-text';
export {
  findNearDuplicates,
  type NearDuplicate,
  normalizeText,
  promptOf,
  responseOf,
} from './data/duplicates';
export type { Example, RecordSource } from './data/example';
export {
  findLeaks,
  type GroupOptions,
  groupItems,
  type HeldOut,
  type HoldOutOptions,
  itemOf,
  type Leak,
  type LeakKind,
  refuseLeaks,
  splitHoldOut,
} from './data/hold-out';
export { IMPORTERS, type ImporterName, importData } from './data/importers/import';
export type { Imported, ImportedRecord, ImportOptions } from './data/importers/types';
export { describeHoles, joinTranslations, type TableHoles, tableHoles } from './data/join';
export {
  type Allocation,
  allocate,
  type DrawOptions,
  drawMixture,
  formatMixtureSpec,
  type Mixture,
  type MixtureInput,
  type MixtureManifest,
  type MixtureOptions,
  type MixturePlan,
  type MixturePolicy,
  type MixtureSpec,
  mixture,
  ParallelTable,
  parseMixtureSpec,
  pinchNote,
  planMixture,
  readMixtureSpec,
  sizeMixture,
} from './data/mixture';
export { epochOrder, planSteps, type StepOptions } from './data/order';
export {
  type Packable,
  type PackedBatch,
  type PackedGroup,
  type PackOptions,
  packExamples,
} from './data/packing';
export { type PreviewOptions, preview } from './data/preview';
export { type ReadOptions, readExamples, streamExamples } from './data/read';
export {
  type RenderContext,
  type RenderedExample,
  type RenderOptions,
  type RenderReport,
  renderExample,
  renderExamples,
  renderPrompt,
} from './data/render';
export { toRecord, writeRecords } from './data/write';
export {
  type Agreement,
  agreement,
  type Choice,
  type ChoicePair,
  joinChoices,
  tieDiscounted,
  type Word,
} from './eval/agreement';
export type { ComparedLanguage, ComparedLanguages } from './eval/answer-pairs';
export {
  type CompareOptions,
  type Comparison,
  compareAnswers,
  PROGRAM_JUDGES,
  type ProgramJudge,
} from './eval/compare';
export { rougeEvaluator } from './eval/dev-rouge';
export { gatedPoints, gatePair, type LanguageState, languageState } from './eval/gate';
export {
  GRADES,
  type Grade,
  type GradedAnswer,
  type GradeRates,
  type GradeSummary,
  gradeRates,
} from './eval/grades';
export {
  type CheckContext,
  type CheckResult,
  checkInstruction,
  type InstructionCheck,
  instructionCheckSchema,
  parseInstructionChecks,
} from './eval/instruction-checks';
export type { ChoiceModel } from './eval/judges/choice-prompts';
export {
  type JudgeAnswersOptions,
  type JudgedComparison,
  judgeAnswers,
} from './eval/judges/compare-judged';
export type { EndpointOptions } from './eval/judges/endpoint';
export type { Judge, JudgeQuestion, JudgeReply, JudgeSpending } from './eval/judges/judge';
export {
  type AnswerPair,
  type JudgedPairs,
  type JudgePairsOptions,
  type JudgeProgress,
  judgePairs,
} from './eval/judges/judge-pairs';
export { LocalJudge, type LocalJudgeOptions } from './eval/judges/local-judge';
export { LocalRater, type LocalRaterOptions } from './eval/judges/local-rater';
export { VerdictMemory } from './eval/judges/memory';
export { OpenAIJudge, type OpenAIJudgeOptions } from './eval/judges/openai-judge';
export { OpenAIRater, type OpenAIRaterOptions } from './eval/judges/openai-rater';
export { type PlantedPair, plantPairs, type QualifyOptions, qualifyJudge } from './eval/judges/planted';
export {
  greyByJudge,
  PLANTED_KINDS,
  type PlantedKind,
  type Qualification,
  readQualifications,
} from './eval/judges/qualification';
export { type RateAnswersOptions, type Rated, type RatedLanguage, rateAnswers } from './eval/judges/rate';
export type { Rater, RatingNumbers, RatingQuestion, RatingReply } from './eval/judges/rater';
export type { MachineRubric, RatedMaterial } from './eval/judges/wording';
export { labelItems } from './eval/label-set';
export { type LabelItem, type LabelOptions, type LabelScore, scoreLabels } from './eval/labels';
export {
  type LanguageConfusion,
  type LanguageConfusionRow,
  languageConfusion,
  type Rate,
} from './eval/language-confusion';
export { likelihoodMeasures, measureAnswers } from './eval/measures/measure';
export {
  isMeasureName,
  MEASURE_NAMES,
  MEASURES,
  type MeasureAggregate,
  type MeasureDefinition,
  type MeasureName,
  measureDefinition,
  measureTerms,
} from './eval/measures/names';
export type {
  AnswerLine,
  LanguageSummary,
  MeasureLine,
  MeasureOptions,
  MeasureSummary,
} from './eval/measures/types';
export { compareQuality, type QualityOptions, type QualityReport, type QualityRow } from './eval/quality';
export { type RecordScore, type ScoreOptions, type ScoreSums, type Scores, score } from './eval/score';
export {
  type ItemScore,
  identicalPair,
  instructionFollowing,
  type Pair,
  type PairVerdict,
  type ProgramMeasure,
  pairPoints,
  pairVerdicts,
  type SideBySide,
  type SideBySideOptions,
  scoreVerdict,
  scoreVerdicts,
  sideBySide,
  type Verdict,
} from './eval/side-by-side';
export {
  type BootstrapOptions,
  type Cell,
  type Contrast,
  PairedBootstrap,
} from './eval/statistics/bootstrap';
export type { Estimate } from './eval/statistics/estimate';
export { type Pearson, type PearsonOptions, pearson } from './eval/statistics/pearson';
export { signTest, wilson } from './eval/statistics/proportions';
export { linearRegression, type Regression } from './eval/statistics/regression';
export { bootstrapSeeds, MIN_SEEDS, type SeedSummary, seedSummary } from './eval/statistics/seeds';
export {
  groupVerdicts,
  type JudgeProtocol,
  openRatings,
  openVerdicts,
  type RatingFile,
  type RatingLine,
  type Rubric,
  readRatings,
  readVerdicts,
  turnedAbout,
  type VerdictFile,
  type VerdictGroup,
  type VerdictLine,
  verdictPairs,
} from './eval/verdicts';
export {
  type AnsweringModel,
  type StoredAnswer,
  type StoredAnswers,
  storedAnswers,
} from './experiment/answers';
export { type CollectedModels, collectModels, collectResults } from './experiment/collect';
export type { ExperimentPlan } from './experiment/estimate';
export { Experiment, type ExperimentOptions } from './experiment/experiment';
export type { JobKind } from './experiment/job';
export type { JudgeInput, JudgeSpec } from './experiment/judge-spec';
export { TrainingFollower, type TrainingView } from './experiment/live';
export { expandProtocol } from './experiment/protocols';
export type { ExperimentResults, ResultFigure, ResultTable } from './experiment/results';
export {
  type ExperimentInput,
  type ExperimentSpec,
  PROTOCOLS,
  type Protocol,
  readExperiment,
} from './experiment/spec';
export { type ExperimentStatus, experimentStatus } from './experiment/status';
export { type ProgressRecord, readProgress } from './experiment/store/progress';
export { type QueryOptions, type QueryResult, query as queryStore } from './experiment/store/read-model';
export { Store, type StoreOptions } from './experiment/store/store';
export type { ExperimentGraph, FinishedJob, OutputFile } from './experiment/store/types';
export type { Arm, ItemResult, ModelResult } from './experiment/types';
export type { ExperimentEvent } from './experiment/walk';
export { type Exported, type ExportFormat, type ExportOptions, exportModel } from './export/export';
export { type ExportDtype, type ModelFolderOptions, writeModelFolder } from './export/model-folder';
export { Adapter, type AdapterOptions } from './model/adapter';
export { cacheDir } from './model/cache';
export type { HubOptions, HubProgress } from './model/hub/snapshot';
export { Model, type ModelLoadOptions } from './model/model';
export { NAMED_MODELS } from './model/named-models';
export { type PulledModel, type PullOptions, type PullProgress, pullModel } from './model/pull';
export { type ModelSource, type ResolveOptions, resolveModel } from './model/source';
export { ChatTemplate, type ChatTemplateOptions, type ChatTurn } from './model/template';
export { type DecodeOptions, type EncodeOptions, Tokenizer } from './model/tokenizer';
export { ERROR_CODES, type ErrorCode, type ErrorFields, isMlitError, MlitError } from './native/errors';
export { packageVersion as version } from './native/version';
export { figureSpec, renderFigure } from './report/charts/render';
export { type DescribeOptions, describeResults } from './report/describe';
export { LivePage } from './report/live-page';
export { profileText } from './report/profile-text';
export { type ReportOptions, renderReport, writeReport } from './report/write-report';
export {
  type DrawnTokens,
  type FinishReason,
  type PromptLogprobs,
  type SampleEvent,
  type SampleRequest,
  type SampleResult,
  Sampler,
  type SamplerOptions,
  type TokenLogprob,
} from './sample/sampler';
export { ModelServer, type ModelServerOptions } from './serve/server';
export {
  type AnswerLanguage,
  type AnswerLanguageOptions,
  checkAnswerLanguageRule,
  identificationRecall,
  languageOfAnswer,
  type RuleCheck,
} from './text/answer-language';
export { type ChrfOptions, chrf, corpusChrf } from './text/chrf';
export { type Identify, type LanguageGuess, loadIdentifier } from './text/identify';
export { checkLanguageCode, languageName, suggestLanguageCode } from './text/language-codes';
export { type RougeOptions, rougeL, rougeLOfTokens, rougeTokens } from './text/rouge';
export type { DevContext, DevEvaluator, DevItem, DevMeasure, DevMeasuring } from './train/evaluator';
export type { CheckpointEvent, EndEvent, EvalEvent, StepEvent, TrainEvent } from './train/events';
export type { MultiPlan } from './train/multi-plan';
export {
  type MultiTrainEvent,
  MultiTrainer,
  type MultiTrainerOptions,
  type MultiTrainerRun,
  type MultiTrainResult,
  type MultiTrainRun,
} from './train/multi-trainer';
export type { TrainOptions, TrainOptionsInput } from './train/options';
export type { TrainPlan } from './train/plan';
export type { ProfileRow } from './train/profile-rows';
export type { ProfileOptions, TrainProfile } from './train/profiler';
export { findRanks, type RankPlace, Ranks } from './train/ranks';
export type { TrainResult, TrainRun } from './train/run';
export { learningRateAt, type ScheduleOptions } from './train/schedule';
export {
  type BatchSums,
  type OptimStepOptions,
  TrainingSession,
  type TrainingSessionOptions,
} from './train/session';
export type { JointLimits } from './train/shared-session';
export { planTraining, Trainer, type TrainerOptions, type TrainingPrepared } from './train/trainer';
