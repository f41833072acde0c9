// A little text in many scripts, by which integer products see which columns of a model's activations are large. That is a trait of the
// model and hardly of the text; many languages, because no language's own columns should be missed.
import type { Tokenizer } from './tokenizer';

const SENTENCES = [
  'The river rose in the night, and by morning the lower fields stood under water.',
  'El mercado abre a las ocho, pero los panaderos llegan mucho antes del amanecer.',
  'Wer einen Zug verpasst, wartet hier eine Stunde auf den nächsten.',
  'Bibliotekarze policzyli wszystkie książki i znaleźli trzy, których nikt nie oddał.',
  'Поезд остановился на маленькой станции, и пассажиры вышли купить чай.',
  'كتب المعلم السؤال على اللوح وانتظر حتى رفع أحد التلاميذ يده.',
  'किसान ने बीज बोए और बारिश का इंतज़ार करने लगा।',
  '老师把三个苹果放在桌上,问学生们一共有多少个。',
  '駅の前の古い喫茶店は、雨の日にいちばん混んでいる。',
  '할머니는 김치를 담그는 법을 손녀에게 천천히 가르쳐 주셨다.',
  'Mwalimu aliwauliza wanafunzi ni miji gani iko karibu na ziwa.',
  'Kuinka monta päivää on helmikuussa, jos vuosi on karkausvuosi? Vastaus: 29.',
  'Question: What is 12 + 30? Answer: 42. List two colours: red, blue.',
  'function area(width: number, height: number): number { return width * height; }',
];

/** The options of loading that hold it, in a model's own tokens. */
export function calibrationOf(tokenizer: Tokenizer): {
  calibration: Int32Array;
  calibrationLengths: Int32Array;
} {
  const documents = SENTENCES.map((sentence) => tokenizer.encode(sentence)).filter((ids) => ids.length > 1);
  return {
    calibration: Int32Array.from(documents.flatMap((ids) => [...ids])),
    calibrationLengths: Int32Array.from(documents.map((ids) => ids.length)),
  };
}
