/**
 * The vocabulary of the example's backstories. A sentence is a pattern with slots in braces; `fill` in
 * makeBackstories.ts knows the slots `name first race arace class home he him his He His tool teacher`.
 * A wound brings its own vow and secret, so that a story hangs together; words are kept plain enough for a small
 * vocabulary learnt from a nineteenth-century novel.
 */

export interface Wound {
  /** What was lost, and to whom. */
  happened: readonly string[];
  /** What the hero swore because of it. */
  vow: readonly string[];
  /** What nobody knows. */
  secret: readonly string[];
}

export interface Calling {
  tool: string;
  teacher: string;
  /** How the craft was learnt. */
  learnt: readonly string[];
}

export const FIRST_NAMES = {
  she: ['Ysolde', 'Mara', 'Brenna', 'Thessa', 'Orla', 'Wren', 'Isolt', 'Petra', 'Nell', 'Sabra', 'Una', 'Hesper'],
  he: ['Corin', 'Aldous', 'Bram', 'Tobin', 'Garrick', 'Osric', 'Fenn', 'Jory', 'Lucan', 'Rook', 'Silas', 'Dorn'],
} as const;

export const SURNAMES = [
  'Marrow',
  'Ashdown',
  'Thorn',
  'Blackwood',
  'Stone',
  'Harrow',
  'Vale',
  'Fairweather',
  'Crane',
  'Holloway',
  'Winter',
  'Ember',
  'Greyling',
  'Locke',
  'Saltmarsh',
  'Rush',
  'Hollis',
  'Oakes',
  'Pike',
  'Weatherby',
] as const;

/** Each race with the mark that its people carry. */
export const RACES: Record<string, readonly string[]> = {
  human: [
    'Like all short-lived folk, {first} was always in a hurry.',
    '{He} had only a human life to spend, and spent it fast.',
    'No blood of elf or giant ran in {him}, only stubbornness.',
  ],
  elf: [
    'As elves do, {first} counted years the way others count days.',
    '{He} slept with open eyes, as all elves do.',
    'The trees still spoke to {him} in the old elf tongue.',
  ],
  'half-elf': [
    'Too tall for one people and too loud for the other, {first} belonged to neither.',
    'Half of {him} was elf and half was not, and the two halves quarrelled.',
    'The elves called {him} hasty; the villagers called {him} strange.',
  ],
  dwarf: [
    'Like every dwarf, {first} never forgot a debt.',
    '{He} trusted stone, and iron, and very little else.',
    'A dwarf keeps a grudge as others keep a cow, and {first} kept several.',
  ],
  halfling: [
    'Small even for a halfling, {first} was easy to forget and hard to catch.',
    '{He} never missed a second breakfast, not even in war.',
    'Big folk looked over {his} head, and {first} made good use of it.',
  ],
  orc: [
    'People saw the tusks first and the kind eyes later.',
    'Doors closed when an orc came by, so {first} learned to knock softly.',
    '{He} was born to the drums of the orcs, but {he} loved quiet things.',
  ],
};

export const CLASSES: Record<string, Calling> = {
  ranger: {
    tool: 'a bow of black yew',
    teacher: 'an old huntress with one eye',
    learnt: [
      'The woods taught {him} the trade of a ranger: to walk softly and to wait.',
      'It was {teacher} who put {tool} into {his} hands.',
      'By twelve {he} could read a track in the rain.',
    ],
  },
  wizard: {
    tool: 'a book with burned edges',
    teacher: 'a blind wizard in a leaking tower',
    learnt: [
      '{He} learned {his} letters, and then {his} spells, from {teacher}.',
      'The first spell {he} ever spoke put out every candle in the street.',
      'A wizard must own one thing above all, and {first} owned {tool}.',
    ],
  },
  cleric: {
    tool: 'a small silver bell',
    teacher: 'the keeper of a roadside shrine',
    learnt: [
      'It was {teacher} who took {him} in and taught {him} to pray.',
      'A god of lanterns answered {him} once, and once was enough.',
      '{He} carried {tool}, and the dead lay still when it rang.',
    ],
  },
  knight: {
    tool: 'a shield without a sign',
    teacher: 'a knight who had lost his horse',
    learnt: [
      '{He} served seven years under {teacher} before {he} was called a knight.',
      'No king ever touched {his} shoulder; {first} became a knight by standing still when others ran.',
      '{He} bore {tool}, for {he} served no lord.',
    ],
  },
  rogue: {
    tool: 'a ring of stolen keys',
    teacher: 'a thief who never ran',
    learnt: [
      'It was {teacher} who showed {him} that every lock is a question.',
      '{He} took {his} first purse at six and gave it back at seven.',
      'With {tool} and a quiet step, {he} made a living out of dark windows.',
    ],
  },
  bard: {
    tool: 'a lute with three strings',
    teacher: 'a singer nobody paid',
    learnt: [
      'All {he} owned was {tool}, and it was enough to buy a supper.',
      '{He} had every old song from {teacher}.',
      'Before {he} could walk well, {he} could make a whole tavern weep.',
    ],
  },
  druid: {
    tool: 'a staff of living oak',
    teacher: 'a she-bear, or so {he} says',
    learnt: [
      'The craft of the druid came to {him} from {teacher}.',
      'Where {he} set down {tool}, small flowers came up.',
      'For three winters {he} wore the shape of a wolf and was happy.',
    ],
  },
  smith: {
    tool: 'a hammer as old as the hills',
    teacher: 'a smith who spoke only to iron',
    learnt: [
      'In the heat of the forge {first} learned patience from {teacher}.',
      '{He} swung {tool} from dawn until the stars came out.',
      'Every blade {he} made had a name, and {he} wept when one was sold.',
    ],
  },
};

