"""Made-up notes about children with a cough, from a stated probabilistic model.

A note is drawn in two steps. First, what it says: each of the `FINDINGS` is left out,
denied, hedged or stated, with probabilities that depend on the label. Then how it says
it: phrasing, numbers, order, age, sex and unrelated complaints are drawn without
looking at the label. A reader of the words can thus know no more than what is said, and
the best possible score of the text alone can be computed exactly.

The probabilities are invented for teaching. They are no medical knowledge.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

STATES = ("omitted", "denied", "hedged", "stated")
"""What a note does with a finding, in the order of the numbers 0 to 3."""

FINDINGS = {
    "fever": (0.26, 0.78),
    "fast_breathing": (0.18, 0.70),
    "low_oxygen": (0.05, 0.48),
    "cough": (0.48, 0.84),
    "laboured_breathing": (0.05, 0.45),
    "crackles": (0.07, 0.60),
    "poor_feeding": (0.26, 0.52),
    "runny_nose": (0.66, 0.44),
    "sick_contact": (0.28, 0.44),
    "earlier_wheeze": (0.28, 0.16),
}
"""Finding → how often a child of class 0 and of class 1 has it."""

MENTION = ((0.45, 0.40, 0.10, 0.05), (0.25, 0.05, 0.16, 0.54))
"""How often each of `STATES` is written of a finding that is absent; present."""

LANGUAGES = ("en", "zh")

# One line, or several, for each finding and state (- denied, ? hedged, + stated). No
# phrase occurs twice, so that the words always tell what is said.
_PHRASES = {
    "en": """
fever - No fever. | Afebrile. | Temperature {} °C. | Parents deny fever.
fever ? Possible fever last night, not measured. | Temperature {} °C.
  | May have felt hot. | Perhaps feverish at times.
fever + Fever of {} °C. | Temperature {} °C. | High fever since yesterday.
  | Febrile for two days.
fast_breathing - Respiratory rate {} per minute. | Breathing unhurried.
  | No fast breathing. | Breathes at a calm pace, {} per minute.
fast_breathing ? Respiratory rate {} per minute. | Breathing perhaps a little fast.
  | Possibly breathes faster at night. | May be slightly tachypneic.
fast_breathing + Respiratory rate {} per minute. | Tachypneic at {} per minute.
  | Breathing fast. | Fast breathing noticed by the parents.
low_oxygen - SpO2 {} % on room air. | Oxygen saturation {} %. | No desaturation.
  | No oxygen needed.
low_oxygen ? SpO2 {} %, probe slipping. | Oxygen saturation borderline.
  | SpO2 around {} %. | Saturation possibly low, to be repeated.
low_oxygen + SpO2 {} % on room air. | Oxygen saturation {} %. | Desaturates when asleep.
  | Oxygen given in the ambulance.
cough - No cough. | Does not cough. | Cough denied.
cough ? Possibly a slight cough. | May cough at night. | Occasional cough, unsure.
cough + Cough for {} days. | Coughing a lot. | Wet cough. | Cough, worse at night.
laboured_breathing - No retractions. | No chest indrawing. | Breathes without effort.
laboured_breathing ? Possible mild retractions. | Work of breathing hard to judge.
  | May have slight indrawing when crying.
laboured_breathing + Subcostal retractions. | Chest indrawing. | Laboured breathing.
  | Grunting, nasal flaring.
crackles - No crackles. | Breath sounds equal, nothing added. | No rales heard.
crackles ? Possible crackles, child crying. | Breath sounds hard to assess.
  | Perhaps a few crackles at the base.
crackles + Crackles on the right. | Crackles at the left base. | Fine rales heard.
  | Coarse crackles.
poor_feeding - Feeds well. | No loss of appetite. | Drinking and eating as usual.
poor_feeding ? May be eating less. | Appetite perhaps reduced. | Possibly drinks less.
poor_feeding + Poor feeding. | Refuses food. | Drinks only half of the usual amount.
runny_nose - No runny nose. | Nose dry. | No nasal discharge.
runny_nose ? Perhaps some sniffles. | Possible nasal congestion. | Nose may be blocked.
runny_nose + Runny nose. | Nasal discharge for {} days. | Sneezing, runny nose.
sick_contact - No sick contacts. | Nobody ill at home. | No ill children at nursery.
sick_contact ? Possible sick contact at nursery. | A cousin may have been ill.
  | Someone at home perhaps coughing.
