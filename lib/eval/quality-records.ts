// Questions and answers in a few languages and scripts, for who has no data at hand to compare arithmetics on. None of them is among
// the sentences by which integer products choose what they keep (lib/model/calibration.ts).
import type { Example } from '../data/example';

const RECORDS: Readonly<Record<string, readonly (readonly [instruction: string, response: string])[]>> = {
  en: [
    [
      'Why does bread rise?',
      'Yeast eats sugar in the dough and gives off gas, which the dough holds in bubbles.',
    ],
    [
      'Name three things to take on a walk in the rain.',
      'A coat with a hood, boots that keep water out, and dry socks.',
    ],
    ['Put this politely: Send me the report.', 'Could you please send me the report when you have a moment?'],
    ['What is a leap year?', 'A year with 366 days. The extra day is the 29th of February.'],
    [
      'How do I keep a houseplant alive?',
      'Give it light, water it when the soil is dry, and turn the pot now and then.',
    ],
    [
      'Which is heavier, a litre of oil or a litre of water?',
      'A litre of water. Oil is lighter, so it floats on it.',
    ],
  ],
  de: [
    [
      'Warum geht Brot auf?',
      'Die Hefe frisst den Zucker im Teig und gibt dabei Gas ab, das der Teig in Blasen festhält.',
    ],
    [
      'Nenne drei Dinge für einen Spaziergang im Regen.',
      'Eine Jacke mit Kapuze, dichte Stiefel und trockene Socken.',
    ],
    [
      'Sag es höflich: Schick mir den Bericht.',
      'Könnten Sie mir bitte den Bericht schicken, sobald Sie Zeit haben?',
    ],
    ['Was ist ein Schaltjahr?', 'Ein Jahr mit 366 Tagen. Der zusätzliche Tag ist der 29. Februar.'],
    [
      'Wie hält man eine Zimmerpflanze am Leben?',
      'Sie braucht Licht, Wasser bei trockener Erde, und ab und zu dreht man den Topf.',
    ],
    [
      'Was ist schwerer, ein Liter Öl oder ein Liter Wasser?',
      'Ein Liter Wasser. Öl ist leichter und schwimmt deshalb obenauf.',
    ],
  ],
  es: [
    [
      '¿Por qué sube el pan?',
      'La levadura come el azúcar de la masa y suelta gas, que queda atrapado en burbujas.',
    ],
    [
      'Di tres cosas para pasear bajo la lluvia.',
      'Un abrigo con capucha, botas impermeables y calcetines secos.',
    ],
    [
      'Dilo con cortesía: Mándame el informe.',
      '¿Podría enviarme el informe cuando tenga un momento, por favor?',
    ],
    ['¿Qué es un año bisiesto?', 'Un año de 366 días. El día añadido es el 29 de febrero.'],
    [
      '¿Cómo mantengo viva una planta de interior?',
      'Dale luz, riégala cuando la tierra esté seca y gira la maceta de vez en cuando.',
    ],
    [
      '¿Qué pesa más, un litro de aceite o uno de agua?',
      'Un litro de agua. El aceite es más ligero y por eso flota.',
    ],
  ],
  ru: [
    ['Почему поднимается тесто?', 'Дрожжи едят сахар и выделяют газ, а тесто удерживает его в пузырьках.'],
    ['Назови три вещи для прогулки под дождём.', 'Куртка с капюшоном, непромокаемые сапоги и сухие носки.'],
    ['Скажи вежливо: Пришли мне отчёт.', 'Не могли бы вы прислать мне отчёт, когда у вас будет время?'],
    ['Что такое високосный год?', 'Это год из 366 дней. Лишний день — 29 февраля.'],
    [
      'Как ухаживать за комнатным растением?',
      'Поставьте его на свет, поливайте, когда земля высохнет, и иногда поворачивайте горшок.',
    ],
    ['Что тяжелее: литр масла или литр воды?', 'Литр воды. Масло легче, поэтому оно плавает сверху.'],
  ],
  ar: [
    ['لماذا ينتفخ الخبز؟', 'تتغذى الخميرة على سكر العجين وتطلق غازا يحبسه العجين في فقاعات.'],
    ['اذكر ثلاثة أشياء للمشي تحت المطر.', 'معطف بغطاء للرأس، وحذاء لا ينفذ منه الماء، وجوارب جافة.'],
    ['قلها بأدب: أرسل لي التقرير.', 'هل يمكنك من فضلك أن ترسل لي التقرير حين يتسع وقتك؟'],
    ['ما هي السنة الكبيسة؟', 'سنة عدد أيامها 366 يوما، واليوم الزائد هو 29 فبراير.'],
    ['كيف أعتني بنبتة في البيت؟', 'ضعها في الضوء، واسقها حين تجف التربة، وأدر الأصيص من حين إلى آخر.'],
    ['أيهما أثقل، لتر من الزيت أم لتر من الماء؟', 'لتر الماء أثقل. الزيت أخف، ولذلك يطفو فوقه.'],
  ],
  hi: [
    ['रोटी का आटा क्यों फूलता है?', 'खमीर आटे की चीनी खाकर गैस छोड़ता है, और आटा उसे बुलबुलों में रोक लेता है।'],
    ['बारिश में टहलने के लिए तीन चीज़ें बताओ।', 'टोपी वाला कोट, पानी रोकने वाले जूते और सूखे मोज़े।'],
    ['विनम्रता से कहो: मुझे रिपोर्ट भेजो।', 'जब आपको समय मिले, क्या आप कृपया मुझे रिपोर्ट भेज सकते हैं?'],
    ['लीप वर्ष क्या होता है?', 'वह साल जिसमें 366 दिन होते हैं। अतिरिक्त दिन 29 फ़रवरी होता है।'],
    ['घर के पौधे की देखभाल कैसे करें?', 'उसे रोशनी में रखें, मिट्टी सूखने पर पानी दें और कभी-कभी गमला घुमा दें।'],
    ['क्या भारी है, एक लीटर तेल या एक लीटर पानी?', 'एक लीटर पानी। तेल हल्का होता है, इसलिए ऊपर तैरता है।'],
  ],
  zh: [
    ['面包为什么会发起来?', '酵母吃掉面团里的糖,放出气体,面团把气体留在小泡里。'],
    ['说出雨中散步要带的三样东西。', '带帽子的外套、防水的靴子和一双干袜子。'],
    ['请礼貌地说:把报告发给我。', '您方便的时候,能请您把报告发给我吗?'],
    ['什么是闰年?', '有三百六十六天的年份,多出来的一天是二月二十九日。'],
    ['怎样养好室内植物?', '放在有光的地方,土干了再浇水,偶尔转一转花盆。'],
    ['一升油和一升水哪个重?', '一升水更重。油比较轻,所以浮在水面上。'],
  ],
  sw: [
    [
      'Kwa nini mkate huumuka?',
      'Hamira hula sukari iliyo kwenye unga na kutoa gesi inayobaki ndani kama mapovu.',
    ],
    [
      'Taja vitu vitatu vya kubeba ukitembea mvuani.',
      'Koti lenye kofia, viatu visivyopitisha maji na soksi kavu.',
    ],
    ['Sema kwa adabu: Nitumie ripoti.', 'Tafadhali, unaweza kunitumia ripoti ukipata nafasi?'],
    ['Mwaka mrefu ni nini?', 'Ni mwaka wenye siku 366. Siku inayoongezwa ni tarehe 29 Februari.'],
    [
      'Nitunzeje mmea wa ndani ya nyumba?',
      'Uweke penye mwanga, umwagilie udongo ukikauka, na ugeuze chungu mara kwa mara.',
    ],
    [
      'Kipi kizito, lita ya mafuta au lita ya maji?',
      'Lita ya maji. Mafuta ni mepesi, ndiyo maana huelea juu.',
    ],
  ],
};

/** The records, language by language. */
export function builtInRecords(): Example[] {
  return Object.entries(RECORDS).flatMap(([lang, records]) =>
    records.map(([instruction, response], index) => ({
      id: `${lang}-${index + 1}`,
      lang,
      turns: [
        { role: 'user', content: instruction },
        { role: 'assistant', content: response },
      ],
      source: { file: `built in, ${lang}`, line: index + 1 },
    })),
  );
}
