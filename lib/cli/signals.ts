// SIGINT once asks for an orderly end (state saved), twice quits; SIGTERM asks too. The exit code tells which it was.

/** Why work was given up; carries the exit code. */
export class SignalError extends Error {
  override readonly name = 'SignalError';
  readonly exitCode: number;

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super(`stopped by ${signal}`);
    this.exitCode = signal === 'SIGINT' ? 130 : 143;
  }
}

/** Aborts on the first signal; the second one of SIGINT ends the process at once. */
export function abortOnSignals(): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const onInterrupt = (): void => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write('\nstopping at the next safe point; press Ctrl-C again to quit at once\n');
    controller.abort(new SignalError('SIGINT'));
  };
  const onTerminate = (): void => controller.abort(new SignalError('SIGTERM'));
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onTerminate);
  return {
    signal: controller.signal,
    release: () => {
      process.off('SIGINT', onInterrupt);
      process.off('SIGTERM', onTerminate);
    },
  };
}
