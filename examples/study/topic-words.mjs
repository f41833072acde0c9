// The question about a text's topic, and the seven topics of SIB-200, in twelve languages: written for this study, the same in meaning
// everywhere. The wording of the test never occurs in training. `{topics}` is the list, `{text}` the text.

/** SIB-200's names of its topics, in the order in which they are offered everywhere. */
export const TOPICS = [
  'science/technology',
  'travel',
  'politics',
  'sports',
  'health',
  'entertainment',
  'geography',
];

/** @type {Record<string, { train: string[], test: string, comma: string, topics: string[] }>} */
export const TOPIC_WORDS = {
  ar: {
    train: [
      'عمّ يتحدث هذا النص؟ اختر موضوعًا واحدًا: {topics}.\n\n{text}',
      '{text}\n\nما موضوع هذا النص؟ ({topics})',
    ],
    test: 'اقرأ النص ثم اذكر موضوعه من بين هذه الموضوعات: {topics}.\n\n{text}',
    comma: '، ',
    topics: ['العلوم والتكنولوجيا', 'السفر', 'السياسة', 'الرياضة', 'الصحة', 'الترفيه', 'الجغرافيا'],
  },
  zh: {
    train: [
      '这段文字讲的是什么？请选择一个主题：{topics}。\n\n{text}',
      '{text}\n\n这段文字的主题是什么？（{topics}）',
    ],
    test: '请阅读下面的文字，并从这些主题中说出它的主题：{topics}。\n\n{text}',
    comma: '、',
    topics: ['科学与技术', '旅行', '政治', '体育', '健康', '娱乐', '地理'],
  },
  cs: {
    train: [
      'O čem je tento text? Vyber jedno téma: {topics}.\n\n{text}',
      '{text}\n\nJaké má tento text téma? ({topics})',
    ],
    test: 'Přečti si text a řekni, které z těchto témat má: {topics}.\n\n{text}',
    comma: ', ',
    topics: ['věda a technika', 'cestování', 'politika', 'sport', 'zdraví', 'zábava', 'zeměpis'],
  },
  en: {
    train: [
      'What is this text about? Choose one topic: {topics}.\n\n{text}',
      '{text}\n\nWhat is the topic of this text? ({topics})',
    ],
    test: 'Read the text and tell me which of these topics it has: {topics}.\n\n{text}',
    comma: ', ',
    topics: [
      'science and technology',
      'travel',
      'politics',
      'sports',
      'health',
      'entertainment',
      'geography',
    ],
  },
  et: {
    train: [
      'Millest see tekst räägib? Vali üks teema: {topics}.\n\n{text}',
      '{text}\n\nMis on selle teksti teema? ({topics})',
    ],
    test: 'Loe tekst läbi ja ütle, milline neist teemadest sellel on: {topics}.\n\n{text}',
    comma: ', ',
    topics: [
      'teadus ja tehnoloogia',
      'reisimine',
      'poliitika',
      'sport',
      'tervis',
      'meelelahutus',
      'geograafia',
    ],
  },
  fi: {
    train: [
      'Mistä tämä teksti kertoo? Valitse yksi aihe: {topics}.\n\n{text}',
      '{text}\n\nMikä on tämän tekstin aihe? ({topics})',
    ],
    test: 'Lue teksti ja kerro, mikä näistä aiheista sillä on: {topics}.\n\n{text}',
    comma: ', ',
    topics: ['tiede ja tekniikka', 'matkailu', 'politiikka', 'urheilu', 'terveys', 'viihde', 'maantiede'],
  },
  he: {
    train: [
      'במה עוסק הטקסט הזה? בחרו נושא אחד: {topics}.\n\n{text}',
      '{text}\n\nמה הנושא של הטקסט הזה? ({topics})',
    ],
    test: 'קראו את הטקסט ואמרו איזה מהנושאים האלה הוא נושאו: {topics}.\n\n{text}',
    comma: ', ',
    topics: ['מדע וטכנולוגיה', 'נסיעות', 'פוליטיקה', 'ספורט', 'בריאות', 'בידור', 'גאוגרפיה'],
  },
  hi: {
    train: [
      'यह पाठ किस बारे में है? एक विषय चुनें: {topics}।\n\n{text}',
      '{text}\n\nइस पाठ का विषय क्या है? ({topics})',
    ],
    test: 'पाठ पढ़ें और बताएँ कि इनमें से कौन-सा विषय उसका है: {topics}।\n\n{text}',
    comma: ', ',
    topics: ['विज्ञान और प्रौद्योगिकी', 'यात्रा', 'राजनीति', 'खेल', 'स्वास्थ्य', 'मनोरंजन', 'भूगोल'],
  },
  it: {
    train: [
      'Di che cosa parla questo testo? Scegli un argomento: {topics}.\n\n{text}',
      "{text}\n\nQual è l'argomento di questo testo? ({topics})",
    ],
    test: 'Leggi il testo e dimmi quale di questi argomenti ha: {topics}.\n\n{text}',
    comma: ', ',
    topics: ['scienza e tecnologia', 'viaggi', 'politica', 'sport', 'salute', 'intrattenimento', 'geografia'],
  },
  ru: {
    train: [
      'О чём этот текст? Выбери одну тему: {topics}.\n\n{text}',
      '{text}\n\nКакая тема у этого текста? ({topics})',
    ],
    test: 'Прочитай текст и скажи, какая из этих тем ему подходит: {topics}.\n\n{text}',
    comma: ', ',
    topics: ['наука и техника', 'путешествия', 'политика', 'спорт', 'здоровье', 'развлечения', 'география'],
  },
  es: {
    train: [
      '¿De qué trata este texto? Elige un tema: {topics}.\n\n{text}',
      '{text}\n\n¿Cuál es el tema de este texto? ({topics})',
    ],
    test: 'Lee el texto y dime cuál de estos temas tiene: {topics}.\n\n{text}',
    comma: ', ',
    topics: [
      'ciencia y tecnología',
      'viajes',
      'política',
      'deportes',
      'salud',
      'entretenimiento',
      'geografía',
    ],
  },
  sw: {
    train: [
      'Maandishi haya yanahusu nini? Chagua mada moja: {topics}.\n\n{text}',
      '{text}\n\nMada ya maandishi haya ni ipi? ({topics})',
    ],
    test: 'Soma maandishi kisha uniambie yana mada gani kati ya hizi: {topics}.\n\n{text}',
    comma: ', ',
    topics: ['sayansi na teknolojia', 'usafiri', 'siasa', 'michezo', 'afya', 'burudani', 'jiografia'],
  },
};