sick_contact + Brother coughing at home. | Several children ill at nursery.
  | Mother ill last week.
earlier_wheeze - Never wheezed before. | No history of wheeze. | No asthma in the past.
earlier_wheeze ? Possible wheeze as a baby. | May have been given an inhaler once.
  | Asthma suspected earlier, never settled.
earlier_wheeze + Wheezed several times before. | Uses an inhaler for asthma.
  | History of wheeze.
""",
    "zh": """
fever - 无发热。 | 不发烧。 | 体温{}度。 | 家长否认发热。
fever ? 昨晚可能发热,未测。 | 体温{}度。 | 似乎有点烫。 | 或有低热。
fever + 发热{}度。 | 体温{}度。 | 昨日起高热。 | 发烧两天。
fast_breathing - 呼吸每分钟{}次。 | 呼吸平稳。 | 无气促。 | 呼吸不快,每分钟{}次。
fast_breathing ? 呼吸每分钟{}次。 | 呼吸似乎稍快。 | 夜间可能气促。 | 或有轻度气促。
fast_breathing + 呼吸每分钟{}次。 | 气促,每分钟{}次。 | 呼吸急促。 | 家长发现呼吸快。
low_oxygen - 血氧{}%。 | 血氧饱和度{}%。 | 无缺氧。 | 不需吸氧。
low_oxygen ? 血氧约{}%。 | 血氧处于临界。 | 血氧{}%,探头松动。 | 血氧可能偏低,待复测。
low_oxygen + 血氧{}%。 | 血氧饱和度{}%。 | 睡时缺氧。 | 救护车上已吸氧。
cough - 无咳嗽。 | 不咳。 | 否认咳嗽。
cough ? 可能轻咳。 | 夜间或有咳嗽。 | 偶咳,不确定。
cough + 咳嗽{}天。 | 咳得厉害。 | 咳嗽有痰。 | 咳嗽,夜间加重。
laboured_breathing - 无三凹征。 | 无胸壁凹陷。 | 呼吸不费力。
laboured_breathing ? 可能有轻度三凹征。 | 呼吸是否费力难以判断。 | 哭时或有胸壁凹陷。
laboured_breathing + 三凹征阳性。 | 胸壁凹陷。 | 呻吟,鼻翼扇动。 | 呼吸费力。
crackles - 未闻及啰音。 | 呼吸音对称。 | 无湿啰音。
crackles ? 患儿哭闹,可能有啰音。 | 呼吸音难以评估。 | 肺底似有少许啰音。
crackles + 右侧闻及啰音。 | 左肺底啰音。 | 细湿啰音。 | 粗湿啰音。
poor_feeding - 进食好。 | 胃口未减。 | 饮食如常。
poor_feeding ? 可能吃得少些。 | 胃口或有下降。 | 喝水似乎减少。
poor_feeding + 进食差。 | 拒食。 | 饮量只有平时一半。
runny_nose - 无流涕。 | 鼻腔干燥。 | 无鼻涕。
runny_nose ? 似乎有些鼻塞。 | 可能有鼻涕。 | 鼻子或有不通。
runny_nose + 流鼻涕。 | 流涕{}天。 | 打喷嚏,流涕。
sick_contact - 无患病接触史。 | 家中无人生病。 | 托儿所无患儿。
sick_contact ? 托儿所可能有患儿。 | 表亲或曾生病。 | 家中似有人咳嗽。
sick_contact + 哥哥在家咳嗽。 | 托儿所多名儿童生病。 | 母亲上周生病。
earlier_wheeze - 从未喘息。 | 无喘息史。 | 既往无哮喘。
earlier_wheeze ? 婴儿期可能喘息过。 | 或曾用过一次吸入剂。 | 曾疑哮喘,未定。
earlier_wheeze + 既往多次喘息。 | 因哮喘用吸入剂。 | 有喘息史。
""",
}
# Finding → lowest and highest number when denied, hedged, stated; their divisor.
_NUMBERS = {
    "fever": ((364, 374), (375, 381), (383, 402), 10),
    "fast_breathing": ((22, 33), (35, 42), (44, 64), 1),
    "low_oxygen": ((96, 100), (94, 95), (86, 93), 1),
    "cough": ((), (), (2, 9), 1),
    "runny_nose": ((), (), (2, 9), 1),
}
_OPENINGS = {
    "en": (
        "{}-year-old {}, brought in by the mother.",
        "{}-year-old {}.",
        "Seen in clinic: {}-year-old {}.",
        "{}-year-old {}, sent by the family doctor.",
    ),
    "zh": ("{}岁{}。", "患儿{}岁,{}。", "{}岁{},母亲陪同。", "{}岁{},由家庭医生转来。"),
}
_SEXES = {"en": ("girl", "boy"), "zh": ("女孩", "男孩")}
# They say nothing about the label.
_DISTRACTORS = {
    "en": "Scraped left knee. | Eczema on both elbows. | Fell off a chair last week. | "
    "Vaccinations up to date. | Milk tooth loose. | Constipated at times. | "
    "Insect bite on the arm. | Moved house recently. | Afraid of the dark. | "
    "Born at term. | No known allergies. | Itchy scalp. | Twisted an ankle in May.",
    "zh": "左膝擦伤。 | 双肘湿疹。 | 上周从椅子上摔下。 | 疫苗按时接种。 | "
    "乳牙松动。 | 有时便秘。 | 手臂虫咬。 | 最近搬家。 | 怕黑。 | 足月出生。 | "
    "无已知过敏。 | 头皮发痒。 | 五月扭伤脚踝。",
}


class Limit(NamedTuple):
    """The best scores that any reader of the notes can expect."""

    accuracy: float
    auroc: float


def draw(
    labels: np.ndarray,
    patients: np.ndarray,
    informativeness: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """Draw what the notes say.

    Given the label y, the findings are independent:

        P(s | y) ∝ q(s | 1)^a q(s | 0)^(1 − a),  a = 1/2 ± informativeness / 2,

    + for y = 1 and − for y = 0. q(s | y) is the sum, over finding absent and present,
    of `MENTION` times the probability in `FINDINGS`. So informativeness 1 is q itself,
    and the logarithm of a state's likelihood ratio is proportional to it, up to a
    constant for each finding.

    Args:
        labels: 0 or 1, shape (N,).
        patients: A whole number from 0 for each patient, shape (N,). What is drawn
            depends on it and on the label, not on who else is there.
        informativeness: 0: the notes say nothing about the label.
        seed: Seeds the draw.

    Returns:
        Positions in `STATES`, int8 (N, findings), in the order of `FINDINGS`.

    Raises:
        ValueError: If `informativeness` is negative or not finite.
    """
    ends = np.cumsum(_law(informativeness), axis=-1)[..., :-1]
    drawn = [_rng(seed, patient, 0).random(len(FINDINGS)) for patient in patients]
    dice = np.reshape(drawn, (-1, len(FINDINGS), 1))
    return (dice > ends[np.asarray(labels, int)]).sum(axis=-1).astype("int8")


def write(
    findings: np.ndarray, patients: np.ndarray, language: str = "en", seed: int = 0
) -> np.ndarray:
    """Write notes that say just this. The labels are not known here.

    Args:
        findings: What to say, as `draw` returns it, shape (N, findings).
        patients: A whole number from 0 for each patient, shape (N,).
        language: `"en"` or `"zh"`.
        seed: Seeds phrasing, numbers, order, age, sex and distractors.

    Returns:
        Strings, shape (N,).

    Raises:
        ValueError: If the language is unknown.
    """
    check(language=language)
    pairs = zip(findings, patients, strict=True)
    notes = [_note(said, _rng(seed, patient, 1), language) for said, patient in pairs]
    return np.array(notes, dtype=object)


def notes_posterior(
    findings: np.ndarray, prior: float, informativeness: float = 1.0
) -> np.ndarray:
    """Return the probability of class 1, given what each note says.

    Bayes: the log odds of the prior plus Σ_k log P(s_k | 1) / P(s_k | 0).

    Args:
        findings: As `draw` returns it, shape (N, findings).
        prior: Probability of class 1 before reading: its share of the split.
        informativeness: The one that the notes were drawn with.

    Returns:
        Probabilities, float64 (N,).

    Raises:
        ValueError: If `prior` is not between 0 and 1.
    """
    from scipy.special import expit, logit

    if not 0 < prior < 1:
        raise ValueError(f"prior is {prior}: expected a share between 0 and 1")
    ratios = _ratios(informativeness)
    said = np.asarray(findings, int)
    return expit(logit(prior) + ratios[np.arange(len(ratios)), said].sum(axis=-1))


def notes_limit(labels: np.ndarray, informativeness: float = 1.0) -> Limit:
    """Return the Bayes limit of the notes alone, for a split with these labels.

    By enumeration of all 4^10 notes that can be told apart. With π the share of class
    1: accuracy Σ_s max(π P(s | 1), (1 − π) P(s | 0)); AUROC P(r_1 > r_0) + P(r_1 =
    r_0) / 2, r being the likelihood ratio of a note of either class.

    Args:
        labels: Labels of the split, shape (N,); only the share of class 1 counts.
        informativeness: The one that the notes were drawn with.

    Returns:
        Accuracy and AUROC that the best possible reader can expect.

    Raises:
        ValueError: If `labels` are not 0 and 1, both.

    Example:
        `notes_limit(data.test.labels).auroc`
    """
    if set(np.unique(labels)) != {0, 1}:
        raise ValueError("labels hold other values than 0 and 1, or only one of them")
    prior = float(np.mean(labels))
    one, other, auroc = _enumerated(float(informativeness))
    return Limit(float(np.maximum(prior * one, (1 - prior) * other).sum()), auroc)


def check(informativeness: float = 1.0, language: str = "en") -> None:
    """Refuse what the model of the notes does not know.

    Raises:
        ValueError: If an argument is out of its range.
    """
    if not 0 <= informativeness < np.inf:
        raise ValueError(f"informativeness is {informativeness}: expected 0 or more")
    if language not in LANGUAGES:
        raise ValueError(
            f"language is {language!r}: choose one of {', '.join(LANGUAGES)}"
        )


@cache
def _enumerated(informativeness: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return P(s | 1) and P(s | 0) of every s, each (4^findings,), and the AUROC."""
    other = one = np.ones(1)
    for of_zero, of_one in zip(*_law(informativeness), strict=True):
        other, one = np.outer(other, of_zero).ravel(), np.outer(one, of_one).ravel()
    order = np.argsort(one / other)
    below = np.cumsum(other[order]) - other[order] / 2
    # Where ratios are equal, any order gives the same sum: both classes share a ratio.
    return one, other, float(one[order] @ below)


