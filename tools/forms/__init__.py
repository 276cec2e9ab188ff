"""The forms that a law may have, simplest first; all but the nulls may be chosen for an allocation.

>>> FORMS["transfer"].title
'E_i + a_i (d0_i + D_i + sum tau_ji D_j)^-beta_i'
"""

from tools.forms.additive import Additive
from tools.forms.bimix import BiMix
from tools.forms.exponential import Exponential
from tools.forms.form import Form
from tools.forms.transfer import Transfer

FORMS: dict[str, Form] = {
    "total": Transfer(tau=1.0),
    "own": Transfer(tau=0.0),
    "bimix": BiMix(),
    "linear": Transfer(offset=False),
    "transfer": Transfer(),
    "transfer+repeats": Transfer(repeats=True),
    "transfer+gamma": Transfer(gamma=True),
    "transfer+gamma+repeats": Transfer(gamma=True, repeats=True),
    "transfer+powers": Transfer(gamma=True, kappa=True),
    "transfer+total": Transfer(total=True),
    "split": Transfer(split=True),
    "exponential": Exponential(),
    "additive": Additive(),
    "signed": Transfer(signed=True),
}
NULLS = ("total", "own")
"""What a law must beat: draws of any kind alike, and a target's own draws alone. Neither can rank mixtures for all."""