/** Each home with what it is known for: a clause behind its name. */
export const HOMES: Record<string, string> = {
  'the Salt Marches': 'where the tide leaves salt on every door',
  'the Grey Harbor': 'where the fog never quite goes home',
  'the Hollow Hill': 'where the dead are said to dance',
  'the Iron Coast': 'where even the children carry knives',
  'the Black Fens': 'where no one learns to swim',
  'the White Wood': 'where the snow falls in summer',
  'the Long Valley': 'where the bells ring for every birth',
  'the Cold Springs': 'where the old gods come to drink',
  'the Red Cliffs': 'where the gulls cry like lost men',
  'the Drowned Isles': 'where the church bells ring under the sea',
  'the Sunken Forest': 'where the roots are older than the kings',
  'the Ash Hills': 'where grass will not grow',
  'the Amber Fields': 'where the wheat stands taller than a man',
  'the Windy Steppe': 'where no fire burns straight',
};

/** Each opening says all that the prompt says: name, race, class and home. */
export const OPENINGS: readonly string[] = [
  '{name}, {arace} {class}, came out of {home}, {detail}.',
  'Nobody in {home} thought that {arace} like {name} would live to be a {class}.',
  'The {class} {name} was {arace} child of {home}, {detail}.',
  'Long before {he} was a {class}, {name} was {arace} child in {home}.',
  'There was once {arace} {class} of {home} whose name was {name}.',
  '{name} of {home} was the youngest of nine and the first {race} there to become a {class}.',
  'In {home}, {detail}, they still speak of {name}, the {race} {class}.',
  'A storm brought {name}, {arace} without a penny, to {home}, and there {he} became a {class}.',
  '{name} was born {arace} in {home}, and no one there took {him} for a {class}.',
];

