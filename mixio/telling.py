"""Names of files that tell whose they are: what looks like a person's name or a date.

A warning, not a filter: `Doe_John`, `DOE^JOHN` and `19620412` are found, `doe_john` and `DOE_JOHN` cannot be told from
`liver_train` and `HEAD_NECK`. Two words that public data sets are named with, such as `Brain_Tumour`, are no person.
"""

import re
from collections.abc import Iterable, Iterator

from mixio.sources import Source

_YEAR, _MONTH, _DAY = "(?:19|20)[0-9]{2}", "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_TIME = "(?:[_T-]?(?:[01][0-9]|2[0-3])[0-5][0-9](?:[0-5][0-9][0-9.]*)?)?"
_DATE = re.compile(
    "(?<![0-9])(?:"
    f"{_YEAR}(?P<a>[-_.]?){_MONTH}(?P=a){_DAY}{_TIME}"
    f"|{_DAY}(?P<b>[-_.]?){_MONTH}(?P=b){_YEAR}"
    f"|{_MONTH}(?P<c>[-_.]){_DAY}(?P=c){_YEAR}"
    f"|[0-3]?[0-9][-_. ]?(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[-_. ]?{_YEAR}"
    ")(?![0-9])"
)
_UPPER, _LOWER = "A-ZÀ-ÖØ-Þ", "a-zß-öø-ÿ"
_WORD = f"[{_UPPER}](?:['’][{_UPPER}])?[{_LOWER}]+(?:[{_UPPER}][{_LOWER}]+)?"
_LETTER = f"[{_UPPER}{_LOWER}]"
_PAIR = re.compile(f"(?<!{_LETTER})(?={_WORD}[_ ,-]{{1,2}}(?P<second>{_WORD})(?!{_LETTER}))(?P<first>{_WORD})")
_DICOM = re.compile(f"{_LETTER}{{2,}}\\^{_LETTER}|[{_UPPER}]{{2,}}, ?[{_UPPER}]{{2,}}")
_CAPITAL = re.compile(f"[{_UPPER}][^{_UPPER}]*")
_SHORTEST = 3
_NO_NAMES = set(
    """abdomen abdominal accession acquisition adc after amygdala angio anon anonymized aorta arm arterial artery
    atlas average axial baseline before bias bladder body bone brain breast cancer cardiac carotid case cases
    cerebellum cervical chest class clinical cohort colon contrast control coronal corrected cortex cropped data
    dataset derived diffusion dose early fat femur final first flair followup foot gated gland gray grey hand head
    healthy heart hepatic high hip hippocampus image images imaging kidney knee label labels lateral left lesion
    liver localizer low lower lumbar lung mask masks mean medical metastases muscle native neck nodule normal
    normalized organ original pancreas parotid part patient patients pelvis phantom phase pituitary portal post
    pre processed project prostate pulmonary raw reference registered release report result results right sagittal
    sample scan scans second segmentation sequence series session set shoulder site skull smooth soft source spine
    spleen split stage stomach structural study subject subjects task test testing thigh thoracic thorax thyroid
    tibia tissue train training tumor tumour upper uterus validation vein venous version vessel visit volume
    volumes water white whole""".split()
)


def is_telling(text: str) -> bool:
    """Whether it looks as if it held a person's name or a date.

    >>> [name for name in ("Doe_John/ct.nii", "scan-2019-04-12", "Task01_BrainTumour") if is_telling(name)]
    ['Doe_John/ct.nii', 'scan-2019-04-12']
    """
    return bool(_DATE.search(text) or _DICOM.search(text)) or any(map(_is_person, _PAIR.finditer(text)))


def _is_person(pair: re.Match[str]) -> bool:
    """Whether two capitalised words may be a name: neither is short, or one that data sets are named with."""
    words = pair["first"], pair["second"]
    pieces = {piece.lower() for word in words for piece in (word, *_CAPITAL.findall(word))}
    return min(map(len, words)) >= _SHORTEST and not pieces & _NO_NAMES


def telling_names(sources: Iterable[Source]) -> Iterator[str]:
    """Paths and subjects, as the table gives them, that look like a person's name or a date; one a source."""
    for source in sources:
        yield from [text for text in dict.fromkeys((source.name, source.subject)) if is_telling(text)][:1]


def telling_words(sources: Iterable[Source]) -> Iterator[str]:
    """What a store holds as the table gives it, hashed names or not, and looks like a person's name or a date."""
    words = (word for s in sources for word in (s.key, s.target, s.domain, s.unit, *s.labels) if word)
    return (word for word in dict.fromkeys(words) if is_telling(word))
