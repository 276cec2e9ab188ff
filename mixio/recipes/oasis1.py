"""OASIS-1: T1 MRI of 416 adults of 18 to 96 years, 100 of them with dementia.

Documented by Marcus et al., Journal of Cognitive Neuroscience 19:1498 (2007), and the fact sheet at
https://sites.wustl.edu/oasisbrains. ROOT holds the unpacked discs, or is one of them:

```text
oasis_cross-sectional.csv                              ID, ..., CDR, ...: the published .xlsx, saved as .csv
disc1/OAS1_0001_MR1/
  OAS1_0001_MR1.txt                                    has a line "CDR:          0"
  RAW/OAS1_0001_MR1_mpr-1_anon.hdr, .img               sagittal, 1 x 1 x 1.25 mm, three or four repetitions
  PROCESSED/MPRAGE/SUBJ_111/OAS1_0001_MR1_mpr_n4_anon_sbj_111.hdr, .img     their mean, sagittal
  PROCESSED/MPRAGE/T88_111/OAS1_0001_MR1_mpr_n4_anon_111_t88_gfc.hdr, .img  in atlas space, transverse, 1 mm
  PROCESSED/MPRAGE/T88_111/OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc.hdr, .img
  FSL_SEG/OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc_fseg.hdr, .img       1 CSF, 2 gray, 3 white, on the same grid
```

- One row a session, `brain-t1`: the atlas image `t88_gfc`, or `t88_masked_gfc` where that is missing.
- The files are ANALYZE 7.5, 16-bit big-endian. Their headers hold the spacing but neither qform nor sform, so that
  conversion needs `--assume-affine`. The transverse T88 images are what that assumes, which is ANALYZE's own default:
  axes towards Left, Anterior, Superior. The sagittal ones (RAW, SUBJ_111) run Anterior, Superior, Left, says
  Clinica's converter of OASIS, would be turned wrongly by the same flag, and are left out.
- `label`: FSL_SEG. `subject`: OAS1_0001; a second session (MR2) is of the same subject.
- `target`: the Clinical Dementia Rating as 0, 0.5, 1 or 2, from the CSV, else from the session's text file; none for
  the young, who were not rated. `split`: none is published.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mixio.errors import InvalidArgument
from mixio.recipes.layout import Row, number, read_csv, row, visible

EXPECTED = "[discN/]OAS1_NNNN_MRN/PROCESSED/MPRAGE/T88_111/*_t88_gfc.hdr"
FLAGS = "--assume-affine"

_TABLE = "oasis_cross-sectional*"


def rows(root: Path) -> Iterator[Row]:
    """A row per session."""
    ratings = _ratings(root)
    for session in visible(root, "**/OAS1_????_MR?"):
        place = session / "PROCESSED" / "MPRAGE" / "T88_111"
        images = [*visible(place, "*_t88_gfc.hdr"), *visible(place, "*_t88_masked_gfc.hdr")]
        if images:
            yield row(
                images[0],
                "brain-t1",
                modality="MR",
                subject=session.name[: len("OAS1_0001")],
                target=ratings[session.name] if session.name in ratings else _rating(session),
                label=next(iter(visible(session / "FSL_SEG", "*_fseg.hdr")), None),
            )


def _ratings(root: Path) -> dict[str, str | None]:
    """The CDR by session; empty if there is no table of them, and the sessions' own text files must do."""
    tables = [p for p in visible(root, _TABLE) if p.is_file()]
    readable = [p for p in tables if p.suffix.lower() == ".csv"]
    if readable:
        return {line["ID"]: number(line["CDR"]) for line in read_csv(readable[0], "ID", "CDR")}
    sheets = [p for p in tables if p.suffix.lower() in (".xlsx", ".xls")]
    if sheets and not visible(root, "**/OAS1_????_MR?/OAS1_*.txt"):
        raise InvalidArgument(f"{sheets[0]}: a spreadsheet is not read; save it as .csv beside it")
    return {}


def _rating(session: Path) -> str | None:
    text = session / f"{session.name}.txt"
    found = re.search(r"^CDR:[ \t]*(\S+)", text.read_text(errors="replace"), re.MULTILINE) if text.is_file() else None
    return number(found[1]) if found else None