def _law(informativeness: float) -> np.ndarray:
    """Return P(state | label), shape (2, findings, 4)."""
    check(informativeness)
    has = np.array(list(FINDINGS.values())).T[..., None]
    absent, present = np.array(MENTION)
    zero, one = np.log((1 - has) * absent + has * present)
    tilted = (zero + one) / 2 + informativeness / 2 * np.stack([zero - one, one - zero])
    law = np.exp(tilted - tilted.max(axis=-1, keepdims=True))
    return law / law.sum(axis=-1, keepdims=True)


def _ratios(informativeness: float) -> np.ndarray:
    zero, one = np.log(_law(informativeness))
    return one - zero


def _rng(seed: int, patient: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, int(patient), stream])


def _alternatives(text: str) -> list[str]:
    return [phrase.strip() for phrase in text.split("|")]


@cache
def phrases(language: str) -> dict[tuple[str, int], list[str]]:
    """Return (finding, state) → the phrasings, `{}` standing for a number."""
    found = {}
    for line in _PHRASES[language].strip().replace("\n  ", " ").split("\n"):
        finding, mark, rest = line.split(maxsplit=2)
        found[finding, 1 + "-?+".index(mark)] = _alternatives(rest)
    return found


def _note(said: Sequence[int], rng: np.random.Generator, language: str) -> str:
    sentences = []
    for finding, state in zip(FINDINGS, said, strict=True):
        if state:
            phrase = rng.choice(phrases(language)[finding, int(state)])
            if "{}" in phrase:
                *ranges, unit = _NUMBERS[finding]
                number = rng.integers(*ranges[state - 1], endpoint=True)
                phrase = phrase.format(number / unit if unit > 1 else number)
            sentences.append(phrase)
    distractors = _alternatives(_DISTRACTORS[language])
    sentences += list(rng.choice(distractors, rng.integers(3), replace=False))
    rng.shuffle(sentences)
    opening = rng.choice(_OPENINGS[language])
    opening = opening.format(rng.integers(1, 6), rng.choice(_SEXES[language]))
    return (" " if language == "en" else "").join([opening, *sentences])
