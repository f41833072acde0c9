// What runs in the report's page when it is opened.
import { showAnswers } from './answers';
import { keepFresh } from './refresh';

keepFresh();
void showAnswers().catch((error: unknown) => {
  const count = document.getElementById('answers-count');
  if (count !== null) count.textContent = `The answers cannot be shown: ${String(error)}`;
});
