// A page of a run that goes on reads itself anew from the disk every few seconds, as long as it is looked at and not used: the
// file is replaced as a whole, so what is read is whole. Filters stand in the address, the place on the page is kept here.

const KEY = 'mlit-page';
/** How long after a key, a click or a turn of the wheel the page stands still. */
const QUIET_MS = 5000;

/** What a reader has of a page that its address does not say. */
interface Kept {
  scroll: number;
  /** Name of the control that has the focus. */
  focus: string | null;
}

export function keepFresh(): void {
  const button = document.getElementById('live-pause');
  const seconds = Number(document.querySelector('[data-refresh]')?.getAttribute('data-refresh'));
  restore();
  if (!(button instanceof HTMLButtonElement) || !(seconds > 0)) return;
  let paused = false;
  let last = Number.NEGATIVE_INFINITY;
  const used = (): void => {
    last = performance.now();
  };
  for (const event of ['keydown', 'pointerdown', 'wheel', 'touchstart']) {
    addEventListener(event, used, { passive: true });
  }
  button.hidden = false;
  button.addEventListener('click', () => {
    paused = !paused;
    button.setAttribute('aria-pressed', String(paused));
  });
  setInterval(() => {
    const reading = (getSelection()?.toString() ?? '') !== '';
    if (paused || reading || document.hidden || performance.now() - last < QUIET_MS) return;
    const kept: Kept = { scroll: scrollY, focus: document.activeElement?.getAttribute('name') ?? null };
    sessionStorage.setItem(KEY, JSON.stringify(kept));
    location.reload();
  }, seconds * 1000);
}

/** When the answers stand there, for they are what is long. */
function restore(): void {
  const text = sessionStorage.getItem(KEY);
  if (text === null) return;
  sessionStorage.removeItem(KEY);
  const { scroll, focus } = JSON.parse(text) as Kept;
  const back = (): void => {
    if (focus !== null) {
      const named = document.getElementsByName(focus)[0];
      named?.focus({ preventScroll: true });
    }
    scrollTo({ top: scroll, behavior: 'instant' });
  };
  back();
  const list = document.getElementById('answers-list');
  if (list === null) return;
  const observer = new MutationObserver(() => {
    observer.disconnect();
    requestAnimationFrame(back);
  });
  observer.observe(list, { childList: true });
}
