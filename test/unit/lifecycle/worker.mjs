// A worker that loads the addon itself, trains a step and ends; or, told to, one that stays busy until it is ended.
import { parentPort, workerData } from 'node:worker_threads';
import { keepBusy, openAddon, openSession, trainStep } from './tiny.mjs';

const { session } = await openSession(openAddon());
if (workerData.busy) {
  await keepBusy(session);
  parentPort.postMessage('busy');
} else {
  parentPort.postMessage(await trainStep(session));
}
