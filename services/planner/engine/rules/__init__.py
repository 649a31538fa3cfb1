"""Rules: which points of the space are strategies at all, Megatron-Core's and the user's."""

from planner.engine.rules.admission import Admission, admit
from planner.engine.rules.builtin import BUILTIN_RULES, Rule
from planner.engine.rules.fields import FIELDS, RuleField
from planner.engine.rules.language import Expression, RuleError, parse_rule

__all__ = [
    "BUILTIN_RULES",
    "FIELDS",
    "Admission",
    "Expression",
    "Rule",
    "RuleError",
    "RuleField",
    "admit",
    "parse_rule",
]
