// `mlit experiment`: what is done with whole experiments, a subcommand each.
import type { Command } from 'commander';
import { addExperimentQuery } from './experiment-query';

export function addExperiment(program: Command): void {
  const experiment = program.command('experiment').description('experiments and the stores that keep them');
  addExperimentQuery(experiment);
}
