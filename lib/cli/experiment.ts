// `mlit experiment`: what is done with whole experiments, a subcommand each.
import type { Command } from 'commander';
import { addExperimentQuery } from './experiment-query';
import { addExperimentReport } from './experiment-report';
import { addExperimentRun } from './experiment-run';
import { addExperimentStatus } from './experiment-status';

export function addExperiment(program: Command): void {
  const experiment = program.command('experiment').description('experiments and the stores that keep them');
  for (const add of [addExperimentRun, addExperimentStatus, addExperimentReport, addExperimentQuery])
    add(experiment);
  for (const command of experiment.commands) command.exitOverride();
}
