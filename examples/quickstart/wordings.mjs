// How the two kinds of question are put in each language. The wordings at one index mean the same in all twelve
// languages, so that the set stays parallel; those for the test never occur in training. `{}` is the emoji.

/** @type {Record<string, Record<'emoji' | 'flag', { train: string[], test: string[] }>>} */
export const WORDINGS = {
  ar: {
    emoji: {
      train: [
        'ماذا يُظهر هذا الرمز التعبيري؟ {}',
        'اذكر اسم هذا الرمز التعبيري: {}',
        'ما هذا الرمز التعبيري؟ {}',
      ],
      test: ['أخبرني من فضلك بما تراه في هذا الرمز التعبيري: {}'],
    },
    flag: {
      train: [
        'لأي بلد أو إقليم هذا العلم؟ {}',
        'اذكر اسم المكان الذي يمثله هذا العلم: {}',
        'علم أي مكان هذا؟ {}',
      ],
      test: ['رأيت هذا العلم: {} فمن أين هو؟'],
    },
  },
  zh: {
    emoji: {
      train: ['这个表情符号表示什么？{}', '请说出这个表情符号的名称：{}', '这是什么表情符号？{}'],
      test: ['请告诉我你在这个表情符号里看到了什么：{}'],
    },
    flag: {
      train: ['这面旗帜属于哪个国家或地区？{}', '请说出这面旗帜所代表的地方：{}', '这是哪里的旗帜？{}'],
      test: ['我看到了这面旗帜：{} 它来自什么地方？'],
    },
  },
  cs: {
    emoji: {
      train: ['Co znázorňuje toto emoji? {}', 'Pojmenuj toto emoji: {}', 'Které emoji je toto? {}'],
      test: ['Řekni mi prosím, co vidíš na tomto emoji: {}'],
    },
    flag: {
      train: [
        'Které zemi nebo území patří tato vlajka? {}',
        'Pojmenuj místo, které představuje tato vlajka: {}',
        'Čí je to vlajka? {}',
      ],
      test: ['Tuhle vlajku vidím poprvé: {} Odkud je?'],
    },
  },
  en: {
    emoji: {
      train: ['What does this emoji show? {}', 'Name this emoji: {}', 'Which emoji is this? {}'],
      test: ['Please tell me what you see in this emoji: {}'],
    },
    flag: {
      train: [
        'Which country or territory does this flag belong to? {}',
        'Name the place that this flag stands for: {}',
        'Whose flag is this? {}',
      ],
      test: ['I came across this flag: {} Where is it from?'],
    },
  },
  et: {
    emoji: {
      train: ['Mida see emoji kujutab? {}', 'Nimeta see emoji: {}', 'Mis emoji see on? {}'],
      test: ['Palun ütle mulle, mida sa sellel emojil näed: {}'],
    },
    flag: {
      train: [
        'Millisele riigile või territooriumile see lipp kuulub? {}',
        'Nimeta koht, mida see lipp tähistab: {}',
        'Kelle lipp see on? {}',
      ],
      test: ['Nägin sellist lippu: {} Kust see pärit on?'],
    },
  },
  fi: {
    emoji: {
      train: ['Mitä tämä emoji esittää? {}', 'Nimeä tämä emoji: {}', 'Mikä emoji tämä on? {}'],
      test: ['Kerro minulle, mitä näet tässä emojissa: {}'],
    },
    flag: {
      train: [
        'Mille maalle tai alueelle tämä lippu kuuluu? {}',
        'Nimeä paikka, jota tämä lippu edustaa: {}',
        'Kenen lippu tämä on? {}',
      ],
      test: ['Näin tällaisen lipun: {} Mistä se on peräisin?'],
    },
  },
  he: {
    emoji: {
      train: ["מה מציג האימוג'י הזה? {}", "מה שמו של האימוג'י הזה? {}", "איזה אימוג'י זה? {}"],
      test: ["נא לומר לי מה רואים באימוג'י הזה: {}"],
    },
    flag: {
      train: [
        'לאיזו מדינה או טריטוריה שייך הדגל הזה? {}',
        'מהו המקום שהדגל הזה מייצג? {}',
        'של מי הדגל הזה? {}',
      ],
      test: ['נתקלתי בדגל הזה: {} מאיפה הוא?'],
    },
  },
  hi: {
    emoji: {
      train: ['यह इमोजी क्या दिखाता है? {}', 'इस इमोजी का नाम बताइए: {}', 'यह कौन-सा इमोजी है? {}'],
      test: ['कृपया मुझे बताइए कि इस इमोजी में आपको क्या दिखाई देता है: {}'],
    },
    flag: {
      train: [
        'यह झंडा किस देश या क्षेत्र का है? {}',
        'उस जगह का नाम बताइए जिसका यह झंडा है: {}',
        'यह किसका झंडा है? {}',
      ],
      test: ['मैंने यह झंडा देखा: {} यह कहाँ का है?'],
    },
  },
  it: {
    emoji: {
      train: [
        'Che cosa mostra questa emoji? {}',
        'Dimmi il nome di questa emoji: {}',
        'Quale emoji è questa? {}',
      ],
      test: ['Per favore, dimmi che cosa vedi in questa emoji: {}'],
    },
    flag: {
      train: [
        'A quale paese o territorio appartiene questa bandiera? {}',
        'Dimmi il luogo rappresentato da questa bandiera: {}',
        'Di chi è questa bandiera? {}',
      ],
      test: ['Ho visto questa bandiera: {} Da dove viene?'],
    },
  },
  ru: {
    emoji: {
      train: ['Что изображено на этом эмодзи? {}', 'Назови этот эмодзи: {}', 'Какой это эмодзи? {}'],
      test: ['Скажи, пожалуйста, что ты видишь на этом эмодзи: {}'],
    },
    flag: {
      train: [
        'Какой стране или территории принадлежит этот флаг? {}',
        'Назови место, которое обозначает этот флаг: {}',
        'Чей это флаг? {}',
      ],
      test: ['Мне встретился такой флаг: {} Откуда он?'],
    },
  },
  es: {
    emoji: {
      train: ['¿Qué muestra este emoji? {}', 'Di el nombre de este emoji: {}', '¿Qué emoji es este? {}'],
      test: ['Por favor, dime qué ves en este emoji: {}'],
    },
    flag: {
      train: [
        '¿A qué país o territorio pertenece esta bandera? {}',
        'Di el nombre del lugar que representa esta bandera: {}',
        '¿De quién es esta bandera? {}',
      ],
      test: ['He visto esta bandera: {} ¿De dónde es?'],
    },
  },
  sw: {
    emoji: {
      train: ['Emoji hii inaonyesha nini? {}', 'Taja jina la emoji hii: {}', 'Hii ni emoji gani? {}'],
      test: ['Tafadhali niambie unachokiona katika emoji hii: {}'],
    },
    flag: {
      train: [
        'Bendera hii ni ya nchi au eneo gani? {}',
        'Taja mahali panapowakilishwa na bendera hii: {}',
        'Hii ni bendera ya nani? {}',
      ],
      test: ['Nimeona bendera hii: {} Inatoka wapi?'],
    },
  },
};