export const WOUNDS: readonly Wound[] = [
  {
    happened: [
      'In one night a red dragon burned the village, and only {first} crawled out of the ash.',
      'Then the dragon came, and by morning there was no village left.',
      'A dragon took {his} father, the roof, and the only good cow.',
    ],
    vow: [
      '{He} swore on the warm ash to bring home the dragon’s head.',
      'So {first} swore that the beast would hear {his} name before it died.',
      'That day {he} made a vow: one dragon, one arrow, one grave.',
    ],
    secret: [
      'What {he} tells no one: {he} let the dragon’s egg live, and it is growing.',
      'But {he} still dreams of fire, and in the dream {he} is not afraid.',
    ],
  },
  {
    happened: [
      'When the winter fever came, {he} buried mother, father, and sister in one week.',
      'The fever passed over {him} and took the rest of the house.',
      'One cold winter the fever left {first} alone with eleven empty beds.',
    ],
    vow: [
      'At the last grave {he} swore that no child should die alone again.',
      '{He} vowed to find the root that cures the fever, if it grew at the end of the world.',
      'So {first} swore to walk from door to door until the fever was dead.',
    ],
    secret: [
      'Few know that {he} carries a letter {he} has never dared to open.',
      'What {he} tells no one: {he} hears {his} sister sing whenever it snows.',
    ],
  },
  {
    happened: [
      'Pirates sold {him} for a barrel of rum and a broken clock.',
      'At nine {he} was carried off by pirates and chained to an oar.',
      'The pirates left {him} a scar across the hand and a hatred of drums.',
    ],
    vow: [
      '{He} swore to sink nine black ships, and has sunk four.',
      'So {first} swore an oath on salt water: no more chains.',
      'On the day {he} broke the chain {he} vowed to break every other.',
    ],
    secret: [
      'But the captain who sold {him} was {his} own uncle, and {first} knows it.',
      'Few know that {he} still hides a pirate’s map under the skin of {his} boot.',
    ],
  },
  {
    happened: [
      'A king without mercy hanged {his} brother for one stolen loaf.',
      '{His} brother was hanged at noon for a theft that {first} had done.',
      'The king’s men came for {his} brother and found him asleep.',
    ],
    vow: [
      '{He} swore to set an empty chair before the king and wait.',
      'So {first} vowed to eat no bread until the king was hungry too.',
      'Under the gallows {he} swore to pay that debt, coin by coin.',
    ],
    secret: [
      'What {he} tells no one: the stolen loaf was for {him}.',
      'But the crown itself lies in {his} bag, wrapped in an old shirt.',
    ],
  },
  {
    happened: [
      'A witch asked for a kindness, was refused, and took {his} shadow.',
      'One evening {he} sold {his} shadow to a witch for a bag of gold that was leaves by morning.',
      'The witch of the well stole {his} shadow, and dogs have barked at {him} ever since.',
    ],
    vow: [
      '{He} vowed to win it back before the longest night.',
      'So {first} swore to follow the witch through every door she closed.',
      '{He} swore never again to say no to a stranger at the door.',
    ],
    secret: [
      'Few know that the shadow writes to {him}, and that it is happier now.',
      'What {he} tells no one: without a shadow {he} casts no doubt either.',
    ],
  },
  {
    happened: [
      'The river rose in spring and took the mill, the bridge, and {his} true love.',
      '{He} held a hand in the flood, and the hand slipped away.',
      'On the eve of {his} wedding the flood came down the hills.',
    ],
    vow: [
      '{He} swore to build one bridge that no water can break.',
      'So {first} vowed to follow the river to its mouth and ask it why.',
      '{He} swore never to let go of a hand again.',
    ],
    secret: [
      'But every spring a wet footprint stands before {his} bed.',
      'Few know that {he} wears two rings on a string under {his} coat.',
    ],
  },
  {
    happened: [
      'Goblins dug up under the hall and carried away every child but one.',
      'The goblins left {him} behind because {he} bit the hardest.',
      'For a year {he} was a servant of the goblin queen and polished her teeth.',
    ],
    vow: [
      '{He} swore to go down every dark hole until all were found.',
      'So {first} vowed to bring the children home, one for each finger.',
      '{He} swore by the lost children never to sleep under a roof.',
    ],
    secret: [
      'What {he} tells no one: {he} was happy down there.',
      'Few know that {he} counts in the goblin way, and dreams in it too.',
    ],
  },
  {
    happened: [
      '{His} best friend opened the gate to the enemy for thirty coins.',
      'In the war {he} was left for dead by the one {he} loved most.',
      'The war took {his} company, all forty, and left {him} the flag.',
    ],
    vow: [
      '{He} swore to find that friend and ask one question.',
      'So {first} vowed to carry forty names and to speak one every night.',
      '{He} swore to fight for no flag but a white one.',
    ],
    secret: [
      'But {he} gave the order that day, and nobody else lived to say so.',
      'What {he} tells no one: one of the thirty coins is in {his} own pocket.',
    ],
  },
];

export const QUIRKS: readonly string[] = [
  '{He} talks to crows and waits politely for an answer.',
  '{He} salts {his} tea and will not say why.',
  '{He} never sits with {his} back to a fire.',
  '{He} laughs at funerals and is silent at weddings.',
  '{He} names every horse Thursday.',
  '{He} bows to old trees and to no one else.',
  '{He} keeps a spider in {his} hat and calls it captain.',
  '{He} pays {his} debts before breakfast.',
  '{He} cannot pass a locked door without a sigh.',
  '{He} knots a thread for every lie {he} tells.',
];

export const ENDINGS: readonly string[] = [
  'And so the {class} of {home} walks on.',
  'Such is the tale of {first}, and it is not yet done.',
  'The road is long, but so is the memory of {arace}.',
  'Ask in {home}, and they will light a lamp and tell you the rest.',
  'Where {first} sleeps tonight, no map can say.',
  '{He} has {tool} and no fear of the dark.',
];
